"""A calibration as the daemon runs it: the same plan, engine and order, on a simulated microscope without a loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from _calibration_scope import MOST_IMAGES

from microscoped.daemon.focus import CalibrationPlan
from microscoped.models.focus_pair.calibration import Calibration, CalibrationEngine, CalibrationSetup, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _calibration_scope import Still

    from microscoped.daemon.focus import Leg, SearchResult
    from microscoped.drivers.safety import MotionSettings
    from microscoped.models.focus_pair import PairOptics
    from microscoped.models.runtimes import CompiledModel

T = TypeVar("T")

DELTA_DOF = 2.0
"""The daemon's default distance between the two images of a pair."""
CONFIGURED_SIGN = 1
MADE = "2000-01-01T00:00:00Z"


class Calibrated(Protocol):
    """A microscope as a calibration drives it."""

    @property
    def objective(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def optics(self) -> PairOptics:
        """The optics."""
        ...

    @property
    def motion(self) -> MotionSettings:
        """How the stage is moved."""
        ...

    @property
    def exposure_ms(self) -> float:
        """Exposure of each image."""
        ...

    @property
    def bit_depth(self) -> int:
        """Of the camera."""
        ...

    @property
    def images(self) -> int:
        """Images so far."""
        ...

    @property
    def z_um(self) -> float:
        """What the stage reads back."""
        ...

    @property
    def t_s(self) -> float:
        """Now."""
        ...

    def go(self, z_um: float, *, direct: bool = False) -> None:
        """Move and settle; a `direct` move arrives as it comes."""
        ...

    def snap(self) -> Still:
        """Take an image."""
        ...

    def search(self) -> SearchResult:
        """Search the focus from where the stage is."""
        ...

    def compute(self, work: Callable[[], T]) -> T:
        """Have an engine do its work, and let its time pass."""
        ...


@dataclass
class Verdict:
    """What a calibration came to.

    Parameters
    ----------
    accepted, reasons
        The verdict.
    stopped
        Where it ended: ``done``, or the phase that spoke against going on.
    images, seconds
        What it has cost, and its simulated time.
    rejected
        Fields without a focus, and why.
    calibration
        What was written; ``None`` where nothing was swept.
    """

    accepted: bool
    reasons: list[str]
    stopped: str
    images: int
    seconds: float
    rejected: list[str]
    calibration: Calibration | None


@dataclass
class _State:
    accepted: int = 0
    focus_um: float | None = None
    swept: bool = False
    known: list[int] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    residuals_um: list[float | None] = field(default_factory=list)


class _Stop(Exception):
    """Something speaks against going on."""

    def __init__(self, phase: str, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.phase, self.reasons = phase, reasons


class Calibrating:
    """One calibration of one microscope.

    Parameters
    ----------
    scope
        The microscope; the stage stands roughly in focus.
    model, sha256
        The network, and the hash of its weights.
    folder
        Where its file goes.
    fields
        Fields with a focus that are wanted.
    show
        Moves the slide to the field of a number (1, 2 …).
    """

    def __init__(
        self,
        scope: Calibrated,
        model: CompiledModel,
        sha256: str,
        folder: Path,
        fields: int,
        show: Callable[[int], None],
    ) -> None:
        optics = scope.optics
        self._scope, self._show = scope, show
        low_um, high_um = scope.motion.limits_um or (0.0, 0.0)
        self.plan = CalibrationPlan(
            dof_um=optics.dof_um,
            delta_um=DELTA_DOF * optics.dof_um,
            low_um=low_um,
            high_um=high_um,
            approach="increasing",
            fields=fields,
            search_images=MOST_IMAGES,
            exposure_ms=scope.exposure_ms,
        )
        setup = CalibrationSetup(
            na=optics.na,
            wavelength_nm=optics.wavelength_nm,
            immersion_index=optics.immersion_index,
            objective=scope.objective,
            model_sha256=sha256,
            software="benchmark",
            folder=folder,
        )
        self._engine = CalibrationEngine(setup, model)
        self._state = _State()

    def run(self) -> Verdict:
        """Calibrate."""
        began_s, state = self._scope.t_s, self._state
        start_um = self._scope.z_um
        phase, reasons = "done", list[str]()
        try:
            number = 0
            while state.accepted < self.plan.fields:
                number += 1
                self._show(number)
                self._field(number)
                self._scope.go(start_um if state.focus_um is None else state.focus_um)
        except _Stop as stop:
            phase, reasons = stop.phase, stop.reasons
        calibration = self._finish(reasons) if state.swept else None
        return Verdict(
            accepted=calibration is not None and calibration.accepted,
            reasons=list(calibration.reasons) if calibration is not None else reasons,
            stopped=phase,
            images=self._scope.images,
            seconds=self._scope.t_s - began_s,
            rejected=[f"field {number}: {why}" for number, why in state.rejected],
            calibration=calibration,
        )

    def _field(self, number: int) -> None:
        plan, state = self.plan, self._state
        found = self._scope.search()
        if not found.focused:
            self._reject(number, f"the search finds no focus: {found.reason}", "searching")
            return
        legs = plan.sweep(found.z_um)
        if not legs:
            self._reject(number, f"the focus at {found.z_um:g} µm is too near to a limit for a sweep", "searching")
            return
        for leg in legs:
            still = self._take(leg)
            self._ask(
                still,
                action="sweep",
                run="benchmark",
                begin=not state.swept,
                field=number,
                first=leg.begins,
                near_um=found.z_um,
                z_um=still.z_um,
                t_s=still.t_s,
                apart=plan.apart,
                pixel_size_um=self._scope.optics.pixel_size_um,
                sign=CONFIGURED_SIGN,
            )
            state.swept = True
        role = plan.role(state.accepted)
        state.known.append(number)
        judged = self._ask(still, action="field", extremum=found.extremum, near_um=found.z_um, role=role)
        if judged["focus_um"] is None:
            self._reject(number, judged["reason"], "sweeping")
            return
        state.accepted += 1
        state.focus_um = float(judged["focus_um"])
        if state.accepted == 1:
            self._watch_stage(judged["flank_um"])
        if state.accepted == plan.fit_fields:
            while not self._ask(still, action="fit")["done"]:
                pass
        elif state.accepted > plan.fit_fields:
            self._moves(state.focus_um)

    def _reject(self, number: int, reason: str, phase: str) -> None:
        rejected = self._state.rejected
        rejected.append((number, reason))
        if len(rejected) > self.plan.rejections:
            raise _Stop(phase, [f"{len(rejected)} of {number} fields were rejected; the last: {reason}"])

    def _watch_stage(self, flank_um: float | None) -> None:
        if flank_um is None:
            raise _Stop("stage", ["the scores of the first field have no steep flank"])
        for leg in self.plan.visits(flank_um):
            if leg.use == "pass":
                self._scope.go(leg.z_um, direct=leg.direct)
            else:
                still = self._take(leg)
                self._ask(still, action="visit", kind=leg.use, t_s=still.t_s)
        told = self._ask(
            still, action="stage", approach_sign=self.plan.side, overshoot_um=self._scope.motion.overshoot_um
        )
        if told["faults"]:
            raise _Stop("stage", list(told["faults"]))

    def _moves(self, focus_um: float) -> None:
        """Go by one pair each to where it says that the focus is."""
        scope, plan = self._scope, self.plan
        for number in range(plan.moves_per_field):
            first, second = (self._take(leg) for leg in plan.pair(focus_um, number))
            frames = [first.frame, second.frame]
            options = {"action": "pair", "delta_um": second.z_um - first.z_um, "bit_depth": scope.bit_depth}
            told = scope.compute(lambda seen=frames, how=options: self._engine.measure(seen, how))
            if told["defocus_um"] is None:
                self._state.residuals_um.append(None)
                continue
            target_um = plan.target_um(second.z_um, told["defocus_um"])
            if target_um is not None:
                scope.go(target_um)
            end_um = scope.z_um if target_um is not None else second.z_um - told["defocus_um"]
            self._state.residuals_um.append(end_um - focus_um)

    def _take(self, leg: Leg) -> Still:
        scope = self._scope
        if leg.use != "rest" or abs(scope.z_um - leg.z_um) > scope.motion.arrival_tolerance_um:
            scope.go(leg.z_um, direct=leg.direct)
        return scope.snap()

    def _ask(self, still: Still, **options: Any) -> Mapping[str, Any]:  # noqa: ANN401 (JSON)
        return self._scope.compute(lambda: self._engine.measure([still.frame], options))

    def _finish(self, reasons: list[str]) -> Calibration:
        state, scope = self._state, self._scope
        told = self._ask(
            scope.snap(),
            action="finish",
            moves_um=state.residuals_um,
            reasons=reasons,
            unswept=[[number, why] for number, why in state.rejected if number not in state.known],
            conditions={
                "pixel_size_um": scope.optics.pixel_size_um,
                "binning": 1,
                "channel": None,
                "delta_um": self.plan.delta_um,
                "approach": self.plan.approach,
            },
            made=MADE,
            images=scope.images,
            dose_ms=scope.images * scope.exposure_ms,
        )
        return load(Path(told["path"]))

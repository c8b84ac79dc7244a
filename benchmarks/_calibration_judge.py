"""What an accepted calibration is worth: fresh fields, focus runs, and those of another microscope."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
from _calibration_run import DELTA_DOF
from _calibration_scope import EXPOSURE_MS, SEARCH_DOF, Scope

from microscoped.daemon.core.handlers.focus_pair import note_checks
from microscoped.daemon.core.state import PairWatch
from microscoped.daemon.focus import PairPolicy, PairReading, PairResult, ReadPair, Shot, TakeShot, propose_pair
from microscoped.models.focus_pair import EstimateSettings, FocusPairEngine, PairSettings
from microscoped.models.focus_pair.calibration import Conditions, Figures, Told, figures_of, find, save

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from _calibration_scenes import View
    from _calibration_scope import Still

    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.focus import PairCheck, PairEvent
    from microscoped.models.focus_pair.calibration import Calibration
    from microscoped.models.runtimes import CompiledModel

PAIRS = 40
"""Pairs in each fresh field."""
RUNS = 20
WITHIN_DOF = 1.0
"""A focus run that ends farther off has gone wrong."""


@dataclass(frozen=True)
class Fresh:
    """A field that took no part in a calibration: what it shows, and its true focus as an optical position."""

    view: View
    focus_um: float


@dataclass
class Runs:
    """What became of focus runs by pairs, one after the other, until the watch suspends them.

    Parameters
    ----------
    runs
        How many there were.
    confirmed
        How many ended with a focus that a further pair had confirmed; the others go on with a search.
    wrong
        How many of those ended more than `WITHIN_DOF` from the focus.
    suspended
        Why the watch suspended pairs; empty where it did not.
    errors_dof
        Distances from the focus where the confirmed ones ended.
    """

    runs: int = 0
    confirmed: int = 0
    wrong: int = 0
    suspended: str = ""
    errors_dof: list[float] = field(default_factory=list)


class Watch:
    """The daemon's own watch over the engine, without a daemon."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(pair_watch=PairWatch())

    @property
    def suspended(self) -> str:
        """Why pairs are suspended; empty where they are not."""
        return cast("str", self.state.pair_watch.suspended)

    def note(self, checks: tuple[PairCheck, ...], dof_um: float) -> None:
        """Hear of the checks of one run."""
        note_checks(cast("Turn", self), checks, dof_um)

    def set(self, *, pair_watch: PairWatch) -> None:
        """Keep what the watch remembers."""
        self.state.pair_watch = pair_watch

    def watch(self, *_alarm: object, **_told: object) -> None:
        """Hear the alarm, which `suspended` tells, too."""


def engine_of(scope: Scope, model: CompiledModel, calibration: Calibration) -> FocusPairEngine:
    """Return the engine that reads pairs of a microscope with a calibration, be it its own or not."""
    estimate = EstimateSettings(interval_factor=calibration.interval_factor)
    settings = PairSettings(scope.optics, sign=calibration.sign, estimate=estimate, correction=calibration.correction())
    return FocusPairEngine(settings, model)


def fresh_pairs(scope: Scope, engine: FocusPairEngine, fields: Sequence[Fresh]) -> Figures:
    """Read pairs whose second image lies up to eight depths of field from the focus, evenly.

    The truth is where the optics are, in the stage's micrometres; not where the stage says that it is.
    """
    dof_um, per_stage = scope.optics.dof_um, scope.bench.per_stage
    rows = []
    for number, one in enumerate(fields):
        scope.show(one.view)
        rng = np.random.default_rng((number, 5))
        for place in rng.permutation(PAIRS):
            scope.focus_on(one.focus_um)
            away_um = ((place + rng.uniform()) / PAIRS * 2 - 1) * SEARCH_DOF * dof_um
            second_um = scope.z_um + away_um
            scope.go(second_um - DELTA_DOF * dof_um)
            first = scope.snap()
            scope.go(second_um)
            second = scope.snap()
            truth_dof = (scope.optical_um() - one.focus_um) / per_stage / dof_um
            told = engine.measure(
                [first.frame, second.frame], {"delta_um": second.z_um - first.z_um, "bit_depth": scope.bit_depth}
            )
            scope.think()
            value, half = float("nan"), float("nan")
            if told["defocus_um"] is not None:
                low, high = told["interval_um"]
                value, half = told["defocus_um"] / dof_um, 0.5 * (high - low) / dof_um
            rows.append((truth_dof, value, half))
    columns = np.array(rows, float).T
    return figures_of(Told(columns[0], columns[1], columns[2]))


def focus_runs(scope: Scope, engine: FocusPairEngine, fields: Sequence[Fresh]) -> Runs:
    """Focus in fresh fields by pairs as ``focus.run`` does, `RUNS` times, or until the watch says no."""
    done, watch = Runs(), Watch()
    rng = np.random.default_rng(6)
    dof_um, per_stage = scope.optics.dof_um, scope.bench.per_stage
    while done.runs < RUNS and not watch.suspended:
        one = fields[done.runs % len(fields)]
        scope.show(one.view)
        scope.focus_on(one.focus_um)
        scope.go(scope.z_um + float(rng.uniform(-SEARCH_DOF, SEARCH_DOF)) * dof_um)
        end = _focused(scope, engine)
        done.runs += 1
        if end.focused:
            error_dof = abs(scope.optical_um() - one.focus_um) / abs(per_stage) / dof_um
            done.confirmed += 1
            done.wrong += error_dof > WITHIN_DOF
            done.errors_dof.append(error_dof)
        watch.note(end.checks, dof_um)
    done.suspended = watch.suspended
    return done


def _focused(scope: Scope, engine: FocusPairEngine) -> PairResult:
    """Run the daemon's policy, and go where it ends."""
    start_um, dof_um = scope.z_um, scope.optics.dof_um
    # As wide as a search of the whole range that a user would look in.
    reach_um = 2 * SEARCH_DOF * dof_um
    policy = PairPolicy(
        start_um=start_um,
        low_um=start_um - reach_um,
        high_um=start_um + reach_um,
        dof_um=dof_um,
        delta_um=DELTA_DOF * dof_um,
    )
    history: list[PairEvent] = []
    stills: list[Still] = []
    while True:
        step = propose_pair(policy, history)
        if isinstance(step, TakeShot):
            if abs(scope.z_um - step.z_um) > scope.motion.arrival_tolerance_um:
                scope.go(step.z_um)
            stills.append(scope.snap())
            history.append(Shot(stills[-1].z_um, EXPOSURE_MS))
        elif isinstance(step, ReadPair):
            first, second = stills[step.first], stills[step.second]
            told = engine.measure(
                [first.frame, second.frame], {"delta_um": second.z_um - first.z_um, "bit_depth": scope.bit_depth}
            )
            scope.think()
            interval = told["interval_um"]
            history.append(
                PairReading(
                    first=step.first,
                    second=step.second,
                    defocus_um=told["defocus_um"],
                    interval_um=None if interval is None else (interval[0], interval[1]),
                    reason=told["reason"],
                    mean_ratio=told["mean_ratio"],
                    modes_um=tuple(told["modes_um"]),
                )
            )
        else:
            if step.focused and step.z_um is not None:
                scope.go(step.z_um)
            return step


def conditions_of(scope: Scope, calibration: Calibration) -> Conditions:
    """Return what holds on a microscope that reads pairs with the network of a calibration."""
    optics = scope.optics
    return calibration.conditions.model_copy(
        update={
            "objective": scope.bench.objective,
            "na": optics.na,
            "wavelength_nm": optics.wavelength_nm,
            "immersion_index": optics.immersion_index,
            "pixel_size_um": optics.pixel_size_um,
            "delta_um": DELTA_DOF * optics.dof_um,
        }
    )


def offered(calibration: Calibration, present: Conditions, folder: Path) -> str:
    """Put a calibration where a daemon looks for its own; return why it refuses it, or an empty text."""
    folder.mkdir(parents=True, exist_ok=True)
    save(calibration, folder)
    found, why = find(folder, present)
    return "" if found is not None else why


def forged(calibration: Calibration, present: Conditions, folder: Path) -> Calibration:
    """Return the calibration with conditions that match, as a daemon finds it.

    Raises
    ------
    ValueError
        Even so it is refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save(calibration.model_copy(update={"conditions": present}), folder)
    found, why = find(folder, present)
    if found is None:
        raise ValueError(why)
    return found

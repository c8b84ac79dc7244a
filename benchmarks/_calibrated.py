"""Calibrating the benchmark's microscope, and focusing with what came of it, as ``focus.run`` with ``auto`` does."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from _calibration_run import Calibrating
from _calibration_scope import CHANGE_S, Still, search_settings
from _focus_report import COSTS, STAGES
from _ours import pair_focus, search_by, search_focus
from _scope import Scope, Start, camera_of
from _slides import OPTICS, calibration_field

from microscoped.daemon.runtime import PairEngine, PairObjective
from microscoped.models.focus_pair import EstimateSettings, PairOptics
from microscoped.models.focus_pair.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _calibration_run import Verdict
    from _slides import Field

    from microscoped.daemon.focus import SearchResult
    from microscoped.drivers.safety import MotionSettings
    from microscoped.models.runtimes import CompiledModel

T = TypeVar("T")

RUN = 1_000_000
"""Number of the calibration's run: no start has it, so that its noise is its own."""
OBJECTIVE = PairObjective(OPTICS.na, OPTICS.wavelength_nm, OPTICS.immersion_index)
REJECTED = "calibration rejected: search"
"""How a run ends that `auto` does not begin with pairs."""


@dataclass(frozen=True)
class Extent:
    """How much a calibration sees.

    Parameters
    ----------
    fields
        Fields with a focus.
    slides
        Slides that they lie on.
    side_px
        Side of the camera's image.
    """

    fields: int
    slides: int
    side_px: int


class Stand:
    """The benchmark's microscope with its ideal stage, as a calibration drives it; satisfies ``Calibrated``.

    Parameters
    ----------
    field
        Returns the field of a number (1, 2 …).
    """

    objective = "20x/0.75"
    optics = PairOptics(OPTICS.na, OPTICS.wavelength_nm, OPTICS.immersion_index, OPTICS.pixel_size_um)

    def __init__(self, field: Callable[[int], Field]) -> None:
        self._field = field
        first = field(1)
        start = Start(RUN, 0, first.offset_um)
        self._scope = Scope(first.scene, STAGES[0], COSTS[0], start, one_sided=True)

    @property
    def motion(self) -> MotionSettings:
        """How the stage is moved."""
        return self._scope.motion

    @property
    def exposure_ms(self) -> float:
        """Exposure of each image."""
        return self._scope.exposure_ms

    @property
    def bit_depth(self) -> int:
        """Of the camera."""
        return self._scope.bit_depth

    @property
    def images(self) -> int:
        """Images so far."""
        return self._scope.images

    @property
    def z_um(self) -> float:
        """What the stage reads back."""
        return self._scope.z_um

    @property
    def t_s(self) -> float:
        """Simulated time since the start."""
        return self._scope.elapsed_ms / 1e3

    def show(self, number: int) -> None:
        """Move the slide to another field."""
        self._scope.wait(CHANGE_S * 1e3)
        field = self._field(number)
        self._scope.show(field.scene, field.offset_um)

    def go(self, z_um: float, *, direct: bool = False) -> None:
        """Move and settle; a `direct` move arrives as it comes."""
        self._scope.go(z_um, always=True, direct=direct)

    def snap(self) -> Still:
        """Take an image."""
        z_um, t_s = self.z_um, self.t_s
        return Still(self._scope.snap(), z_um, t_s)

    def compute(self, work: Callable[[], T]) -> T:
        """Do some computing, and charge the wall time that it takes."""
        return self._scope.compute(work)

    def search(self) -> SearchResult:
        """Search the focus of a field from where the stage is, as the daemon does."""
        return search_by(self._scope, search_settings(self.z_um, self.optics.dof_um, self.motion.limits_um))


def calibrate(model: CompiledModel, sha256: str, extent: Extent, cache: Path | None, *, colour: bool) -> dict[str, Any]:
    """Calibrate the microscope with one of its cameras, on the ideal stage and on slides that no run begins on.

    Parameters
    ----------
    model, sha256
        The network, and the hash of its weights.
    extent
        How much it sees.
    cache
        Folder for rendered fields.
    colour
        Which camera.

    Returns
    -------
    JSON: the verdict, what it has cost, and under ``file`` what the daemon would keep.
    """

    @functools.lru_cache(maxsize=1)
    def field(number: int) -> Field:
        return calibration_field(number, extent.side_px, cache, colour=colour, slides=extent.slides)

    stand = Stand(field)
    with tempfile.TemporaryDirectory() as folder:
        run = Calibrating(stand, model, sha256, Path(folder), extent.fields, stand.show)
        verdict = run.run()
    return _told(verdict, camera_of(colour=colour), stand.exposure_ms)


def _told(verdict: Verdict, camera: str, exposure_ms: float) -> dict[str, Any]:
    kept = verdict.calibration
    return {
        "camera": camera,
        "accepted": verdict.accepted,
        "reasons": verdict.reasons,
        "stopped": verdict.stopped,
        "rejected_fields": verdict.rejected,
        "images": verdict.images,
        "dose_ms": verdict.images * exposure_ms,
        "seconds": verdict.seconds,
        "file": None if kept is None else kept.model_dump(mode="json"),
    }


@dataclass(frozen=True)
class Trusted:
    """What `auto` focuses with: pairs with a calibration, or ``None`` and the reason why it searches.

    Parameters
    ----------
    engine
        Reads pairs, with the calibration's correction and width of intervals.
    sign
        The calibration's.
    reason
        Why there is no engine.
    """

    engine: PairEngine | None
    sign: int = 1
    reason: str = ""


def trusted(told: Mapping[str, Any], model: CompiledModel) -> Trusted:
    """Return what the daemon makes of a calibration: what was accepted is used, and nothing else."""
    if not told["accepted"]:
        return Trusted(None, reason="; ".join(told["reasons"]))
    calibration = Calibration.model_validate(told["file"])
    engine = PairEngine(OBJECTIVE, model)
    engine.learn(EstimateSettings(interval_factor=calibration.interval_factor), calibration.correction())
    return Trusted(engine, calibration.sign)


def auto_focus(scope: Scope, own: Trusted, dof_um: float, range_um: float) -> str:
    """Focus from pairs where there is an accepted calibration, else search.

    Returns
    -------
    As `pair_focus`, or `REJECTED`.
    """
    if own.engine is not None:
        return pair_focus(scope, own.engine, dof_um, range_um, sign=own.sign, calibrated=True)
    return REJECTED if search_focus(scope, dof_um, range_um) == "done" else "no focus"

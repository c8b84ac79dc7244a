"""How the daemon focuses: its own policies, driven here as its reducer drives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.focus import (
    PairEvent,
    PairPolicy,
    PairReading,
    Probe,
    ReadPair,
    Sample,
    SearchSettings,
    Shot,
    TakeShot,
    propose,
    propose_pair,
)
from microscoped.models.sharpness import SharpnessEngine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from _scope import Scope
    from numpy.typing import NDArray

    from microscoped.daemon.focus import SearchResult
    from microscoped.models.protocols import Engine

DELTA_DOF = 2.0
"""The daemon's default distance between the two images of a pair."""
TOLERANCE_DOF, COARSE_DOF = 0.25, 3.0
"""The daemon's defaults for a search."""


def pair_focus(
    scope: Scope, engine: Engine, dof_um: float, range_um: float, *, sign: int = 1, calibrated: bool = False
) -> str:
    """Focus from pairs; where they do not settle it, search; where that fails, return to the start.

    Parameters
    ----------
    scope, dof_um, range_um
        The microscope, its depth of field, and the width of the range round the start.
    engine
        Reads pairs.
    sign, calibrated
        As in the options of `PairEngine`.

    Returns
    -------
    How it ended: ``verified``, ``another pair``, ``corrected``, ``search`` or ``no focus``.
    """
    start_um = scope.z_um
    policy = PairPolicy(
        start_um=start_um,
        low_um=start_um - range_um / 2,
        high_um=start_um + range_um / 2,
        dof_um=dof_um,
        delta_um=DELTA_DOF * dof_um,
        approach="increasing",
    )
    told = {"bit_depth": scope.bit_depth, "pixel_size_um": scope.pixel_size_um, "sign": sign, "calibrated": calibrated}
    history: list[PairEvent] = []
    shots: list[tuple[float, NDArray[Any]]] = []
    while True:
        step = propose_pair(policy, history)
        if isinstance(step, TakeShot):
            scope.go(step.z_um)
            shots.append((scope.z_um, scope.snap()))
            history.append(Shot(shots[-1][0], scope.exposure_ms))
        elif isinstance(step, ReadPair):
            history.append(_read(scope, engine, step, shots, told))
        elif step.focused and step.z_um is not None:
            scope.go(step.z_um)
            names = {"pair": "verified", "another_pair": "another pair", "corrected": "corrected"}
            return names.get(str(step.confirmation), str(step.confirmation))
        else:
            break
    return "search" if search_focus(scope, dof_um, range_um, centre_um=start_um) == "done" else "no focus"


def _read(
    scope: Scope,
    engine: Engine,
    step: ReadPair,
    shots: list[tuple[float, NDArray[Any]]],
    told: Mapping[str, Any],
) -> PairReading:
    """Have the engine read two images."""
    first, second = shots[step.first], shots[step.second]
    options = {**told, "delta_um": second[0] - first[0]}
    values = scope.compute(lambda: engine.measure([first[1], second[1]], options))
    interval = values["interval_um"]
    return PairReading(
        first=step.first,
        second=step.second,
        defocus_um=values["defocus_um"],
        interval_um=None if interval is None else (interval[0], interval[1]),
        reason=str(values["reason"]),
        mean_ratio=values["mean_ratio"],
        modes_um=tuple(values["modes_um"]),
    )


def search_focus(scope: Scope, dof_um: float, range_um: float, centre_um: float | None = None) -> str:
    """Focus by the daemon's search; return ``done`` or ``no focus``."""
    start_um = scope.z_um if centre_um is None else centre_um
    settings = SearchSettings(
        center_um=start_um,
        low_um=start_um - range_um / 2,
        high_um=start_um + range_um / 2,
        tolerance_um=TOLERANCE_DOF * dof_um,
        coarse_step_um=COARSE_DOF * dof_um,
        approach="increasing",
    )
    step = search_by(scope, settings)
    scope.go(step.z_um)
    return "done" if step.focused else "no focus"


def search_by(scope: Scope, settings: SearchSettings) -> SearchResult:
    """Run the daemon's search; the stage stays where the last image was taken."""
    engine = SharpnessEngine()
    options = {"metric": "band", "bit_depth": scope.bit_depth}
    samples: list[Sample] = []
    while isinstance(step := propose(settings, samples), Probe):
        scope.go(step.z_um, always=True)
        frame = scope.snap()
        values = scope.compute(lambda seen=frame: engine.measure([seen], options))
        samples.append(Sample(scope.z_um, float(values["score"]), float(values["error"])))
    return step

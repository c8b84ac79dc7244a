"""What a stage does, seen through the camera: play, positioning error, drift, and how steady light and pixels are.

On a steep flank of the curve of scores over z, one score tells one z: the encoder need not be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from microscoped.models.focus_pair.calibration.focus import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.calibration.bars import Bars

Visit = Literal["rest", "return", "reverse"]
VISITS: tuple[Visit, ...] = ("rest",) * 5 + ("return",) * 6 + ("reverse",) * 3
"""Images at rest, after coming back from the side of the approach, and after coming back from the other side."""
REACH_DOF = 6.0
"""How far from the focus the flank is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Flank:
    """A stretch of a sweep on which scores rise or fall all the way.

    Parameters
    ----------
    z_um, logs
        Where the frames were taken and the logarithms of their scores, by rising score; shape (frames,).
    """

    z_um: NDArray[np.float64]
    logs: NDArray[np.float64]

    @property
    def middle_um(self) -> float:
        """Where the frame was taken whose score is nearest to half-way between the ends: nothing is interpolated."""
        half_way = 0.5 * (self.logs[0] + self.logs[-1])
        return float(self.z_um[1 + int(np.argmin(np.abs(self.logs[1:-1] - half_way)))])

    @property
    def length_um(self) -> float:
        """Its extent along z."""
        return float(np.ptp(self.z_um))

    def seen_um(self, score: float) -> float:
        """Return where this score was seen in the sweep; one end where it is beyond it."""
        return float(np.interp(np.log(max(score, SMALLEST)), self.logs, self.z_um))

    def holds(self, score: float) -> bool:
        """Whether the score occurs on it."""
        return bool(self.logs[0] <= np.log(max(score, SMALLEST)) <= self.logs[-1])


@dataclass(frozen=True, slots=True)
class Seen:
    """One visit of the flank's middle.

    Parameters
    ----------
    kind
        How the stage came there.
    z_um
        Where the score says that it is.
    inside
        Whether the score occurs on the flank.
    t_s
        When.
    mean
        Mean brightness.
    """

    kind: Visit
    z_um: float
    inside: bool
    t_s: float
    mean: float


class StageFigures(BaseModel):
    """What a stage does.

    Parameters
    ----------
    backlash_um
        Play: how far the specimen's image is off after an arrival from the other side.
    backlash_seen
        Whether the play was within what the flank can tell; else it is larger.
    jitter_um
        Standard deviation of arrivals from the side of the approach, beyond what noise makes of images at rest.
    drift_um_s, drift_error_um_s
        How fast the focal plane moves in the resting specimen, and its standard error.
    pair_s, sweep_s
        How long one pair and one sweep take.
    noise_um
        Standard deviation that noise makes of images at rest.
    flicker
        Relative standard deviation of the brightness of images at rest.
    lost
        Part of the visits whose image does not occur on the flank any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backlash_um: float
    backlash_seen: bool
    jitter_um: float
    drift_um_s: float
    drift_error_um_s: float
    pair_s: float
    sweep_s: float
    noise_um: float
    flicker: float
    lost: float


def flank_of(z_um: Sequence[float], scores: Sequence[float], focus_um: float, dof_um: float) -> Flank | None:
    """Return the stretch near the focus over which scores change most, or ``None`` where none is three frames long."""
    order = np.argsort(np.asarray(z_um, float), kind="stable")
    z = np.asarray(z_um, float)[order]
    logs = np.log(np.maximum(np.asarray(scores, float)[order], SMALLEST))
    near = np.abs(z - focus_um) <= REACH_DOF * dof_um
    z, logs = z[near], logs[near]
    best: tuple[int, int] | None = None
    start = 0
    for k in range(1, z.size):
        if k - start >= 1 and (logs[k] - logs[k - 1]) * (logs[start + 1] - logs[start]) <= 0:
            start = k - 1
        if k - start >= 2 and (best is None or abs(logs[k] - logs[start]) > abs(logs[best[1]] - logs[best[0]])):
            best = (start, k)
    if best is None:
        return None
    stretch = slice(best[0], best[1] + 1)
    rising = np.argsort(logs[stretch])
    return Flank(z[stretch][rising], logs[stretch][rising])


def stage_figures(
    seen: Sequence[Seen], swept: tuple[float, float], approach_sign: int, pair_s: float, sweep_s: float
) -> StageFigures:
    """Return what the visits tell.

    Parameters
    ----------
    seen
        All visits, in the order of time.
    swept
        When the sweep passed the same place, in seconds, and where that was: long before, so that slow drift shows.
    approach_sign
        +1 where arrivals are rising.
    pair_s, sweep_s
        How long one pair and one sweep take.
    """
    rest = [one for one in seen if one.kind == "rest"]
    forward = [one for one in seen if one.kind != "reverse"]
    # Images at rest share one arrival, and its error.
    arrivals = [swept, (_mean([one.t_s for one in rest]), _mean([one.z_um for one in rest]))]
    arrivals += [(one.t_s, one.z_um) for one in forward if one.kind == "return"]
    drift, error, level = _trend(arrivals)
    noise = _deviation([one.z_um - drift * one.t_s for one in rest])
    returned = _deviation([one.z_um - drift * one.t_s for one in forward if one.kind == "return"])
    reverse = [one for one in seen if one.kind == "reverse"]
    play = [(one.z_um - drift * one.t_s - level) * approach_sign for one in reverse]
    means = np.array([one.mean for one in rest])
    return StageFigures(
        backlash_um=abs(float(np.median(play))) if play else 0.0,
        backlash_seen=all(one.inside for one in reverse),
        jitter_um=float(np.sqrt(max(returned**2 - noise**2, 0.0))),
        drift_um_s=drift,
        drift_error_um_s=error,
        pair_s=pair_s,
        sweep_s=sweep_s,
        noise_um=noise,
        flicker=float(means.std() / max(float(means.mean()), 1e-9)),
        lost=sum(not one.inside for one in forward) / len(forward),
    )


def stage_faults(figures: StageFigures, bars: Bars, dof_um: float, overshoot_um: float) -> list[str]:
    """Return what speaks against calibrating this stage as it is, with the remedy."""
    faults = []
    if figures.lost > 0.5:
        faults.append(
            f"the stage does not come back: {figures.lost:.0%} of the images after a return are not of the place they "
            "left; let the specimen and the stand come to rest, and look for slip"
        )
    certain_um_s = max(abs(figures.drift_um_s) - 2.0 * figures.drift_error_um_s, 0.0)
    pair_dof = certain_um_s * figures.pair_s / dof_um
    sweep_dof = certain_um_s * figures.sweep_s / dof_um
    if pair_dof > bars.drift_dof:
        faults.append(
            f"drift of {figures.drift_um_s:.2g} µm/s is {pair_dof:.2f} DoF during a pair (at most {bars.drift_dof:g}); "
            "wait until the temperature has settled"
        )
    elif sweep_dof > bars.sweep_drift_dof:
        faults.append(
            f"drift of {figures.drift_um_s:.2g} µm/s is {sweep_dof:.2f} DoF during a sweep (at most "
            f"{bars.sweep_drift_dof:g}): the focus cannot be told well enough; wait until the temperature has settled"
        )
    if figures.backlash_um > max(overshoot_um, 0.25 * dof_um):
        more = "" if figures.backlash_seen else "more than "
        faults.append(
            f"the play of {more}{figures.backlash_um:.2f} µm is larger than stage.overshoot_um = {overshoot_um:g}: "
            "moves do not end from one side; raise it"
        )
    return faults


def _trend(arrivals: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return slope, its standard error, and the value at time 0 of the straight line through arrivals."""
    times, places = np.array(arrivals, float).T
    middle = float(times.mean())
    spread = float(np.sum((times - middle) ** 2))
    if times.size < 3 or spread == 0.0:
        return 0.0, 0.0, float(places.mean())
    slope = float(np.sum((times - middle) * (places - places.mean())) / spread)
    left = places - places.mean() - slope * (times - middle)
    error = float(np.sqrt(np.sum(left**2) / (times.size - 2) / spread))
    return slope, error, float(places.mean()) - slope * middle


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


__all__ = ["VISITS", "Flank", "Seen", "StageFigures", "Visit", "flank_of", "stage_faults", "stage_figures"]

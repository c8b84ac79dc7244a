"""Where the focus of a field lies, from one sweep: two metrics, each refined by a parabola, that must agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from microscoped.models.sharpness import METRICS, MetricName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Extremum = Literal["max", "min"]
SWEEP_METRICS: tuple[MetricName, MetricName] = ("band", "variance")
"""Fine structure that two halves of a frame agree on, and the spread of all grey levels."""
LEAST_FRAMES = 9
SMALLEST = 1e-12
THUMBNAIL_PX = 64
NEAR = 2
"""Frames on either side of the best one that the parabola is fitted to."""
LEAST_RISE = 0.05
"""How far the logarithm of a score must rise or fall on both sides of the focus: 5 %."""


@dataclass(frozen=True, slots=True)
class SweepFocus:
    """Where the focus lies.

    Parameters
    ----------
    z_um
        Mean of what the metrics say; ``None`` where they do not agree or one of them shows no focus.
    by_metric_um
        What each says.
    reason
        Why there is none.
    """

    z_um: float | None
    by_metric_um: Mapping[str, float | None]
    reason: str = ""


def scores_of(plane: NDArray[np.float32]) -> dict[str, float]:
    """Return the scores of one frame, divided by the square of its mean.

    Parameters
    ----------
    plane
        One channel, or the mean of them, on a grid of about two samples per λ/NA; shape (rows, columns).
    """
    brightness = max(float(plane.mean(dtype=np.float64)), 1e-9)
    return {name: max(METRICS[name](plane).value / brightness**2, SMALLEST) for name in SWEEP_METRICS}


def focus_of(
    z_um: Sequence[float],
    scores: Mapping[str, Sequence[float]],
    extremum: Extremum,
    near_um: float,
    *,
    dof_um: float,
    tolerance_dof: float = 0.5,
) -> SweepFocus:
    """Find the focus of a sweep.

    Parameters
    ----------
    z_um
        Where the frames were taken, in any order.
    scores
        Of each metric, in the same order.
    extremum
        Whether the focus is the maximum of contrast or, for phase objects, its minimum.
    near_um
        Where a search has found it: of several minima the nearest counts.
    dof_um, tolerance_dof
        Depth of field, and how far the metrics may differ.
    """
    if len(z_um) < LEAST_FRAMES:
        return SweepFocus(None, {}, f"{len(z_um)} frames are too few for a sweep; {LEAST_FRAMES} are needed")
    order = np.argsort(np.asarray(z_um, float), kind="stable")
    z = np.asarray(z_um, float)[order]
    found = {
        name: _extreme(z, np.log(np.maximum(np.asarray(values, float)[order], SMALLEST)), extremum, near_um)
        for name, values in scores.items()
    }
    silent = [name for name, value in found.items() if value is None]
    if silent:
        return SweepFocus(None, found, f"the sweep shows no focus to the metric {' and '.join(silent)}")
    places = [value for value in found.values() if value is not None]
    apart_um = max(places) - min(places)
    if apart_um > tolerance_dof * dof_um:
        told = ", ".join(f"{name} {value:.2f} µm" for name, value in found.items())
        return SweepFocus(
            None,
            found,
            f"the metrics differ by {apart_um:.2f} µm ({told}), more than {tolerance_dof:g} depth of field "
            f"({tolerance_dof * dof_um:.2f} µm)",
        )
    return SweepFocus(float(np.mean(places)), found)


def _extreme(z: NDArray[np.float64], logs: NDArray[np.float64], extremum: Extremum, near_um: float) -> float | None:
    """Return the vertex of a parabola at the extremum of logarithmic scores by rising z."""
    heights = logs if extremum == "max" else -logs
    inner = [k for k in range(1, z.size - 1) if heights[k] >= max(heights[k - 1], heights[k + 1])]
    inner = [k for k in inner if min(heights[k] - heights[:k].min(), heights[k] - heights[k + 1 :].min()) > LEAST_RISE]
    if not inner:
        return None
    if extremum == "max":
        best = max(inner, key=lambda k: float(heights[k]))
        if heights[best] < heights.max():
            return None
    else:
        best = min(inner, key=lambda k: abs(float(z[k]) - near_um))
    window = slice(max(0, best - NEAR), best + NEAR + 1)
    offsets = z[window] - z[best]
    curvature, slope, _ = (float(value) for value in np.polyfit(offsets, heights[window], 2))
    if curvature >= 0.0:
        return float(z[best])
    reach = float(np.max(np.abs(offsets))) / NEAR
    return float(z[best]) + min(max(-0.5 * slope / curvature, -reach), reach)


def thumbnail_of(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frame's coarse structure without its shading, with mean 0 and variance 1."""
    step = max(1, min(plane.shape) // THUMBNAIL_PX)
    rows, columns = (size // step for size in plane.shape)
    small = plane[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    small = small - ndimage.gaussian_filter(small, 3.0)
    small -= small.mean()
    return np.asarray(small / max(float(small.std()), 1e-9), np.float32)


__all__ = ["LEAST_FRAMES", "SWEEP_METRICS", "Extremum", "SweepFocus", "focus_of", "scores_of", "thumbnail_of"]

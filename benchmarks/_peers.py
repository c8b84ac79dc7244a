"""How others focus: Brent's method as in Micro-Manager's OughtaFocus, and JAF(H&P), with their own scores.

Sources: Micro-Manager, ``autofocus/src/main/java/org/micromanager/autofocus/`` (OughtaFocus.java,
optimizers/BrentFocusOptimizer.java, Autofocus.java) and ``imageprocessing/ImgSharpnessAnalysis.java``; Apache Commons
Math 3, ``optim.univariate.BrentOptimizer``. Written anew from what they do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from _scope import Scope
    from numpy.typing import NDArray

Score: TypeAlias = "Callable[[NDArray[Any]], float]"

GOLDEN = 0.5 * (3.0 - math.sqrt(5.0))
RELATIVE_TOLERANCE = 1e-9
MOST_EVALUATIONS = 100

OUGHTA_RANGE_UM, OUGHTA_TOLERANCE_UM = 10.0, 1.0
JAF_COARSE_UM, JAF_COARSE = 2.0, 1
JAF_FINE_UM, JAF_FINE = 0.2, 5
JAF_DROP, JAF_CROP = 0.02, 0.2
JAF_WAITS_MS = (300.0, 100.0)


def grey(frame: NDArray[Any]) -> NDArray[np.float32]:
    """Return a frame as one plane: the mean of its colours."""
    plane = frame if frame.ndim == 2 else np.einsum("ijk->ij", frame, dtype=np.float32, casting="unsafe") / 3
    return np.asarray(plane, np.float32)


def edges(frame: NDArray[Any]) -> float:
    """Return the mean Sobel magnitude over the mean: OughtaFocus' ``Edges``, its default."""
    plane = grey(frame)
    rows = plane[:-2] + 2 * plane[1:-1] + plane[2:]
    columns = plane[:, :-2] + 2 * plane[:, 1:-1] + plane[:, 2:]
    magnitude = np.square(rows[:, 2:] - rows[:, :-2])
    magnitude += np.square(columns[2:] - columns[:-2])
    np.sqrt(magnitude, out=magnitude)
    return float(magnitude.mean() / plane.mean())


def deviation(frame: NDArray[Any]) -> float:
    """Return the standard deviation over the mean: OughtaFocus' ``StdDev``."""
    plane = grey(frame)
    return float(plane.std() / plane.mean())


SCORES: dict[str, Score] = {"Sobel": edges, "std/mean": deviation}


def jaf_score(frame: NDArray[Any]) -> float:
    """Return JAF's score: power of diagonal edges after a median, in the middle fifth of the frame.

    Like the unsigned processor of ImageJ, it loses the negative edges.
    """
    plane = grey(frame)
    height, width = plane.shape
    top, left = int((1 - JAF_CROP) / 2 * height), int((1 - JAF_CROP) / 2 * width)
    bottom, right = top + int(JAF_CROP * height), left + int(JAF_CROP * width)
    smooth = ndimage.median_filter(plane[top - 2 : bottom + 2, left - 2 : right + 2], 3)
    kernel = np.array([[2, 1, 0], [1, 0, -1], [0, -1, -2]], np.float32)
    found = np.clip(ndimage.correlate(smooth, kernel)[2:-2, 2:-2], 0, 65535)
    return float(np.square(found, dtype=np.float64).sum())


def commons_brent(low: float, high: float, tolerance: float) -> Generator[float, float, float]:
    """Maximise over an interval as Commons Math does: begin in its middle, return the best point that was seen.

    Yields where to evaluate, receives the value.
    """
    x = v = w = 0.5 * (low + high)
    fx = fv = fw = -(yield x)
    best, best_value = x, fx
    d = e = 0.0
    for _ in range(MOST_EVALUATIONS - 1):
        middle = 0.5 * (low + high)
        tol1 = RELATIVE_TOLERANCE * abs(x) + tolerance
        tol2 = 2.0 * tol1
        if abs(x - middle) <= tol2 - 0.5 * (high - low):
            break
        parabolic = False
        if abs(e) > tol1:
            r = (x - w) * (fx - fv)
            q = (x - v) * (fx - fw)
            p = (x - v) * q - (x - w) * r
            q = 2.0 * (q - r)
            p, q = (-p, q) if q > 0 else (p, -q)
            r, e = e, d
            parabolic = q * (low - x) < p < q * (high - x) and abs(p) < abs(0.5 * q * r)
            if parabolic:
                d = p / q
                u = x + d
                if u - low < tol2 or high - u < tol2:
                    d = tol1 if x <= middle else -tol1
        if not parabolic:
            e = high - x if x < middle else low - x
            d = GOLDEN * e
        u = x + (d if abs(d) >= tol1 else math.copysign(tol1, d))
        fu = -(yield u)
        if fu < best_value:
            best, best_value = u, fu
        if fu <= fx:
            low, high = (low, x) if u < x else (x, high)
            v, fv, w, fw, x, fx = w, fw, x, fx, u, fu
        else:
            low, high = (u, high) if u < x else (low, u)
            if fu <= fw or w == x:
                v, fv, w, fw = w, fw, u, fu
            elif fu <= fv or v in (x, w):
                v, fv = u, fu
    return best


def brent_focus(scope: Scope, score: Score, range_um: float, tolerance_um: float, *, shipped: bool = False) -> str:
    """Focus by Brent's method over a range (its whole width) round the start: one image a step, then to the best.

    Parameters
    ----------
    shipped
        Send every command, also one to where the stage is, as OughtaFocus does.
    """
    start_um = scope.z_um
    steps = commons_brent(start_um - range_um / 2, start_um + range_um / 2, tolerance_um)
    target_um = next(steps)
    while True:
        scope.go(target_um, always=shipped)
        frame = scope.snap()
        value = scope.compute(lambda seen=frame: score(seen))
        try:
            target_um = steps.send(value)
        except StopIteration as end:
            scope.go(end.value, always=shipped)
            return "done"


def oughta_focus(scope: Scope) -> str:
    """Focus as OughtaFocus does where nothing is set, but for its exposure (100 ms), which is the benchmark's."""
    return brent_focus(scope, edges, OUGHTA_RANGE_UM, OUGHTA_TOLERANCE_UM, shipped=True)


def jaf_focus(scope: Scope) -> str:
    """Focus as JAF(H&P) does where nothing is set: a coarse scan, a fine one, an image at the end, and its waits."""
    best_um = scope.z_um
    plan = ((JAF_COARSE_UM, JAF_COARSE), (JAF_FINE_UM, JAF_FINE))
    for (step_um, half), wait_ms in zip(plan, JAF_WAITS_MS, strict=True):
        base_um, best = best_um - step_um * half, 0.0
        scope.go(base_um)
        scope.wait(wait_ms)
        for k in range(2 * half + 1):
            scope.go(base_um + k * step_um)
            frame = scope.snap()
            value = scope.compute(lambda seen=frame: jaf_score(seen))
            if value > best:
                best, best_um = value, scope.z_um
            elif best - value > JAF_DROP * best:
                break
    scope.go(best_um)
    scope.snap()
    return "done"

"""Frames of the colours as evenly lit holograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.lensfree.errors import FramesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.lensfree.optics import InlineOptics

SMALLEST_SIDE = 64
"""Fewest rows and columns."""
SATURATED_MOST = 0.05
"""Part of a colour's pixels that may have its greatest value."""
LIGHT_ORDER = 2
"""Of the polynomial that the lamp's unevenness is taken for."""
LIGHT_SAMPLES = 200
"""Rows and columns that it is fitted to."""


def even_light(frames: NDArray[np.generic], optics: InlineOptics) -> NDArray[np.float32]:
    """Return the light relative to that without specimen.

    The lamp's light is a polynomial of second order for each colour, fitted to the frame itself: fringes have no mean.

    Parameters
    ----------
    frames
        Shape (colours, rows, columns), the camera's offset taken off; any unit, another one for each colour if need be.
    optics
        Names the colours.

    Returns
    -------
    Same shape; 1 where there is nothing.

    Raises
    ------
    FramesError
        The message names what is wrong.
    """
    check_frames(frames, optics)
    light = np.empty(frames.shape, np.float32)
    for colour, frame in enumerate(frames):
        lamp = _lamp(frame)
        if not lamp.min() > 0:
            raise FramesError(
                f"frames[{colour}]: the lamp's light, fitted to it, falls to {float(lamp.min()):.3g}; take the "
                "camera's offset off, and see that the field is lit to its corners"
            )
        np.divide(frame, lamp, out=light[colour], casting="unsafe")
    return np.maximum(light, np.float32(0.0), out=light)


def check_frames(frames: NDArray[np.generic], optics: InlineOptics) -> None:
    """Refuse frames that cannot be holograms of the colours.

    Raises
    ------
    FramesError
        The message names what is wrong.
    """
    colours = len(optics.wavelengths_um)
    if frames.dtype.kind not in "uif":
        raise FramesError(f"frames dtype {frames.dtype}: real numbers are needed, as uint16")
    if frames.ndim != 3 or frames.shape[0] != colours:
        raise FramesError(f"frames shape {frames.shape}: (colours, rows, columns) with {colours} colours is needed")
    if min(frames.shape[1:]) < SMALLEST_SIDE:
        raise FramesError(f"frames shape {frames.shape}: at least {SMALLEST_SIDE} rows and columns are needed")
    for colour, frame in enumerate(frames):
        least, greatest = frame.min(), frame.max()
        if not (np.isfinite(least) and np.isfinite(greatest)):
            raise FramesError(f"frames[{colour}]: has values that are not finite; check what wrote it")
        if least == greatest:
            raise FramesError(f"frames[{colour}]: all pixels are {least}; check the colour's LED and the exposure")
        share = np.count_nonzero(frame == greatest) / frame.size
        if share > SATURATED_MOST:
            raise FramesError(
                f"frames[{colour}]: {share:.0%} of the pixels are at the greatest value, {greatest}; at most "
                f"{SATURATED_MOST:.0%} may be: shorten exposure_ms or dim the colour's LED"
            )


def _lamp(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the polynomial that a frame's light follows."""
    rows, columns = (np.linspace(-1.0, 1.0, size) for size in frame.shape)
    # Means of blocks, so that fringes and noise count less.
    steps = [max(1, size // LIGHT_SAMPLES) for size in frame.shape]
    kept = [size // step * step for size, step in zip(frame.shape, steps, strict=True)]
    blocks = frame[: kept[0], : kept[1]].reshape(kept[0] // steps[0], steps[0], kept[1] // steps[1], steps[1])
    means = blocks.mean(axis=(1, 3), dtype=np.float64)
    down, across = (
        axis[:size].reshape(-1, step).mean(axis=1)
        for axis, size, step in zip((rows, columns), kept, steps, strict=True)
    )
    powers = [(i, k) for i in range(LIGHT_ORDER + 1) for k in range(LIGHT_ORDER + 1 - i)]
    basis = np.stack([np.outer(down**i, across**k).ravel() for i, k in powers], axis=1)
    fitted = np.linalg.lstsq(basis, means.ravel(), rcond=None)[0]
    weights = np.zeros((LIGHT_ORDER + 1, LIGHT_ORDER + 1))
    for (i, k), weight in zip(powers, fitted, strict=True):
        weights[i, k] = weight
    upright, level = (np.vander(axis, LIGHT_ORDER + 1, increasing=True) for axis in (rows, columns))
    return (upright @ weights).astype(np.float32) @ level.T.astype(np.float32)


__all__ = ["SMALLEST_SIDE", "check_frames", "even_light"]

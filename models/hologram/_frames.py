"""Whether a frame can be a hologram at all, and its pixels as the transform takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from microscoped.models.hologram.errors import ConstantFrameError, FrameShapeError, SaturatedFrameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST_SIDE = 64
"""Fewest rows and columns of a hologram."""
SATURATED_MOST = 0.05
"""Part of the pixels that may be at the camera's greatest value."""
SATURATED_FEWEST = 16
"""So few pixels at a frame's greatest value are its brightest ones, not clipped."""
GREY_TOLERANCE = 2.0
"""Mean difference of colour channels, in parts of 255 of the range, up to which a frame counts as grey."""


def monochrome(frame: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the one channel of a hologram.

    Parameters
    ----------
    frame
        Shape (height, width), or (height, width, 3 or 4) whose first three channels are equal.

    Raises
    ------
    FrameShapeError
        Another shape, a side below 64 pixels, channels that differ, or values that are no real numbers.
    """
    if frame.dtype.kind not in "uif":
        raise FrameShapeError(f"frame dtype {frame.dtype}: real numbers are needed, as uint8 or uint16")
    if frame.ndim == 3 and frame.shape[2] in (3, 4):
        red, green, blue = (frame[..., channel].astype(np.float32) for channel in range(3))
        spread = float(max(np.abs(red - green).mean(), np.abs(green - blue).mean()))
        span = float(green.max() - green.min()) or 1.0
        if spread > GREY_TOLERANCE / 255.0 * span:
            raise FrameShapeError(
                f"frame shape {frame.shape}: the colour channels differ by {spread:.3g} on average; a hologram is of "
                "one laser line: give the channel that sees it, best from a monochrome camera"
            )
        frame = frame[..., 1]
    if frame.ndim != 2 or min(frame.shape) < SMALLEST_SIDE:
        raise FrameShapeError(
            f"frame shape {frame.shape}: (height, width) of at least {SMALLEST_SIDE} pixels each is needed"
        )
    return frame


def check_light(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """Refuse a frame without fringes for want or excess of light; return where it is saturated.

    Parameters
    ----------
    frame
        Shape (height, width).

    Returns
    -------
    Where pixels are at the greatest value, (row, column), shape (pixels, 2); none where too few are there.

    Raises
    ------
    ConstantFrameError
        All values are equal.
    SaturatedFrameError
        More than 5 % of the pixels have the greatest value.
    FrameShapeError
        A value is not finite.
    """
    greatest, least = frame.max(), frame.min()
    if frame.dtype.kind == "f" and not (np.isfinite(greatest) and np.isfinite(least)):
        raise FrameShapeError("frame: has values that are not finite; check what wrote it")
    if greatest == least:
        raise ConstantFrameError(
            f"frame: all pixels are {greatest}; check shutter, laser and exposure: nothing can be reconstructed"
        )
    clipped = frame == greatest
    count = int(np.count_nonzero(clipped))
    share = count / frame.size
    if share > SATURATED_MOST:
        raise SaturatedFrameError(
            f"frame: {share:.0%} of the pixels are at the greatest value, {greatest}; at most {SATURATED_MOST:.0%} "
            "may be: shorten exposure_ms or dim the laser"
        )
    places = np.argwhere(clipped) if count >= SATURATED_FEWEST else np.zeros((0, 2))
    return places.astype(np.float32)


def fast_even(size: int) -> int:
    """Return the least even size, at least this one, whose transform is fast."""
    fast = int(scipy.fft.next_fast_len(size))
    while fast % 2:
        fast = int(scipy.fft.next_fast_len(fast + 1))
    return fast


def fast_even_below(size: int) -> int:
    """Return the greatest even size, at most this one, whose transform is fast."""
    return next(fast for fast in range(size - size % 2, 1, -2) if int(scipy.fft.next_fast_len(fast)) == fast)


__all__ = [
    "GREY_TOLERANCE",
    "SATURATED_MOST",
    "SMALLEST_SIDE",
    "check_light",
    "fast_even",
    "fast_even_below",
    "monochrome",
]

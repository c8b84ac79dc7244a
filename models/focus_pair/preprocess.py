"""From two frames to what the network reads. The same functions serve training and the daemon.

Follows Dastidar 2020, §3.4: a 3 × 3 median over both images, their difference, the median again, and each channel
centred and divided by its standard deviation. Where this differs from the paper: frames are first brought to a grid
whose spacing is half of λ/NA, whatever the objective and camera, and after the medians to λ/NA by averaging 2 × 2
samples; and deviations have a floor, so that a channel without contrast stays small instead of becoming pure noise.
Beside the difference the network gets the mean of the two images, treated alike: the ratio of the two spectra holds the
defocus whatever the specimen (`INPUTS`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TILE = 112
"""Side of a tile that the network reads, in samples of λ/NA."""
WORKING_SAMPLING = 2
"""Samples per λ/NA of the grid on which medians are taken."""
BAND = 32
"""Rows of a frame that are worked on at once, so that they stay in the processor's cache."""
DEVIATION_FLOOR = 0.004
"""Least standard deviation that a channel is divided by, relative to the frame's mean."""
REFLECTED_MOST = 0.2
"""Part of a tile that may be made by reflection, where a frame is smaller than a tile."""
COARSEST_SAMPLING = 1.0
"""Camera pixels per λ/NA below which a frame cannot be used."""


def median3(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median over 3 × 3 samples; borders are repeated.

    With all columns of three sorted: the median of the greatest low, the median middle and the least high value. Rows
    are taken in bands that fit the processor's cache, one behind the other in one line, where a neighbour is a step of
    one or of a whole row away: numpy is several times faster on one long line than row by row.

    Parameters
    ----------
    image
        Shape (channels, height, width).
    """
    result = np.empty(image.shape, np.float32)
    height, width = image.shape[1], image.shape[2] + 2
    # A row above and one below, and of a third the two samples by which the line must be longer than whole rows.
    band = np.empty((BAND + 3, width), np.float32)
    line = band.ravel()[: (BAND + 2) * width + 2]
    for channel, out in zip(image, result, strict=True):
        for start in range(0, height, BAND):
            around = np.clip(np.arange(start - 1, start + BAND + 2), 0, height - 1)
            band[:, 1:-1] = channel[around]
            band[:, 0], band[:, -1] = band[:, 1], band[:, -2]
            medians = _median_of_line(line, width).reshape(BAND, width)
            out[start : start + BAND] = medians[: height - start, :-2]
    return result


def _median_of_line(line: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return the medians over 3 × 3 samples, where rows of so many samples follow each other in one line.

    Returns
    -------
    In one line, each at the place of its upper left sample; the last two of a row reach into the next and mean nothing.
    """
    top, middle, bottom = line[: -2 * width], line[width:-width], line[2 * width :]
    low, high = np.minimum(top, middle), np.maximum(top, middle)
    centre = np.minimum(high, bottom)
    np.maximum(high, bottom, out=high)
    centre, low = np.maximum(low, centre), np.minimum(low, centre)
    lows = np.maximum(low[:-2], low[1:-1])
    np.maximum(lows, low[2:], out=lows)
    highs = np.minimum(high[:-2], high[1:-1])
    np.minimum(highs, high[2:], out=highs)
    return _median_of_three(lows, _median_of_three(centre[:-2], centre[1:-1], centre[2:]), highs)


def _median_of_three(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.minimum(a, b), np.maximum(a, b)
    np.minimum(high, c, out=high)
    return np.asarray(np.maximum(low, high, out=low))


def halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average 2 × 2 samples of the last two axes, whose sizes must be even."""
    rows = image[..., 0::2, :] + image[..., 1::2, :]
    return np.asarray((rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25))


def resample(frame: NDArray[np.generic], sampling: float) -> NDArray[np.float32]:
    """Bring a frame to the working grid of two samples per λ/NA, by averaging over areas.

    Parameters
    ----------
    frame
        Shape (height, width) or (height, width, 3), any unsigned integers or floats.
    sampling
        Camera pixels per λ/NA, at least `COARSEST_SAMPLING`.

    Returns
    -------
    Shape (1, rows, columns) of a monochrome frame, (3, rows, columns) of a colour one; sizes are even.

    Raises
    ------
    ValueError
        The frame is sampled too coarsely, or has a wrong shape.
    """
    if sampling < COARSEST_SAMPLING:
        raise ValueError(
            f"{sampling:.3g} camera pixels per λ/NA: focus from a pair needs at least {COARSEST_SAMPLING:g}; "
            "use less binning or a camera with smaller pixels"
        )
    if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] != 3):
        raise ValueError(f"a frame of shape {frame.shape}: (height, width) or (height, width, 3) is needed")
    channels = frame[None] if frame.ndim == 2 else np.moveaxis(frame, 2, 0)
    scale = WORKING_SAMPLING / sampling
    height, width = (int(size * scale + 1e-6) // 2 * 2 for size in channels.shape[1:])
    if abs(scale - 1.0) <= 1e-3:
        return channels[:, :height, :width].astype(np.float32, order="C")
    rows = area_weights(height, channels.shape[1], sampling / WORKING_SAMPLING)
    columns = area_weights(width, channels.shape[2], sampling / WORKING_SAMPLING)
    # Sparse matrices work on contiguous rows: columns are averaged in bands, which are turned within the cache.
    narrowed = np.empty((channels.shape[1], len(channels), width), np.float32)
    for start in range(0, len(narrowed), BAND):
        for k, channel in enumerate(channels):
            band = channel[start : start + BAND].astype(np.float32)
            narrowed[start : start + BAND, k] = (columns @ band.T).T
    resampled = (rows @ narrowed.reshape(len(narrowed), -1)).reshape(height, -1, width)
    return np.ascontiguousarray(np.moveaxis(resampled, 1, 0))


def extended(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extend a frame that is a little smaller than a tile by reflection; others are returned as they are.

    Parameters
    ----------
    frame
        On the working grid, shape (channels, height, width).
    """
    side = TILE * WORKING_SAMPLING
    missing = [max(0, side - size) for size in frame.shape[1:]]
    if not any(missing) or max(missing) > REFLECTED_MOST * side:
        return frame
    return np.pad(frame, [(0, 0), *((gap // 2, gap - gap // 2) for gap in missing)], mode="reflect")


@functools.lru_cache(maxsize=16)
def area_weights(samples: int, pixels: int, step: float) -> sparse.csr_array[np.float32]:
    """Return the sparse matrix that averages pixels over samples of ``step`` pixels each, shape (samples, pixels).

    Samples narrower than a pixel are blended linearly between pixel centres.
    """
    starts = np.arange(samples)[:, None] * step
    reach = int(np.ceil(step)) + 2
    if step >= 1.0:
        columns = np.floor(starts).astype(int) + np.arange(reach)
        weights = np.clip(np.minimum(starts + step, columns + 1.0) - np.maximum(starts, columns), 0.0, None)
    else:
        centres = np.clip(starts + 0.5 * step - 0.5, 0.0, pixels - 1.0)
        columns = np.floor(centres).astype(int) + np.arange(reach)
        weights = np.clip(1.0 - np.abs(centres - columns), 0.0, None)
    weights[columns >= pixels] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(samples)[:, None], columns.shape)
    used = weights > 0
    return sparse.csr_array((weights[used].astype(np.float32), (rows[used], columns[used])), (samples, pixels))


def tile_corners(height: int, width: int, most: int = 25) -> list[tuple[int, int]]:
    """Return the upper left corners of tiles on the λ/NA grid: as many as fit, spread evenly, at most ``most``.

    Parameters
    ----------
    height, width
        Of the field in samples of λ/NA.
    most
        Most tiles; a larger field is sampled on a square of them.
    """
    side = max(1, int(np.sqrt(most)))
    rows, columns = (min(size // TILE, side) for size in (height, width))
    return [
        (int(row), int(column))
        for row in np.linspace(0, height - TILE, rows).round()
        if rows
        for column in np.linspace(0, width - TILE, columns).round()
        if columns
    ]


def pair_planes(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the filtered difference and mean of two frames on the λ/NA grid, relative to the frames' mean.

    Parameters
    ----------
    first, second
        On the working grid, shape (channels, 2·rows, 2·columns).

    Returns
    -------
    difference, mean
        Shape (channels, rows, columns) each.
    """
    smooth_first, smooth_second = median3(first), median3(second)
    for smooth in (smooth_first, smooth_second):
        # The second frame may be lit a little differently: its level is its own.
        smooth /= np.maximum(smooth.mean(axis=(1, 2), keepdims=True), np.float32(1e-6))
    mean = (halve(smooth_first) + halve(smooth_second)) * np.float32(0.5)
    smooth_second -= smooth_first
    return halve(median3(smooth_second)), mean


def normalise(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre each channel and divide it by its standard deviation, which has a floor.

    Parameters
    ----------
    tile
        Shape (channels, rows, columns), relative to the frame's mean.
    """
    centred = tile - tile.mean(axis=(-2, -1), keepdims=True)
    deviation = np.sqrt(np.mean(np.square(centred), axis=(-2, -1), keepdims=True))
    return np.asarray(centred / np.maximum(deviation, np.float32(DEVIATION_FLOOR)), np.float32)


def contrast_ratio(difference: NDArray[np.float32], mean: NDArray[np.float32]) -> float:
    """Return ln(deviation of the difference / deviation of the mean), averaged over channels, floored as above."""
    deviations = [np.maximum(part.std(axis=(-2, -1)), np.float32(DEVIATION_FLOOR)) for part in (difference, mean)]
    return float(np.mean(np.log(deviations[0] / deviations[1])))


def network_input(
    difference: NDArray[np.float32],
    mean: NDArray[np.float32],
    corners: Sequence[tuple[int, int]],
    delta_dof: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut tiles and make the network's two inputs of them.

    Parameters
    ----------
    difference, mean
        From `pair_planes`, shape (3, rows, columns); or (1, rows, columns) for monochrome frames.
    corners
        From `tile_corners`.
    delta_dof
        Distance between the two images in depths of field.

    Returns
    -------
    images
        Shape (tiles, 6, 112, 112): difference and mean in red, green and blue, which are equal for monochrome frames.
    scalars
        Shape (tiles, 2): Δ in depths of field, and `contrast_ratio`.
    """
    images = np.empty((len(corners), 6, TILE, TILE), np.float32)
    scalars = np.empty((len(corners), 2), np.float32)
    for k, (row, column) in enumerate(corners):
        window = (slice(None), slice(row, row + TILE), slice(column, column + TILE))
        images[k, :3] = normalise(difference[window])
        images[k, 3:] = normalise(mean[window])
        scalars[k] = delta_dof, contrast_ratio(difference[window], mean[window])
    return images, scalars


__all__ = [
    "COARSEST_SAMPLING",
    "DEVIATION_FLOOR",
    "REFLECTED_MOST",
    "TILE",
    "WORKING_SAMPLING",
    "area_weights",
    "contrast_ratio",
    "extended",
    "halve",
    "median3",
    "network_input",
    "normalise",
    "pair_planes",
    "resample",
    "tile_corners",
]

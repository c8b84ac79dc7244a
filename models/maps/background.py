"""The background under objects: smooth, and seen between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILE: Final = 25.0
"""Of a block's pixels: up to three quarters of it may be cells."""
LEVELS: Final = 256
"""In which the most frequent value is looked for."""


def smooth_background(image: NDArray[np.float32], block_px: int) -> NDArray[np.float32]:
    """Return the background of an image of brighter objects.

    A low percentile of each block, smoothed over the blocks round it and interpolated; it lies below the mean of a
    noisy background, by the same amount everywhere.

    Parameters
    ----------
    image
        Shape (rows, columns).
    block_px
        Side of a block: several objects wide.

    Returns
    -------
    Of the image's shape.
    """
    rows, columns = (max(1, round(side / block_px)) for side in image.shape)
    cuts = [np.array_split(np.arange(side), parts) for side, parts in zip(image.shape, (rows, columns), strict=True)]
    low = np.empty((rows, columns))
    for i, down in enumerate(cuts[0]):
        for k, across in enumerate(cuts[1]):
            low[i, k] = np.percentile(image[down[0] : down[-1] + 1, across[0] : across[-1] + 1], PERCENTILE)
    low = ndimage.gaussian_filter(ndimage.median_filter(low, 3, mode="nearest"), 0.7, mode="nearest")
    # The middle of a block holds its value; beyond the outermost middles theirs.
    places = [
        np.interp(np.arange(side), [0.5 * float(cut[0] + cut[-1]) for cut in parts], np.arange(len(parts)))
        for side, parts in zip(image.shape, cuts, strict=True)
    ]
    by_row = _interpolated(low, places[0])
    return np.asarray(_interpolated(by_row.T, places[1]).T, np.float32)


def common_level(image: NDArray[np.floating]) -> float:
    """Return the most frequent value: that of an even background, as long as it fills a good part of the image.

    Parameters
    ----------
    image
        Of objects brighter than their background.
    """
    values = np.asarray(image, np.float64)
    low, high = float(values.min()), float(np.percentile(values, 75))
    counts, edges = np.histogram(values, bins=LEVELS, range=(low, max(high, low + 1e-6 * max(1.0, abs(low)))))
    most = int(np.argmax(ndimage.uniform_filter1d(counts.astype(float), 5, mode="nearest")))
    return 0.5 * float(edges[most] + edges[most + 1])


def _interpolated(values: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of an array at places between them."""
    first = np.minimum(places.astype(np.int64), len(values) - 1)
    second = np.minimum(first + 1, len(values) - 1)
    share = (places - first)[:, None]
    return np.asarray((1.0 - share) * values[first] + share * values[second])


__all__ = ["common_level", "smooth_background"]

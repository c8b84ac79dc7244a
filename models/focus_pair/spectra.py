"""Radial spectra of both images of a pair: what defocus does to each band of frequencies.

The ratio of the two images' power in a band is that of their transfer functions, whatever the specimen (for those see
Stokseth, J. Opt. Soc. Am. 59:1314, 1969); the coherence of the images tells by its sign whether one of them is reversed
in contrast. A convolutional network has to learn sums of squares and their quotients; here it is handed them.
Spectra are taken on the working grid, before any median, where frequencies reach NA/λ, twice as far as in the tiles.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, sparse

from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LINEAR_BANDS = 6
"""Bands around 1, 2, … periods in a tile; above them they widen with the frequency."""
BANDS = 24
FLOOR = 1e-8
"""Least power, relative to the tile's mean squared: below the noise of any camera."""
LOG_CENTRE, LOG_SCALE = -6.0, 3.0
"""What brings logarithms of powers near −1 … 1."""
WIDTH = 3 * 3 * BANDS
"""Numbers for each tile: two powers and a coherence of each band, in red, green and blue."""


def pair_spectra(
    first: NDArray[np.float32], second: NDArray[np.float32], corners: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Return the radial spectra of tiles of two frames.

    Parameters
    ----------
    first, second
        On the working grid, shape (channels, rows, columns) with one or three channels.
    corners
        From ``preprocess.tile_corners``, in samples of λ/NA.

    Returns
    -------
    Shape (tiles, `WIDTH`): logarithm of the first image's power, of the second one's, both brought near −1 … 1, and
    their coherence (−1 … 1), each in red, green and blue, which are equal for monochrome frames, in `BANDS` bands.
    """
    side = TILE * WORKING_SAMPLING
    window, bands = _window(side), _bands(side)
    spectra = np.empty((len(corners), 3, 3, BANDS), np.float32)
    for k, (row, column) in enumerate(corners):
        top, left = row * WORKING_SAMPLING, column * WORKING_SAMPLING
        cut = (slice(None), slice(top, top + side), slice(left, left + side))
        waves = [_waves(frame[cut], window) for frame in (first, second)]
        powers = [(bands @ (wave.real**2 + wave.imag**2).T).T + np.float32(FLOOR) for wave in waves]
        shared = (bands @ (waves[0].real * waves[1].real + waves[0].imag * waves[1].imag).T).T
        for part, power in enumerate(powers):
            spectra[k, part] = (np.log(power) - LOG_CENTRE) / LOG_SCALE
        spectra[k, 2] = shared / np.sqrt(powers[0] * powers[1])
    return spectra.reshape(len(corners), WIDTH)


def _waves(tile: NDArray[np.float32], window: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the windowed transform of each channel, relative to its mean, shape (channels, frequencies)."""
    mean = tile.mean(axis=(1, 2), keepdims=True)
    contrast = tile - mean
    contrast /= np.maximum(mean, np.float32(1e-6))
    contrast *= window
    return np.asarray(fft.rfft2(contrast).reshape(tile.shape[0], -1))


@functools.cache
def _window(side: int) -> NDArray[np.float32]:
    """Return a Hann window of unit energy: white noise then has the power of its variance."""
    window = np.outer(np.hanning(side), np.hanning(side))
    return np.asarray(window / np.sqrt(np.sum(window**2)), np.float32)


def band_edges(side: int) -> NDArray[np.float64]:
    """Return the borders of the bands in cycles per sample, for tiles of so many samples, shape (`BANDS` + 1,)."""
    low = np.arange(LINEAR_BANDS) + 0.5
    return np.concatenate([low, np.geomspace(LINEAR_BANDS + 0.5, side / 2, BANDS - LINEAR_BANDS + 1)]) / side


@functools.cache
def _bands(side: int) -> sparse.csr_array[np.float32]:
    """Return the sparse matrix that averages half a spectrum over bands, shape (bands, frequencies)."""
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    edges = band_edges(side)
    # Each frequency of half a spectrum stands for two, but for the first and the last column.
    counts = np.full(radius.shape, 2.0)
    counts[:, [0, -1]] = 1.0
    band = np.digitize(radius.ravel(), edges) - 1
    used = np.flatnonzero((band >= 0) & (band < BANDS))
    sums = sparse.csr_array((counts.ravel()[used], (band[used], used)), (BANDS, radius.size))
    return sparse.csr_array(sums.multiply(1.0 / sums.sum(axis=1)[:, None]).astype(np.float32))


__all__ = ["BANDS", "WIDTH", "band_edges", "pair_spectra"]

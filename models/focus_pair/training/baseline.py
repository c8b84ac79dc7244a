"""The classical estimator that the network is compared with: band powers of both images and kernel ridge regression."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

BANDS = 8


def band_powers(difference: NDArray[np.float32], mean: NDArray[np.float32], delta_dof: float) -> NDArray[np.float64]:
    """Return what the estimator reads of a tile: logarithms of the band powers of both images, and of their ratio.

    Parameters
    ----------
    difference, mean
        From ``preprocess.pair_planes``, shape (channels, rows, columns).
    delta_dof
        Distance of the images.

    Returns
    -------
    Shape (2·bands + 1,): ratio of the second to the first image, power of their mean relative to its sum, and Δ.
    """
    first, second = mean - 0.5 * difference, mean + 0.5 * difference
    rows, columns = mean.shape[-2:]
    window = np.outer(np.hanning(rows), np.hanning(columns)).astype(np.float32)
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    edges = np.geomspace(2.0 / rows, 0.5, BANDS + 1)
    powers = []
    for image in (first, second, mean):
        spectrum = np.abs(fft.rfft2((image - image.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
        total = spectrum.sum(axis=0)
        powers.append(np.array([total[(radius >= a) & (radius < b)].mean() for a, b in itertools.pairwise(edges)]))
    low = 1e-9
    ratio = np.log((powers[1] + low) / (powers[0] + low))
    shape = np.log((powers[2] + low) / (powers[2].sum() + low))
    return np.concatenate([ratio, shape, [delta_dof]])


@dataclass(frozen=True, slots=True, eq=False)
class KernelRidge:
    """Kernel ridge regression with a Gaussian kernel on standardised features."""

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    support: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float
    width: float

    @classmethod
    def fit(
        cls, features: NDArray[np.float64], labels: NDArray[np.float64], width: float = 5.0, ridge: float = 0.03
    ) -> KernelRidge:
        """Fit features of shape (n, f) to labels of shape (n,)."""
        centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
        support = (features - centre) / scale
        gram = _kernel(support, support, width)
        gram[np.diag_indices_from(gram)] += ridge
        offset = float(labels.mean())
        return cls(centre, scale, support, np.asarray(np.linalg.solve(gram, labels - offset), float), offset, width)

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return estimates, shape (n,)."""
        kernel = _kernel((features - self.centre) / self.scale, self.support, self.width)
        return np.asarray(kernel @ self.weights + self.offset)

    @classmethod
    def tuned(
        cls, features: NDArray[np.float64], labels: NDArray[np.float64], held_out: NDArray[np.bool_]
    ) -> KernelRidge:
        """Fit with the width and ridge that do best on held-out samples, then on all."""
        options = [(width, ridge) for width in (2.5, 5.0, 10.0) for ridge in (0.003, 0.03, 0.3)]

        def error(option: tuple[float, float]) -> float:
            model = cls.fit(features[~held_out], labels[~held_out], *option)
            return float(np.abs(model.predict(features[held_out]) - labels[held_out]).mean())

        return cls.fit(features, labels, *min(options, key=error))


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(squared, 0.0) / width**2))


__all__ = ["KernelRidge", "band_powers"]

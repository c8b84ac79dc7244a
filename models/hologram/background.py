"""What a field without specimen looks like, and its removal: from a background hologram, or fitted.

A background hologram holds all that the instrument does to the wavefront: tilt, curvature, aberrations, dust. Without
one the phase is fitted by a low polynomial: a robust fit of its gradient, which needs no unwrapping, and then of the
small phase that is left; cells are outliers to both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.polynomial import legendre

from microscoped.models.hologram.errors import BackgroundError, FrameChangedError
from microscoped.models.hologram.field import background_phase
from microscoped.models.hologram.sideband import phase_advance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.field import Field

DARK = 0.1
"""Amplitude, in parts of the background's root mean square, below which a background is dark."""
DARK_MOST = 0.02
"""Part of a background that may be dark."""
BLOCKS = 40
"""Blocks along the longer side, over which the phase is averaged before a fit."""
GREATEST_ORDER = 6
"""Greatest order of a fitted polynomial."""
STALE_CARRIER_PX = 0.5
"""From here on, in bins of the frame's spectrum, the carrier has moved away from that of the background."""
STALE_RESIDUAL_RAD = 0.3
"""From here on, as a root mean square, a wavefront is left that the background does not hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What fields are multiplied by, so that places without specimen become 1.

    Parameters
    ----------
    inverse
        Shape of the field, complex64.
    source
        ``hologram`` or ``fitted``.
    """

    inverse: NDArray[np.complex64]
    source: Literal["hologram", "fitted"]

    @classmethod
    def of_hologram(cls, field: Field) -> Background:
        """Return the background that a field without specimen is.

        Parameters
        ----------
        field
            From the filter that the frames go through, not normalised.

        Raises
        ------
        BackgroundError
            More than 2 % of it is dark.
        """
        amplitude = np.abs(field.values)
        level = float(np.sqrt(np.mean(np.square(amplitude))))
        dark = float(np.mean(amplitude < DARK * level))
        if not level > 0 or dark > DARK_MOST:
            raise BackgroundError(
                f"background: {dark:.0%} of it is darker than {DARK:.0%} of its level; take it again, of a place "
                "without specimen, with both beams open"
            )
        power = np.maximum(amplitude, np.float32(DARK * level)) ** 2
        return cls(np.asarray(np.conj(field.values) / power, np.complex64), "hologram")

    @classmethod
    def fitted(cls, field: Field, order: int = 3) -> Background:
        """Return the background that a polynomial phase is, fitted where there are no cells.

        Parameters
        ----------
        field
            With specimen, as filtered.
        order
            Greatest order of the polynomial: 1 is tilt; 2 adds curvature and astigmatism; 3 coma; 4 spherical
            aberration. Specimens that fill much of the field need a low one.

        Raises
        ------
        BackgroundError
            The order is not within 1 … 6.
        """
        phase = fit_phase(field.values, order)
        level = float(np.sqrt(np.mean(np.abs(field.values) ** 2))) or 1.0
        return cls((np.exp(-1j * phase) / level).astype(np.complex64), "fitted")

    def applied(self, field: Field) -> Field:
        """Return the field without the background.

        Raises
        ------
        FrameChangedError
            Field and background differ in shape.
        """
        if field.values.shape != self.inverse.shape:
            raise FrameChangedError(
                f"field shape {field.values.shape}: the background has {self.inverse.shape}; "
                "take it with the same camera region, binning and optics"
            )
        return field.at(field.values * self.inverse)


@dataclass(frozen=True, slots=True)
class BackgroundChange:
    """How a field differs from its background.

    Parameters
    ----------
    carrier_px
        How far the carrier moved since, in bins of the frame's spectrum (along rows, along columns).
    residual_rad
        Root mean square of the low-order phase that is left, tilt included.
    """

    carrier_px: tuple[float, float]
    residual_rad: float

    @property
    def moved_px(self) -> float:
        """How far the carrier moved."""
        return math.hypot(*self.carrier_px)

    @property
    def stale(self) -> str:
        """In words why the background does not hold any more; empty where it does."""
        if self.moved_px > STALE_CARRIER_PX:
            return (
                f"the carrier has moved by {self.moved_px:.2f} px of the spectrum since the background was taken, at "
                f"most {STALE_CARRIER_PX:g} may be: take it again"
            )
        if self.residual_rad > STALE_RESIDUAL_RAD:
            return (
                f"a wavefront of {self.residual_rad:.2f} rad is left that the background does not hold, at most "
                f"{STALE_RESIDUAL_RAD:g} may be: take it again"
            )
        return ""


def background_change(field: Field, order: int = 3) -> BackgroundChange:
    """Return how stale a background is, from a field after its removal.

    Parameters
    ----------
    field
        Background removed; with specimen or without.
    order
        Of the polynomial that is fitted to what is left.
    """
    phase = fit_phase(field.values, order)
    clean = np.exp(1j * phase).astype(np.complex64)
    advance = phase_advance(clean)
    rows, columns = field.values.shape
    return BackgroundChange((advance[0] * rows, advance[1] * columns), float(phase.std()))


def fit_phase(values: NDArray[np.complex64], order: int = 3) -> NDArray[np.float32]:
    """Fit a polynomial to the phase of the background.

    Parameters
    ----------
    values
        A field, shape (rows, columns); its phase may wrap, by less than half a turn per sample.
    order
        Greatest total order of the polynomial.

    Returns
    -------
    Shape (rows, columns), rad.

    Raises
    ------
    BackgroundError
        The order is not within 1 … 6.
    """
    if not 1 <= order <= GREATEST_ORDER:
        raise BackgroundError(f"order {order}: must be within 1 … {GREATEST_ORDER}")
    shape = values.shape[0], values.shape[1]
    terms = [(i, j) for i in range(order + 1) for j in range(order + 1 - i)]
    size = max(2, round(max(shape) / BLOCKS))
    along = [np.angle(_block_sums(product, size)) for product in _neighbour_products(values)]
    rows, columns = (_block_centres(n, size) for n in (shape[0] - 1, shape[1] - 1))
    slopes = terms[1:]
    down = _design(slopes, rows + 0.5, columns, shape, (1, 0))
    across = _design(slopes, rows, columns + 0.5, shape, (0, 1))
    design = np.concatenate([down, across])
    target = np.concatenate([part.ravel() for part in along])
    coefficients = np.concatenate([[0.0], _robust(design, target, floor=0.02)])
    basis = [np.asarray(legendre.legvander(_unit(np.arange(n), n), order), np.float64) for n in shape]
    # Twice: the first phase fit may still leave blocks of the background outside of what counts as near.
    for least in (0.6, 0.3):
        phase = _evaluate(terms, coefficients, basis)
        rest = values * np.exp(-1j * phase)
        rest = rest * np.exp(-1j * (mode := background_phase(rest)))
        blocks = np.angle(_block_sums(rest, size))
        rows, columns = (_block_centres(n, size) for n in shape)
        coefficients = coefficients + _robust(_design(terms, rows, columns, shape, (0, 0)), blocks.ravel(), floor=least)
        coefficients[0] += mode
    return _evaluate(terms, coefficients, basis).astype(np.float32)


def _neighbour_products(values: NDArray[np.complex64]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    inner = np.conj(values[:-1, :-1])
    return values[1:, :-1] * inner, values[:-1, 1:] * inner


def _block_sums(values: NDArray[np.complexfloating], size: int) -> NDArray[np.complexfloating]:
    rows, columns = (n // size for n in values.shape)
    cut = values[: rows * size, : columns * size]
    return np.asarray(cut.reshape(rows, size, columns, size).sum(axis=(1, 3)))


def _block_centres(samples: int, size: int) -> NDArray[np.float64]:
    return np.asarray(np.arange(samples // size) * float(size) + (size - 1) / 2, np.float64)


def _unit(position: NDArray[np.integer | np.floating], samples: int) -> NDArray[np.float64]:
    """Map positions 0 … samples − 1 to −1 … 1."""
    return np.asarray(2.0 * position / (samples - 1) - 1.0, np.float64)


def _design(
    terms: list[tuple[int, int]],
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    shape: tuple[int, int],
    derivative: tuple[int, int],
) -> NDArray[np.float64]:
    """Return each term, or its derivative per sample, at all pairs of rows and columns: shape (points, terms)."""
    parts = []
    for axis, position in enumerate((rows, columns)):
        unit = _unit(position, shape[axis])
        greatest = max(term[axis] for term in terms)
        table = []
        for degree in range(greatest + 1):
            series = np.eye(greatest + 1)[degree]
            if derivative[axis]:
                series = legendre.legder(series) * (2.0 / (shape[axis] - 1))
            table.append(np.broadcast_to(legendre.legval(unit, series), unit.shape))
        parts.append(table)
    return np.stack([np.outer(parts[0][i], parts[1][j]).ravel() for i, j in terms], axis=1)


def _robust(design: NDArray[np.float64], target: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Return the least-squares coefficients with Tukey's weights, whose reach is at least ``floor``."""
    weights = np.ones(len(target))
    coefficients: NDArray[np.float64] = np.zeros(design.shape[1])
    for _ in range(12):
        root = np.sqrt(weights)
        coefficients = np.asarray(np.linalg.lstsq(design * root[:, None], target * root, rcond=None)[0], np.float64)
        rest = target - design @ coefficients
        reach = max(4.0 * 1.4826 * float(np.median(np.abs(rest))), floor)
        updated = np.square(np.maximum(1.0 - np.square(rest / reach), 0.0))
        if updated.sum() < 2 * design.shape[1] or float(np.abs(updated - weights).max()) < 1e-3:
            break
        weights = updated
    return coefficients


def _evaluate(
    terms: list[tuple[int, int]], coefficients: NDArray[np.float64], basis: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    order = basis[0].shape[1]
    matrix = np.zeros((order, order))
    for (i, j), value in zip(terms, coefficients, strict=True):
        matrix[i, j] = value
    return np.asarray(basis[0] @ matrix @ basis[1].T)


__all__ = ["Background", "BackgroundChange", "background_change", "fit_phase"]

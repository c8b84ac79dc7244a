"""What is known of specimens beforehand: even patches, no gain of light, and between cells the medium alone.

Each function returns a penalty's value and its gradient, for float32 arrays of any backend.
"""

from __future__ import annotations

from typing import Any


def total_variation(image: Any, smoothing: float) -> tuple[float, Any]:  # noqa: ANN401 - an array of the backend
    """Return the smoothed total variation ``Σ √(|∇u|² + s²) − s`` by forward differences.

    Parameters
    ----------
    image
        Shape (rows, columns).
    smoothing
        s, in the image's unit: differences far below it count by their squares.
    """
    across, down = image[:, 1:] - image[:, :-1], image[1:] - image[:-1]
    length = image * 0 + smoothing * smoothing
    length[:, :-1] += across * across
    length[:-1] += down * down
    length = length**0.5
    value = float((length - smoothing).sum())
    across /= length[:, :-1]
    down /= length[:-1]
    gradient = image * 0
    gradient[:, :-1] -= across
    gradient[:, 1:] += across
    gradient[:-1] -= down
    gradient[1:] += down
    return value, gradient


def below(image: Any, least: float) -> tuple[float, Any]:  # noqa: ANN401
    """Return ``Σ min(u − least, 0)²``, the penalty of values below a bound."""
    short = (image - least).clip(max=0.0)
    return float((short * short).sum()), 2.0 * short


def above(image: Any, most: float) -> tuple[float, Any]:  # noqa: ANN401
    """Return ``Σ max(u − most, 0)²``, the penalty of values above a bound."""
    excess = (image - most).clip(min=0.0)
    return float((excess * excess).sum()), 2.0 * excess


def near_zero(image: Any, scale: float) -> tuple[float, Any]:  # noqa: ANN401
    """Return ``Σ s²u²/(s² + u²)``, which draws what is near 0 to it and leaves the rest (S. Geman, D. McClure 1987).

    Parameters
    ----------
    image
        Shape (rows, columns).
    scale
        s, in the image's unit: values far above it count alike.
    """
    squared = image * image
    share = scale * scale / (squared + scale * scale)
    return float((squared * share).sum()), 2.0 * image * share * share


__all__ = ["above", "below", "near_zero", "total_variation"]

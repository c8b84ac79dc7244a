"""The dyes of stained specimens."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Absorbance: TypeAlias = tuple[float, float, float]
"""Of a dye, in red, green and blue."""
HAEMATOXYLIN: Absorbance = (0.65, 0.70, 0.29)
EOSIN: Absorbance = (0.07, 0.99, 0.11)
"""Absorbances in red, green and blue (Ruifrok and Johnston 2001, Anal. Quant. Cytol. Histol. 23:291)."""


def draw_dyes(rng: np.random.Generator) -> tuple[Absorbance, Absorbance]:
    """Return haematoxylin and eosin in either order, each as it varies between laboratories."""
    dyes = np.array([HAEMATOXYLIN, EOSIN])[rng.permutation(2)] * rng.uniform(0.85, 1.15, (2, 3))
    (r1, g1, b1), (r2, g2, b2) = dyes.tolist()
    return (r1, g1, b1), (r2, g2, b2)


__all__ = ["EOSIN", "HAEMATOXYLIN", "Absorbance", "draw_dyes"]

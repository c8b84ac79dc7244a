"""Evaluation sets: fields of cells that no training has seen, each cell drawn for its field alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.models.cells.inputs import PIXEL_UM
from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.training.draws import MATCHED
from microscoped.simulators.cells import QUALITY_LEVELS, CellField, Degradation, PopulationParameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from microscoped.models.cells.training.draws import Images

SEED: Final = 9_000_000
"""Cells come from seeds of their own."""
FRAME_PX: Final = (512, 512)
FIELDS: Final = 24
"""Of each set."""
QUALITY_AT: Final = 255
"""Density at which image quality is varied."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One set.

    Parameters
    ----------
    name
        As in the report.
    density_per_mm2
        Of the matched population, or None for the wide one.
    quality
        What the images suffer.
    number
        Sets of one number have the same cells.
    fields
        How many.
    """

    name: str
    density_per_mm2: int | None
    quality: Degradation
    number: int
    fields: int = FIELDS

    def images(self, part: float = 1.0) -> Iterator[tuple[NDArray[np.float32], CellTable]]:
        """Make its images one after the other, each with the table that a perfect measurement would give.

        Parameters
        ----------
        part
            Of the fields, where fewer than all shall do.
        """
        for k in range(max(1, round(part * self.fields))):
            seed = SEED + 1_000 * self.number + k
            field = _field(self.density_per_mm2, seed)
            image = self.quality.apply(field.opd_nm, np.random.default_rng((seed, 7)))
            yield image, CellTable.of_truths(field.truths, FRAME_PX, PIXEL_UM)


@lru_cache(maxsize=2 * FIELDS)
def _field(density_per_mm2: int | None, seed: int) -> CellField:
    """Lay out a field, each cell drawn anew; sets that differ in quality alone share theirs."""
    if density_per_mm2 is None:
        return CellField(PopulationParameters.wide(), FRAME_PX, PIXEL_UM, seed)
    parameters = replace(
        PopulationParameters.matched(density_per_mm2), density_per_mm2=(density_per_mm2, density_per_mm2)
    )
    return CellField(parameters, FRAME_PX, PIXEL_UM, seed)


SETS: Final = (
    *(
        EvaluationSet(f"density_{density}", density, QUALITY_LEVELS[0], number)
        for number, density in enumerate(MATCHED)
    ),
    *(
        EvaluationSet(f"noise_{level.noise_nm:g}_background_{level.background_nm:g}", QUALITY_AT, level, 1)
        for level in QUALITY_LEVELS[1:]
    ),
    EvaluationSet("wide", None, QUALITY_LEVELS[0], 8),
)
"""The four densities, the other six quality levels of the paper at 255 cells/mm², and the wide population."""


def calibration_sets(images: Images) -> tuple[EvaluationSet, ...]:
    """Return the sets whose errors give the intervals their factors: as a training's maps are, but other cells."""
    levels = QUALITY_LEVELS if images == "degraded" else QUALITY_LEVELS[:1]
    return tuple(
        EvaluationSet("calibration", density, level, 20 + 10 * k + n, 2 if images == "degraded" else 6)
        for k, level in enumerate(levels)
        for n, density in enumerate((183, 364))
    )


def evaluation_set(name: str) -> EvaluationSet:
    """Return a set.

    Raises
    ------
    ValueError
        There is none of this name; the message lists those that there are.
    """
    for one in SETS:
        if one.name == name:
            return one
    raise ValueError(f"split {name!r}: there are {', '.join(one.name for one in SETS)}")


__all__ = ["SETS", "EvaluationSet", "calibration_sets", "evaluation_set"]

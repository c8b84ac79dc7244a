"""Simulated fields as the networks of cells see them, for judging lower precision; needs no torch.

The four populations of Allier 2022, Table 1, and the wide one; each field is laid out of cells of its own, and has a
noise and a background of its own, from none to those of the paper's worst images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.cells.inputs import PIXEL_UM, SIDE_PX, network_image
from microscoped.simulators.cells import TABLE_1, CellField, Degradation, PopulationParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.training import Progress

SEED = 8_000_000
"""Fields come from seeds of their own, which neither training nor evaluation uses."""
FRAME_PX = (SIDE_PX, SIDE_PX)


def samples(count: int, seed: int, progress: Progress) -> Mapping[str, NDArray[np.generic]]:
    """Render fields, and return the networks' input; see `microscoped.models.runtimes.SampleMaker`.

    Returns
    -------
    inputs
        ``opd``, in half precision.
    """
    populations = [*map(PopulationParameters.matched, sorted(TABLE_1)), PopulationParameters.wide()]
    images = []
    for number in range(count):
        rng = np.random.default_rng((SEED, seed, number))
        field = CellField(populations[number % len(populations)], FRAME_PX, PIXEL_UM, int(rng.integers(2**31)))
        image, _ = network_image(Degradation.draw(rng).apply(field.opd_nm, rng), PIXEL_UM)
        images.append(image)
        progress.update(number + 1, count)
    return {"opd": np.stack(images)[:, None].astype(np.float16)}


__all__ = ["samples"]

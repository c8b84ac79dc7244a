"""How far two networks of cells are apart, in what is read from their maps.

See `microscoped.models.runtimes.Judge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.cells.errors import MapError
from microscoped.models.cells.inputs import PIXEL_UM, UNIT_NM
from microscoped.models.cells.network import CellNetwork
from microscoped.models.cells.scores import pair_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes import Artefact, CompiledModel

FOUND: Final = "found"
"""Of each cell that either network finds: 0 where both do, 1 where one does not."""
SAME_UM: Final = 5.0
"""Distance within which two networks mean the same cell; half of that within which a cell is taken for a true one."""


def differences(
    model: CompiledModel, reference: CompiledModel, artefact: Artefact, samples: Mapping[str, NDArray[Any]]
) -> Mapping[str, NDArray[np.float64]]:
    """Compare the tables of two networks.

    Parameters
    ----------
    model, reference
        Both of this artefact.
    artefact
        The network.
    samples
        The networks' input, shape (images, 1, rows, columns).

    Returns
    -------
    differences
        `FOUND`, and of each quantity the absolute difference in its unit, of every cell that both find, at the border,
        too.
    """
    ours, theirs = CellNetwork(model, artefact), CellNetwork(reference, artefact)
    found: dict[str, list[NDArray[np.float64]]] = {FOUND: [], **{quantity.value: [] for quantity in ours.quantities}}
    for image in samples["opd"][:, 0]:
        opd_nm = np.asarray(image, np.float32) * np.float32(UNIT_NM)
        expected = theirs.table(opd_nm, PIXEL_UM)
        try:
            measured = ours.table(opd_nm, PIXEL_UM)
        except MapError:
            # Maps that are not finite show no cell.
            found[FOUND].append(np.ones(len(expected)))
            continue
        pairs = pair_cells(expected, measured, SAME_UM, border=True)
        alone = len(pairs.missed) + len(pairs.false)
        found[FOUND].append(np.repeat([0.0, 1.0], [len(pairs.true), alone]))
        for quantity in ours.quantities:
            apart = measured.column(quantity)[pairs.found] - expected.column(quantity)[pairs.true]
            found[quantity.value].append(np.abs(apart))
    return {name: np.concatenate([[], *parts]) for name, parts in found.items()}


__all__ = ["differences"]

"""Pairs of two sets of cells, the best in sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse, spatial
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_COST = 1e-9
"""Of a pair: the solver takes a cost of 0 for none."""


def near_pairs(
    one: NDArray[np.float64], other: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all pairs of places within a distance of each other, and their distances.

    Parameters
    ----------
    one, other
        Shapes (n, 2) and (m, 2).
    reach
        Greatest distance.
    """
    if not (len(one) and len(other)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    near = spatial.cKDTree(one).sparse_distance_matrix(spatial.cKDTree(other), reach, output_type="ndarray")
    order = np.lexsort((near["j"], near["i"]))
    near = near[order]
    return near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]


def assign(
    first: NDArray[np.int64], second: NDArray[np.int64], cost: NDArray[np.float64], alone: float
) -> NDArray[np.int64]:
    """Choose pairs of which no two share a member, the least costly in sum.

    The linear assignment of K. Jaqaman et al., Nature Methods 5, 695 (2008), frame to frame: each member is in one
    pair, or alone at a price. Solved exactly by `scipy.sparse.csgraph.min_weight_full_bipartite_matching`.

    Parameters
    ----------
    first, second
        Numbers of the members of possible pairs.
    cost
        Of each pair, not negative.
    alone
        Of a member without a pair. Above half of the greatest cost times the number of pairs, as many pairs as possible
        are made.

    Returns
    -------
    Numbers of the chosen pairs.
    """
    if not len(cost):
        return np.zeros(0, np.int64)
    ones, one = np.unique(first, return_inverse=True)
    others, other = np.unique(second, return_inverse=True)
    n, m = len(ones), len(others)
    # Each may be matched with a place of its own; the places of a pair that is made are matched with each other.
    rows = np.concatenate([one, np.arange(n), n + np.arange(m), n + other])
    columns = np.concatenate([other, m + np.arange(n), np.arange(m), m + one])
    costs = np.concatenate([cost + LEAST_COST, np.full(n + m, alone + LEAST_COST), np.full(len(cost), LEAST_COST)])
    weights = sparse.csr_array((costs, (rows, columns)), shape=(n + m, n + m))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(weights)
    partner = np.empty(n + m, np.int64)
    partner[matched_rows] = matched_columns
    return np.flatnonzero(partner[one] == other)


__all__ = ["assign", "near_pairs"]

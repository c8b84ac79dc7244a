"""Several ways on the same fields by turns: what their tables are worth, and how many cells a second they read."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from _hologram_timing import Job, Turn, interleaved, spread_ms
from skimage.metrics import structural_similarity

from microscoped.models.cells import CellTable, Quantity, disc_maps, score
from microscoped.models.cells.quantities import TYPICAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from _cells_methods import Method
    from numpy.typing import NDArray

RESAMPLES = 2000
INTERVAL = (5.0, 95.0)


@dataclass(frozen=True, eq=False)
class Shown:
    """An image, and the table that a perfect measurement would give."""

    opd_nm: NDArray[np.float32]
    truth: CellTable


def compare(
    shown: Sequence[Shown],
    methods: Sequence[Method],
    repeats: int,
    *,
    turns: Callable[[Sequence[Job], int], dict[str, list[Turn]]] = interleaved,
) -> dict[str, Any]:
    """Let methods read fields by turns.

    Parameters
    ----------
    shown
        The fields.
    methods
        Each is run once before it is timed.
    repeats
        How often each field is read; once by those that are slow.
    turns
        Takes the times; see `interleaved`.

    Returns
    -------
    ``cells``, ``fields``, and in ``rows`` for each method: ``name``, ``told``, ``ms`` of a field, ``cells_per_s`` and
    its interval, ``over`` (times of this method over those of each other one), ``detection``, ``quantities``, and
    ``ssim`` of heat maps.
    """
    for method in methods:
        method.table(shown[0].opd_nm, shown[0].truth.pixel_um)

    def job(method: Method) -> Job:
        def run(number: int) -> CellTable:
            one = shown[number // repeats]
            return method.table(one.opd_nm, one.truth.pixel_um)

        return Job(method.name, run, repeats if method.slow else 1)

    taken = turns([job(method) for method in methods], repeats * len(shown))
    by_field = {name: _by_field(found, repeats, len(shown)) for name, found in taken.items()}
    cells = np.array([len(one.truth) for one in shown], float)
    rows = []
    for method in methods:
        seconds = by_field[method.name]
        tables = {turn.round // repeats: turn.value for turn in taken[method.name]}
        rows.append(
            {
                "name": method.name,
                "told": method.told,
                "ms": spread_ms(taken[method.name]),
                "cells_per_s": median_ratio(cells, seconds),
                "over": {name: median_ratio(seconds, own) for name, own in by_field.items() if name != method.name},
                **_worth(method, shown, tables),
                "ssim": likeness(method, shown),
            }
        )
    return {"cells": int(cells.sum()), "fields": len(shown), "repeats": repeats, "rows": rows}


def _by_field(turns: Iterable[Turn], repeats: int, fields: int) -> NDArray[np.float64]:
    """Return the median time of each field in seconds; NaN where it was not read."""
    times: list[list[float]] = [[] for _ in range(fields)]
    for turn in turns:
        times[turn.round // repeats].append(turn.seconds)
    return np.array([float(np.median(found)) if found else np.nan for found in times])


def median_ratio(above: NDArray[np.float64], below: NDArray[np.float64], seed: int = 0) -> dict[str, float]:
    """Return the median over fields of a ratio, with the 90 % interval of resampled fields.

    Parameters
    ----------
    above, below
        Of each field; fields in which one is not known are left out.
    """
    ratios = (above / below)[np.isfinite(above) & np.isfinite(below)]
    if not ratios.size:
        return {"fields": 0, **dict.fromkeys(("median", "low", "high"), float("nan"))}
    drawn = np.random.default_rng(seed).integers(0, ratios.size, (RESAMPLES, ratios.size))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), INTERVAL)
    return {"fields": int(ratios.size), "median": float(np.median(ratios)), "low": float(low), "high": float(high)}


def _worth(method: Method, shown: Sequence[Shown], tables: Mapping[int, CellTable]) -> dict[str, Any]:
    scores = score([(shown[k].truth, table) for k, table in sorted(tables.items())])
    return {
        "detection": asdict(scores.detection),
        "quantities": {quantity.value: asdict(scores.quantities[quantity]) for quantity in method.quantities},
    }


def likeness(method: Method, shown: Sequence[Shown]) -> dict[str, float]:
    """Return the structural similarity of a network's discs to the true ones, by quantity; empty for the others."""
    found: dict[Quantity, list[float]] = {}
    for one in shown if method.maps is not None else ():
        maps = method.maps(one.opd_nm, one.truth.pixel_um)
        places = (one.truth.places_px - maps.offset_px) / maps.stride
        for quantity in method.quantities:
            seen = maps.discs(quantity)
            shape = seen.shape[0], seen.shape[1]
            (true,) = disc_maps(places, one.truth.column(quantity)[:, None], shape, maps.pixel_um)
            alike = structural_similarity(true, seen, data_range=2.0 * TYPICAL[quantity])
            found.setdefault(quantity, []).append(float(alike))
    return {quantity.value: float(np.mean(values)) for quantity, values in found.items()}


@functools.cache
def fields_of(name: str, fields: int | None = None) -> tuple[Shown, ...]:
    """Render an evaluation set of `microscoped.models.cells.training`, or its first fields; once."""
    from microscoped.models.cells.training.sets import evaluation_set

    chosen = evaluation_set(name)
    part = 1.0 if fields is None else min(1.0, fields / chosen.fields)
    sys.stderr.write(f"  rendering {name}\n")
    return tuple(Shown(np.ascontiguousarray(image, np.float32), truth) for image, truth in chosen.images(part))


__all__ = ["Shown", "compare", "fields_of", "likeness", "median_ratio"]

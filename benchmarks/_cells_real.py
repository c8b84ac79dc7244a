"""Measured phases of others: what the network makes of an object, beside the integral over a threshold mask.

The networks are trained on adherent fibroblasts at 1.67 µm per pixel, and most of these files tell no scale. So a scale
is assumed: one pixel size and one height for a file, by which its median object is 25 µm in diameter and as high as
a typical cell. Then only ratios mean anything, for they do not hang on the unit. Where wavelength and pixel size are
documented, the file is read with these, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from _hologram_real import field_of_a_cell, red_cells, round_cell, round_cell_over_background, spread_out_cells
from scipy import ndimage

from microscoped.models.cells import Quantity, integrate, spread, threshold_ladder, threshold_watershed
from microscoped.models.cells.inputs import PIXEL_UM, network_image
from microscoped.models.cells.opd import NanometreOpd
from microscoped.models.cells.quantities import TYPICAL
from microscoped.models.hologram import field_distance, propagate, unwrapped_phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from _hologram_real import Specimen
    from numpy.typing import NDArray

    from microscoped.models.cells import CellNetwork, CellTable, Integral

    Way = Callable[[NDArray[np.float32], float], CellTable]

DIAMETER_UM = 25.0
HEIGHT_NM = TYPICAL[Quantity.MAX_OPD]
MOST_APART = {Quantity.DRY_MASS: 0.05, Quantity.AREA: 0.10, Quantity.MAX_OPD: 0.05}
"""From the integral, over the thresholds."""
LEAST_PART = 0.1
"""Smaller than this part of the largest, an object is not looked at."""
NOT_CLAIMED = "phase-contrast images (phase-t98g-usiigaci): not claimed; there are no weights for them"


@dataclass(frozen=True, eq=False)
class Phase:
    """A measured phase in focus.

    Parameters
    ----------
    name, source
        What it is; whose, and its licence.
    phase
        In rad, shape (rows, columns); the specimen is the brighter.
    wavelength_um, pixel_um
        Where they are documented.
    """

    name: str
    source: str
    phase: NDArray[np.float32]
    wavelength_um: float | None = None
    pixel_um: float | None = None


@dataclass(frozen=True)
class Scale:
    """What makes an image in nm and µm of a phase.

    Parameters
    ----------
    name
        ``documented`` or ``assumed``.
    nm_per_rad, pixel_um
        What a radian and a pixel are.
    """

    name: str
    nm_per_rad: float
    pixel_um: float


def beads(data: Path) -> Phase:
    """Return microgel beads."""
    phase = np.load(data / "qpi-beads" / "phase_beads_close.npz")["phase"].astype(np.float32)
    return Phase("qpi-beads: microgel bead", "qpimage, MIT", phase)


def of_hologram(make: Callable[[Path], Specimen], name: str) -> Callable[[Path], Phase]:
    """Return what reads a specimen, brings it into focus as a whole, and takes its phase."""

    def read(data: Path) -> Phase:
        specimen = make(data)
        found = field_distance(specimen.field, specimen.within, specimen.settings).z_min_contrast
        focused = propagate(specimen.field, found or 0.0)
        optics = specimen.field.optics
        rows, columns = specimen.field.pixel
        pixel_um = math.sqrt(rows * columns) if optics.scale_known else None
        return Phase(name, specimen.source, unwrapped_phase(focused), optics.wavelength_um, pixel_um)

    return read


PHASES: dict[str, Callable[[Path], Phase]] = {
    "hl60-field": of_hologram(field_of_a_cell, "hl60-field: HL60"),
    "qpi-beads": beads,
    "oa-hl60-holo": of_hologram(round_cell_over_background, "oa-hl60-holo: HL60, background hologram"),
    "oa-hl60-holo, curved": of_hologram(round_cell, "oa-hl60-holo: HL60, background fitted"),
    "oa-pydhm": of_hologram(red_cells, "oa-pydhm: red cells"),
    "oa-pydhm, glioblastoma": of_hologram(spread_out_cells, "oa-pydhm: glioblastoma"),
}


def rows(data: Path, network: CellNetwork) -> list[dict[str, Any]]:
    """Return the figures of each file at each scale, by the network and by threshold and watershed.

    Returns
    -------
    A dictionary each: ``name``, ``source``, ``way``, ``scale`` with ``nm_per_rad`` and ``pixel_um``, and those of
    `compared`; a file that is absent has a row that says so.
    """
    ways: dict[str, Way] = {"network B": network.table, "threshold": threshold_watershed}
    found: list[dict[str, Any]] = []
    for name, make in PHASES.items():
        try:
            phase = make(data)
        except FileNotFoundError as absent:
            found.append({"name": name, "reason": f"skipped: {absent.filename} is absent"})
            continue
        for scale in scales(phase):
            told = {"name": phase.name, "source": phase.source, "scale": scale.name}
            told |= {"nm_per_rad": scale.nm_per_rad, "pixel_um": scale.pixel_um}
            found.extend(told | {"way": way} | compared(phase.phase, scale, read) for way, read in ways.items())
    return found


def scales(phase: Phase) -> list[Scale]:
    """Return the documented scale, where there is one, and the assumed one."""
    seen = objects(phase.phase)
    middle = [integrals[len(integrals) // 2] for integrals in seen]
    area_px2 = float(np.median([one.area_px2 for one in middle]))
    height_rad = float(np.median([one.maximum for one in middle]))
    assumed = Scale("assumed", HEIGHT_NM / height_rad, DIAMETER_UM * math.sqrt(math.pi / area_px2) / 2.0)
    if phase.wavelength_um is None or phase.pixel_um is None:
        return [assumed]
    return [Scale("documented", 1e3 * phase.wavelength_um / (2.0 * math.pi), phase.pixel_um), assumed]


def objects(image: NDArray[np.floating]) -> list[list[Integral]]:
    """Return the integrals of each object over the thresholds; those whose masks reach the border come last."""
    found = [integrals for _, integrals in _placed(image)]
    return sorted(found, key=lambda integrals: any(one.border for one in integrals))


def _placed(image: NDArray[np.floating]) -> list[tuple[tuple[int, int], list[Integral]]]:
    thresholds = threshold_ladder(image)
    labels, count = ndimage.label(image > thresholds[-1])
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(np.ones(image.shape), labels, numbers)
    places = ndimage.maximum_position(image, labels, numbers)
    large = sizes >= LEAST_PART * sizes.max()
    kept = [(int(row), int(column)) for (row, column), keep in zip(places, large, strict=True) if keep]
    return [(place, integrate(image, thresholds, place)) for place in kept]


def compared(phase: NDArray[np.floating], scale: Scale, read: Way) -> dict[str, Any]:
    """Hold a way to read cells against integrals.

    Parameters
    ----------
    phase
        In rad.
    scale
        Taken for it.
    read
        Makes a table of the path difference in nm and the pixel size in µm.

    Returns
    -------
    ``objects`` in the image, ``cut`` of them by the border, ``missed`` and ``split`` of the others (their masks hold no
    cell of the table, or several), ``elsewhere`` (cells in no mask), ``seen_height`` (what resampling leaves of the
    maximum), and for each of those that are left, by quantity: ``ratio`` (to the integral at the middle threshold,
    median), ``apart`` (the worst over the thresholds, median over objects), ``spread`` (of the integrals themselves,
    median), ``met``: ``None`` where the integrals differ by more among themselves than is allowed, so that nothing
    could agree with all of them.
    """
    placed = _placed(phase)
    values = np.asarray(phase, np.float32) * np.float32(scale.nm_per_rad)
    opd_nm = NanometreOpd(zero_nm=None).read(values, scale.pixel_um).opd_nm
    table = read(opd_nm, scale.pixel_um)
    labels = _masks(phase, [place for place, _ in placed])
    mine = _owners(table, labels)
    whole = {k for k, (_, integrals) in enumerate(placed) if not any(one.border for one in integrals)}
    pairs = [(k, int(np.flatnonzero(mine == k)[0])) for k in sorted(whole) if (mine == k).sum() == 1]
    seen, _ = network_image(opd_nm, scale.pixel_um)
    told: dict[str, Any] = {
        "objects": len(placed),
        "cut": len(placed) - len(whole),
        "missed": sum(int((mine == k).sum() == 0) for k in whole),
        "split": sum(int((mine == k).sum() > 1) for k in whole),
        "elsewhere": int((mine < 0).sum()),
        "seen_height": float(seen.max() / network_image(opd_nm, PIXEL_UM)[0].max()),
        "quantities": {},
    }
    for quantity in MOST_APART:
        judged = [_apart(quantity, table, cell, placed[k][1], scale) for k, cell in pairs]
        told["quantities"][quantity.value] = _summary(judged, MOST_APART[quantity])
    if not pairs:
        told["reason"] = "nothing to compare: every object is cut by the border, missed or split"
    return told


def _apart(
    quantity: Quantity, table: CellTable, cell: int, integrals: Sequence[Integral], scale: Scale
) -> tuple[float, float, float]:
    """Return ratio to the middle threshold, the worst difference over all, and the spread of the integrals."""
    own = {
        Quantity.DRY_MASS: [one.dry_mass_pg(scale.pixel_um) * scale.nm_per_rad for one in integrals],
        Quantity.AREA: [one.area_um2(scale.pixel_um) for one in integrals],
        Quantity.MAX_OPD: [one.maximum * scale.nm_per_rad for one in integrals],
    }[quantity]
    differ = spread(integrals)
    itself = {Quantity.DRY_MASS: differ.volume, Quantity.AREA: differ.area, Quantity.MAX_OPD: differ.maximum}[quantity]
    ratios = float(table.column(quantity)[cell]) / np.array(own)
    return float(ratios[len(own) // 2]), float(np.abs(ratios - 1.0).max()), itself


def _summary(judged: Sequence[tuple[float, float, float]], limit: float) -> dict[str, Any]:
    if not judged:
        return {"n": 0, "ratio": None, "apart": None, "spread": None, "limit": limit, "met": None}
    ratio, apart, itself = (float(np.median(column)) for column in zip(*judged, strict=True))
    met = apart <= limit if itself <= limit else None
    return {"n": len(judged), "ratio": ratio, "apart": apart, "spread": itself, "limit": limit, "met": met}


def _masks(phase: NDArray[np.floating], places: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return which object a pixel above the middle threshold belongs to, -1 for none."""
    ladder = threshold_ladder(phase)
    parts, _ = ndimage.label(phase > ladder[len(ladder) // 2])
    owner = np.full(phase.shape, -1)
    for k, place in enumerate(places):
        owner[ndimage.binary_fill_holes(parts == parts[place])] = k
    return owner


def _owners(table: CellTable, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    places = np.rint(table.places_px).astype(np.int64)
    rows, columns = (np.clip(places[:, axis], 0, owner.shape[axis] - 1) for axis in (0, 1))
    return np.asarray(owner[rows, columns])


def lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of rows."""
    heads = "".join(f"{name:>24}" for name in ("mass", "area", "max OPD"))
    told = [
        f"{'':<42}{'scale':<12}{'way':<11}{'µm/px':>7}{'objects':>8}{'cut':>5}{'missed':>7}{'split':>6}{'else':>5}{'seen':>6}{heads}",
        " " * 109 + "".join(f"{'ratio, apart (itself)':>24}" for _ in MOST_APART),
    ]
    for row in found:
        if "scale" not in row:
            told.append(f"{row['name']:<42}{row['reason']}")
            continue
        counts = f"{row['objects']:>8}{row['cut']:>5}{row['missed']:>7}{row['split']:>6}{row['elsewhere']:>5}"
        line = f"{row['name']:<42}{row['scale']:<12}{row['way']:<11}{row['pixel_um']:>7.3f}{counts}"
        line += f"{row['seen_height']:>6.2f}"
        told.append(line + "".join(_cell(row["quantities"][quantity.value]) for quantity in MOST_APART))
        if "reason" in row:
            told.append(f"  {row['reason']}")
    return [*told, NOT_CLAIMED]


def _cell(told: dict[str, Any]) -> str:
    if not told["n"]:
        return f"{'–':>24}"
    verdict = {None: "?", True: " ", False: "!"}[told["met"]]
    return f"{told['ratio']:.2f}, {told['apart']:.0%} ({told['spread']:.0%}){verdict}".rjust(24)


__all__ = ["MOST_APART", "NOT_CLAIMED", "PHASES", "Phase", "Scale", "compared", "lines", "objects", "rows", "scales"]

"""Measured holograms of others: their phase, their distance beside nrefocus', and how it follows a known propagation.

Four of the five specimens come without wavelength and pixel size: their distances are numbers of n·px²/λ, and they are
compared in depths of field. nrefocus then propagates with its Fresnel kernel, at a wavelength of which two are half a
depth of field: that is the step of its coarse search, and sets nothing else. nrefocus is of the extra ``bench``;
without it the rows have no peer.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from microscoped.models.hologram import (
    Cell,
    CellSettings,
    Distance,
    DistanceRange,
    DistanceSettings,
    Field,
    HologramOptics,
    ReconstructionSettings,
    Reconstructor,
    Side,
    cell_distances,
    denser_side,
    field_distance,
    find_cells,
    normalised,
    propagate,
    unwrapped_phase,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

METRIC = "average gradient"
"""nrefocus' default."""
HALF_RANGE_DOF = 6.0
"""Half of the range that is searched where the scale is unknown, in depths of field."""
MOVES_DOF = (-4.0, -1.0, -0.3, 0.3, 1.0, 4.0)
"""Known propagations, in depths of field."""
MOVES_UM = (-3.0, -1.0, -0.25, 0.25, 1.0, 3.0)
"""Known propagations where the scale is known."""
APART_MOST_DOF = 1.0
MOVE_MOST_UM = 0.2
MOVE_MOST_DOF = 0.13
"""What 0.2 µm are in depths of field at 666 nm and NA 0.75."""
BORDER = 6
"""Samples at each border whose phase is not looked at."""


@dataclass(frozen=True, eq=False)
class Specimen:
    """A measured field at its recording plane, and what is looked at in it.

    Parameters
    ----------
    name, source
        What it is; whose, and its licence.
    frame
        The hologram; ``None`` where only the field was published.
    field
        Normalised.
    cells
        Those that lie wholly within the field, from left to right; none where the field is looked at as a whole.
    within
        Distances that are searched.
    limit
        Why less than the targets is expected of it.
    """

    name: str
    source: str
    frame: NDArray[np.generic] | None
    field: Field
    cells: tuple[Cell, ...]
    within: DistanceRange
    settings: DistanceSettings = DistanceSettings()  # noqa: RUF009 - frozen
    limit: str | None = None

    def distances(self, field: Field | None = None, within: DistanceRange | None = None) -> list[Distance]:
        """Return the distance of each cell, or of the field, in this field or another one of the same grid."""
        field, within = field or self.field, within or self.within
        if not self.cells:
            return [field_distance(field, within, self.settings)]
        return cell_distances(field, self.cells, within, self.settings)

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Return first row and column, and those after the last, of what is looked at."""
        rows, columns = self.field.shape
        return [cell.box for cell in self.cells] or [(BORDER, BORDER, rows - BORDER, columns - BORDER)]


def red_cells(data: Path) -> Specimen:
    """Return red cells; the background is fitted to the frame."""
    return _unscaled("red cells", "pyDHM, MIT", Image.open(data / "oa-pydhm" / "RBC.jpg"))


def round_cell(data: Path) -> Specimen:
    """Return an HL60 cell before a curved background, which is fitted to the frame."""
    image = Image.open(data / "oa-hl60-holo" / "hologram_cell_curved_bg.jpg")
    return _unscaled("HL60, background fitted", "qpimage, MIT", image)


def round_cell_over_background(data: Path) -> Specimen:
    """Return an HL60 cell over its background hologram, cut to squares: the cell fills the field."""
    holograms = np.load(data / "oa-hl60-holo" / "hologram_cell.npz")
    frame, empty = (holograms[name][:200, 5:205] for name in ("data", "bg_data"))
    whole = _unscaled("HL60, background hologram", "qpretrieve, MIT", frame, empty, whole=True)
    return replace(whole, limit="the cell fills a field of 36 × 36 samples, and propagated light leaves it")


def spread_out_cells(data: Path) -> Specimen:
    """Return glioblastoma cells, which are flat."""
    image = Image.open(data / "oa-pydhm" / "Glioblastoma.jpg")
    flat = _unscaled("glioblastoma", "pyDHM, MIT", image, whole=True)
    return replace(flat, limit="flat cells that are spread out have no plane of least amplitude contrast")


def field_of_a_cell(data: Path) -> Specimen:
    """Return the field of an HL60 cell, whose scale is documented; NA 0.5 is assumed."""
    values = np.load(data / "hl60-field" / "HL60_field.npz")["field"].astype(np.complex64)
    field = Field(normalised(values), (0.139, 0.139), 0.5 / 0.647, HologramOptics(0.647, 0.139, medium_index=1.3333))
    cell = Cell(56.0, 56.0, (BORDER, BORDER, 112 - BORDER, 112 - BORDER), 1.0, False)
    settings = DistanceSettings(cells=CellSettings(diameter=8.0))
    return Specimen("HL60, field", "nrefocus, BSD-3", None, field, (cell,), DistanceRange(-5.0, 5.0), settings)


SPECIMENS: tuple[Callable[[Path], Specimen], ...] = (
    red_cells,
    round_cell,
    round_cell_over_background,
    spread_out_cells,
    field_of_a_cell,
)


def _unscaled(
    name: str,
    source: str,
    frame: Image.Image | NDArray[np.generic],
    background: NDArray[np.generic] | None = None,
    *,
    whole: bool = False,
) -> Specimen:
    """Read the sideband in which the specimen is denser than the medium."""
    frame = np.asarray(frame.convert("L")) if isinstance(frame, Image.Image) else frame
    sides = ReconstructionSettings()
    for _ in range(2):
        field = Reconstructor.prepare(frame, HologramOptics(), background=background, settings=sides)(frame)
        within = DistanceRange.around(field, HALF_RANGE_DOF)
        focused = propagate(field, field_distance(field, within).z_min_contrast or 0.0)
        if denser_side(focused, sides.side) in (None, sides.side):
            break
        sides = ReconstructionSettings(side=Side(-sides.side))
    cells = [] if whole else [cell for cell in find_cells(focused) if not cell.border]
    return Specimen(name, source, frame, field, tuple(sorted(cells, key=lambda cell: cell.column)), within)


def rows(data: Path) -> list[dict[str, Any]]:
    """Return the figures of each specimen, of which JSON can be made.

    Parameters
    ----------
    data
        Folder of measured images; a specimen that it does not hold has a row that says so.

    Returns
    -------
    A dictionary each: ``name``, ``source``, ``unit`` of all distances, ``dof``, ``shape``, ``z``, ``half_width`` and
    ``peer_z`` of each cell (or of the field), ``apart_dof`` (greatest; ``None`` without nrefocus), ``moved_dof`` (the
    greatest error after a known propagation), ``moved_by_peer_dof`` (the same, propagated by nrefocus), ``peak_rad`` of
    each cell, ``background_rad``, ``wide_astray`` (how many of them are elsewhere when the default range is searched),
    ``passes`` (``None`` where the data are absent), ``reason``, which target it misses, and ``limit``, why that is so
    where it is known.
    """
    found: list[dict[str, Any]] = []
    for make in SPECIMENS:
        try:
            specimen = make(data)
        except FileNotFoundError as absent:
            name = make.__name__.replace("_", " ")
            found.append({"name": name, "passes": None, "reason": f"{absent.filename} is absent", "limit": None})
            continue
        found.append(row(specimen))
    return found


def row(specimen: Specimen) -> dict[str, Any]:
    """Return the figures of one specimen."""
    field = specimen.field
    known = field.optics.scale_known
    distances = specimen.distances()
    ours = [distance.z_min_contrast for distance in distances]
    theirs = [peer_distance(specimen, box) for box in specimen.boxes()]
    apart = [
        abs(one - other) / field.dof
        for one, other in zip(ours, theirs, strict=True)
        if one is not None and other is not None
    ]
    moved, moved_by_peer = (
        _greatest(follows(specimen, ours, mover), field.dof) for mover in (_ourselves, _peer_propagated)
    )
    peaks, background = phases(specimen, ours)
    wide = specimen.distances(within=DistanceRange.around(field))
    reasons = [f"no distance: {distance.reason.value}" for distance in distances if distance.reason is not None]
    if apart and max(apart) > APART_MOST_DOF:
        reasons.append(f"{max(apart):.2f} DoF from nrefocus")
    allowed = MOVE_MOST_UM / field.dof if known else MOVE_MOST_DOF
    reasons += [
        f"{worst:.2f} DoF off after {who} propagation"
        for who, worst in (("our", moved), ("nrefocus'", moved_by_peer))
        if worst is not None and worst > allowed
    ]
    return {
        "name": specimen.name,
        "source": specimen.source,
        "unit": "µm" if known else "n·px²/λ",
        "dof": field.dof,
        "shape": list(field.shape),
        "z": ours,
        "half_width": [distance.half_width for distance in distances],
        "peer_z": theirs,
        "apart_dof": max(apart, default=None),
        "moved_dof": moved,
        "moved_by_peer_dof": moved_by_peer,
        "peak_rad": peaks,
        "background_rad": background,
        "wide_astray": sum(
            one is not None and (other.z_min_contrast is None or abs(one - other.z_min_contrast) > field.dof)
            for one, other in zip(ours, wide, strict=True)
        ),
        "passes": not reasons,
        "reason": "; ".join(reasons) or None,
        "limit": specimen.limit if reasons else None,
    }


def _greatest(errors: Sequence[float], dof: float) -> float | None:
    return max(map(abs, errors)) / dof if errors else None


def _peer(field: Field) -> tuple[Any, float] | None:
    """Return nrefocus with the field, and its unit of distance in the field's; ``None`` where it is not installed."""
    if importlib.util.find_spec("nrefocus") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of interfaces to hardware that is not there
        from nrefocus import RefocusNumpy

    optics = field.optics
    if optics.wavelength_um is not None and optics.scale_known:
        light, index, kernel, unit = optics.wavelength_um, optics.medium_index, "helmholtz", 1.0
    else:
        light, index, kernel = math.sqrt(field.dof) / 2.0, 1.0, "fresnel"
        unit = light
    values = field.values.astype(complex)
    return RefocusNumpy(values, light, field.pixel[0], medium_index=index, kernel=kernel), unit


def peer_distance(specimen: Specimen, box: tuple[int, int, int, int]) -> float | None:
    """Return where nrefocus finds what is in a box, in the field's unit; ``None`` where it is not installed."""
    peer = _peer(specimen.field)
    if peer is None:
        return None
    refocus, unit = peer
    top, left, bottom, right = box
    reach = specimen.within.low / unit, specimen.within.high / unit
    return float(refocus.autofocus(reach, metric=METRIC, roi=(slice(top, bottom), slice(left, right)))) * unit


def _ourselves(field: Field, by: float) -> Field | None:
    return replace(propagate(field, by), z=0.0)


def _peer_propagated(field: Field, by: float) -> Field | None:
    peer = _peer(field)
    if peer is None:
        return None
    refocus, unit = peer
    return field.at(np.asarray(refocus.propagate(by / unit), np.complex64))


def follows(
    specimen: Specimen, before: Sequence[float | None], mover: Callable[[Field, float], Field | None]
) -> list[float]:
    """Propagate the field by known distances and return by how much each estimate missed its new place."""
    field, within = specimen.field, specimen.within
    errors: list[float] = []
    for by in MOVES_UM if field.optics.scale_known else [dofs * field.dof for dofs in MOVES_DOF]:
        there = mover(field, by)
        if there is None:
            continue
        # Propagation by z brings into focus what lies at z: the specimen comes nearer by as much.
        found = specimen.distances(there, replace(within, low=within.low - by, high=within.high - by))
        for first, after in zip(before, found, strict=True):
            if first is not None:
                missing = after.z_min_contrast is None
                errors.append(math.inf if missing else (after.z_min_contrast or 0.0) - (first - by))
    return errors


def phases(specimen: Specimen, distances: Sequence[float | None]) -> tuple[list[float], float]:
    """Return the greatest phase of each cell in focus (99th percentile of its box), and the deviation elsewhere."""
    field = specimen.field
    outside = np.zeros(field.shape, bool)
    outside[BORDER:-BORDER, BORDER:-BORDER] = True
    peaks = []
    for (top, left, bottom, right), z in zip(specimen.boxes(), distances, strict=True):
        outside[top:bottom, left:right] = False
        phase = unwrapped_phase(propagate(field, z or 0.0))
        peaks.append(float(np.percentile(phase[top:bottom, left:right], 99)))
    rest = unwrapped_phase(field)[outside]
    return peaks, float(np.sqrt(np.mean(np.square(rest)))) if rest.size else math.nan


def lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of rows."""
    told = [
        f"{'':<28}{'cells':>6}{'DoF':>8}{'z':>8}{'nrefocus':>10}{'apart':>8}{'moves to':>10}{'its moves':>11}"
        f"{'peak':>7}{'rest':>6}   unit"
    ]
    for one in found:
        if one["passes"] is None:
            told.append(f"{one['name']:<28}{one['reason']}")
            continue
        ours, theirs = (_median(one[key]) for key in ("z", "peer_z"))
        apart, moved, by_peer = (_number(one[key]) for key in ("apart_dof", "moved_dof", "moved_by_peer_dof"))
        rest = "–" if math.isnan(one["background_rad"]) else f"{one['background_rad']:.2f}"
        told.append(
            f"{one['name']:<28}{len(one['z']):>6}{one['dof']:>8.4g}{ours:>8}{theirs:>10}{apart:>8}{moved:>10}{by_peer:>11}"
            f"{max(one['peak_rad']):>7.2f}{rest:>6}   {one['unit']}"
        )
        if one["wide_astray"]:
            told.append(f"  {one['wide_astray']} of {len(one['z'])} elsewhere when ±12.5 DoF are searched")
        if one["reason"]:
            told.append(f"  {one['reason']}" + (f": {one['limit']}" if one["limit"] else ""))
    return told


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):.3g}" if known else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

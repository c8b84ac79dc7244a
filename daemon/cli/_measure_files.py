"""What is kept of a measured hologram: images with their scale, a picture, a table, a document."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from microscoped.daemon.cli._measure_picture import GREY, PLASMA, VIRIDIS, Mark, Panel, draw, limits_of, save_picture
from microscoped.models.hologram import opd_nm, unwrapped_phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.daemon.cli._measure_instrument import Measured
    from microscoped.models.hologram import Field

LEAST_PHASE_RAD, LEAST_AMPLITUDE, LEAST_DEPTH_DOF = 1.0, 0.2, 1.0
"""Least ranges of the colours, so that noise is not stretched over all of them."""


def save_measured(measured: Measured, name: str, folder: Path, document: Mapping[str, Any]) -> dict[str, str]:
    """Write the files of one hologram; those of the same names are replaced.

    Parameters
    ----------
    measured
        The measurement.
    name
        Of the hologram, for the picture's title.
    folder
        Made where it is missing.
    document
        What is written as ``measurement.json``, with the files' names.

    Returns
    -------
    Meaning and path of each file.

    Raises
    ------
    OSError
        Something cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recorded = measured.found.field
    unit = "um" if recorded.optics.scale_known else "px2_per_wavelength"
    phase = unwrapped_phase(measured.composite.field)
    images: dict[str, NDArray[np.float32]] = {"phase_rad": phase}
    if recorded.optics.wavelength_um is not None:
        images["opd_nm"] = opd_nm(measured.composite.field, phase)
    images[f"depth_{unit}"] = measured.composite.depth
    files: dict[str, str] = {}
    for meaning, values in images.items():
        path = folder / f"{meaning}.tif"
        _write_tiff(path, values, recorded)
        files[meaning] = str(path)
    files["overview"] = str(folder / "overview.png")
    save_picture(overview(measured, phase, name), folder / "overview.png")
    files["cells"] = str(folder / "cells.csv")
    _write_table(folder / "cells.csv", document["cells"])
    files["measurement"] = str(folder / "measurement.json")
    text = json.dumps({**document, "files": files}, indent=1, ensure_ascii=False)
    (folder / "measurement.json").write_text(text + "\n", encoding="utf-8")
    return files


def overview(measured: Measured, phase: NDArray[np.float32], name: str) -> Any:  # noqa: ANN401 - Pillow's image
    """Return a picture: as recorded, in focus at one distance, each cell at its own, and how deep each lies.

    Parameters
    ----------
    measured
        The measurement.
    phase
        Unwrapped, of the composite.
    name
        Of the hologram.
    """
    found, recorded = measured.found, measured.found.field
    known = recorded.optics.scale_known
    # Pillow's own font has neither µ nor λ.
    unit = "um" if known else "n px^2/wavelength"
    dof, middle = recorded.dof, found.z_min_contrast
    single = unwrapped_phase(measured.plane)
    limits = limits_of(np.stack([phase, single]), LEAST_PHASE_RAD)
    amplitude = np.abs(recorded.values)
    depths = measured.composite.depth
    marks = _marks(measured)
    at = "as recorded: no distance" if middle is None else f"all at {middle:+.2f} {unit}"
    panels = (
        Panel("amplitude as recorded", amplitude, limits_of(amplitude, LEAST_AMPLITUDE), GREY, marks=marks),
        Panel(f"phase in rad, {at}", single, limits, VIRIDIS, scale_bar=True),
        Panel("phase in rad, each cell at its own distance", phase, limits, VIRIDIS, scale_bar=True),
        Panel(f"distance of each cell, {unit}", depths, limits_of(depths, LEAST_DEPTH_DOF * dof), PLASMA, marks=marks),
    )
    cells = f"{len(found.cells)} cell{'' if len(found.cells) == 1 else 's'}"
    words = f"{cells}; distances from the recording plane, positive downstream, object side"
    return draw(panels, recorded.pixel, "um" if known else "px", name, words if known else f"{words}; scale unknown")


def _marks(measured: Measured) -> tuple[Mark, ...]:
    marks = []
    for number, one in enumerate(measured.found.cells, start=1):
        top, left, bottom, right = one.cell.box
        radius = max(bottom - top, 1) / 2, max(right - left, 1) / 2
        marks.append(Mark(one.cell.row, one.cell.column, (max(radius) * 0.75, max(radius) * 0.75), str(number)))
    return tuple(marks)


def _write_tiff(path: Path, values: NDArray[np.float32], recorded: Field) -> None:
    """Write 32-bit floats that ImageJ and Fiji open with their scale."""
    known = recorded.optics.scale_known
    rows, columns = recorded.pixel
    tifffile.imwrite(
        path,
        values.astype(np.float32),
        imagej=True,
        resolution=(1.0 / columns, 1.0 / rows),
        resolutionunit="NONE",
        metadata={"axes": "YX", "unit": "um" if known else "camera pixel"},
    )


def _write_table(path: Path, cells: list[dict[str, Any]]) -> None:
    # A cell without a distance has no phase either, so that its values are fewer.
    columns = dict.fromkeys(["cell", *(name for cell in cells for name in cell)])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows({"cell": number, **cell} for number, cell in enumerate(cells, start=1))


__all__ = ["overview", "save_measured"]

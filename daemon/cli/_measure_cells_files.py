"""What is kept of measured cells: a picture, tables, a document, and the map where it was made of holograms."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from microscoped.daemon.cli._measure_cells_picture import overlay
from microscoped.daemon.cli._measure_picture import save_picture
from microscoped.models.cells import to_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from microscoped.models.cells.engine import MeasuredCells


def save_cells(found: MeasuredCells, name: str, folder: Path, document: Mapping[str, Any]) -> dict[str, str]:
    """Write the files of one image; those of the same names are replaced.

    Parameters
    ----------
    found
        The cells.
    name
        Of the image, for the picture's title.
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
    files = {"overview": str(folder / "overview.png")}
    save_picture(overlay(found, name), folder / "overview.png")
    if found.source != "opd":
        files["opd_nm"] = str(folder / "opd_nm.tif")
        size = 1.0 / found.opd.pixel_um
        tifffile.imwrite(
            folder / "opd_nm.tif",
            found.opd.opd_nm.astype(np.float32),
            imagej=True,
            resolution=(size, size),
            resolutionunit="NONE",
            metadata={"axes": "YX", "unit": "um"},
        )
    files["cells"] = str(folder / "cells.csv")
    _write_table(folder / "cells.csv", document["cells"])
    files["cells_arrow"] = str(folder / "cells.arrows")
    (folder / "cells.arrows").write_bytes(to_arrow(found.table))
    if "motions" in document:
        files["motions"] = str(folder / "motions.csv")
        _write_table(folder / "motions.csv", document["motions"])
    files["measurement"] = str(folder / "measurement.json")
    text = json.dumps({**document, "files": files}, indent=1, ensure_ascii=False)
    (folder / "measurement.json").write_text(text + "\n", encoding="utf-8")
    return files


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["cell"])
        writer.writeheader()
        writer.writerows(rows)


__all__ = ["save_cells"]

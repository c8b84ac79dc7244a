"""Measured holograms of others: the distance of each cell beside nrefocus', and a picture of what was found.

    python benchmarks/hologram_real.py [--data FOLDER] [--json FILE] [--plot FILE.png]

The measured images are those of ``$MICROSCOPED_DATA`` (or ``--data``); nrefocus and matplotlib are of the extra
``bench``, and without nrefocus there is no comparison. *apart* is the greatest difference from nrefocus of any cell,
*moves to* the greatest error after a known propagation of the field, *its moves* the same after nrefocus' propagation,
*peak* the greatest phase of a cell in focus, *rest* the root mean square phase outside of cells. The exit code is 1
where a target is missed and nothing is known that limits it, or there was nothing to read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _figures import plain
from _hologram_real import Specimen, field_of_a_cell, lines, red_cells, rows

from microscoped.models.hologram import amplitude, compose, propagate, unwrapped_phase

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parent.parent
PLANES = 81
DOCUMENTED_UM = -0.878
"""Where nrefocus finds the focus of its own cell, by average gradient over ±5 µm."""
INSET = 90
"""Side in pixels of the part of the hologram that is shown enlarged."""


def main() -> int:
    """Read the holograms, print the table, draw the picture."""
    default = os.environ.get("MICROSCOPED_DATA") or REPOSITORY.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of measured images")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--plot", type=Path, help="write the picture here")
    arguments = parser.parse_args()
    found = rows(arguments.data)
    print("\n".join(lines(found)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(plain(found), indent=1), encoding="utf-8")
    if arguments.plot is not None:
        plot(red_cells(arguments.data), field_of_a_cell(arguments.data), arguments.plot)
    judged = [row["passes"] or row["limit"] is not None for row in found if row["passes"] is not None]
    return 0 if judged and all(judged) else 1


def plot(cells: Specimen, one: Specimen, path: Path) -> None:
    """Draw a hologram of several cells with what was found in it, and the field of one cell before and after.

    Parameters
    ----------
    cells
        With its hologram.
    one
        One cell, its scale known.
    path
        Where the picture is written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 8.5, "axes.titlesize": 9}):
        chart, panels = plt.subplots(2, 4, figsize=(12, 5.9), layout="constrained")
        _many(chart, panels[0], cells)
        _one(chart, panels[1], one)
        for axes in (*panels[0], *panels[1, :3]):
            axes.set_xticks([])
            axes.set_yticks([])
        chart.savefig(path, dpi=110)
        plt.close(chart)


def _many(chart: Figure, panels: NDArray[Any], specimen: Specimen) -> None:
    """Draw hologram, phase as recorded, phase with each cell in focus, and depths."""
    field, frame = specimen.field, specimen.frame
    if frame is None:
        raise ValueError(f"{specimen.name}: its hologram was not published")
    distances = specimen.distances()
    focused = compose(field, specimen.cells, distances, settings=specimen.settings.cells)
    hologram, recorded, phase, depth = panels
    hologram.imshow(frame, cmap="gray")
    hologram.set_title(f"{specimen.name} ({specimen.source.split(',')[0]}): hologram")
    cell = specimen.cells[0]
    row = round(cell.row * frame.shape[0] / field.shape[0])
    column = round(cell.column * frame.shape[1] / field.shape[1])
    top, left = max(0, row - INSET // 2), max(0, column - INSET // 2)
    inset = hologram.inset_axes((0.58, 0.02, 0.4, 0.4))
    inset.imshow(frame[top : top + INSET, left : left + INSET], cmap="gray")
    inset.set_xticks([])
    inset.set_yticks([])
    inset.spines[:].set_color("white")
    hologram.indicate_inset((left, top, INSET, INSET), inset, edgecolor="white")
    shown = {"cmap": "viridis", "vmin": -0.5, "vmax": 4.0}
    recorded.imshow(unwrapped_phase(field), **shown)
    recorded.set_title("phase at the recording plane")
    image = phase.imshow(unwrapped_phase(focused.field), **shown)
    phase.set_title("phase, each cell refocused")
    chart.colorbar(image, ax=phase, label="rad", shrink=0.85)
    depth.imshow(unwrapped_phase(focused.field), cmap="gray", vmin=-0.5, vmax=4.0)
    image = depth.imshow(focused.depth / field.dof, cmap="plasma", vmin=0.0, vmax=3.0, alpha=0.6)
    depth.set_title("distance of each cell")
    for cell, found in zip(specimen.cells, distances, strict=True):
        if found.z_min_contrast is not None and found.half_width is not None:
            told = f"{found.z_min_contrast / field.dof:.1f} ± {found.half_width / field.dof:.1f}"
            place = min(max(cell.column, 0.14 * field.shape[1]), 0.86 * field.shape[1]), cell.box[2] + 2
            depth.text(*place, told, color="white", ha="center", va="top")
    chart.colorbar(image, ax=depth, label="depths of field", shrink=0.85)


def _one(chart: Figure, panels: NDArray[Any], specimen: Specimen) -> None:
    """Draw the amplitude as recorded and in focus, the phase in focus, and what was searched."""
    field = specimen.field
    (found,) = specimen.distances()
    z_um = found.z_min_contrast
    if z_um is None or found.half_width is None:
        raise ValueError(f"{specimen.name}: no distance, {found.reason}")
    recorded, focused, phase, curve = panels
    inside = propagate(field, z_um)
    levels = {"cmap": "gray", "vmin": 0.6, "vmax": 1.4}
    recorded.imshow(amplitude(field), **levels)
    recorded.set_title(f"{specimen.name} ({specimen.source.split(',')[0]}): amplitude")
    image = focused.imshow(amplitude(inside), **levels)
    focused.set_title(f"amplitude at {_signed(z_um)} µm")
    chart.colorbar(image, ax=focused, label="of the background", shrink=0.85)
    image = phase.imshow(unwrapped_phase(inside), cmap="viridis", vmin=-0.5)
    phase.set_title(f"phase at {_signed(z_um)} µm")
    chart.colorbar(image, ax=phase, label="rad", shrink=0.85)
    planes = np.linspace(specimen.within.low, specimen.within.high, PLANES)
    contrast = [float(amplitude(propagate(field, z)).std()) for z in planes]
    curve.plot(planes, contrast, color="black", linewidth=1)
    curve.axvspan(z_um - found.half_width, z_um + found.half_width, color="tab:orange", alpha=0.3, linewidth=0)
    curve.axvline(z_um, color="tab:orange", label=f"{_signed(z_um)} ± {found.half_width:.2f} µm")
    curve.axvline(DOCUMENTED_UM, color="tab:blue", linestyle="--", label=f"nrefocus: {_signed(DOCUMENTED_UM)} µm")
    curve.set_title("deviation of the amplitude over distance")
    curve.set_xlabel("µm downstream of the recording plane")
    curve.set_ylim(0.0, 1.05 * max(contrast))
    curve.legend(frameon=False, loc="lower right", handlelength=1.0)
    curve.spines[["top", "right"]].set_visible(False)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


if __name__ == "__main__":
    sys.exit(main())

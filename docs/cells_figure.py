"""Draw docs/cells.png: a simulated field with what the network measures of each cell, beside the truth.

    python docs/cells_figure.py [--fields 12] [--weights FILE.onnx] [--plot FILE.png]

The field is of the evaluation set at 255 cells/mm², clean; the points are the cells of so many of its fields that the
border does not cut. Outlines are the contour of 5 nm of each true cell alone, its colour the dry mass that the network
tells; bands are the median 90 % interval of a cell. matplotlib is of the extra ``bench``, the fields need ``train``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.cells import AREA_ABOVE_NM, CellNetwork, CellTable, Quantity, pair_cells, score
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE = Path(__file__).resolve().parent / "cells.png"
SHOWN_PX = 320
"""Side of the part of the field that is shown."""
NAMES = {
    Quantity.DRY_MASS: ("dry mass", "pg"),
    Quantity.AREA: ("area", "µm²"),
    Quantity.MAX_OPD: ("max OPD", "nm"),
    Quantity.LENGTH: ("length", "µm"),
}
DARK, LIGHT, POINTS = "#14161c", "#c9ced8", "#2a6f97"


@dataclass(frozen=True, eq=False)
class Measured:
    """A field and its cells.

    Parameters
    ----------
    opd_nm
        The image, shape (rows, columns).
    truth, found
        What is true of it, and what the network tells.
    alone
        The map of each true cell without all others.
    """

    opd_nm: NDArray[np.float32]
    truth: CellTable
    found: CellTable
    alone: tuple[NDArray[np.float32], ...]


def measured(network: CellNetwork, fields: int) -> list[Measured]:
    """Read fields of the clean evaluation set at 255 cells/mm²; of the first, each cell alone is rendered, too."""
    from microscoped.models.cells.training.sets import FRAME_PX, SEED, evaluation_set
    from microscoped.simulators.cells import CellField, PopulationParameters

    chosen = evaluation_set("density_255")
    read: list[Measured] = []
    for image, truth in chosen.images(fields / chosen.fields):
        alone: tuple[NDArray[np.float32], ...] = ()
        if not read:
            parameters = replace(PopulationParameters.matched(255), density_per_mm2=(255, 255))
            field = CellField(parameters, FRAME_PX, truth.pixel_um, SEED + 1_000 * chosen.number)
            alone = tuple(field.alone(k) for k in range(len(field.truths)))
        read.append(Measured(image, truth, network.table(image, truth.pixel_um), alone))
    return read


def draw(shown: list[Measured], path: Path) -> None:
    """Draw the first field, and the cells of all of them beside the truth."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left"}):
        figure = pyplot.figure(figsize=(13.0, 6.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.08, 1.0), wspace=0.02)
        _draw_field(left, shown[0])
        scores = score([(one.truth, one.found) for one in shown])
        panels = right.subplots(2, 2)
        for axis, quantity, letter in zip(panels.flat, NAMES, "bcde", strict=True):
            _draw_points(axis, shown, quantity, scores.quantities[quantity], letter)
        figure.savefig(path, dpi=100)
        pyplot.close(figure)


def _draw_field(figure, one: Measured) -> None:  # noqa: ANN001 - matplotlib has no types
    """Draw the image with each cell's outline in the colour of its dry mass."""
    from matplotlib import colors, patheffects
    from matplotlib.cm import ScalarMappable

    axis = figure.subplots()
    axis.imshow(one.opd_nm, cmap="gray", vmin=-6.0, vmax=115.0, interpolation="bilinear")
    masses = one.found.column(Quantity.DRY_MASS)
    scale = colors.Normalize(*np.percentile(masses, (3, 97)))
    pairs = pair_cells(one.truth, one.found, border=True)
    partner = dict(zip(pairs.true.tolist(), pairs.found.tolist(), strict=True))
    mapped = colors.LinearSegmentedColormap.from_list("mass", ["#4cc9f0", "#80ed99", "#ffd166", "#ff7b54", "#ef476f"])
    for k, alone in enumerate(one.alone):
        if k in partner:
            colour = mapped(scale(masses[partner[k]]))
            axis.contour(alone, levels=[AREA_ABOVE_NM], colors=[colour], linewidths=1.15)
    for row, column, mass in zip(one.found.row_px, one.found.column_px, masses, strict=True):
        if row < SHOWN_PX - 4 and column < SHOWN_PX - 8 and min(row, column) > 4:
            text = axis.text(column, row, f"{mass:.0f}", color="white", fontsize=7.5, ha="center", va="center")
            text.set_path_effects([patheffects.withStroke(linewidth=1.5, foreground=DARK)])
    bar_px = 50.0 / one.truth.pixel_um
    axis.plot([SHOWN_PX - 12 - bar_px, SHOWN_PX - 12], [SHOWN_PX - 12] * 2, color="white", linewidth=3)
    text = axis.text(SHOWN_PX - 12 - bar_px / 2, SHOWN_PX - 17, "50 µm", color="white", ha="center", va="bottom")
    text.set_path_effects([patheffects.withStroke(linewidth=2, foreground=DARK)])
    axis.set(xlim=(-0.5, SHOWN_PX - 0.5), ylim=(SHOWN_PX - 0.5, -0.5), xticks=[], yticks=[])
    axis.set_title("a  simulated cells, 255/mm², and the dry mass that is read of each, pg")
    bar = figure.colorbar(ScalarMappable(scale, mapped), ax=axis, orientation="horizontal", shrink=0.55, aspect=38)
    bar.set_label("dry mass, pg")
    bar.outline.set_visible(False)


def _draw_points(axis, shown: list[Measured], quantity: Quantity, told, letter: str) -> None:  # noqa: ANN001
    """Draw what is measured over what is true, with the identity."""
    true, found, half = (
        np.concatenate(column) for column in zip(*(_pairs(one, quantity) for one in shown), strict=True)
    )
    name, unit = NAMES[quantity]
    low, high = np.percentile(np.concatenate([true, found]), (0.2, 99.8))
    margin = 0.06 * (high - low)
    ends = np.array([low - margin, high + margin])
    width = float(np.median(half[np.isfinite(half)])) if np.isfinite(half).any() else 0.0
    axis.fill_between(ends, ends - width, ends + width, color=LIGHT, alpha=0.45, linewidth=0, label="90 % interval")
    axis.plot(ends, ends, color=DARK, linewidth=0.9)
    axis.scatter(true, found, s=7, color=POINTS, alpha=0.32, linewidths=0, rasterized=True)
    axis.set(xlim=tuple(ends), ylim=tuple(ends), xlabel=f"true, {unit}", ylabel=f"measured, {unit}")
    axis.set_box_aspect(1)
    axis.set_title(f"{letter}  {name}")
    lines = [f"R² {told.r2.value:.3f}", f"slope {told.slope.value:.2f}", f"MAD {told.error_mad.value:.3g} {unit}"]
    axis.text(0.04, 0.96, "\n".join(lines), transform=axis.transAxes, va="top", fontsize=8.5, color=DARK)
    if letter == "b":
        axis.legend(loc="lower right", frameon=False, fontsize=8.5, handlelength=1.2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(length=2.5)


def _pairs(one: Measured, quantity: Quantity) -> tuple[NDArray[np.float64], ...]:
    pairs = pair_cells(one.truth, one.found)
    true, own = pairs.true[pairs.counted], pairs.found[pairs.counted]
    return one.truth.column(quantity)[true], one.found.column(quantity)[own], one.found.half_widths(quantity)[own]


def main() -> int:
    """Draw the figure and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=12, help="of 24")
    parser.add_argument("--weights", type=Path, help="another network than the shipped one")
    parser.add_argument("--plot", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    artefact = model_spec("cells").load() if arguments.weights is None else load_artefact(arguments.weights)
    with open_model(artefact, "onnxruntime", threads=1) as model:
        shown = measured(CellNetwork(model, artefact), arguments.fields)
    draw(shown, arguments.plot)
    figures = score([(one.truth, one.found) for one in shown])
    detection = figures.detection
    sys.stdout.write(
        f"{detection.true} cells of {len(shown)} fields: precision {detection.precision.value:.4f}, recall "
        f"{detection.recall.value:.4f}; "
        + "; ".join(f"{NAMES[q][0]}: R² {figures.quantities[q].r2.value:.3f}" for q in NAMES)
        + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

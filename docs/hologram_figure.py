"""Draw ``docs/hologram.png``: one cell of a field lies at another depth than the others (Jaferzadeh 2019, Fig. 9).

    python docs/hologram_figure.py [--fields 20]

The hologram is simulated, its cells as thin elements, with speckle, dust, a second reflection and 8 bits of noise; what
is shown is measured in it. Prints what the picture says; with ``--fields`` also how it is in so many other fields.
Needs matplotlib (``pip install -e '.[bench]'``).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microscoped.models.hologram import (
    Composite,
    Field,
    FieldMeasurement,
    HologramOptics,
    Reconstructor,
    compose,
    field_distance,
    measure_field,
    propagate,
    unwrapped_phase,
)
from microscoped.simulators.holograms import (
    BodiesParameters,
    Disturbances,
    HologramScene,
    HologramSetup,
    OffAxisOptics,
    PlacedBody,
    draw_body,
    place_bodies,
    thickness_um,
    thin_field,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram import DistanceNetwork
    from microscoped.simulators.holograms import BodyKind

OPTICS = OffAxisOptics()
KNOWN = HologramOptics(OPTICS.wavelength_um, OPTICS.pixel_um, OPTICS.na, OPTICS.medium_index, OPTICS.magnification)
PICTURE = Path(__file__).parent / "hologram.png"


@dataclass(frozen=True, eq=False)
class OddCell:
    """What was measured in a field with one cell at another depth.

    Parameters
    ----------
    found
        All cells.
    odd
        Which of them is the odd one.
    z_um
        Where it truly lies.
    composite
        Each cell in its own plane.
    whole
        The field in the plane that the search of the whole field finds.
    truth
        Phase of the odd cell alone, as a perfect instrument with this aperture sees it in focus; rad.
    inside
        Samples within the odd cell's outline.
    middle
        Where its middle truly is, row and column in samples.
    """

    found: FieldMeasurement
    odd: int
    z_um: float
    composite: Composite
    whole: Field
    truth: NDArray[np.float32]
    inside: NDArray[np.bool_]
    middle: tuple[float, float]

    @property
    def height_rad(self) -> float:
        """Greatest phase of the odd cell."""
        return float(self.truth[self.inside].max())

    def error(self, field: Field) -> float:
        """Return how wrong the odd cell's phase profile is in a field, in parts of its height.

        Root mean square over the cell's outline of the difference to the true optical path as the aperture lets it
        through; nothing is fitted or shifted.
        """
        away = (unwrapped_phase(field) - self.truth)[self.inside]
        return float(np.sqrt(np.mean(np.square(away, dtype=np.float64)))) / self.height_rad


def odd_cell(
    seed: int,
    *,
    kind: BodyKind = "red_cell",
    others_um: tuple[float, float] = (1.5, 3.0),
    odd_um: float = -7.0,
    size_px: int = 512,
    count: int = 10,
    dust: int = 1,
    network: DistanceNetwork | None = None,
) -> OddCell:
    """Simulate a field with an odd cell, record its hologram, and measure that.

    Parameters
    ----------
    seed
        Which field, which cells, which noise.
    kind
        Of the odd cell; the others are red cells.
    others_um, odd_um
        Depths of the others, and of the odd cell.
    size_px
        Side of the hologram in camera pixels.
    count
        Cells.
    dust
        Grains on the optics, whose rings the background hologram does not take away wholly.
    network
        Reads distances; without it they are searched.
    """
    shape = size_px, size_px
    parameters = BodiesParameters(count=count, z_um=others_um, clearance_um=13.0, border_um=9.0)
    bodies = list(place_bodies(parameters, shape, OPTICS, seed))
    middle = 0.5 * size_px * OPTICS.pixel_um
    chosen = min(range(len(bodies)), key=lambda k: np.hypot(bodies[k].x_um - middle, bodies[k].y_um - middle))
    here = bodies[chosen]
    body = draw_body(kind, np.random.default_rng(seed))
    bodies[chosen] = PlacedBody(body, here.x_um, here.y_um, odd_um)
    scene = HologramScene(
        HologramSetup(OPTICS, parameters, seed, shape, disturbances=Disturbances(dust=dust)), bodies=bodies, seed=seed
    )
    frame = scene.expose(0.0, 10.0, shot=1)
    reconstructor = Reconstructor.prepare(frame, KNOWN, background=scene.background(10.0, shot=2))
    recorded = reconstructor(frame)
    found = measure_field(recorded, network=network)
    whole = field_distance(recorded).z_min_contrast
    cells = [one.cell for one in found.cells]
    step, first = recorded.pixel[0], [place * OPTICS.pixel_um for place in recorded.frame_position(0, 0)]
    row, column = (here.y_um - first[0]) / step, (here.x_um - first[1]) / step
    odd = min(range(len(cells)), key=lambda k: np.hypot(cells[k].row - row, cells[k].column - column))
    alone = thin_field([PlacedBody(body, here.x_um, here.y_um, 0.0)], OPTICS, shape)
    truth = np.angle(alone.on_grid(recorded.shape, step, (first[0], first[1])))
    outline = thickness_um(body, recorded.shape, step, (here.y_um - first[0], here.x_um - first[1])) > 0
    return OddCell(
        found,
        odd,
        odd_um,
        compose(recorded, cells, found.cells),
        propagate(recorded, (whole or 0.0) - recorded.z),
        np.asarray(truth, np.float32),
        outline,
        (row, column),
    )


def draw(shown: OddCell, path: Path) -> None:
    """Draw phase at one distance, phase with each cell at its own, depths, and profiles of the odd cell."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    field = shown.composite.field
    step = field.pixel[0]
    extent = (0.0, field.shape[1] * step, field.shape[0] * step, 0.0)
    place = (shown.middle[1] + 0.5) * step, (round(shown.middle[0]) + 0.5) * step
    phases = {"whole": unwrapped_phase(shown.whole), "own": unwrapped_phase(field)}
    figure, axes = pyplot.subplots(2, 2, figsize=(9.6, 8.2), layout="constrained")
    limits = {"vmin": -0.35, "vmax": float(np.percentile(phases["own"], 99.8))}
    titles = {
        "whole": f"a  phase, all at {shown.whole.z:+.2f} µm: the search of the whole field",
        "own": "b  phase, each cell at its own distance",
    }
    for axis, (name, title) in zip(axes[0], titles.items(), strict=True):
        image = axis.imshow(phases[name], extent=extent, cmap="viridis", **limits)
        axis.set_title(title, loc="left", fontsize=10)
        axis.add_patch(pyplot.Circle(place, 6.0, fill=False, color="white", linewidth=1.2))
        axis.plot([place[0] - 6, place[0] + 6], [place[1], place[1]], color="white", linewidth=0.7, linestyle=":")
        _scale_bar(axis, extent)
        figure.colorbar(image, ax=axis, label="phase, rad", shrink=0.9)
    _draw_depths(axes[1, 0], shown, extent, figure)
    _draw_profiles(axes[1, 1], shown, phases)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _scale_bar(axis, extent) -> None:  # noqa: ANN001 - matplotlib has no types
    right, bottom = extent[1] - 3.0, extent[2] - 3.0
    axis.plot([right - 10.0, right], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    axis.text(right - 5.0, bottom - 1.2, "10 µm", color="white", ha="center", va="bottom", fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])


def _draw_depths(axis, shown: OddCell, extent, figure) -> None:  # noqa: ANN001
    """Draw how deep each cell lies, each with its figure."""
    step = shown.composite.field.pixel[0]
    image = axis.imshow(shown.composite.depth, extent=extent, cmap="plasma")
    axis.set_facecolor("0.15")
    axis.set_title("c  distance of each cell, µm", loc="left", fontsize=10)
    for one in shown.found.cells:
        if one.z_min_contrast is not None:
            where = (one.cell.column + 0.5) * step, (one.cell.row + 0.5) * step
            text = axis.text(*where, f"{one.z_min_contrast:+.1f}", color="white", ha="center", va="center", fontsize=8)
            _outline(text)
    _scale_bar(axis, extent)
    figure.colorbar(image, ax=axis, label="distance, µm", shrink=0.9)


def _outline(text) -> None:  # noqa: ANN001
    from matplotlib import patheffects

    text.set_path_effects([patheffects.withStroke(linewidth=1.8, foreground="black")])


def _draw_profiles(axis, shown: OddCell, phases: dict[str, NDArray[np.float32]]) -> None:  # noqa: ANN001
    """Draw the odd cell's phase along a line through its middle, beside the truth."""
    step = shown.composite.field.pixel[1]
    row, middle, reach = round(shown.middle[0]), round(shown.middle[1]), round(6.0 / step)
    columns = slice(middle - reach, middle + reach + 1)
    along = (np.arange(columns.start, columns.stop) - shown.middle[1]) * step
    errors = {"whole": shown.error(shown.whole), "own": shown.error(shown.composite.field)}
    axis.plot(
        along, shown.truth[row, columns], color="0.2", linewidth=3.0, alpha=0.35, label="true, as the aperture sees it"
    )
    axis.plot(
        along, phases["own"][row, columns], color="tab:green", label=f"at its own distance: off by {errors['own']:.1%}"
    )
    axis.plot(
        along, phases["whole"][row, columns], "--", color="tab:red", label=f"whole field: off by {errors['whole']:.0%}"
    )
    axis.set_box_aspect(1)
    axis.set_title("d  the odd cell's phase along the dotted line", loc="left", fontsize=10)
    axis.set_xlabel("µm from its middle")
    axis.set_ylabel("phase, rad")
    axis.set_ylim(top=1.75 * shown.height_rad)
    axis.grid(alpha=0.3)
    axis.legend(loc="upper center", fontsize=9, framealpha=0.9)


def spread(fields: int, dust: int) -> str:
    """Return how wrong the odd cell's profile is in so many random fields, 5 to 10 µm from the others, in words."""
    errors = []
    for seed in range(20, 20 + fields):
        rng = np.random.default_rng(seed)
        low = float(rng.uniform(-4.0, 4.0))
        odd_um = low + float(rng.choice([-1.0, 1.0]) * rng.uniform(5.0, 10.0))
        shown = odd_cell(seed, others_um=(low, low + 1.5), odd_um=odd_um, dust=dust)
        errors.append((shown.error(shown.composite.field), shown.error(shown.whole)))
    own, whole = np.array(errors).T
    return (
        f"{fields} fields, grains of dust {dust}: off by {np.median(own):.1%} (median), {np.percentile(own, 95):.1%} "
        f"(95 %), {own.max():.1%} (most) in the composite; by {np.median(whole):.0%}, at least {whole.min():.0%}, in "
        "the whole field's plane"
    )


def main() -> int:
    """Draw the figure and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=3, help="which field is drawn")
    parser.add_argument("--fields", type=int, default=0, help="how many other fields are measured, too")
    parser.add_argument("--plot", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    shown = odd_cell(arguments.seed)
    one = shown.found.cells[shown.odd]
    found = "not found" if one.z_min_contrast is None else f"found at {one.z_min_contrast:+.2f} µm ({one.method})"
    own, whole = shown.error(shown.composite.field), shown.error(shown.whole)
    lines = [
        f"{len(shown.found.cells)} cells; the odd one lies at {shown.z_um:+.2f} µm and is {found}; the search of the "
        f"whole field says {shown.whole.z:+.2f} µm",
        f"its phase profile, {shown.height_rad:.2f} rad high, is off by {own:.1%} of its height in the composite, by "
        f"{whole:.0%} in the whole field's plane",
    ]
    if arguments.fields > 0:
        lines += [spread(arguments.fields, dust) for dust in (0, 1, 4)]
    sys.stdout.write("\n".join(lines) + "\n")
    draw(shown, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())

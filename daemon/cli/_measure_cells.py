"""``microscoped measure cells``: the cells of stored images, without a microscope."""

from __future__ import annotations

import csv
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail
from microscoped.daemon.cli._measure import AUTO, NONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.daemon.cli._measure_cells_lensfree import LensFreeOptions
    from microscoped.daemon.cli._measure_cells_source import HologramOptions
    from microscoped.models.cells import CellTable
    from microscoped.models.cells.engine import CellReader, MeasuredCells
    from microscoped.models.cells.opd import OpdSource

QUANTITIES = {
    "dry_mass_pg": "dry mass, pg",
    "area_um2": "area, µm²",
    "max_opd_nm": "greatest OPD, nm",
    "length_um": "length, µm",
}


def cells(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Maps of the optical path difference, holograms with --hologram, or colour frames with --lensfree: "
            "TIFF, .npy, PNG.",
            show_default=False,
        ),
    ],
    pixel_size_um: Annotated[
        float | None,
        typer.Option(
            help="Of a pixel in the specimen; or on the camera's chip, and --magnification, which it is divided by.",
            min=1e-3,
            max=1e3,
            show_default="required",
        ),
    ] = None,
    magnification: Annotated[
        float | None,
        typer.Option(help="From specimen to camera.", min=0.1, max=1e4, show_default="1; with --hologram required"),
    ] = None,
    nm_per_count: Annotated[
        float | None,
        typer.Option(help="Of maps of whole numbers: nanometres of a count.", min=1e-9, show_default="required then"),
    ] = None,
    zero: Annotated[
        float | None,
        typer.Option(
            help="Of maps: value (count, or nm) of the medium.", show_default="the most frequent one of each image"
        ),
    ] = None,
    hologram: Annotated[bool, typer.Option("--hologram", help="The images are off-axis holograms.")] = False,
    wavelength_nm: Annotated[
        float | None,
        typer.Option(help="Of the laser, in vacuum.", min=100, max=20_000, show_default="with --hologram required"),
    ] = None,
    na: Annotated[
        float | None,
        typer.Option("--na", help="Aperture of the objective.", min=0.01, max=1.7, show_default="measured"),
    ] = None,
    medium_index: Annotated[
        float | None, typer.Option(help="Refractive index of the medium.", min=1, max=2.5, show_default="1.3345")
    ] = None,
    background: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE",
            help="A hologram of a place without specimen, or a file that a calibration has kept (.npz).",
            show_default="fitted",
        ),
    ] = None,
    side: Annotated[
        Literal["plus", "minus"] | None, typer.Option(help="Sideband that is read.", show_default="plus")
    ] = None,
    distance_um: Annotated[
        float | None,
        typer.Option(
            help="Of holograms: from the recording plane to the cells. Lens-free: from the cells to the sensor.",
            show_default="searched in each; with --lensfree required",
        ),
    ] = None,
    lensfree: Annotated[
        bool,
        typer.Option("--lensfree", help="The images are lens-free, in red, green and blue."),
    ] = False,
    focus_range_um: Annotated[
        float | None,
        typer.Option(help="The distance is looked for within so much of it; 0: it is that.", min=0, show_default="40"),
    ] = None,
    wavelengths_nm: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Of red, green and blue.", min=200, max=1600, show_default="630 530 450"),
    ] = None,
    bandwidths_nm: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Full widths of their spectra at half maximum.", min=0, max=299, show_default="single lines"),
    ] = None,
    shifts_um: Annotated[
        tuple[float, float, float, float, float, float] | None,
        typer.Option(
            help="How far each colour's hologram lies from the specimen: down and across, of red, green and blue.",
            show_default="found in each image",
        ),
    ] = None,
    led_um: Annotated[
        float | None, typer.Option(help="Width of the pinhole before the light.", min=1e-3, show_default="a point")
    ] = None,
    led_distance_um: Annotated[
        float | None, typer.Option(help="From pinhole to specimen.", min=1.0, show_default="with --led-um required")
    ] = None,
    dark_count: Annotated[
        float | None, typer.Option(help="What the lens-free camera counts without light.", min=0, show_default="0")
    ] = None,
    reconstruction: Annotated[
        Literal["fast", "reference"] | None,
        typer.Option(help="20 iterations with an accelerator between, or 153.", show_default="fast"),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Instead.", min=2, max=10_000, show_default="20 or 153")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option(help="A network of lensfree, or none.", show_default="auto: the usual one, if it is there"),
    ] = None,
    unwrapper: Annotated[
        str | None,
        typer.Option(help="What sets wrapped cells right: a network of lensfree, or none.", show_default="auto"),
    ] = None,
    network: Annotated[
        str,
        typer.Option(help="A network of 'microscoped models show cells'; auto: its first; none: a threshold."),
    ] = AUTO,
    least_opd_nm: Annotated[float, typer.Option(help="Flatter cells are left out.", min=0)] = 0.0,
    interval_s: Annotated[
        float | None,
        typer.Option(
            help="The images are frames of one place, so many seconds apart: cells are followed.",
            min=1e-6,
            show_default="not followed",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write picture and tables there.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table of all cells, one a line.")] = False,
) -> None:
    """Measure adherent cells: dry mass, area, greatest optical path difference and length of each.

    Images are maps of the optical path difference: floating-point numbers in nm, or whole numbers with --nm-per-count;
    off-axis holograms, whose phase is read in the plane of the cells; or with --lensfree in-line holograms of three
    colours, from which the map is reconstructed.

    Exit code: 0 if every image was measured, 1 if one could not be, 2 for a wrong option: nothing was measured.
    """
    from microscoped.daemon.cli._measure_cells_lensfree import IterationsTold, LensFreeOptions, OptionError
    from microscoped.daemon.cli._measure_cells_source import FileSource, HologramOptions
    from microscoped.daemon.cli._measure_images import ImageError, folder_names
    from microscoped.models.cells import CellsError
    from microscoped.models.hologram import HologramError
    from microscoped.models.lensfree import LensFreeError
    from microscoped.models.runtimes import ModelError

    if as_json and as_csv:
        fail("--json and --csv: give one of them", WRONG_USE)
    if pixel_size_um is None:
        fail("--pixel-size-um is required: areas and masses need it", WRONG_USE)
    if hologram and lensfree:
        fail("--hologram and --lensfree: the images are one of them", WRONG_USE)
    holograms = HologramOptions(wavelength_nm, na, medium_index, background, side, distance_um)
    frames = LensFreeOptions(
        distance_um,
        focus_range_um,
        wavelengths_nm,
        bandwidths_nm,
        shifts_um,
        led_um,
        led_distance_um,
        dark_count,
        reconstruction,
        iterations,
        accelerator,
        unwrapper,
    )
    kinds = (
        _Kind("maps", "", {"--nm-per-count": nm_per_count, "--zero": zero}),
        _Kind("holograms", "--hologram", _options(holograms)),
        _Kind("lens-free frames", "--lensfree", _options(frames)),
    )
    _refuse_of_other_kinds(kinds, kinds[1 if hologram else 2 if lensfree else 0])
    other = holograms if hologram else frames if lensfree else None
    told = IterationsTold()
    try:
        source = FileSource(pixel_size_um, magnification, nm_per_count, zero, other, told)
    except (OptionError, HologramError, ImageError, LensFreeError) as error:
        fail(str(error), WRONG_USE)
    except ModelError as error:
        fail(f"{error}; --accelerator none and --unwrapper none do without", FAILED)
    run = _Run(source, network, least_opd_nm, interval_s)
    table = csv.writer(sys.stdout) if as_csv else None
    failures = 0
    for number, (path, name) in enumerate(zip(images, folder_names(images), strict=True)):
        try:
            with told if lensfree else nullcontext():
                found, document = run.measure(path, number)
            if save is not None:
                from microscoped.daemon.cli._measure_cells_files import save_cells

                document["files"] = save_cells(found, path.name, save / name, document)
        except (CellsError, HologramError, ImageError, LensFreeError) as error:
            failures += 1
            # A reader's own message begins with the file already.
            detail = str(error) if isinstance(error, ImageError) else f"{path}: {error}"
            _tell_failure(path, error.code, detail, as_json=as_json)
            continue
        except OSError as error:
            fail(f"--save {save}: {error.filename or save} cannot be written: {error.strerror}", FAILED)
        if as_json:
            typer.echo(json.dumps(document, ensure_ascii=False))
        elif table is not None:
            _write_rows(table, path, document["cells"], header=number == failures)
        else:
            _show(found, path, None if save is None else save / name)
    if failures:
        raise typer.Exit(FAILED)


class _Kind(NamedTuple):
    """What images can be, the option that says so, and the options that say something of them alone."""

    name: str
    option: str
    options: Mapping[str, object]


def _options(given: HologramOptions | LensFreeOptions) -> dict[str, object]:
    return {f"--{one.name.replace('_', '-')}": getattr(given, one.name) for one in fields(given)}


def _refuse_of_other_kinds(kinds: Sequence[_Kind], ours: _Kind) -> None:
    """End with an exit code where an option says nothing about images of this kind."""
    for kind in kinds:
        given = [name for name, value in kind.options.items() if value is not None and name not in ours.options]
        if given:
            remedy = f"add {kind.option}" if kind.option and not ours.option else f"leave {ours.option} out"
            fail(f"{', '.join(given)}: only of {kind.name}; take them out, or {remedy}", WRONG_USE)


class _Run:
    """What all images of a call have in common, and the cells that are followed through them."""

    def __init__(self, source: OpdSource, network: str, least_opd_nm: float, interval_s: float | None) -> None:
        from microscoped.models.cells import LinkSettings
        from microscoped.models.cells.engine import CellsEngine, CellsEngineSettings

        self._reader, self._sha256 = _reader(network)
        link = None if interval_s is None else LinkSettings()
        self._engine = CellsEngine(source, self._reader, CellsEngineSettings(least_opd_nm, link))
        self._interval_s = interval_s

    def measure(self, path: Path, number: int) -> tuple[MeasuredCells, dict[str, Any]]:
        """Measure an image; return its cells, and all of it as JSON values."""
        from microscoped.daemon.cli._measure_images import read_image

        frame = read_image(path)
        time_s = None if self._interval_s is None else number * self._interval_s
        began = time.perf_counter()
        found = self._engine.read(frame, time_s=time_s)
        took_s = time.perf_counter() - began
        network = None if self._sha256 is None else {"name": self._reader.name, "sha256": self._sha256}
        rows = [{"cell": k, **row} for k, row in enumerate(found.table.rows(), start=1)]
        if found.opd.scale != (1.0, 1.0):
            for row, place in zip(rows, found.opd.camera_px(found.table).tolist(), strict=True):
                row["camera_row_px"], row["camera_column_px"] = place
        document: dict[str, Any] = {
            "image": str(path),
            "image_shape_px": list(frame.shape[:2]),
            "network": network,
            **found.values(),
            "cells": rows,
        }
        if found.opd.timings_s:
            stages = dict(found.opd.timings_s)
            document["timings_s"] = {**stages, "cells": took_s - sum(stages.values())}
        if found.tracks is not None:
            document["motions"] = [asdict(one) for one in found.motions]
        return found, document


def _reader(name: str) -> tuple[CellReader, str | None]:
    """Open what makes tables, with the hash of its weights; ends with an exit code where it cannot be used."""
    from microscoped.models.cells import CellNetwork, NetworkUnsuitableError
    from microscoped.models.cells.engine import WatershedReader
    from microscoped.models.registry import model_spec
    from microscoped.models.runtimes import REFERENCE, ModelError, open_model

    if name == NONE:
        return WatershedReader(), None
    spec = model_spec("cells")
    if name not in (AUTO, *spec.artefacts):
        fail(f"--network {name}: must be one of {', '.join((AUTO, *spec.artefacts, NONE))}", WRONG_USE)
    try:
        artefact = spec.load(None if name == AUTO else name)
        network = CellNetwork(open_model(artefact, REFERENCE), artefact)
    except (ModelError, NetworkUnsuitableError) as error:
        fail(f"--network {name}: {error}; --network none measures by a threshold instead", FAILED)
    return network, network.sha256


def _tell_failure(path: Path, code: str, detail: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"image": str(path), "error": {"code": code, "detail": detail}}, ensure_ascii=False))
    else:
        typer.echo(detail, err=True)


def _write_rows(table: Any, path: Path, rows: list[dict[str, Any]], *, header: bool) -> None:  # noqa: ANN401 - csv's
    from microscoped.models.cells import COLUMNS

    names = ["cell", *COLUMNS, *(name for name in (rows[0] if rows else ()) if name.startswith("camera_"))]
    if header:
        table.writerow(["image", *names])
    for row in rows:
        table.writerow([path, *("" if row[name] is None else row[name] for name in names)])


def _show(found: MeasuredCells, path: Path, folder: Path | None) -> None:
    """Print what was measured in one image, for people."""
    table = found.table
    values = found.values()
    counted = f"{len(table)} cell{'' if len(table) == 1 else 's'}"
    typer.echo(f"{path}: {counted}, {values['density_per_mm2']:.0f} per mm², {_asides(table)}")
    titles = ("", "median", "5 %", "95 %", "mean", "sd", "cells")
    lines: list[tuple[str, ...]] = [titles]
    for name, title in QUANTITIES.items():
        told: Mapping[str, float] | None = values[name]
        if told is not None:
            figures = [f"{told[key]:.1f}" for key in ("p50", "p05", "p95", "mean", "sd")]
            lines.append((title, *figures, f"{told['count']}"))
    if len(lines) > 1:
        widths = [max(len(line[k]) for line in lines) for k in range(len(titles))]
        for line in lines:
            rest = (word.rjust(width) for word, width in zip(line[1:], widths[1:], strict=True))
            typer.echo("  ".join([line[0].ljust(widths[0]), *rest]).rstrip())
    if found.tracks is not None:
        typer.echo(_followed(found.tracks))
    if folder is not None:
        typer.echo(f"saved in {folder}")


def _asides(table: CellTable) -> str:
    border = int(table.border.sum())
    return f"{int(table.touching.sum())} touching another, {border} at the border (not in the figures below)"


def _followed(tracks: Mapping[str, Any]) -> str:
    told = f"{tracks['linked']} found again, {tracks['new']} new"
    growth, speed = tracks["growth_per_h"], tracks["speed_um_per_h"]
    if growth is not None:
        half = tracks["growth_half_width_per_h"]["p50"]
        told += f"; growth {growth['p50']:+.3f} per hour (median of {growth['count']}, of one cell ±{half:.3f})"
    if speed is not None:
        told += f"; {speed['p50']:.1f} µm per hour"
    return told


__all__ = ["cells"]

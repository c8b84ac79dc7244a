"""``microscoped measure``: what stored images say, without a microscope."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.daemon.cli._measure_instrument import Instrument, Measured
    from microscoped.models.hologram import DistanceNetwork, HologramOptics

Method = Literal["network_refined", "network", "search", "planes"]
AUTO, NONE = "auto", "none"
REASONS = {
    "empty": "there is nothing: neither phase nor amplitude differ from the background",
    "flat": "the contrast has no clear minimum",
    "edge": "it lies beyond the range that was searched",
    "unsure": "the network is not sure",
}

measure = typer.Typer(no_args_is_help=True, help="Measure stored images; no microscope is needed.")


@measure.callback()
def _measure() -> None:
    """Measure stored images; no microscope is needed."""


@measure.command()
def hologram(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Off-axis holograms of one microscope.", show_default=False)
    ],
    wavelength_nm: Annotated[
        float | None,
        typer.Option(help="Of the laser, in vacuum.", min=100, max=20_000, show_default="unknown"),
    ] = None,
    pixel_size_um: Annotated[
        float | None,
        typer.Option(
            help="Of a pixel on the camera's chip, times the binning; divided by --magnification. Where its size in "
            "the specimen is known instead: that, and --magnification 1.",
            min=1e-3,
            max=1e3,
            show_default="unknown",
        ),
    ] = None,
    magnification: Annotated[
        float | None, typer.Option(help="From specimen to camera.", min=0.1, max=1e4, show_default="unknown")
    ] = None,
    na: Annotated[
        float | None,
        typer.Option("--na", help="Aperture of the objective.", min=0.01, max=1.7, show_default="measured"),
    ] = None,
    medium_index: Annotated[
        float, typer.Option(help="Refractive index of the medium round the specimen.", min=1, max=2.5)
    ] = 1.3345,
    background: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE",
            help="A hologram of a place without specimen, or a file that a calibration has kept (.npz).",
            show_default="fitted",
        ),
    ] = None,
    side: Annotated[
        Literal["plus", "minus"], typer.Option(help="Sideband that is read; cells with negative phase need the other.")
    ] = "plus",
    cell_diameter_um: Annotated[
        float | None, typer.Option(help="Of typical cells.", min=0.1, max=1e3, show_default="9 λ/NA")
    ] = None,
    range_um: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Distances that are searched.", show_default="±12.5 depths of field"),
    ] = None,
    refractive_increment: Annotated[
        float, typer.Option(help="Of the specimen, in µm³/pg, for the dry mass.", min=0.01, max=1)
    ] = 0.18,
    method: Annotated[Method, typer.Option(help="How distances are found.")] = "network_refined",
    network: Annotated[
        str, typer.Option(help="A network of 'microscoped models show hologram'; auto: its first; none: search.")
    ] = AUTO,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write images, picture, tables there.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")] = False,
) -> None:
    """Measure off-axis holograms: the distance of each cell, its phase in focus, and how deep the cells lie.

    Distances are counted in the specimen from the recording plane, positive downstream, in the direction of the light.
    Without wavelength, pixel size or magnification the scale is unknown: lengths are then camera pixels, and distances
    are in units of n·px²/λ.

    Exit code: 0 if every image was measured, 1 if one could not be, 2 for a wrong option: nothing was measured.
    """
    from microscoped.daemon.cli._measure_images import ImageError, folder_names
    from microscoped.daemon.cli._measure_instrument import Instrument
    from microscoped.models.hologram import (
        CellSettings,
        DistanceMethod,
        DistanceRange,
        DistanceSettings,
        HologramError,
        HologramOptics,
        MeasureSettings,
        ReconstructionSettings,
        Side,
    )

    given = {
        "--wavelength-nm": wavelength_nm,
        "--pixel-size-um": pixel_size_um,
        "--magnification": magnification,
        "--na": na,
    }
    missing = [option for option in list(given)[:3] if given[option] is None]
    for option, value in (("--cell-diameter-um", cell_diameter_um), ("--range-um", range_um)):
        if value is not None and missing:
            fail(f"{option}: the scale is unknown without {', '.join(missing)}; give that, too", WRONG_USE)
    try:
        optics = HologramOptics.from_camera(
            camera_pixel_um=pixel_size_um,
            magnification=magnification,
            wavelength_um=None if wavelength_nm is None else wavelength_nm / 1000.0,
            na=na,
            medium_index=medium_index,
        )
        settings = MeasureSettings(
            method=DistanceMethod(method),
            within=None if range_um is None else DistanceRange(*range_um),
            distance=DistanceSettings(cells=CellSettings(diameter=cell_diameter_um)),
            refractive_increment=refractive_increment,
        )
        empty = None if background is None else _background(background)
    except HologramError as error:
        fail(str(error), WRONG_USE)
    except ImageError as error:
        fail(f"--background {error}", WRONG_USE)
    reader = None if method in ("search", "planes") else _network(network)
    instrument = Instrument(
        optics,
        ", ".join(f"{option} {value:g}" for option, value in given.items() if value is not None),
        empty,
        reader,
        ReconstructionSettings(side=Side.PLUS if side == "plus" else Side.MINUS),
        settings,
    )
    known: dict[str, Any] = {"network": None if reader is None else {"name": reader.name, "sha256": reader.sha256}}
    known["optics"] = _known(optics)
    failures = 0
    shown = False
    for path, name in zip(images, folder_names(images), strict=True):
        try:
            measured, document = _measured(instrument, path, known)
            if save is not None:
                from microscoped.daemon.cli._measure_files import save_measured

                document["files"] = save_measured(measured, path.name, save / name, document)
        except (HologramError, ImageError) as error:
            failures += 1
            # A reader's own message begins with the file already.
            detail = str(error) if isinstance(error, ImageError) else f"{path}: {error}"
            _tell_failure(path, error.code, detail, as_json=as_json)
            continue
        except OSError as error:
            fail(f"--save {save}: {error.filename or save} cannot be written: {error.strerror}", FAILED)
        if as_json:
            typer.echo(json.dumps(document, ensure_ascii=False))
        else:
            _show(measured, path, missing, None if save is None else save / name)
            shown = True
    if shown:
        typer.echo("distances: in the specimen (object side), from the recording plane, positive downstream")
    if failures:
        raise typer.Exit(FAILED)


def _measured(instrument: Instrument, path: Path, known: Mapping[str, Any]) -> tuple[Measured, dict[str, Any]]:
    from microscoped.daemon.cli._measure_images import read_image

    frame = read_image(path)
    measured = instrument.measure(frame)
    document = {"image": str(path), "shape_px": list(frame.shape[:2]), **known, **measured.values()}
    return measured, document


def _background(path: Path) -> NDArray[Any]:
    """Return a background hologram of an image, or of a file that ``microscoped calibrate hologram`` has kept."""
    from microscoped.daemon.cli._measure_images import read_image
    from microscoped.models.hologram.stored import read_background

    return read_background(path).frame if path.suffix == ".npz" else read_image(path)


def _known(optics: HologramOptics) -> dict[str, float]:
    """Return what is known of the optics, with units in the names; a pixel size only where it tells a length."""
    values = {
        "wavelength_nm": None if optics.wavelength_um is None else 1000.0 * optics.wavelength_um,
        "pixel_size_um": optics.pixel_size_um if optics.scale_known else None,
        "magnification": optics.magnification,
        "na": optics.na,
        "medium_index": optics.medium_index,
    }
    return {name: value for name, value in values.items() if value is not None}


def _network(name: str) -> DistanceNetwork | None:
    """Open a network, ``None`` without one; ends with an exit code where the one that was named cannot be used."""
    from microscoped.models.hologram import DistanceNetwork, NetworkUnsuitableError
    from microscoped.models.registry import model_spec
    from microscoped.models.runtimes import REFERENCE, ModelError, open_model

    if name == NONE:
        return None
    spec = model_spec("hologram")
    if name not in (AUTO, *spec.artefacts):
        fail(f"--network {name}: must be one of {', '.join((AUTO, *spec.artefacts, NONE))}", WRONG_USE)
    try:
        artefact = spec.load(None if name == AUTO else name)
        return DistanceNetwork(open_model(artefact, REFERENCE), artefact)
    except (ModelError, NetworkUnsuitableError) as error:
        if name != AUTO:
            fail(f"--network {name}: {error}; --network none searches instead", FAILED)
        typer.echo(f"warning: no network, all cells are searched: {error}", err=True)
        return None


def _tell_failure(path: Path, code: str, detail: str, *, as_json: bool) -> None:
    if as_json:
        document = {"image": str(path), "error": {"code": code, "detail": detail}}
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        typer.echo(detail, err=True)


def _show(measured: Measured, path: Path, missing: Sequence[str], folder: Path | None) -> None:
    """Print what was measured in one image, for people."""
    found = measured.found
    known = found.field.optics.scale_known
    unit = "µm" if known else "n·px²/λ"
    cells = f"{len(found.cells)} cell{'' if len(found.cells) == 1 else 's'}"
    if found.z_min_contrast is None:
        reason = REASONS[found.reason.value] if found.reason else "unknown"
        told = f"no distance: {reason}"
    else:
        told = f"{_number(found.z_min_contrast, signed=True)} ± {_number(found.half_width)} {unit} (least contrast)"
        if found.z is not None:
            told = f"{_number(found.z, signed=True)} {unit} (middle), {told}"
    typer.echo(f"{path}: {cells}, {told}")
    if missing:
        typer.echo(f"scale unknown: {', '.join(missing)} not given; distances in n·px²/λ, lengths in camera pixels")
    if found.spread is not None:
        typer.echo(
            f"depths spread by {_number(found.spread)} {unit}; the depth of field is {found.field.dof:.3g} {unit}"
        )
    _print_cells(measured, unit, known=known)
    for warning in measured.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if folder is not None:
        typer.echo(f"saved in {folder}")


def _print_cells(measured: Measured, unit: str, *, known: bool) -> None:
    length = "µm" if known else "px"
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("x px", lambda cell: f"{cell['column_px']:.0f}"),
        ("y px", lambda cell: f"{cell['row_px']:.0f}"),
        (f"middle {unit}", lambda cell: _number(_of(cell, "z"), signed=True)),
        (f"least contrast {unit}", lambda cell: _number(_of(cell, "z_min_contrast"), signed=True)),
        (f"± {unit}", lambda cell: _number(_of(cell, "half_width"))),
        (f"depth {unit}", lambda cell: _number(_of(cell, "depth"), signed=True)),
        ("phase rad", lambda cell: _number(cell.get("peak_phase_rad"))),
        ("OPD nm", lambda cell: _number(cell.get("peak_opd_nm"), 0)),
        (f"area {length}²", lambda cell: _number(_of(cell, "area"), 1)),
        ("dry mass pg", lambda cell: _number(cell.get("dry_mass_pg"), 1)),
        ("found by", lambda cell: cell["method"] if not cell["reason"] else f"none: {cell['reason']}"),
        ("", lambda cell: "at the border" if cell["border"] else ""),
    ]
    values = measured.found.values()["cells"]
    if not values:
        return
    rows = [[str(number), *(show(cell) for _, show in columns)] for number, cell in enumerate(values, start=1)]
    titles = ["cell", *(title for title, _ in columns)]
    used = [k for k in range(len(titles)) if any(row[k] not in ("", "-") for row in rows)]
    widths = [max(len(line[k]) for line in (titles, *rows)) for k in used]
    for line in (titles, *rows):
        typer.echo("  ".join(line[k].rjust(width) for k, width in zip(used, widths, strict=True)).rstrip())


def _of(cell: Mapping[str, Any], name: str) -> float | None:
    """Return a cell's value of whatever unit its name ends in."""
    units = ("_um", "_px2_per_wavelength", "_um2", "_px2")
    values: list[float] = [cell[name + unit] for unit in units if cell.get(name + unit) is not None]
    return values[0] if values else None


def _number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if signed else ''}.{digits}f}"


__all__ = ["measure"]

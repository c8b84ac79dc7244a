"""``microscoped measure hologram``: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.cli._measure_images import ImageError, read_image
from microscoped.models import registry
from microscoped.models.hologram import HologramOptics
from microscoped.models.hologram.stored import StoredBackground, write_background
from microscoped.simulators.holograms import (
    BodiesParameters,
    Disturbances,
    HologramScene,
    HologramSetup,
    OffAxisOptics,
    Reference,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result
    from numpy.typing import NDArray

    from tests.daemon.cli.conftest import Cli

    Make = Callable[["Holograms"], NDArray[Any]]

OPTICS = OffAxisOptics()
SCALE = ("--wavelength-nm", "666", "--pixel-size-um", "5.86", "--magnification", "40", "--na", "0.75")
SEARCH = ("--network", "none")
MICROMETRE = re.compile(r"µm|\bum\b|_um\b|_um2\b|micromet", re.IGNORECASE)
Z_UM = (2.0, 4.0)


@dataclass(frozen=True)
class Holograms:
    """Frames of one simulated microscope."""

    scene: HologramScene
    frame: NDArray[Any]
    background: NDArray[Any]


@pytest.fixture(scope="module")
def holograms() -> Holograms:
    bodies = BodiesParameters(count=5, z_um=Z_UM, clearance_um=14.0, border_um=10.0)
    scene = HologramScene(HologramSetup(OPTICS, bodies, seed=5, shape_px=(448, 448), disturbances=Disturbances(dust=0)))
    return Holograms(scene, scene.expose(0.0, 10.0, 1), scene.background(10.0, 2))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["measure", "hologram", *map(str, words)])


def written(path: Path, pixels: NDArray[Any]) -> Path:
    """Write an image of the kind that the name's ending says."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 and pixels.shape[2] == 3 else "minisblack")
    else:
        Image.fromarray(pixels).save(path)
    return path


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def middle_um(cells: list[dict[str, Any]]) -> float:
    return float(np.median([cell["z_min_contrast_um"] for cell in cells if cell["z_min_contrast_um"] is not None]))


def test_cells_are_measured_as_they_are(run: Callable[..., Result], holograms: Holograms, tmp_path: Path) -> None:
    image = written(tmp_path / "cells.tif", holograms.frame)
    empty = written(tmp_path / "empty.tif", holograms.background)
    result = run(image, *SCALE, *SEARCH, "--background", empty, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = documents(result)
    assert (found["image"], found["shape_px"], found["scale_known"]) == (str(image), [448, 448], True)
    assert found["side"] == "object"
    assert found["warnings"] == []
    assert (found["background"]["kind"], found["background"]["stale"]) == ("hologram", False)
    truths = holograms.scene.truths()
    assert found["count"] == len(found["cells"]) == len(truths)
    for truth in truths:
        place = np.array([truth.y_um, truth.x_um]) / OPTICS.pixel_um
        cell = min(found["cells"], key=lambda one, at=place: float(np.hypot(*(at - (one["row_px"], one["column_px"])))))
        assert np.hypot(*(place - (cell["row_px"], cell["column_px"]))) < 20
        assert cell["z_min_contrast_um"] == pytest.approx(truth.z_um, abs=0.2)
        assert cell["dry_mass_pg"] == pytest.approx(truth.opd_um3 / 0.18, rel=0.12)


FORMS: list[tuple[str, str, Callable[[NDArray[Any]], NDArray[Any]]]] = [
    ("PNG of 8 bits", "a.png", lambda frame: frame),
    ("TIFF of 8 bits", "a.tif", lambda frame: frame),
    ("TIFF of 16 bits", "a.tif", lambda frame: frame.astype(np.uint16) * 16),
    ("PNG of 16 bits", "a.png", lambda frame: frame.astype(np.uint16) * 16),
    ("floats", "a.tif", lambda frame: frame.astype(np.float32) / 255.0),
    ("grey in colour", "a.png", lambda frame: np.stack([frame] * 3, axis=-1)),
    ("grey in colour, TIFF", "a.tif", lambda frame: np.stack([frame] * 3, axis=-1)),
    ("grey in colour with opacity", "a.png", lambda frame: np.stack([frame] * 3 + [frame * 0 + 255], axis=-1)),
    ("not square", "a.tif", lambda frame: frame[:, 40:]),
    ("odd size", "a.tif", lambda frame: frame[:-1, :-3]),
]


@pytest.mark.parametrize(("name", "form"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_an_image_of_any_form_gives_the_same_distance(
    run: Callable[..., Result],
    holograms: Holograms,
    tmp_path: Path,
    name: str,
    form: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    result = run(written(tmp_path / name, form(holograms.frame)), *SCALE, *SEARCH, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = documents(result)
    assert found["background"]["kind"] == "fitted"
    truth = np.median([truth.z_um for truth in holograms.scene.truths()])
    assert middle_um(found["cells"]) == pytest.approx(truth, abs=0.4)
    assert found["z_min_contrast_um"] == pytest.approx(truth, abs=0.4)


def in_line(given: Holograms) -> NDArray[Any]:
    light = np.abs(given.scene.object_field().on_camera((448, 448))) ** 2
    return np.clip(light * 100, 0, 255).astype(np.uint8)


def plain_noise(given: Holograms) -> NDArray[Any]:
    return np.random.default_rng(1).integers(60, 200, given.frame.shape).astype(np.uint8)


def tilted(given: Holograms) -> NDArray[Any]:
    """Return a frame whose carrier lies so far out that half of the band is beyond what the pixels resolve."""
    far = replace(given.scene.setup, reference=Reference(carrier_per_um=(2.95, 2.95)))
    return HologramScene(far).expose(0.0, 10.0, 1)


def coloured(given: Holograms) -> NDArray[Any]:
    return np.stack([given.frame, given.frame // 2, given.frame // 4], axis=-1)


BAD: list[tuple[str, Make, tuple[str, ...], str, tuple[str, ...]]] = [
    ("no sideband", plain_noise, SCALE, "hologram.no_sideband", ("no carrier", "reference beam is open")),
    ("in-line", in_line, SCALE, "hologram.no_sideband", ("no off-axis hologram", "tilted")),
    ("constant", lambda given: given.frame * 0 + 90, SCALE, "hologram.constant", ("all pixels are 90", "shutter")),
    (
        "saturated",
        lambda given: np.clip(given.frame.astype(int) * 4, 0, 255).astype(np.uint8),
        SCALE,
        "hologram.saturated",
        ("greatest value, 255", "shorten exposure_ms"),
    ),
    (
        "saturated, 12 of 16 bits",
        lambda given: np.clip(given.frame.astype(int) * 64, 0, 4095).astype(np.uint16),
        SCALE,
        "hologram.saturated",
        ("greatest value, 4095",),
    ),
    (
        "wavelength too short",
        lambda given: given.frame,
        ("--wavelength-nm", "200", *SCALE[2:]),
        "hologram.sideband_overlap",
        ("over the zero order", "check the three values", "--wavelength-nm 200, --pixel-size-um 5.86"),
    ),
    (
        "pixel too large: the sideband lies beyond the aperture",
        lambda given: given.frame,
        (*SCALE[:2], "--pixel-size-um", "11.72", *SCALE[4:]),
        "hologram.sideband_outside",
        ("beyond the 0.5 that the pixels resolve", "check the three values", "--pixel-size-um 11.72"),
    ),
    (
        "magnification far too great",
        lambda given: given.frame,
        (*SCALE[:4], "--magnification", "4000", *SCALE[6:]),
        "hologram.optics",
        ("bins of the frame's spectrum", "--magnification 4000"),
    ),
    ("carrier beyond Nyquist", tilted, SCALE, "hologram.sideband_outside", ("tilt the reference less",)),
    ("colours", coloured, SCALE, "hologram.frame_shape", ("colour channels differ", "monochrome camera")),
    ("tiny", lambda given: given.frame[:50, :50], SCALE, "hologram.frame_shape", ("(50, 50)", "at least 64 pixels")),
    (
        "two planes",
        lambda given: np.stack([given.frame, given.frame]),
        SCALE,
        "image.unreadable",
        ("holds 2 images", "save the one"),
    ),
    (
        "a background of another shape",
        lambda given: given.frame[:, 20:],
        (*SCALE, "--background", "empty.tif"),
        "hologram.background",
        ("(448, 428)", "(448, 448)", "same camera region"),
    ),
]


@pytest.mark.parametrize(("make", "options", "code", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_image_is_refused_in_one_line_and_the_good_one_beside_it_measured(
    run: Callable[..., Result],
    holograms: Holograms,
    tmp_path: Path,
    make: Make,
    options: tuple[str, ...],
    code: str,
    said: tuple[str, ...],
) -> None:
    written(tmp_path / "empty.tif", holograms.background)
    written(tmp_path / "bad.tif", make(holograms))
    result = run("bad.tif", *options, *SEARCH)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bad.tif: ")
    assert result.stderr.count("\n") == 1
    for words in said:
        assert words in result.stderr
    written(tmp_path / "good.tif", holograms.frame)
    both = run("bad.tif", "good.tif", *SCALE, *options[8:], *SEARCH, "--json")
    assert both.stderr == ""
    first, second = documents(both)
    assert second["image"] == "good.tif"
    assert second["count"] == 5
    # Options that are wrong for one image are wrong for all: there, only the right ones are tried for both.
    if options[:8] == SCALE:
        assert both.exit_code == 1
        assert (first["image"], first["error"]["code"]) == ("bad.tif", code)


def text_file(path: Path) -> None:
    path.write_text("not an image", encoding="utf-8")


def cut_png(path: Path) -> None:
    whole = path.with_suffix(".whole.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)).save(whole)
    path.write_bytes(whole.read_bytes()[:9000])


def cut_tiff(path: Path) -> None:
    whole = path.with_suffix(".whole.tif")
    tifffile.imwrite(whole, np.zeros((200, 200), np.uint8) + 7)
    path.write_bytes(whole.read_bytes()[:5000])


UNREADABLE: list[tuple[str, Callable[[Path], object], str]] = [
    ("text", text_file, "is no image that can be read here; save it as TIFF or PNG"),
    ("nothing in it", lambda path: path.write_bytes(b""), "is no image"),
    ("cut PNG", cut_png, "cut short or damaged"),
    ("cut TIFF", cut_tiff, "cut short or damaged"),
    ("TIFF's beginning alone", lambda path: path.write_bytes(b"II*\0"), "cut short or damaged"),
    ("folder", lambda path: path.mkdir(), "cannot be read"),
    ("missing", lambda path: None, "cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("make", "said"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_a_file_that_is_no_image_is_named(
    run: Callable[..., Result], tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "file.png"
    make(path)
    result = run(path, *SEARCH)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{path}: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    with pytest.raises(ImageError):
        read_image(path)
    as_background = run("any.tif", "--background", path, *SEARCH)
    assert as_background.exit_code == 2
    assert f"--background {path}: " in as_background.stderr


WRONG: list[tuple[str, tuple[str, ...], str]] = [
    ("wavelength in µm", ("--wavelength-nm", "0.666"), "--wavelength-nm"),
    ("aperture above the medium's index", ("--na", "1.4"), "must be below medium_index 1.3345"),
    ("empty range", (*SCALE, "--range-um", "5", "-5"), "low 5.0, high -5.0"),
    ("range without scale", ("--range-um", "-5", "5"), "--wavelength-nm, --pixel-size-um, --magnification"),
    ("diameter without scale", (*SCALE[:4], "--cell-diameter-um", "8"), "unknown without --magnification"),
    ("no such network", ("--network", "hologram_of_mine"), "must be one of auto, hologram_both"),
    ("no such side", ("--side", "left"), "--side"),
    ("no such method", ("--method", "guess"), "--method"),
]


@pytest.mark.parametrize(("options", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_option_is_refused_before_anything_is_measured(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = run(written(tmp_path / "a.tif", holograms.frame), *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    "options",
    [(), SCALE[:4], SCALE[2:6], (*SCALE[:2], *SCALE[4:6])],
    ids=["nothing", "no magnification", "no wavelength", "no pixel size"],
)
def test_without_scale_there_is_no_micrometre_anywhere(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path, options: tuple[str, ...]
) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    result = run(image, *options, *SEARCH, "--save", "kept")
    assert result.exit_code == 0
    assert "scale unknown: --" in result.stdout
    assert "n·px²/λ" in result.stdout
    told = result.stdout.replace("--pixel-size-um", "")
    assert not MICROMETRE.search(told), told
    (document,) = documents(run(image, *options, *SEARCH, "--json"))
    assert document["scale_known"] is False
    assert not MICROMETRE.search(json.dumps(document, ensure_ascii=False))
    files = list((tmp_path / "kept" / "a").iterdir())
    assert not [path.name for path in files if MICROMETRE.search(path.name)]
    for path in files:
        if path.suffix in (".csv", ".json"):
            assert not MICROMETRE.search(path.read_text(encoding="utf-8"))
    assert (tmp_path / "kept" / "a" / "opd_nm.tif").exists() is ("--wavelength-nm" in options)
    # λz/(n·px²) of 3 µm; the band's radius is measured, and the kernel is paraxial.
    expected = np.median([truth.z_um for truth in holograms.scene.truths()])
    expected *= OPTICS.wavelength_um / (OPTICS.medium_index * OPTICS.pixel_um**2)
    assert document["z_min_contrast_px2_per_wavelength"] == pytest.approx(expected, rel=0.3)


def test_what_is_saved_can_be_opened_and_agrees(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path
) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    (tmp_path / "other").mkdir()
    same_name = written(tmp_path / "other" / "a.png", holograms.frame)
    result = run(image, same_name, *SCALE, *SEARCH, "--save", "kept", "--json")
    assert result.exit_code == 0
    first, second = documents(result)
    assert Path(first["files"]["overview"]) == Path("kept/a/overview.png")
    assert Path(second["files"]["overview"]) == Path("kept/a-2/overview.png")
    folder = tmp_path / "kept" / "a"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cells.csv",
        "depth_um.tif",
        "measurement.json",
        "opd_nm.tif",
        "overview.png",
        "phase_rad.tif",
    ]
    assert json.loads((folder / "measurement.json").read_text(encoding="utf-8")) == first
    images = {name: tifffile.imread(folder / f"{name}.tif") for name in ("phase_rad", "opd_nm", "depth_um")}
    assert {values.dtype for values in images.values()} == {np.dtype(np.float32)}
    assert np.allclose(images["opd_nm"], images["phase_rad"] * 666.0 / (2 * np.pi), rtol=1e-4)
    with tifffile.TiffFile(folder / "phase_rad.tif") as file:
        page = file.pages.first
        across = page.tags["XResolution"].value
        assert file.is_imagej
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "um"
    step = across[1] / across[0]
    assert step * images["phase_rad"].shape[1] == pytest.approx(448 * OPTICS.pixel_um, rel=1e-3)
    with (folder / "cells.csv").open(encoding="utf-8", newline="") as file_of_cells:
        rows = list(csv.DictReader(file_of_cells))
    assert [float(row["z_min_contrast_um"]) for row in rows] == [cell["z_min_contrast_um"] for cell in first["cells"]]
    for row in rows:
        at = (
            round(float(row["row_px"]) * OPTICS.pixel_um / step),
            round(float(row["column_px"]) * OPTICS.pixel_um / step),
        )
        assert images["depth_um"][at] == pytest.approx(float(row["z_min_contrast_um"]), abs=1e-4)
        assert images["phase_rad"][at[0] - 6 : at[0] + 7, at[1] - 6 : at[1] + 7].max() > 0.8
    with Image.open(folder / "overview.png") as picture:
        assert picture.mode == "RGB"
        assert min(picture.size) > 900
        colours = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
    assert len(colours) > 500


def test_an_empty_field_has_no_distance_and_that_is_no_failure(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path
) -> None:
    image = written(tmp_path / "a.tif", holograms.scene.background(10.0, 7))
    empty = written(tmp_path / "empty.tif", holograms.background)
    result = run(image, *SCALE, *SEARCH, "--background", empty, "--save", "kept")
    assert result.exit_code == 0
    assert "0 cells, no distance: there is nothing" in result.stdout
    assert (tmp_path / "kept" / "a" / "overview.png").exists()
    assert (tmp_path / "kept" / "a" / "cells.csv").read_text(encoding="utf-8").strip() == "cell"


def test_a_specimen_beyond_the_range_is_told(run: Callable[..., Result], holograms: Holograms, tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    (document,) = documents(run(image, *SCALE, *SEARCH, "--range-um", "-12", "-4", "--json"))
    assert document["z_min_contrast_um"] is None
    assert document["reason"] in ("edge", "flat")


def test_the_wrong_sideband_is_suspected(run: Callable[..., Result], holograms: Holograms, tmp_path: Path) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    result = run(image, *SCALE, *SEARCH, "--side", "minus")
    assert result.exit_code == 0
    assert "--side plus" in result.stderr
    assert "--side" not in run(image, *SCALE, *SEARCH).stderr


def test_a_stale_background_is_told(run: Callable[..., Result], holograms: Holograms, tmp_path: Path) -> None:
    # One and a half bins of the frame's spectrum.
    carrier = 2.2371 + 1.5 / (448 * OPTICS.pixel_um), 2.2157
    moved = replace(holograms.scene.setup, reference=Reference(carrier_per_um=carrier))
    image = written(tmp_path / "a.tif", HologramScene(moved).expose(0.0, 10.0, 1))
    empty = written(tmp_path / "empty.tif", holograms.background)
    result = run(image, *SCALE, *SEARCH, "--background", empty, "--json")
    (document,) = documents(result)
    assert document["background"]["stale"] is True
    assert document["background"]["carrier_moved_px"] == pytest.approx(1.5, abs=0.2)
    assert any("take it again" in warning for warning in document["warnings"])


def test_a_background_that_a_calibration_has_kept_is_taken(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path
) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    kept = StoredBackground(holograms.background, "2026-01-01T00:00:00+00:00", HologramOptics())
    write_background(kept, tmp_path / "kept.npz")
    (document,) = documents(run(image, *SCALE, *SEARCH, "--background", "kept.npz", "--json"))
    assert document["background"]["kind"] == "hologram"
    assert document["background"]["residual_rad"] < 0.1
    (tmp_path / "torn.npz").write_bytes((tmp_path / "kept.npz").read_bytes()[:2000])
    refused = run(image, *SCALE, *SEARCH, "--background", "torn.npz")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "torn.npz" in refused.stderr


@pytest.mark.parametrize("method", ["search", "planes"])
def test_the_method_is_said(run: Callable[..., Result], holograms: Holograms, tmp_path: Path, method: str) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    (document,) = documents(run(image, *SCALE, "--method", method, "--json"))
    assert document["network"] is None
    assert {cell["method"] for cell in document["cells"]} == {method}


def test_the_shipped_network_reads_and_is_named(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path
) -> None:
    image = written(tmp_path / "a.tif", holograms.frame)
    empty = written(tmp_path / "empty.tif", holograms.background)
    (document,) = documents(run(image, *SCALE, "--background", empty, "--json"))
    assert document["network"]["name"] == "hologram_both"
    assert "network_refined" in {cell["method"] for cell in document["cells"]}
    for cell in document["cells"]:
        if cell["method"] == "network_refined":
            assert cell["z_um"] == pytest.approx(cell["z_min_contrast_um"], abs=0.3)


def test_without_weights_cells_are_searched_unless_a_network_was_named(
    run: Callable[..., Result], holograms: Holograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    image = written(tmp_path / "a.tif", holograms.frame)
    searched = run(image, *SCALE, "--json")
    assert searched.exit_code == 0
    assert searched.stderr.startswith("warning: no network, all cells are searched: ")
    assert {cell["method"] for cell in documents(searched)[0]["cells"]} == {"search"}
    refused = run(image, *SCALE, "--network", "hologram_beads")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "hologram_beads.onnx" in refused.stderr
    assert "--network none" in refused.stderr


def test_it_works_as_a_user_starts_it(cli: Cli, holograms: Holograms, tmp_path: Path) -> None:
    written(tmp_path / "a.tif", holograms.frame)
    done = cli("measure", "hologram", "a.tif", *SCALE, *SEARCH)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a.tif: 5 cells, +")
    assert "least contrast µm" in done.stdout
    assert "object side" in done.stdout.splitlines()[-1]
    for words in (("measure", "--help"), ("measure", "hologram", "--help")):
        assert cli(*words).returncode == 0

"""``microscoped measure cells``: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.models.cells import COLUMNS, from_arrow
from microscoped.models.registry import model_spec
from microscoped.simulators.cells import CellLibrary, OpdScene, OpdSetup, PopulationParameters
from microscoped.simulators.cells._field import CellField
from microscoped.simulators.holograms import (
    BodiesParameters,
    Disturbances,
    HologramScene,
    HologramSetup,
    OffAxisOptics,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from numpy.typing import NDArray

PIXEL = ("--pixel-size-um", "1.67")
PLAIN = ("--network", "none")
COUNTS = ("--nm-per-count", "0.1")
NETWORK = model_spec("cells").artefact_path().exists()


@pytest.fixture(scope="module")
def field() -> CellField:
    few = PopulationParameters.matched(183)
    return CellField(few, (200, 231), seed=6, source=CellLibrary(few, count=8, seed=2))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["measure", "cells", *map(str, words)])


def written(path: Path, pixels: NDArray[Any]) -> Path:
    """Write an image of the kind that the name's ending says."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    elif path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(pixels).save(path)
    return path


def documents(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


FORMS: list[tuple[str, str, tuple[str, ...], Callable[[NDArray[np.float32]], NDArray[Any]]]] = [
    ("nanometres, TIFF", "a.tif", (), lambda opd: opd),
    ("nanometres of double precision", "a.npy", (), lambda opd: opd.astype(np.float64)),
    ("nanometres on an offset", "a.npy", (), lambda opd: opd + 37.0),
    ("nanometres on a known offset", "a.npy", ("--zero", "37"), lambda opd: opd + 37.0),
    ("counts, TIFF", "a.tif", COUNTS, lambda opd: (10 * opd + 500).round().astype(np.uint16)),
    ("counts, big-endian", "a.npy", (*COUNTS, "--zero", "500"), lambda opd: (10 * opd + 500).round().astype(">u2")),
    (
        "counts of 8 bits, PNG",
        "a.png",
        ("--nm-per-count", "0.7"),
        lambda opd: (opd / 0.7 + 20).round().astype(np.uint8),
    ),
    ("in colour, but grey", "a.npy", (), lambda opd: np.stack([opd] * 3, axis=-1)),
]


@pytest.mark.parametrize(("name", "words", "form"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_an_image_of_any_form_gives_the_same_cells(
    run: Callable[..., Result],
    field: CellField,
    tmp_path: Path,
    name: str,
    words: tuple[str, ...],
    form: Callable[[NDArray[np.float32]], NDArray[Any]],
) -> None:
    result = run(written(tmp_path / name, form(field.opd_nm)), *PIXEL, *PLAIN, *words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = documents(result)
    assert (found["image"], found["image_shape_px"], found["network"]) == (str(tmp_path / name), [200, 231], None)
    alone = [truth for truth in field.truths if not (truth.touching or truth.border)]
    assert len(alone) >= 5
    for truth in alone:
        away = [np.hypot(one["row_um"] - truth.row_um, one["column_um"] - truth.column_um) for one in found["cells"]]
        cell = found["cells"][int(np.argmin(away))]
        assert min(away) < 4.0
        assert cell["dry_mass_pg"] == pytest.approx(truth.dry_mass_pg, rel=0.04)
        assert cell["max_opd_nm"] == pytest.approx(truth.max_opd_nm, rel=0.04)
    assert found["count"] == len(found["cells"]) == pytest.approx(len(field.truths), abs=4)


def test_pixels_of_the_chip_are_divided_by_the_magnification(
    run: Callable[..., Result], field: CellField, tmp_path: Path
) -> None:
    image = written(tmp_path / "a.npy", field.opd_nm)
    told = [
        documents(run(image, *PLAIN, "--json", *words))[0]
        for words in (PIXEL, ("--pixel-size-um", "16.7", "--magnification", "10"))
    ]
    assert told[0]["pixel_um"] == pytest.approx(told[1]["pixel_um"])
    assert told[0]["dry_mass_pg"] == pytest.approx(told[1]["dry_mass_pg"])


BAD: list[tuple[str, NDArray[Any], tuple[str, ...], str, tuple[str, ...]]] = [
    ("counts without their unit", np.zeros((64, 64), np.uint16), (), "cells.map", ("uint16", "--nm-per-count")),
    ("nanometres with a unit", np.zeros((64, 64), np.float32), COUNTS, "cells.map", ("nanometres", "take")),
    ("numbers with a sign", np.zeros((64, 64), np.int16), COUNTS, "cells.map", ("int16", "sign")),
    ("no number", np.full((64, 64), np.nan, np.float32), (), "cells.map", ("not finite",)),
    ("complex", np.zeros((64, 64), np.complex64), (), "image.unreadable", ("complex64", "real numbers")),
    ("a stack", np.zeros((5, 64, 64), np.float32), (), "image.unreadable", ("(5, 64, 64)", "one image")),
    ("objects", np.array([{}, {}]), (), "image.unreadable", ("damaged",)),
]


@pytest.mark.parametrize(("pixels", "words", "code", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_an_image_that_is_no_map_is_told_with_its_reason(
    run: Callable[..., Result],
    tmp_path: Path,
    pixels: NDArray[Any],
    words: tuple[str, ...],
    code: str,
    says: tuple[str, ...],
) -> None:
    np.save(tmp_path / "a.npy", pixels, allow_pickle=True)
    result = run("a.npy", *PIXEL, *PLAIN, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("a.npy: ")
    assert [word for word in says if word not in result.stderr] == []
    (told,) = documents(run("a.npy", *PIXEL, *PLAIN, *words, "--json"))
    assert (told["image"], told["error"]["code"]) == ("a.npy", code)


USE: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    ((), ("--pixel-size-um is required",)),
    ((*PIXEL, "--json", "--csv"), ("--json and --csv",)),
    ((*PIXEL, "--network", "resnet"), ("--network resnet", "cells_b")),
    ((*PIXEL, "--wavelength-nm", "600", "--side", "minus"), ("--wavelength-nm, --side", "--hologram")),
    ((*PIXEL, "--hologram", "--zero", "3"), ("--zero", "maps")),
    ((*PIXEL, "--hologram"), ("--wavelength-nm and --magnification",)),
    ((*PIXEL, "--hologram", "--wavelength-nm", "600"), ("dry mass needs --magnification",)),
    (
        (*PIXEL, "--hologram", "--wavelength-nm", "600", "--magnification", "40", "--background", "no.tif"),
        ("--background no.tif", "cannot be read"),
    ),
]


@pytest.mark.parametrize(("words", "says"), USE)
def test_a_wrong_option_ends_it_before_anything_is_measured(
    run: Callable[..., Result], tmp_path: Path, words: tuple[str, ...], says: tuple[str, ...]
) -> None:
    written(tmp_path / "a.npy", np.zeros((64, 64), np.float32))
    result = run("a.npy", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert [word for word in says if word not in result.stderr] == [], result.stderr


def test_one_image_that_cannot_be_read_does_not_stop_the_others(
    run: Callable[..., Result], field: CellField, tmp_path: Path
) -> None:
    written(tmp_path / "good.npy", field.opd_nm)
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    result = run("bad.tif", "good.npy", "gone.npy", *PIXEL, *PLAIN, "--csv")
    assert result.exit_code == 1
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["bad.tif", "gone.npy"]
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["image"] for row in rows} == {"good.npy"}
    assert len(rows) > 10


def test_csv_is_one_table_of_all_images(run: Callable[..., Result], field: CellField, tmp_path: Path) -> None:
    images = [written(tmp_path / f"{k}.npy", field.opd_nm[k:, k:]) for k in range(2)]
    result = run(*images, *PIXEL, *PLAIN, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == ["image", "cell", *COLUMNS]
    assert {row["image"] for row in rows} == {str(image) for image in images}
    assert [row["cell"] for row in rows if row["image"] == str(images[1])][:3] == ["1", "2", "3"]
    assert all(row["dry_mass_pg_half_width"] == "" and float(row["dry_mass_pg"]) > 20 for row in rows)


def test_for_people_it_prints_what_they_want_to_know(
    run: Callable[..., Result], field: CellField, tmp_path: Path
) -> None:
    result = run(written(tmp_path / "a.npy", field.opd_nm), *PIXEL, *PLAIN)
    assert result.exit_code == 0
    first, titles, *rest = result.stdout.splitlines()
    assert " cells, " in first
    assert "per mm²" in first
    assert titles.split() == ["median", "5", "%", "95", "%", "mean", "sd", "cells"]
    assert [line.split(",")[0] for line in rest] == ["dry mass", "area", "greatest OPD", "length"]


def test_an_empty_field_is_no_failure(run: Callable[..., Result], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1, (120, 130)).astype(np.float32)
    result = run(written(tmp_path / "a.tif", noise), *PIXEL, *PLAIN, "--save", "kept")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 cells, 0 per mm²" in result.stdout
    assert (tmp_path / "kept" / "a" / "overview.png").exists()


def test_what_is_saved_holds_all_of_it(run: Callable[..., Result], field: CellField, tmp_path: Path) -> None:
    written(tmp_path / "a.tif", field.opd_nm)
    result = run("a.tif", *PIXEL, *PLAIN, "--save", "kept", "--json")
    (found,) = documents(result)
    folder = tmp_path / "kept" / "a"
    assert {path.name for path in folder.iterdir()} == {"overview.png", "cells.csv", "cells.arrows", "measurement.json"}
    assert json.loads((folder / "measurement.json").read_text(encoding="utf-8")) == found
    table = from_arrow((folder / "cells.arrows").read_bytes())
    assert table.dry_mass_pg.tolist() == [cell["dry_mass_pg"] for cell in found["cells"]]
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        assert [float(row["dry_mass_pg"]) for row in csv.DictReader(file)] == table.dry_mass_pg.tolist()
    with Image.open(folder / "overview.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    coloured = (pixels.max(axis=2) - pixels.min(axis=2) > 60)[76:, 24 : 24 + 900]
    assert coloured.mean() > 0.01, "no outline is drawn"
    # The field's own shape: 200 × 231 pixels, four times as large.
    dark = (pixels.max(axis=2) < 60)[76 : 76 + 800, 24 : 24 + 924]
    assert dark.mean() > 0.4


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (9, 9)])
def test_a_picture_of_any_shape_is_drawn(run: Callable[..., Result], tmp_path: Path, shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    opd_nm = 60.0 * np.exp(-((rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2) / 60.0)
    result = run(written(tmp_path / "a.npy", opd_nm), *PIXEL, *PLAIN, "--save", "kept", "--zero", "0")
    assert (result.exit_code, result.stderr) == (0, "")
    with Image.open(tmp_path / "kept" / "a" / "overview.png") as picture:
        assert min(picture.size) > 240


def test_frames_of_one_place_are_followed(run: Callable[..., Result], tmp_path: Path) -> None:
    hours = 0.1
    scene = OpdScene(OpdSetup(shape_px=(160, 180), seed=3, speed_um_per_h=20.0, growth_per_h=0.5), clock=lambda: 0)
    images = [written(tmp_path / f"{k}.npy", scene.opd_nm(k * hours)) for k in range(5)]
    words = (*images, *PIXEL, *PLAIN, "--interval-s", 3600 * hours)
    found = documents(run(*words, "--json", "--save", "kept"))
    assert found[0]["tracks"]["linked"] == 0
    last = found[-1]
    assert last["tracks"]["linked"] >= 0.8 * last["count"]
    tracks = {one["track"]: one for one in last["motions"]}
    long = [tracks[cell["track"]] for cell in last["cells"] if cell["track"] in tracks and not cell["border"]]
    growth = np.median([one["growth_per_h"] for one in long if one["points"] == 5])
    assert growth == pytest.approx(0.5, abs=0.1)
    assert (tmp_path / "kept" / "4" / "motions.csv").read_text(encoding="utf-8").startswith("track,points")
    assert "found again" in run(*words).stdout


@pytest.mark.parametrize("with_background", [True, False])
def test_cells_of_holograms_are_measured_in_their_plane(
    run: Callable[..., Result], tmp_path: Path, with_background: bool
) -> None:
    optics = OffAxisOptics()
    bodies = BodiesParameters(count=4, z_um=(3.0, 3.0), clearance_um=16.0, border_um=10.0)
    scene = HologramScene(HologramSetup(optics, bodies, seed=5, shape_px=(400, 448), disturbances=Disturbances.none()))
    image = written(tmp_path / "a.tif", scene.expose(0.0, 10.0, 1))
    empty = written(tmp_path / "empty.tif", scene.background(10.0, 2))
    known = ("--wavelength-nm", "666", "--pixel-size-um", "5.86", "--magnification", "40", "--na", "0.75")
    words = (image, "--hologram", *known, *PLAIN, "--json", "--save", "kept")
    result = run(*words, *(("--background", empty) if with_background else ()))
    assert (result.exit_code, result.stderr) == (0, "")
    (found,) = documents(result)
    source = found["source"]
    assert (source["kind"], source["background"]["kind"]) == ("hologram", "hologram" if with_background else "fitted")
    assert source["distance_um"] == pytest.approx(3.0, abs=0.5)
    assert found["pixel_um"] > 1.5 * optics.pixel_um
    opd_nm = tifffile.imread(tmp_path / "kept" / "a" / "opd_nm.tif")
    assert list(opd_nm.shape) == found["shape_px"]
    # The threshold takes a red cell of some 40 µm² for debris; what is found lies where the camera sees it.
    for cell in found["cells"]:
        place = cell["camera_row_px"], cell["camera_column_px"]
        assert all(0 <= at < size for at, size in zip(place, (400, 448), strict=True))


@pytest.mark.skipif(not NETWORK, reason="the networks of cells are not among the weights")
def test_the_shipped_network_tells_intervals(run: Callable[..., Result], field: CellField, tmp_path: Path) -> None:
    (found,) = documents(run(written(tmp_path / "a.npy", field.opd_nm), *PIXEL, "--json", "--save", "kept"))
    assert found["network"]["name"] == "cells_b"
    assert found["count"] == pytest.approx(len(field.truths), abs=3)
    for truth in (truth for truth in field.truths if not truth.border):
        away = [np.hypot(one["row_um"] - truth.row_um, one["column_um"] - truth.column_um) for one in found["cells"]]
        cell = found["cells"][int(np.argmin(away))]
        assert min(away) < 10.0
        assert abs(cell["dry_mass_pg"] - truth.dry_mass_pg) < 5 * cell["dry_mass_pg_half_width"]


def test_without_its_weights_it_is_said_what_else_there_is(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microscoped.models import registry

    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    written(tmp_path / "a.npy", np.zeros((64, 64), np.float32))
    result = run("a.npy", *PIXEL, "--network", "cells_a")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--network none" in result.stderr

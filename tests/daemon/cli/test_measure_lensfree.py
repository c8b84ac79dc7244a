"""``microscoped measure cells --lensfree``: what it prints, writes and refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.models import registry
from tests.models.lensfree.dish import Z_UM, dish
from tests.models.lensfree.networks import write_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from numpy.typing import NDArray

KNOWN = ("--lensfree", "--pixel-size-um", "1.67", "--network", "none")
FRAME = (*KNOWN, "--distance-um", Z_UM, "--dark-count", "100", "--wavelengths-nm", "450", "530", "630")
QUICK = ("--focus-range-um", "0", "--iterations", "10")
BARE = ("--accelerator", "none", "--unwrapper", "none")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["measure", "cells", *map(str, words)])


@pytest.fixture
def frame(tmp_path: Path) -> NDArray[np.uint16]:
    counts = np.clip(100 + 900 * np.moveaxis(dish().frames, 0, 2), 0, 4095).round().astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="rgb")
    np.save(tmp_path / "a.npy", counts)
    return counts


def document(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_frame_is_reconstructed_and_measured_with_times_and_progress(
    run: Callable[..., Result], frame: NDArray[np.uint16], tmp_path: Path
) -> None:
    known = ("--bandwidths-nm", "22", "33", "20", "--led-um", "50", "--led-distance-um", "50000")
    shifts = ("--shifts-um", "2.1", "-1.4", "0", "0", "-1.7", "2.6")
    result = run("a.tif", *FRAME, *QUICK, *BARE, *known, *shifts, "--json", "--save", "kept")
    found = document(result)
    assert found["image_shape_px"] == list(frame.shape[:2])
    assert found["source"]["kind"] == "lensfree"
    assert found["source"]["iterations"] == [10]
    assert found["source"]["shifts_um"] == [[2.1, -1.4], [0.0, 0.0], [-1.7, 2.6]]
    assert found["count"] == len(found["cells"]) >= 8
    assert set(found["timings_s"]) == {"light", "registration", "start", "iterations", "cells"}
    assert all(value > 0 for value in found["timings_s"].values())
    assert result.stderr.startswith("reconstruction: iteration 10, residual 0.0")
    opd_nm = tifffile.imread(tmp_path / "kept" / "a" / "opd_nm.tif")
    inside = opd_nm[dish().opd_nm > 20.0]
    assert float(np.median(inside)) == pytest.approx(float(np.median(dish().opd_nm[dish().opd_nm > 20.0])), rel=0.25)
    same = document(run("a.npy", *FRAME, *QUICK, *BARE, *known, *shifts, "--json"))
    assert same["dry_mass_pg"] == found["dry_mass_pg"]


def test_a_network_that_lies_there_is_used(
    run: Callable[..., Result], frame: NDArray[np.uint16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    write_network(tmp_path, "lensfree_accelerate_light", "accelerate")
    write_network(tmp_path, "lensfree_unwrap", "unwrap")
    words = ("a.npy", *FRAME, *QUICK, "--iterations", "4", "--json")
    found = document(run(*words))["source"]
    assert (found["accelerator"], found["unwrapper"], found["iterations"]) == (
        "lensfree_accelerate_light",
        "lensfree_unwrap",
        [2, 2],
    )
    found = document(run(*words, "--reconstruction", "reference"))["source"]
    assert (found["accelerator"], found["unwrapper"], found["iterations"]) == (None, "lensfree_unwrap", [4])
    result = run(*words, "--accelerator", "lensfree_accelerate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--accelerator none" in result.stderr


USE: list[tuple[tuple[object, ...], tuple[str, ...]]] = [
    (KNOWN, ("--distance-um is required",)),
    ((*FRAME, "--hologram"), ("--hologram and --lensfree",)),
    ((*FRAME, "--zero", "3"), ("--zero", "only of maps", "leave --lensfree out")),
    ((*FRAME, "--wavelength-nm", "600"), ("--wavelength-nm", "only of holograms")),
    (("--pixel-size-um", "1.67", "--dark-count", "3"), ("--dark-count", "lens-free frames", "add --lensfree")),
    ((*FRAME, "--focus-range-um", "500"), ("--focus-range-um 500", "below --distance-um 500")),
    ((*FRAME, "--led-um", "50"), ("led_distance_um", "give both")),
    ((*FRAME, "--accelerator", "resnet"), ("--accelerator resnet", "lensfree_accelerate_light")),
    ((*FRAME, "--reconstruction", "reference", "--accelerator", "lensfree_accelerate"), ("reference", "take it out")),
    (("--lensfree", "--pixel-size-um", "0.2", "--distance-um", "500"), ("wavelengths_um", "pitch_um 0.2")),
]


@pytest.mark.parametrize(("words", "says"), USE)
def test_a_wrong_option_ends_it_before_anything_is_measured(
    run: Callable[..., Result], words: tuple[object, ...], says: tuple[str, ...]
) -> None:
    result = run("a.npy", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert [word for word in says if word not in result.stderr] == [], result.stderr


BAD: list[tuple[NDArray[Any], str, tuple[str, ...]]] = [
    (np.zeros((64, 64), np.uint16), "lensfree.frames", ("(64, 64)", "(rows, columns, 3)")),
    (np.zeros((64, 64, 3), np.uint16), "lensfree.frames", ("all pixels are",)),
    (np.zeros((3, 64, 64), np.uint16), "image.unreadable", ("(3, 64, 64)", "(height, width, 3)")),
    (np.zeros((64, 64, 3), np.int32), "lensfree.frames", ("int32",)),
]


@pytest.mark.parametrize(("pixels", "code", "says"), BAD)
def test_an_image_that_is_no_frame_is_told_with_its_reason(
    run: Callable[..., Result], tmp_path: Path, pixels: NDArray[Any], code: str, says: tuple[str, ...]
) -> None:
    np.save(tmp_path / "a.npy", pixels)
    result = run("a.npy", *FRAME, *QUICK, *BARE, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)["error"]
    assert told["code"] == code
    assert [word for word in says if word not in told["detail"]] == [], told

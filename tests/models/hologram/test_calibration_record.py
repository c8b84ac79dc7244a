"""Calibrations of holograms and background holograms on disk: whole, altered, of other conditions or versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.hologram import BackgroundFileError, CalibrationFileError, HologramOptics, Side
from microscoped.models.hologram.calibration import (
    BackgroundRecord,
    Conditions,
    HologramCalibration,
    HologramRecord,
    LineRecord,
    PlaceRecord,
    background_from,
    line_svg,
    load,
    read,
    save,
)
from microscoped.models.hologram.stored import (
    StoredBackground,
    background_path,
    keep_background,
    load_background,
    prune_backgrounds,
    read_background,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRESENT = Conditions(
    objective="40x/0.75",
    na=0.75,
    wavelength_nm=666.0,
    immersion_index=1.0,
    medium_index=1.3345,
    pixel_size_um=0.1465,
    binning=1,
    focus_direction="toward_sample",
)
LINE = LineRecord(
    slope=1.33,
    half_width=0.004,
    offset_um=-2.0,
    drift_um_s=0.0,
    repeatability_um=0.03,
    linearity_um=0.02,
    worst_um=0.05,
    play_um=0.1,
    cells=9,
    readings=190,
    outliers=3,
    places=tuple(
        PlaceRecord(stage_um=k, distance_um=1.33 * k - 2.0 + 0.02 * (-1) ** k, residual_um=0.02 * (-1) ** k, visits=2)
        for k in range(-2, 3)
    ),
)
OPTICS = HologramOptics(0.666, 0.1465, 0.75, 1.3345)


def record(**changes: Any) -> HologramRecord:  # noqa: ANN401 - fields of the record
    content: dict[str, Any] = {
        "made": "2026-01-01T00:00:00+00:00",
        "software": "1.0",
        "conditions": PRESENT,
        "accepted": True,
        "side": 1,
        "side_known": True,
        "expected": 1.3345,
        "line": LINE,
    }
    return HologramRecord(**{**content, **changes})


def stored(seed: int = 1, side: Side = Side.PLUS) -> StoredBackground:
    frame = np.random.default_rng(seed).integers(0, 255, (64, 80)).astype(np.uint8)
    return StoredBackground(frame, "2026-01-01T00:00:00+00:00", OPTICS, side)


def loaded(folder: Path, **changes: Any) -> HologramCalibration | str:  # noqa: ANN401 - fields of the conditions
    return load(folder, PRESENT.model_copy(update=changes))


def test_what_was_saved_is_found_and_says_where_the_stage_must_go(tmp_path: Path) -> None:
    path = save(record(), tmp_path / "calibrations", "<svg/>")
    assert path.name == "hologram-40x_0.75-b1.json"
    assert path.with_suffix(".svg").read_text(encoding="utf-8") == "<svg/>"
    assert [file.suffix for file in sorted(path.parent.iterdir())] == [".json", ".svg"]
    found = loaded(path.parent)
    assert isinstance(found, HologramCalibration)
    assert (found.sign, found.side, found.side_known) == (1, Side.PLUS, True)
    assert found.stage_per_focus == pytest.approx(1 / 1.33)
    assert found.focus_per_stage == pytest.approx(1.33)
    assert (found.offset_um, found.repeatability_um) == (-2.0, 0.03)
    assert (found.background, found.no_background) == (None, "")
    assert found.move_um(2.66) == pytest.approx(-2.0)
    assert found.move_um(-1.33, 1.33) == pytest.approx(2.0)


def test_distances_that_fall_as_the_stage_rises_move_it_the_other_way(tmp_path: Path) -> None:
    save(record(line=LINE.model_copy(update={"slope": -1.33}), side=-1), tmp_path)
    found = loaded(tmp_path)
    assert isinstance(found, HologramCalibration)
    assert (found.sign, found.side) == (-1, Side.MINUS)
    assert found.move_um(2.66) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "20x/0.5"}, "the objective was 40x/0.75"),
        ({"na": 0.8}, "the aperture was 0.75"),
        ({"wavelength_nm": 633.0}, "the wavelength was 666 (wavelength_nm) and is 633"),
        ({"immersion_index": 1.515}, "the immersion was 1"),
        ({"medium_index": 1.34}, "the medium was 1.3345"),
        ({"pixel_size_um": 0.15}, "the pixel size was 0.1465"),
        ({"pixel_size_um": None}, "and is unknown"),
        ({"binning": 2}, "the binning was 1 (binning) and is 2"),
        ({"focus_direction": "away"}, "the direction of the stage was toward_sample"),
    ],
)
def test_another_microscope_is_told_in_what_it_differs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    save(record(), tmp_path)
    found = loaded(tmp_path, **changes)
    assert isinstance(found, str)
    assert words in found
    assert "microscoped calibrate hologram" in found
    assert isinstance(load(tmp_path, PRESENT.model_copy(update=changes), frozenset(changes)), HologramCalibration)


def test_the_newest_accepted_one_is_taken(tmp_path: Path) -> None:
    save(record(), tmp_path)
    binned = PRESENT.model_copy(update={"binning": 2})
    save(record(made="2026-02-01T00:00:00+00:00", conditions=binned, side=-1), tmp_path)
    save(record(made="2026-03-01T00:00:00+00:00", accepted=False, reasons=("play",)), tmp_path)
    found = load(tmp_path, PRESENT, frozenset({"binning"}))
    assert isinstance(found, HologramCalibration)
    assert found.record.conditions.binning == 2
    assert (tmp_path / "hologram-rejected-40x_0.75-b1.json").is_file()
    chosen = loaded(tmp_path)
    assert isinstance(chosen, HologramCalibration)
    assert chosen.side is Side.PLUS


def _alter(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_text("{", encoding="utf-8"), "is not a whole calibration"),
        (lambda path: path.write_bytes(b"\xff\xfe\xff"), "is not text"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "is not a whole calibration"),
        (lambda path: _alter(path, lambda c: c["line"].update(slope=-1.33)), "the file was altered"),
        (lambda path: _alter(path, lambda c: c.update(side=-1)), "the file was altered"),
        (lambda path: _alter(path, lambda c: c.update(sha256="")), "has no sha256"),
        (lambda path: _alter(path, lambda c: c.update(version=2)), "version"),
        (lambda path: _alter(path, lambda c: c.update(colour="red")), "colour"),
        (lambda path: path.write_bytes(b" " * 5_000_000), "is too large"),
    ],
)
def test_a_spoilt_file_is_refused_and_named(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    path = save(record(), tmp_path)
    spoil(path)
    with pytest.raises(CalibrationFileError, match=words):
        read(path)
    found = loaded(tmp_path)
    assert isinstance(found, str)
    assert path.name in found


@pytest.mark.parametrize("line", [None, LINE.model_copy(update={"slope": 0.0})])
def test_none_is_accepted_without_a_line(line: LineRecord | None) -> None:
    with pytest.raises(ValueError, match="must hold a line that is not level"):
        record(line=line)
    assert record(line=line, accepted=False, reasons=("no cells",)).line == line


def test_an_empty_or_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        found = loaded(folder)
        assert isinstance(found, str)
        assert "there is no calibration of holograms" in found


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CalibrationFileError, match=r"engines\.hologram\.calibration"):
        save(record(), blocked)
    with pytest.raises(BackgroundFileError, match=r"engines\.hologram\.calibration"):
        keep_background(stored(), blocked)


# --- backgrounds ------------------------------------------------------------------------------------------------------


def test_a_background_comes_back_as_it_was(tmp_path: Path) -> None:
    one = stored(side=Side.MINUS)
    path = keep_background(one, tmp_path)
    again = load_background(tmp_path, one.sha256)
    assert path == background_path(tmp_path, one.sha256)
    assert np.array_equal(again.frame, one.frame)
    assert (again.taken, again.optics, again.side, again.sha256) == (one.taken, OPTICS, Side.MINUS, one.sha256)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.dtype(">u2")])
def test_a_hash_is_that_of_the_values_and_of_all_that_is_said(dtype: Any) -> None:  # noqa: ANN401 - a dtype
    frame = np.arange(64 * 64, dtype=dtype).reshape(64, 64)
    one = StoredBackground(frame, "2026-01-01T00:00:00+00:00", OPTICS)
    same = StoredBackground(np.asfortranarray(frame), "2026-01-01T00:00:00+00:00", OPTICS)
    assert one.sha256 == same.sha256
    others = [
        StoredBackground(frame[::-1], one.taken, OPTICS),
        StoredBackground(frame, "2026-01-02T00:00:00+00:00", OPTICS),
        StoredBackground(frame, one.taken, HologramOptics(0.633, 0.1465, 0.75, 1.3345)),
        StoredBackground(frame, one.taken, OPTICS, Side.MINUS),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5


def _said(path: Path, **changes: Any) -> None:  # noqa: ANN401 - what a file says
    with np.load(path) as content:
        frame, said = content["frame"], json.loads(str(content["said"]))
    with path.open("wb") as file:
        np.savez(file, frame=changes.pop("frame", frame), said=np.array(json.dumps({**said, **changes})))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(b"no archive at all"), "is not a whole background hologram"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "is not a whole background hologram"),
        (lambda path: path.write_bytes(b""), "is not a whole background hologram"),
        (lambda path: np.savez(path, frame=np.zeros((64, 64), np.uint8)), "is not a whole background hologram"),
        (lambda path: _said(path, taken="2020-01-01T00:00:00+00:00"), "was altered"),
        (lambda path: _said(path, frame=np.zeros((64, 80), np.uint8)), "was altered"),
        (lambda path: _said(path, frame=np.zeros((64, 80, 3), np.uint8)), "frame uint8 of shape"),
        (lambda path: _said(path, version=9), "is of version 9, this is 1"),
        (lambda path: _said(path, side=4), "is not a whole background hologram"),
        (lambda path: _said(path, optics={"na": -1}), "na -1"),
        (lambda path: _said(path, optics=None), "is not a whole background hologram"),
    ],
)
def test_a_spoilt_background_is_refused_and_named(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    one = stored()
    path = keep_background(one, tmp_path)
    spoil(path)
    with pytest.raises(BackgroundFileError, match=words) as refused:
        read_background(path)
    assert path.name in str(refused.value)
    assert "microscoped calibrate hologram --background" in str(refused.value)
    assert refused.value.code == "hologram.background_file"


def test_one_under_anothers_name_is_not_taken_for_it(tmp_path: Path) -> None:
    one, other = stored(1), stored(2)
    keep_background(one, tmp_path).rename(background_path(tmp_path, other.sha256))
    with pytest.raises(BackgroundFileError, match="another background"):
        load_background(tmp_path, other.sha256)


def test_a_calibration_brings_its_background_or_says_why_not(tmp_path: Path) -> None:
    one = stored()
    path = keep_background(one, tmp_path)
    save(record(background=BackgroundRecord(taken=one.taken, sha256=one.sha256)), tmp_path)
    found = loaded(tmp_path)
    assert isinstance(found, HologramCalibration)
    assert found.background is not None
    assert found.background.sha256 == one.sha256
    path.unlink()
    found = loaded(tmp_path)
    assert isinstance(found, HologramCalibration)
    assert found.background is None
    assert path.name in found.no_background


def test_backgrounds_that_nothing_names_are_taken_away(tmp_path: Path) -> None:
    kept, gone = keep_background(stored(1), tmp_path), keep_background(stored(2), tmp_path)
    prune_backgrounds(tmp_path, frozenset({stored(1).sha256}))
    assert kept.is_file()
    assert not gone.exists()


def _write_image(folder: Path, name: str) -> None:
    import tifffile
    from PIL import Image

    frame = stored().frame
    if name.endswith(".png"):
        Image.fromarray(frame).save(folder / name)
    elif name.endswith(".npz"):
        keep_background(stored(), folder).rename(folder / name)
    else:
        tifffile.imwrite(folder / name, frame)


@pytest.mark.parametrize("name", ["empty.tif", "empty.TIFF", "empty.png", "empty.npz"])
def test_a_background_can_be_a_file_in_the_folder(tmp_path: Path, name: str) -> None:
    _write_image(tmp_path, name)
    found = background_from(tmp_path, name, OPTICS, Side.PLUS)
    assert np.array_equal(found.frame, stored().frame)
    assert found.taken[:2] == "20"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("../empty.tif", None, "without a path"),
        ("/etc/passwd", None, "without a path"),
        ("empty.jpg", None, "without a path"),
        ("..", None, "without a path"),
        ("empty.tif", None, "there is no such file"),
        ("empty.tif", b"no image", "cannot be read as an image"),
        ("empty.png", b"no image", "cannot be read as an image"),
        ("empty.npz", b"no archive", "is not a whole background"),
    ],
)
def test_a_file_that_is_none_or_lies_elsewhere_is_refused(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BackgroundFileError, match=words):
        background_from(tmp_path, name, OPTICS, Side.PLUS)


def test_a_colour_image_is_no_background(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    with pytest.raises(BackgroundFileError, match="one monochrome image"):
        background_from(tmp_path, "colour.tif", OPTICS, Side.PLUS)


def test_the_picture_shows_every_place_twice() -> None:
    picture = line_svg(LINE)
    assert picture.startswith("<svg")
    assert picture.count("<circle") == 2 * len(LINE.places)
    assert "+1.3300" in picture

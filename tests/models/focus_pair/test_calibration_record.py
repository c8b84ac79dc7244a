"""The calibration's file: what it holds for, and that nothing else passes for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.focus_pair.calibration import (
    Calibration,
    CalibrationFileError,
    Conditions,
    find,
    load,
    save,
)
from microscoped.models.focus_pair.calibration.record import head_text
from microscoped.models.focus_pair.estimate import INTERVAL_FACTOR, EstimateSettings

if TYPE_CHECKING:
    from pathlib import Path

HERE = Conditions(
    objective="20x/0.5",
    na=0.5,
    wavelength_nm=550.0,
    immersion_index=1.0,
    pixel_size_um=0.325,
    binning=1,
    channel="trans",
    delta_um=4.4,
    approach="increasing",
    model_sha256="a" * 64,
)
HEAD = np.linspace(-1.0, 1.0, 1281).astype(np.float32)


def calibration(**changes: Any) -> Calibration:  # noqa: ANN401 - its fields
    told: dict[str, Any] = {
        "made": "2026-01-01T00:00:00+00:00",
        "software": "1.0",
        "conditions": HERE,
        "accepted": True,
        "rung": "head",
        "sign": -1,
        "slope": 1.1,
        "offset_dof": 0.2,
        "head": head_text(HEAD),
        "interval_factor": 1.7,
        "long": {"rung": "head", "slope": 0.8, "offset_dof": -0.3, "head": head_text(-HEAD), "interval_factor": 0.9},
    }
    return Calibration.model_validate({**told, **changes})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, ""),
        ({"objective": "40x/0.95"}, "the objective was 20x/0.5 and is 40x/0.95"),
        ({"objective": None}, "not named"),
        ({"binning": 2}, "the binning was 1 and is 2"),
        ({"channel": "GFP"}, "the channel was trans and is GFP"),
        ({"delta_um": 2.2}, "distance of the two images"),
        ({"model_sha256": "b" * 64}, "its weights changed"),
        ({"na": 0.75}, "the aperture was 0.5"),
        ({"wavelength_nm": 500.0}, "the wavelength"),
        ({"immersion_index": 1.33}, "the immersion"),
        ({"pixel_size_um": 0.65}, "the pixel size"),
        ({"pixel_size_um": None}, "not known"),
        ({"condenser_na": 0.3}, "the aperture of the condenser was not named and is 0.3"),
        ({"approach": "decreasing"}, "the side of the approach"),
    ],
)
def test_a_calibration_holds_for_the_microscope_that_it_was_made_with(change: dict[str, Any], word: str) -> None:
    reasons = calibration().mismatches(HERE.model_copy(update=change))
    assert len(reasons) == bool(word)
    assert word in " ".join(reasons)


def test_what_is_not_known_yet_is_compared_later() -> None:
    present = HERE.model_copy(update={"binning": None, "channel": None, "pixel_size_um": None})
    assert calibration().mismatches(present, frozenset({"binning", "channel", "pixel_size_um"})) == []


def test_a_rejected_calibration_never_matches() -> None:
    assert calibration(accepted=False).mismatches(HERE) == ["it was not accepted"]


def test_a_calibration_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = save(calibration(), tmp_path / "new")
    found = load(path)
    assert found.model_copy(update={"sha256": ""}) == calibration()
    correction = found.correction()
    assert correction.slope == 1.1
    assert correction.head is not None
    np.testing.assert_array_equal(correction.head, HEAD)
    long = correction.long
    assert long is not None
    assert (long.correction.slope, long.correction.offset_dof, long.interval_factor) == (0.8, -0.3, 0.9)
    assert long.correction.head is not None
    np.testing.assert_array_equal(long.correction.head, -HEAD)
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


def test_without_long_pairs_they_are_read_as_the_network_reads_them() -> None:
    assert calibration(long=None).correction().long is None


def test_the_usual_width_of_intervals_is_said_in_one_place() -> None:
    bare = Calibration(made="", software="", conditions=HERE, accepted=False)
    assert bare.interval_factor == EstimateSettings().interval_factor == INTERVAL_FACTOR


def _altered(text: str) -> str:
    return json.dumps({**json.loads(text), "slope": 1.3})


def _unsealed(text: str) -> str:
    return json.dumps({**json.loads(text), "sha256": ""})


def _with_bad_head(text: str) -> str:
    return json.dumps({**json.loads(text), "head": "!!", "sha256": ""})


def _with_bad_long_head(text: str) -> str:
    content = json.loads(text)
    return json.dumps({**content, "long": {**content["long"], "head": "!!"}, "sha256": ""})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[: len(text) // 2], "not a whole calibration"),
        (lambda _text: "", "not a whole calibration"),
        (lambda _text: "[]", "not a whole calibration"),
        (_altered, "altered"),
        (_unsealed, "no sha256"),
        (_with_bad_head, "base64"),
        (lambda text: text.replace('"version": 2', '"version": 3'), "version"),
        (lambda text: text.replace('"version": 2', '"version": 1'), "of version 1, which knew nothing of .*calibrate"),
        (_with_bad_long_head, "long.*base64"),
        (lambda text: text.replace('"slope": 1.1', '"slope": NaN'), "not a whole calibration"),
        (lambda text: text.replace('"rung"', '"ring"'), "not a whole calibration"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path: Path, spoil: Any, words: str) -> None:  # noqa: ANN401
    path = save(calibration(), tmp_path)
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CalibrationFileError, match=words) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert find(tmp_path, HERE)[0] is None
    assert path.name in find(tmp_path, HERE)[1]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "focus_pair-x.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(CalibrationFileError, match="not text"):
        load(path)


def test_a_folder_that_cannot_be_written_to_is_told_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationFileError, match=r"focus\.pair\.calibration"):
        save(calibration(), tmp_path / "file")


def test_calibrations_of_two_objectives_lie_side_by_side_and_the_newest_that_matches_is_found(tmp_path: Path) -> None:
    other = HERE.model_copy(update={"objective": "40x/0.95", "na": 0.95})
    save(calibration(), tmp_path)
    save(calibration(conditions=other), tmp_path)
    save(calibration(conditions=HERE.model_copy(update={"binning": 2}), made="2027-01-01T00:00:00+00:00"), tmp_path)
    found, why_not = find(tmp_path, HERE)
    assert found is not None
    assert found.conditions == HERE
    assert why_not == ""
    newest, _ = find(tmp_path, HERE.model_copy(update={"binning": None}), frozenset({"binning"}))
    assert newest is not None
    assert newest.conditions.binning == 2


def test_a_foreign_calibration_is_refused_with_what_differs(tmp_path: Path) -> None:
    save(calibration(), tmp_path)
    found, why_not = find(tmp_path, HERE.model_copy(update={"objective": "63x/1.4", "delta_um": 1.0}))
    assert found is None
    assert "the objective was 20x/0.5 and is 63x/1.4" in why_not
    assert "microscoped calibrate focus" in why_not


def test_a_rejected_one_never_replaces_an_accepted_one(tmp_path: Path) -> None:
    save(calibration(), tmp_path)
    save(calibration(accepted=False, reasons=("mean error",)), tmp_path)
    assert find(tmp_path, HERE)[0] is not None
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_no_folder_is_no_calibration(tmp_path: Path) -> None:
    found, why_not = find(tmp_path / "none", HERE)
    assert found is None
    assert "there is no calibration" in why_not

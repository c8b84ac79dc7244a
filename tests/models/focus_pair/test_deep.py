"""The rung that fine-tunes: what it keeps, when it is tried, and what becomes of it if the training fails. No torch."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.focus_pair import Correction, EstimateSettings
from microscoped.models.focus_pair.calibration import (
    Bars,
    Calibration,
    CalibrationEngine,
    CalibrationFileError,
    DeepTools,
    Figures,
    FineTuningError,
    Fit,
    PairReading,
    TuneRecipe,
    find,
    load,
    load_network,
    missing_for_training,
)
from microscoped.models.focus_pair.calibration.deep import DeepRun
from microscoped.models.focus_pair.calibration.kept import PREFIX, KeptPairs, read_kept
from microscoped.models.focus_pair.calibration.networks import keep_network, network_path, prune_networks
from microscoped.models.focus_pair.calibration.process import TuningProcess
from microscoped.models.focus_pair.correction import LONG_DOF
from microscoped.models.registry import model_spec
from tests.models.focus_pair.test_calibration_engine import DOF_UM as CALIBRATED_DOF_UM
from tests.models.focus_pair.test_calibration_engine import Calibrating, Network

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TILES = 3
DOF_UM = 2.0
PAIR_BYTES = TILES * 6 * 8 * 8 * 2 + TILES * 2 * 4


def arrays(value: float) -> dict[str, NDArray[np.float32]]:
    """Inputs of a network that is not the shipped one: names and sizes are its own."""
    return {
        "pictures": np.full((TILES, 6, 8, 8), value, np.float32),
        "numbers": np.full((TILES, 2), 1000.0 * value + 0.25, np.float32),
    }


def reading(z_um: float, delta_dof: float = 2.0) -> PairReading:
    return PairReading(
        z_um=z_um,
        delta_dof=delta_dof,
        defocus_dof=np.zeros(TILES, np.float32),
        expected_error_dof=np.full(TILES, 0.1, np.float32),
        features=np.zeros((TILES, 4), np.float32),
        contents=np.array([1.0, 1.0, 0.0]),
        centres=((0.0, 0.0),) * TILES,
    )


def sweep(kept: KeptPairs, number: int, focus_um: float | None, pairs: int = 37, delta_dof: float = 2.0) -> None:
    kept.begin(number)
    for k in range(pairs):
        kept.add(arrays(k), reading(float(k), delta_dof))
    kept.end(focus_um, DOF_UM)


def test_pairs_come_back_with_what_the_network_should_have_said_of_them() -> None:
    kept = KeptPairs(2, 1)
    sweep(kept, 1, 4.0)
    sweep(kept, 2, None)
    sweep(kept, 3, 10.0, delta_dof=-2.0)
    kept.write_index()
    first, third = read_kept(kept.folder)
    assert (first.number, third.number) == (1, 3)
    np.testing.assert_array_equal(first.arrays["pictures"][5, 1], np.full((6, 8, 8), 5.0))
    np.testing.assert_array_equal(first.arrays["numbers"][5], np.full((TILES, 2), 5000.25))
    assert first.targets_dof[5] == (5.0 - 4.0) / DOF_UM
    assert third.targets_dof[5] == (5.0 - 10.0) / DOF_UM + 2.0  # of a negative pair it tells the first frame's
    assert first.used.tolist() == [[True, True, False]] * 37
    assert not list(kept.folder.glob("field-2.*"))
    kept.close()
    assert not kept.folder.exists()


def test_the_room_is_shared_by_the_fields_and_never_exceeded() -> None:
    kept = KeptPairs(4, 1, bytes_most=4 * 10 * PAIR_BYTES + 100)
    for number in range(1, 5):
        sweep(kept, number, 20.0)
    kept.write_index()
    found = read_kept(kept.folder)
    assert [len(field.targets_dof) for field in found] == [10] * 4
    assert sum(file.stat().st_size for file in kept.folder.glob("field-*")) == 4 * 10 * PAIR_BYTES
    for field, known in zip(found, kept.fields, strict=True):
        places = [one.z_um for one in known.readings[1]]
        np.testing.assert_array_equal(field.arrays["pictures"][:, 0, 0, 0, 0], places)  # slots and readings agree
        assert len(set(places)) == 10
    everywhere = [one.z_um for known in kept.fields for one in known.readings[1]]
    assert 10 < float(np.mean(everywhere)) < 26  # evenly from the whole sweep, not its beginning
    kept.close()


def test_nothing_of_an_unfinished_field_stays() -> None:
    kept = KeptPairs(1, 1)
    kept.begin(1)
    kept.add(arrays(1.0), reading(0.0))
    kept.begin(2)
    assert not list(kept.folder.glob("field-1.*"))
    kept.close()
    kept.close()


def test_what_a_killed_daemon_has_left_goes_and_what_another_one_uses_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, young = tmp_path / f"{PREFIX}old", tmp_path / f"{PREFIX}young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "field-1.images").write_bytes(b"x")
    os.utime(old, (0, 0))
    KeptPairs(1, 1).close()
    assert [folder.name for folder in tmp_path.iterdir()] == [young.name]


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ((), ""),
        (("torch",), "torch is not installed; pip install 'microscoped[train]'"),
        (("torch", "onnx"), "torch and onnx are not installed"),
    ],
)
def test_what_training_lacks_is_told_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else object())
    told = missing_for_training()
    assert told.startswith(words)
    assert bool(told) == bool(absent)


# --- the rung -------------------------------------------------------------------------------------------------------


def fit_of(mean_dof: float, *, passed: bool, sign: int = 1) -> Fit:
    figures = Figures(pairs=100, told=100, mean_dof=mean_dof, p95_dof=2.0, wrong_sign=0.0, coverage=0.9)
    return Fit("head", sign, Correction(), 2.0, figures, passed)


def ladder(end: Fit) -> Generator[str, None, Fit]:
    yield "head: mean error"
    return end


def run_of(command: tuple[str, ...], fields: int = 2) -> DeepRun:
    artefact = model_spec("focus_pair").load()

    def reopen(_artefact: object) -> Any:  # noqa: ANN401 - stands for a network
        raise AssertionError("nothing was trained")

    run = DeepRun(DeepTools(artefact, reopen, TuneRecipe(), command), fields, 1)
    for number in range(1, fields + 1):
        run.begin_field(number)
        for k in range(15):
            run.see(arrays(k), reading(float(k)))
        run.end_field(7.0, DOF_UM)
    return run


def climbed(run: DeepRun, end: Fit) -> Fit:
    climbing = run.climb(ladder(end), EstimateSettings(), Bars())
    while True:
        try:
            next(climbing)
        except StopIteration as stop:
            found: Fit = stop.value
            return found


def says(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


@pytest.mark.parametrize(
    ("end", "program", "outcome"),
    [
        (fit_of(0.2, passed=True), "raise SystemExit('must not run')", "not needed: head passed"),
        (fit_of(0.9, passed=False, sign=-1), "raise SystemExit('must not run')", "not tried: .*stage.focus_direction"),
        (fit_of(0.9, passed=False), "raise SystemExit('no memory')", "failed: the training ended early: no memory"),
        (fit_of(0.9, passed=False), "print('hello')", "failed: the training said b'hello"),
        (fit_of(0.9, passed=False), "print('{\"steps\": 50}')", "failed: what the training wrote cannot be read"),
    ],
    ids=["a cheaper rung passed", "the stage runs the other way", "it dies", "it babbles", "it writes nothing"],
)
def test_without_a_better_network_the_ladder_is_as_if_deep_was_not_asked_for(
    end: Fit, program: str, outcome: str
) -> None:
    run = run_of(says(program))
    assert climbed(run, end) is end
    assert run.tuned is None
    assert re.match(outcome, run.outcome), run.outcome
    assert run._kept is None  # what was kept is gone as soon as the fit is there
    run.close()


def test_too_few_fields_are_told() -> None:
    run = run_of(says(""), fields=1)
    climbed(run, fit_of(0.9, passed=False))
    assert "15 pairs of 1 fields are too few" in run.outcome


def test_a_program_that_is_not_there_is_told() -> None:
    run = run_of(("no-such-program-anywhere",))
    climbed(run, fit_of(0.9, passed=False))
    assert "failed: the training cannot be started" in run.outcome


def test_a_disk_that_is_full_ends_the_keeping_and_not_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: KeptPairs, _arrays: object, _reading: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KeptPairs, "add", full)
    run = run_of(says(""))
    end = fit_of(0.9, passed=False)
    assert climbed(run, end) is end
    assert run.outcome == "not tried: the pairs cannot be kept on disk (No space left on device)"


def test_a_calibration_that_is_dropped_ends_its_training() -> None:
    run = run_of(says('import sys; print(\'{"doing": "busy"}\', flush=True); sys.stdin.read()'))
    climbing = run.climb(ladder(fit_of(0.9, passed=False)), EstimateSettings(), Bars())
    assert run._kept is not None
    folder = run._kept.folder
    while next(climbing) != "busy":
        pass
    climbing.close()
    run.close()
    assert not folder.exists()


def test_the_training_hears_that_somebody_listens(tmp_path: Path) -> None:
    program = "import json, sys; heard = sys.stdin.buffer.read(2); print(json.dumps({'doing': heard.decode()}))"
    process = TuningProcess(tmp_path, TuneRecipe(), says(program))
    try:
        report = None
        while report is None:
            report = process.hear()
        assert report == {"doing": ".."}
        with pytest.raises(FineTuningError, match="ended early: exit code 0"):
            while process.hear() is None:
                pass
    finally:
        process.close()
        process.close()


# --- networks beside calibrations -----------------------------------------------------------------------------------


def test_a_network_comes_back_and_goes_when_no_calibration_names_it(tmp_path: Path) -> None:
    artefact = model_spec("focus_pair").load()
    sha256 = artefact.sidecar.sha256
    path = keep_network(artefact, tmp_path / "new")
    assert path == network_path(tmp_path / "new", sha256)
    assert load_network(path.parent, sha256).onnx == artefact.onnx
    prune_networks(path.parent, {sha256})
    assert path.exists()
    prune_networks(path.parent, set())
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.with_suffix(".json").unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "SHA-256"),
    ],
    ids=["no network", "no sidecar", "altered"],
)
def test_a_network_that_is_not_whole_is_refused(tmp_path: Path, spoil: Any, words: str) -> None:  # noqa: ANN401
    artefact = model_spec("focus_pair").load()
    spoil(keep_network(artefact, tmp_path))
    with pytest.raises(CalibrationFileError, match=words):
        load_network(tmp_path, artefact.sidecar.sha256)


def test_a_whole_network_with_another_hash_is_refused(tmp_path: Path) -> None:
    artefact = model_spec("focus_pair").load()
    wanted = artefact.sidecar.sha256[:16] + "0" * 48
    keep_network(artefact, tmp_path)
    with pytest.raises(CalibrationFileError, match="another one"):
        load_network(tmp_path, wanted)


def test_a_folder_that_takes_no_network_is_told_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationFileError, match=r"focus\.pair\.calibration"):
        keep_network(model_spec("focus_pair").load(), tmp_path / "file")


# --- in a calibration -----------------------------------------------------------------------------------------------

TRAINER = """
import json, pathlib, shutil, sys
import numpy as np
folder = pathlib.Path(sys.argv[1])
said = {}
for field in json.loads((folder / "kept.json").read_text()):
    truth = np.array(field["targets_dof"], np.float32)[:, None] + np.zeros(np.shape(field["used"]), np.float32)
    near = truth + np.random.default_rng(0).normal(0.0, 0.12, truth.shape).astype(np.float32)
    said[f"{field['number']}.defocus_dof"] = near
    said[f"{field['number']}.log_error"] = np.full_like(truth, np.log(0.1))
np.savez(folder / "left_out.npz", **said)
for end in ("onnx", "json"):
    shutil.copy(folder / f"base.{end}", folder / f"tuned.{end}")
print(json.dumps({"steps": 250}))
"""


class ShippedNetwork(Network):
    """Knows long pairs, and nothing of short ones."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.useless = bool(inputs["scalars"][0, 0] <= LONG_DOF)
        return super().run(inputs)


class TunedNetwork(Network):
    """Knows what the shipped one does not; says whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class DeepCalibrating(Calibrating):
    """A calibration of a useless network that may be fine-tuned by a stand-in for the training."""

    def __init__(self, folder: Path, *, good: bool = True) -> None:
        super().__init__(folder, ShippedNetwork())
        self.tuned = TunedNetwork(useless=not good)
        self.tuned.both = False
        self.artefact = model_spec("focus_pair").load()
        setup = self.engine._setup
        tools = DeepTools(self.artefact, lambda _artefact: self.tuned, TuneRecipe(), says(TRAINER))  # type: ignore[arg-type,return-value]
        self.engine = CalibrationEngine(setup, self.network, lambda *told: self.learned.append(told), tools)  # type: ignore[arg-type]

    def ask(self, action: str, shown: int = 1, at_um: float = 3.0, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        self.tuned.truth = self.network.truth
        if action == "sweep":
            options = {"near_um": self.slide.focus_um, **options, "deep": 2 if options["field"] < 3 else 0}
        return super().ask(action, shown, at_um, **options)

    def move(self, field: int, z_um: float) -> float | None:
        self.tuned.truth = (z_um - self.slide.focus_um) / CALIBRATED_DOF_UM
        return super().move(field, z_um)

    def fit(self) -> dict[str, Any]:
        while not (told := self.ask("fit"))["done"]:
            pass
        return told

    def calibrated(self) -> dict[str, Any]:
        found = self.sweep(1)
        self.watch(found["flank_um"])
        self.sweep(2)
        told = self.fit()
        assert told["doing"] == "took deep"
        self.sweep(3)
        return self.finish([self.move(3, self.slide.focus_um + way) for way in np.linspace(-15, 15, 20)])


Deep = tuple[DeepCalibrating, dict[str, Any], "Path"]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Deep:
    """A calibration that was accepted, its verdict and its folder; not to be changed."""
    folder = tmp_path_factory.mktemp("deep")
    made = DeepCalibrating(folder)
    return made, made.calibrated(), folder


def test_a_fine_tuned_network_is_judged_written_and_used_like_any_rung(deep: Deep) -> None:
    made, verdict, folder = deep
    sha256 = made.artefact.sidecar.sha256
    assert verdict["accepted"], verdict["reasons"]
    assert (verdict["rung"], verdict["tuned_sha256"]) == ("deep", sha256)
    assert verdict["deep"].startswith("taken after 250 steps")
    assert verdict["before"]["mean_dof"] > 1.0 > verdict["after"]["mean_dof"]
    assert all(field["after"]["mean_dof"] < 0.5 for field in verdict["fields"])
    assert verdict["conditions"]["model_sha256"] == "a" * 64  # the network that it began with
    [(_, correction, tuned)] = made.learned
    assert (correction.slope, correction.offset_dof, correction.head) == (1.0, 0.0, None)
    assert correction.long is not None  # long pairs are read as shipped, with a correction of their own
    assert tuned is made.tuned
    assert not made.tuned.closed
    assert network_path(folder, sha256).exists()
    written = load(next(folder.glob("focus_pair-*.json")))
    assert find(folder, written.conditions)[0] == written


def test_a_calibration_whose_network_was_altered_does_not_match_and_says_so(deep: Deep, tmp_path: Path) -> None:
    made, _, folder = deep
    copy = shutil.copytree(folder, tmp_path / "copy")
    written = load(next(copy.glob("focus_pair-*.json")))
    assert find(copy, written.conditions)[0] == written
    path = network_path(copy, made.artefact.sidecar.sha256)
    for spoil in (lambda: path.write_bytes(b"x"), path.unlink):
        spoil()
        found, why_not = find(copy, written.conditions)
        assert found is None
        assert "its fine-tuned network cannot be used" in why_not
        assert "microscoped calibrate focus" in why_not


def test_a_network_that_fails_on_other_fields_is_rejected_closed_and_not_kept(tmp_path: Path) -> None:
    made = DeepCalibrating(tmp_path, good=False)
    verdict = made.calibrated()
    assert not verdict["accepted"]
    assert (verdict["rung"], verdict["tuned_sha256"]) == ("deep", None)
    assert made.tuned.closed
    assert made.learned == []
    assert not list(tmp_path.glob("tuned-*"))


def test_a_run_that_is_dropped_keeps_nothing(tmp_path: Path) -> None:
    made = DeepCalibrating(tmp_path)
    made.sweep(1)
    run = made.engine._run
    assert run is not None
    assert run.deep is not None
    assert run.deep._kept is not None
    folder = run.deep._kept.folder
    assert folder.exists()
    assert made.ask("drop") == {}
    assert not folder.exists()
    assert made.ask("drop") == {}


@pytest.mark.parametrize(
    "change",
    [{"tuned_sha256": None}, {"accepted": False}, {"rung": "head"}, {"tuned_sha256": "b"}],
    ids=["no network", "rejected", "another rung", "no hash"],
)
def test_a_record_names_a_network_exactly_where_one_was_accepted(deep: Deep, change: dict[str, Any]) -> None:
    written = load(next(deep[2].glob("focus_pair-*.json")))
    content = {**written.model_dump(mode="json"), "sha256": ""}
    Calibration.model_validate(content)
    with pytest.raises(ValueError, match="tuned_sha256"):
        Calibration.model_validate({**content, **change})

"""``microscoped models``."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.models import registry
from microscoped.models.runtimes import BACKENDS, Limit, LowerPrecision
from tests.models.runtimes.openvinos import require

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from tests.daemon.cli.conftest import Cli

    Run = Callable[..., Result]

TOY = Path(__file__).parents[2] / "models" / "runtimes" / "data" / "toy.onnx"

TRAINING = """
import json
from dataclasses import asdict

def train(options):
    if options.variant == "wrong":
        raise ValueError("variant 'wrong': there is none")
    for step in range(3):
        options.progress.update(step + 1, 3, loss=0.5)
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "last.pt"
    kept = {key: str(value) for key, value in vars(options).items() if key != "progress"}
    path.write_text(json.dumps(kept))
    return path

def export(options):
    path = options.folder / "toy.onnx"
    path.write_bytes(options.checkpoint.read_bytes())
    return path

def evaluate(options):
    return {"unseen": {"median_error_um": 0.25, "splits": list(options.splits)}, "artefact": options.artefact.name}
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command where the only model is the toy, whose weights are shipped."""
    weights = tmp_path / "weights"
    weights.mkdir()
    for path in (TOY, TOY.with_suffix(".json")):
        shutil.copy(path, weights)
    spec = registry.ModelSpec("toy", "A toy", "For tests.", ("toy",), "toy_training")
    monkeypatch.setattr(registry, "WEIGHTS", weights)
    monkeypatch.setattr(registry, "MODELS", {"toy": spec})
    monkeypatch.setenv("MICROSCOPED_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "toy_training.py").write_text(TRAINING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_training", raising=False)
    return lambda *words: CliRunner().invoke(app, ["models", *map(str, words)])


def test_models_are_listed_in_a_real_process(cli: Cli) -> None:
    found = cli("models", "list", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    assert "focus_pair" in [json.loads(line)["name"] for line in found.stdout.splitlines()]


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (lambda _: None, "version 1"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"x"), "damaged"),
    ],
)
def test_the_list_says_the_state_of_the_weights(
    run: Run, tmp_path: Path, harm: Callable[[Path], object], state: str
) -> None:
    harm(tmp_path / "weights" / "toy.onnx")
    assert json.loads(run("list", "--json").stdout)["state"] == state
    assert f"toy    toy      {state}" in run("list").stdout


def test_a_model_is_shown_with_shapes_and_units(run: Run) -> None:
    shown = run("show", "toy")
    assert shown.exit_code == 0
    for words in (
        "A toy",
        "For tests.",
        "n × 2 × 16 × 16",
        "defocus",
        "um",
        "batch 1 to 16, usually 4",
        "BSD-3-Clause",
    ):
        assert words in shown.stdout
    document = json.loads(run("show", "toy", "--json").stdout)
    assert document["artefacts"][0]["inputs"][0]["shape"] == [None, 2, 16, 16]


def test_a_model_without_weights_is_shown_and_that_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "weights" / "toy.onnx").unlink()
    shown = run("show", "toy")
    assert (shown.exit_code, "For tests." in shown.stdout, "toy.onnx is missing" in shown.stderr) == (1, True, True)


@pytest.mark.parametrize("command", ["show", "train", "evaluate", "compile", "bench"])
def test_an_unknown_model_is_a_wrong_use(run: Run, command: str) -> None:
    ended = run(command, "toi")
    assert (ended.exit_code, ended.stderr) == (2, "there is no model 'toi'; there are: toy\n")


def test_train_hands_its_options_on_and_export_takes_the_checkpoint(run: Run, tmp_path: Path) -> None:
    trained = run("train", "toy", "--draws", 9, "--device", "cpu", "--seed", 4, "--resume", "--processes", 2)
    assert trained.exit_code == 0, trained.output
    checkpoint = tmp_path / "home" / "training" / "toy" / "last.pt"
    assert json.loads(checkpoint.read_text(encoding="utf-8")) == {
        "folder": str(checkpoint.parent),
        "draws": "9",
        "device": "cpu",
        "seed": "4",
        "resume": "True",
        "processes": "2",
        "variant": "None",
    }
    assert str(checkpoint) in trained.stdout
    assert run("export", "toy", checkpoint, "--folder", tmp_path).exit_code == 0
    assert (tmp_path / "toy.onnx").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "toy", "--device", "tpu"), "--device tpu: must be auto, cpu or cuda"),
        (("train", "toy", "--variant", "wrong"), "variant 'wrong': there is none"),
        (
            ("export", "toy", "none.pt"),
            "none.pt: there is no such checkpoint; 'microscoped models train toy'",
        ),
        (("bench", "toy", "--backend", "cuda"), "--backend cuda: must be one of"),
        (("bench", "toy", "--batch", "17"), "--batch 17: toy takes 1 to 16"),
        (("compile", "--artefact", "x.onnx"), "--artefact needs the name of its model"),
        (("compile", "--backend", "openvino"), "--backend openvino --precision fp32: there are plans for"),
        (("compile", "--precision", "int8"), "--backend tensorrt_rtx --precision int8: there are plans for"),
        (("compile", "--precision", "bf16"), "--backend tensorrt_rtx --precision bf16: there are plans for"),
        (
            ("compile", "--backend", "openvino", "--precision", "int8", "--target", "SM89"),
            "--target SM89: only plans of tensorrt_rtx",
        ),
    ],
)
def test_wrong_options_are_named(run: Run, words: tuple[str, ...], said: str) -> None:
    ended = run(*words)
    assert (ended.exit_code, said in ended.stderr) == (2, True), ended.output


@pytest.mark.parametrize("place", ["{}", "def train(options):\n    {}"])
def test_without_torch_the_extra_is_named(run: Run, tmp_path: Path, place: str) -> None:
    importing = "import torch.nn"
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    (tmp_path / "toy_training.py").write_text(place.format(importing), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
            patch.delitem(sys.modules, name)
        ended = run("train", "toy")
    assert ended.exit_code == 1
    assert ended.stderr.strip().endswith(
        "torch is not installed; training needs the extra: pip install 'microscoped[train]'"
    )


def test_another_module_that_is_missing_is_no_question_of_the_extra(run: Run, tmp_path: Path) -> None:
    (tmp_path / "toy_training.py").write_text("import no_such_module", encoding="utf-8")
    assert isinstance(run("train", "toy").exception, ModuleNotFoundError)


def test_evaluate_prints_figures(run: Run) -> None:
    shown = run("evaluate", "toy", "--split", "unseen")
    assert shown.exit_code == 0, shown.output
    assert "unseen.median_error_um  0.25" in shown.stdout
    document = json.loads(run("evaluate", "toy", "--json", "--split", "a", "--split", "b").stdout)
    assert document == {"unseen": {"median_error_um": 0.25, "splits": ["a", "b"]}, "artefact": "toy.onnx"}


def test_bench_times_the_reference_and_says_why_others_are_not_timed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microscoped.models.runtimes._cuda.LIBRARIES", ("no-such-driver.so",))
    ended = run("bench", "toy", "--rounds", 3, "--json")
    assert ended.exit_code == 0, ended.output
    document: dict[str, Any] = json.loads(ended.stdout)
    assert document["backends"][0]["backend"] == "onnxruntime"
    assert document["backends"][0]["ratio"] == 1.0
    assert {speed["backend"] for speed in document["backends"]} | set(document["unusable"]) == set(BACKENDS)
    assert "no-such-driver" in document["unusable"]["tensorrt"]
    shown = run("bench", "toy", "--rounds", 3, "--backend", "tensorrt")
    assert (shown.exit_code, shown.stderr) == (1, "tensorrt cannot be used here\n")
    assert "not timed: there is no NVIDIA driver" in shown.stdout


LOWER = ("bf16", "int8")
SAMPLES = """
import numpy as np

def samples(count, seed, progress):
    progress.update(1, 1)
    return {"frames": np.random.default_rng(seed).standard_normal((count, 2, 16, 16)).astype(np.float32)}
"""


@pytest.fixture
def with_lower(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The same where the toy runs in lower precision."""
    (tmp_path / "toy_samples.py").write_text(SAMPLES, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "toy_samples", raising=False)
    limit = Limit(mean=0.1, p99=0.5)
    lower = LowerPrecision("int8", "toy_samples", {"defocus": limit, "class": limit})
    spec = replace(registry.MODELS["toy"], lower=(replace(lower, precision="bf16"), lower))
    monkeypatch.setattr(registry, "MODELS", {"toy": spec})
    return run


@pytest.mark.parametrize("precision", LOWER)
def test_a_model_without_lower_precision_says_so(run: Run, precision: str) -> None:
    ended = run("compile", "toy", "--backend", "openvino", "--precision", precision)
    assert (ended.exit_code, ended.stderr) == (1, f"toy has no {precision} version; leave its precision at fp32\n")


@pytest.mark.parametrize("precision", LOWER)
def test_lower_precision_without_openvino_names_the_extra(
    with_lower: Run, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    ended = with_lower("compile", "toy", "--backend", "openvino", "--precision", precision)
    assert (ended.exit_code, "microscoped[openvino]" in ended.stderr) == (1, True)


@pytest.mark.parametrize("precision", LOWER)
def test_lower_precision_is_compiled_once_and_timed_beside_fp32(with_lower: Run, precision: str) -> None:
    require(precision)
    command = ("compile", "toy", "--backend", "openvino", "--precision", precision)
    before = json.loads(with_lower("bench", "toy", "--backend", "openvino", "--rounds", 2, "--json").stdout)
    assert " ".join(command[2:]) in before["unusable"][f"openvino {precision}"]
    made = with_lower(*command, "--json")
    assert made.exit_code == 0, made.output
    document = json.loads(made.stdout)
    assert document["built_s"] > 0
    assert [figures["output"] for figures in document["deviations"]] == ["defocus", "class"]
    again = with_lower(*command)
    assert "from the cache" in again.stdout
    assert "toy: defocus differs by" in again.stdout
    timed = with_lower("bench", "toy", "--backend", "openvino", "--rounds", 2, "--json")
    assert timed.exit_code == 0, timed.output
    rows = [row["backend"] for row in json.loads(timed.stdout)["backends"]]
    assert rows == ["onnxruntime", "openvino", f"openvino {precision}"]


def test_compile_without_the_package_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microscoped.models.runtimes._provider.MODULES", {"tensorrt_rtx": ("no_such_module",)})
    ended = run("compile")
    assert (ended.exit_code, "microscoped[tensorrt]" in ended.stderr) == (1, True)


def test_compile_builds_all_that_is_shipped(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="the extra [tensorrt] is not installed")
    first = json.loads(run("compile", "--json").stdout)
    assert (first["name"], Path(first["path"]).stat().st_size) == ("toy", first["size"])
    assert Path(first["path"]).parent == tmp_path / "home" / "plans"
    assert json.loads(run("compile", "toy", "--json").stdout)["built_s"] is None
    assert json.loads(run("compile", "--anew", "--json").stdout)["built_s"] > 0
    assert "from the cache" in run("compile").stdout
    refused = run("compile", "--target", "SM90")
    assert (refused.exit_code, "has no target 'SM90'" in refused.stderr) == (1, True)

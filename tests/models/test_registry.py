"""The models by name, and the weights that are shipped."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from microscoped.models.registry import MODELS, WEIGHTS, UnknownModelError, model_spec
from microscoped.models.runtimes import (
    compile_artefact,
    compile_lower,
    load_artefact,
    open_model,
    random_inputs,
)
from microscoped.models.runtimes.errors import BuildFailedError
from microscoped.models.training import Silence
from tests.models.runtimes.openvinos import require

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.registry import ModelSpec
    from microscoped.models.runtimes import LowerPrecision

SHIPPED = sorted(WEIGHTS.glob("*.onnx"))


def test_models_are_found_by_name() -> None:
    assert model_spec("focus_pair") is MODELS["focus_pair"]
    assert all(name == spec.name and spec.artefacts for name, spec in MODELS.items())


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(UnknownModelError, match=r"no model 'focus'; there are: .*focus_pair") as caught:
        model_spec("focus")
    assert str(caught.value).startswith("there is no model")


def test_a_network_that_a_model_does_not_have_is_refused() -> None:
    spec = model_spec("focus_pair")
    assert spec.artefact_path() == WEIGHTS / "focus_pair.onnx"
    with pytest.raises(ValueError, match="focus_pair has no network 'other'; there are focus_pair"):
        spec.artefact_path("other")


def test_all_that_is_shipped_has_a_sidecar_and_belongs_to_a_model() -> None:
    names = {artefact for spec in MODELS.values() for artefact in spec.artefacts}
    assert {path.stem for path in SHIPPED} <= names
    assert {path.stem for path in WEIGHTS.glob("*.json")} == {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_runs_on_the_reference(path: Path) -> None:
    artefact = load_artefact(path)
    with open_model(artefact, "onnxruntime") as model:
        outputs = model.run(random_inputs(artefact, 2, seed=0))
    assert {name: values.shape for name, values in outputs.items()} == {
        t.name: t.at(2) for t in artefact.sidecar.outputs
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_builds_with_tensorrt_rtx(path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="the extra [tensorrt] is not installed")
    assert compile_artefact(load_artefact(path)).size > 0


LOWER = [
    pytest.param(spec, lower, id=f"{spec.name} {lower.precision}") for spec in MODELS.values() for lower in spec.lower
]


@pytest.mark.parametrize(("spec", "lower"), LOWER)
def test_lower_precision_has_a_limit_for_every_figure_and_samples_for_every_input(
    spec: ModelSpec, lower: LowerPrecision
) -> None:
    made = importlib.import_module(lower.samples).samples(2, 0, Silence())
    for artefact in map(spec.load, spec.artefacts):
        if lower.judge is None:
            assert {tensor.name for tensor in artefact.sidecar.outputs} <= set(lower.limits)
        for tensor in artefact.sidecar.inputs:
            assert made[tensor.name].shape == tensor.at(2)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("spec", "lower"), LOWER)
def test_what_is_shipped_passes_its_gate_in_lower_precision(
    spec: ModelSpec, lower: LowerPrecision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(lower.precision)
    monkeypatch.setattr("microscoped.models.runtimes._lower.QUANTISED_WITH", 48)
    fewer = replace(lower, judged_by=lower.judged_by // 4)
    for artefact in map(spec.load, spec.artefacts):
        compile_lower(artefact, fewer, tmp_path)
        with open_model(artefact, "openvino", cache_folder=tmp_path, lower=fewer) as model:
            assert model.choice.backend == f"openvino {lower.precision}"


def test_a_precision_that_a_model_does_not_run_in_is_refused() -> None:
    spec = model_spec("cells")
    assert spec.in_precision("fp32") is None
    assert spec.in_precision("bf16") in spec.lower
    with pytest.raises(BuildFailedError, match="cells has no int8 version; leave its precision at fp32"):
        spec.in_precision("int8")


@pytest.mark.parametrize("name", MODELS)
def test_training_code_has_its_three_functions(name: str) -> None:
    pytest.importorskip("torch", reason="the extra [train] is not installed")
    code = model_spec(name).load_training()
    for function in (code.train, code.export, code.evaluate):
        assert list(inspect.signature(function).parameters) == ["options"]

"""A network in int8 in OpenVINO: made once, judged at every opening, never silently replaced."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from microscoped.models.runtimes import Limit, Quantisation, compile_int8, open_model
from microscoped.models.runtimes._openvino import OpenVinoInt8Model
from microscoped.models.runtimes.errors import (
    BackendMissingError,
    BuildFailedError,
    InaccurateError,
    NotCompiledError,
    UnknownBackendError,
    WrongPlanError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.runtimes import Artefact

SAMPLES = """
import numpy as np

asked = []

def samples(count, seed, progress):
    asked.append((count, seed))
    progress.update(count, count)
    frames = np.random.default_rng(seed).standard_normal((count, 2, 16, 16))
    return {"NAME": frames.astype(np.float16), "beside": np.zeros((count, 3))}
"""
WIDE, NARROW = Limit(mean=0.05, p99=0.1), Limit(mean=1e-7, p99=1e-7)


@pytest.fixture
def quantisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quantisation:
    """Wide limits, and a module of samples in a file of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "toy_samples.py").write_text(SAMPLES.replace("NAME", "frames"), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "toy_samples", raising=False)
    return Quantisation("toy_samples", {"defocus": WIDE, "class": WIDE})


@pytest.fixture
def extra() -> None:
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    pytest.importorskip("onnx", reason="the extra [openvino] is not installed")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "tensorrt_rtx", "torch_cuda"])
def test_only_openvino_has_int8(toy: Artefact, quantisation: Quantisation, backend: str) -> None:
    with pytest.raises(UnknownBackendError, match=f"'{backend}' has no int8; use openvino"):
        open_model(toy, backend, int8=quantisation, fallback=True)


def test_without_the_extra_the_reference_takes_over_and_all_reasons_are_said(
    toy: Artefact, quantisation: Quantisation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendMissingError, match=r"microscoped\[openvino\]"):
        open_model(toy, "openvino", int8=quantisation)
    with open_model(toy, "openvino", int8=quantisation, fallback=True) as model:
        assert (model.choice.backend, model.choice.asked) == ("onnxruntime", "openvino int8")
        assert model.choice.reason.startswith("openvino int8 cannot be used: openvino cannot be imported")
        assert "; openvino cannot be used: " in model.choice.reason
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.usefixtures("extra")
def test_it_is_made_once_and_its_convolutions_run_in_int8(
    toy: Artefact, quantisation: Quantisation, tmp_path: Path
) -> None:
    first = compile_int8(toy, quantisation, tmp_path / "plans")
    again = compile_int8(toy, quantisation, tmp_path / "plans")
    assert first.built_s is not None
    assert again.built_s is None
    assert first.path == again.path
    assert sorted(sys.modules["toy_samples"].asked) == [(128, 0), (128, 1)]
    assert [(d.output, d.within, d.mean > 0) for d in again.deviations] == [
        ("defocus", True, True),
        ("class", True, True),
    ]
    with open_model(toy, "openvino", cache_folder=tmp_path / "plans", int8=quantisation) as model:
        assert (model.backend, model.choice.asked) == ("openvino int8", "openvino int8")
        assert "accurate enough" in model.choice.reason
        assert "defocus differs by" in model.choice.reason
        assert isinstance(model, OpenVinoInt8Model)
        kinds = {
            operation.get_rt_info()["runtimePrecision"].astype(str)
            for operation in model._request.get_compiled_model().get_runtime_model().get_ops()
            if operation.get_rt_info()["layerType"].astype(str) == "Convolution"
        }
    assert kinds & {"u8", "i8"}


@pytest.mark.usefixtures("extra")
def test_what_was_not_made_is_not_used_and_is_not_made_by_opening(
    toy: Artefact, quantisation: Quantisation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotCompiledError, match="models compile --backend openvino --precision int8"):
        open_model(toy, "openvino", cache_folder=tmp_path, int8=quantisation)
    with open_model(toy, "openvino", cache_folder=tmp_path, int8=quantisation, fallback=True) as model:
        assert (model.choice.backend, model.choice.asked) == ("openvino", "openvino int8")
        assert model.choice.reason.startswith("openvino int8 cannot be used: there is no int8 version of toy")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "toy_samples" not in sys.modules


@pytest.mark.usefixtures("extra")
def test_what_is_not_accurate_enough_is_refused_with_its_figures_and_not_kept(
    toy: Artefact, quantisation: Quantisation, tmp_path: Path
) -> None:
    strict = replace(quantisation, limits={"defocus": NARROW, "class": WIDE})
    with pytest.raises(InaccurateError, match=r"toy: on 128 samples defocus differs by .* \(1e-07 is allowed\)"):
        compile_int8(toy, strict, tmp_path / "plans")
    assert not (tmp_path / "plans").exists()
    assert compile_int8(toy, quantisation, tmp_path / "plans").path is not None
    with pytest.raises(NotCompiledError):
        open_model(toy, "openvino", cache_folder=tmp_path / "plans", int8=strict)


@pytest.mark.usefixtures("extra")
def test_more_is_kept_in_single_precision_where_that_passes(
    toy: Artefact, quantisation: Quantisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mean(*ladder: int) -> float:
        monkeypatch.setattr("microscoped.models.runtimes._int8.LADDER", ladder)
        return compile_int8(toy, quantisation).deviations[0].mean

    all_of_them, but_one = mean(0), mean(1)
    assert but_one < all_of_them
    between = Limit(mean=(all_of_them + but_one) / 2, p99=1.0)
    quantisation = replace(quantisation, limits={"defocus": between, "class": WIDE})
    assert mean(0, 1) == but_one


@pytest.mark.usefixtures("extra")
def test_other_samples_or_limits_need_another_plan(toy: Artefact, quantisation: Quantisation, tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    compile_int8(toy, quantisation, plans)
    wider = replace(quantisation, limits={"defocus": Limit(mean=1.0, p99=1.0), "class": WIDE})
    assert compile_int8(toy, wider, plans).built_s is not None
    module = tmp_path / "modules" / "toy_samples.py"
    module.write_text(module.read_text(encoding="utf-8") + "# other\n", encoding="utf-8")
    with pytest.raises(NotCompiledError):
        open_model(toy, "openvino", cache_folder=plans, int8=quantisation)


@pytest.mark.usefixtures("extra")
def test_a_plan_that_holds_something_else_is_refused(
    toy: Artefact, quantisation: Quantisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("microscoped.models.runtimes._int8._build", lambda *_: b"no archive")
        with pytest.raises(WrongPlanError, match="--anew"):
            compile_int8(toy, quantisation, tmp_path)
    with pytest.raises(WrongPlanError, match="--anew"):
        open_model(toy, "openvino", cache_folder=tmp_path, int8=quantisation)
    assert compile_int8(toy, quantisation, tmp_path, anew=True).path is not None
    open_model(toy, "openvino", cache_folder=tmp_path, int8=quantisation).close()


@pytest.mark.usefixtures("extra")
def test_samples_of_other_inputs_are_refused(toy: Artefact, quantisation: Quantisation, tmp_path: Path) -> None:
    module = tmp_path / "modules" / "toy_samples.py"
    module.write_text(SAMPLES.replace("NAME", "pictures"), encoding="utf-8")
    with pytest.raises(BuildFailedError, match="the samples hold pictures, beside, but toy also reads frames"):
        compile_int8(toy, quantisation)


@pytest.mark.usefixtures("extra")
def test_a_module_of_samples_that_does_not_exist_is_named(toy: Artefact, quantisation: Quantisation) -> None:
    with pytest.raises(BuildFailedError, match="no_such_samples does not exist"):
        compile_int8(toy, replace(quantisation, samples="no_such_samples"))

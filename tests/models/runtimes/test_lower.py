"""A network in bf16 or int8 in OpenVINO: made once, judged at every opening, never silently replaced."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

import pytest

from microscoped.models.runtimes import Limit, LowerPrecision, compile_lower, open_model
from microscoped.models.runtimes.errors import (
    BackendMissingError,
    BuildFailedError,
    InaccurateError,
    NotCompiledError,
    UnknownBackendError,
    UnsupportedProcessorError,
    WrongPlanError,
)
from tests.models.runtimes.openvinos import convolved_in, require

if TYPE_CHECKING:
    from collections.abc import Callable
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
def int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LowerPrecision:
    """Wide limits, and a module of samples in a file of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "toy_samples.py").write_text(SAMPLES.replace("NAME", "frames"), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "toy_samples", raising=False)
    return LowerPrecision("int8", "toy_samples", {"defocus": WIDE, "class": WIDE})


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "tensorrt_rtx", "torch_cuda"])
def test_only_openvino_has_int8(toy: Artefact, int8: LowerPrecision, backend: str) -> None:
    with pytest.raises(UnknownBackendError, match=f"'{backend}' has no precision int8; use openvino"):
        open_model(toy, backend, lower=int8, fallback=True)


def test_without_the_extra_the_reference_takes_over_and_all_reasons_are_said(
    toy: Artefact, int8: LowerPrecision, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendMissingError, match=r"microscoped\[openvino\]"):
        open_model(toy, "openvino", lower=int8)
    with open_model(toy, "openvino", lower=int8, fallback=True) as model:
        assert (model.choice.backend, model.choice.asked) == ("onnxruntime", "openvino int8")
        assert model.choice.reason.startswith("openvino int8 cannot be used: openvino cannot be imported")
        assert "; openvino cannot be used: " in model.choice.reason
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.fixture(params=["bf16", "int8"])
def lower(request: pytest.FixtureRequest, int8: LowerPrecision) -> LowerPrecision:
    """Each precision that this computer can run."""
    precision: Literal["bf16", "int8"] = request.param
    require(precision)
    return replace(int8, precision=precision)


def test_it_is_made_once_and_its_convolutions_run_in_it(toy: Artefact, lower: LowerPrecision, tmp_path: Path) -> None:
    first = compile_lower(toy, lower, tmp_path / "plans")
    again = compile_lower(toy, lower, tmp_path / "plans")
    assert first.built_s is not None
    assert again.built_s is None
    assert first.path == again.path
    seeds = {"bf16": [(128, 1)], "int8": [(128, 0), (128, 1)]}
    assert sorted(sys.modules["toy_samples"].asked) == seeds[lower.precision]
    assert [(d.output, d.within, d.mean > 0) for d in again.deviations] == [
        ("defocus", True, True),
        ("class", True, True),
    ]
    with open_model(toy, "openvino", cache_folder=tmp_path / "plans", lower=lower) as model:
        assert (model.backend, model.choice.asked) == (f"openvino {lower.precision}",) * 2
        assert "accurate enough" in model.choice.reason
        assert "defocus differs by" in model.choice.reason
        assert convolved_in(model) == {"bf16": {"bf16"}, "int8": {"i8"}}[lower.precision]


def test_what_was_not_made_is_not_used_and_is_not_made_by_opening(
    toy: Artefact, lower: LowerPrecision, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotCompiledError, match=f"models compile --backend openvino --precision {lower.precision}"):
        open_model(toy, "openvino", cache_folder=tmp_path, lower=lower)
    with open_model(toy, "openvino", cache_folder=tmp_path, lower=lower, fallback=True) as model:
        named = f"openvino {lower.precision}"
        assert (model.choice.backend, model.choice.asked) == ("openvino", named)
        assert model.choice.reason.startswith(f"{named} cannot be used: there is no {lower.precision} version of toy")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "toy_samples" not in sys.modules


def test_what_is_not_accurate_enough_is_refused_with_its_figures_and_not_kept(
    toy: Artefact, lower: LowerPrecision, tmp_path: Path
) -> None:
    strict = replace(lower, limits={"defocus": NARROW, "class": WIDE})
    with pytest.raises(InaccurateError, match=r"toy: on 128 samples defocus differs by .* \(1e-07 is allowed\)"):
        compile_lower(toy, strict, tmp_path / "plans")
    assert not (tmp_path / "plans").exists()
    assert compile_lower(toy, lower, tmp_path / "plans").path is not None
    with pytest.raises(NotCompiledError):
        open_model(toy, "openvino", cache_folder=tmp_path / "plans", lower=strict)


def test_more_is_kept_in_single_precision_where_that_passes(
    toy: Artefact, int8: LowerPrecision, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("int8")

    def mean(*ladder: int) -> float:
        monkeypatch.setattr("microscoped.models.runtimes._lower.LADDER", ladder)
        return compile_lower(toy, int8).deviations[0].mean

    all_of_them, but_one = mean(0), mean(1)
    assert but_one < all_of_them
    between = Limit(mean=(all_of_them + but_one) / 2, p99=1.0)
    int8 = replace(int8, limits={"defocus": between, "class": WIDE})
    assert mean(0, 1) == but_one


def test_other_samples_or_limits_need_another_plan(toy: Artefact, lower: LowerPrecision, tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    compile_lower(toy, lower, plans)
    wider = replace(lower, limits={"defocus": Limit(mean=1.0, p99=1.0), "class": WIDE})
    assert compile_lower(toy, wider, plans).built_s is not None
    module = tmp_path / "modules" / "toy_samples.py"
    module.write_text(module.read_text(encoding="utf-8") + "# other\n", encoding="utf-8")
    with pytest.raises(NotCompiledError):
        open_model(toy, "openvino", cache_folder=plans, lower=lower)


def test_a_plan_that_holds_something_else_is_refused(
    toy: Artefact, lower: LowerPrecision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("microscoped.models.runtimes._lower._build", lambda *_: b"no archive")
        with pytest.raises(WrongPlanError, match="--anew"):
            compile_lower(toy, lower, tmp_path)
    with pytest.raises(WrongPlanError, match="--anew"):
        open_model(toy, "openvino", cache_folder=tmp_path, lower=lower)
    assert compile_lower(toy, lower, tmp_path, anew=True).path is not None
    open_model(toy, "openvino", cache_folder=tmp_path, lower=lower).close()


def test_samples_of_other_inputs_are_refused(toy: Artefact, lower: LowerPrecision, tmp_path: Path) -> None:
    module = tmp_path / "modules" / "toy_samples.py"
    module.write_text(SAMPLES.replace("NAME", "pictures"), encoding="utf-8")
    with pytest.raises(BuildFailedError, match="the samples hold pictures, beside, but toy also reads frames"):
        compile_lower(toy, lower)


def test_a_module_of_samples_that_does_not_exist_is_named(toy: Artefact, lower: LowerPrecision) -> None:
    with pytest.raises(BuildFailedError, match="no_such_samples does not exist"):
        compile_lower(toy, replace(lower, samples="no_such_samples"))


CAPABILITIES = {"FULL_DEVICE_NAME": "an old processor", "OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"]}


@pytest.mark.parametrize("use", [compile_lower, lambda *given: open_model(given[0], "openvino", lower=given[1])])
def test_bf16_is_refused_where_the_processor_does_not_compute_in_it(
    toy: Artefact, int8: LowerPrecision, monkeypatch: pytest.MonkeyPatch, use: Callable[..., object]
) -> None:
    core = SimpleNamespace(get_property=lambda _, name: CAPABILITIES[name])
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core, __version__="0"))
    with pytest.raises(
        UnsupportedProcessorError,
        match=r"precision bf16 needs .* FP32, INT8 .*an old processor: set the prec.* to fp32",
    ):
        use(toy, replace(int8, precision="bf16"))


def test_where_bf16_is_refused_single_precision_takes_over_and_the_log_says_so(
    toy: Artefact, int8: LowerPrecision, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    require("int8")
    monkeypatch.setattr("microscoped.models.runtimes._openvino.NATIVE", {"bf16": "NO SUCH"})
    with open_model(toy, "openvino", lower=replace(int8, precision="bf16"), fallback=True) as model:
        assert (model.backend, convolved_in(model)) == ("openvino", {"f32"})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "openvino bf16 cannot be used: precision bf16 needs a processor" in caplog.text


JUDGE = """
import numpy as np

def differences(model, reference, artefact, samples):
    assert model.backend != reference.backend
    return {"read": np.array([0.25, 0.25, len(samples["frames"])])}
"""


def test_a_judge_of_its_own_says_how_far_they_are_apart(
    toy: Artefact, lower: LowerPrecision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules" / "toy_judge.py").write_text(JUDGE, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "toy_judge", raising=False)
    judged = replace(lower, judge="toy_judge", judged_by=4, limits={"read": Limit(mean=1.5, p99=4.0)})
    found = compile_lower(toy, judged, tmp_path / "plans").deviations
    assert [(deviation.output, deviation.unit, deviation.mean) for deviation in found] == [("read", "1", 1.5)]
    strict = replace(judged, limits={"read": Limit(mean=1.4, p99=4.0)})
    with pytest.raises(InaccurateError, match=r"on 4 samples read differs by 1\.5 in the mean \(1\.4 is allowed\)"):
        compile_lower(toy, strict, tmp_path / "plans")

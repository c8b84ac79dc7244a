"""TensorRT-RTX itself: what it builds without a GPU, how it fails, and, where there is a GPU, what it answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.models.runtimes import Artefact, compile_artefact, open_model
from microscoped.models.runtimes._cuda import find_driver
from microscoped.models.runtimes._provider import find_provider, make_log
from microscoped.models.runtimes._tensorrt import _check_validity, build_plan, profile_of
from microscoped.models.runtimes.errors import BuildFailedError, DriverAbsentError, WrongPlanError

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.runtimes._provider import Provider

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra [tensorrt] is not installed")


@pytest.fixture(scope="module")
def provider() -> Provider:
    return find_provider("tensorrt_rtx")


def test_a_plan_is_built_without_a_gpu_and_comes_from_the_cache_next_time(toy: Artefact, tmp_path: Path) -> None:
    first = compile_artefact(toy, "tensorrt_rtx", folder=tmp_path)
    again = compile_artefact(toy, "tensorrt_rtx", folder=tmp_path)
    assert first.path is not None
    assert first.path == again.path
    assert first.path.stat().st_size == first.size == again.size > 10_000
    assert first.built_s is not None
    assert again.built_s is None


BUILD = """
import hashlib, sys
from pathlib import Path
from microscoped.models.runtimes import compile_artefact, load_artefact
plan = compile_artefact(load_artefact(Path(sys.argv[1])), folder=Path(sys.argv[2]))
print(hashlib.sha256(plan.path.read_bytes()).hexdigest())
"""


def test_two_processes_build_the_same_bytes(toy: Artefact, tmp_path: Path) -> None:
    hashes = {
        subprocess.run(
            [sys.executable, "-c", BUILD, str(toy.path), str(tmp_path / name)],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout
        for name in "ab"
    }
    assert len(hashes) == 1


def test_a_plan_for_one_gpu_is_another(toy: Artefact, tmp_path: Path) -> None:
    paths = {compile_artefact(toy, targets=targets, folder=tmp_path).path for targets in ((), ("SM89",), ("SM120",))}
    assert len(paths) == 3
    assert len({path.read_bytes() for path in paths if path}) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"onnx": b"garbage" * 99}, "cannot read it as ONNX"),
        ({"onnx": b""}, "Network must have at least one output"),
        ({"shapes": {}}, "no optimization profile has been defined"),
        ({"targets": ("SM90",)}, "has no target 'SM90'; there are SM75, SM80"),
        ({"targets": ("SM75",)}, "for SM75: .*FP32 GEMM is not supported"),
    ],
)
def test_what_cannot_be_built_is_an_error_in_tensorrts_words(
    toy: Artefact, provider: Provider, changes: dict[str, Any], said: str
) -> None:
    arguments: dict[str, Any] = {"onnx": toy.onnx, "shapes": profile_of(toy), "targets": (), **changes}
    with pytest.raises(BuildFailedError, match=said):
        build_plan(provider, **arguments)


def test_a_network_that_is_none_names_its_file(toy: Artefact) -> None:
    with pytest.raises(BuildFailedError, match=r"cannot read .*toy\.onnx as ONNX"):
        compile_artefact(replace(toy, onnx=b"garbage" * 99))


@pytest.mark.parametrize("plan", [b"", b"garbage" * 99])
def test_a_plan_that_is_none_is_refused_before_it_is_loaded(provider: Provider, plan: bytes) -> None:
    runtime = provider.module.Runtime(make_log(provider.module))
    with pytest.raises(WrongPlanError, match=r"refuses the plan on Toy: .*Delete the plan cache"):
        _check_validity(provider, runtime, plan, "Toy")


@pytest.mark.gpu
def test_on_a_gpu_it_agrees_with_the_reference(toy: Artefact, tmp_path: Path) -> None:
    try:
        driver = find_driver()
    except DriverAbsentError as error:
        pytest.skip(str(error))
    if driver.gpus[0].target not in {80, 86, 89, 120, 121}:
        pytest.skip(f"TensorRT-RTX does not run on {driver.gpus[0]}")
    for _ in range(2):
        with open_model(toy, "tensorrt_rtx", cache_folder=tmp_path) as model:
            assert model.choice.backend == "tensorrt_rtx"
    assert len(list(tmp_path.glob("*.kernels"))) == 1

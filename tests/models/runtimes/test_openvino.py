"""OpenVINO itself, where it is installed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.runtimes import compare_models, open_model, random_inputs
from microscoped.models.runtimes.errors import BackendMissingError, BuildFailedError
from tests.models.runtimes.openvinos import convolved_in

if TYPE_CHECKING:
    from microscoped.models.runtimes import Artefact


def test_where_it_is_missing_its_extra_is_named(toy: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(BackendMissingError, match=r"microscoped\[openvino\]"):
        open_model(toy, "openvino")


def test_it_agrees_with_the_reference_and_with_numpy(toy: Artefact, make_toy: Any) -> None:
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    inputs = random_inputs(toy, 5, seed=3)
    with open_model(toy, "openvino") as model, open_model(toy, "onnxruntime") as reference:
        found = model.run(inputs)
        kept = {name: values.copy() for name, values in found.items()}
        assert all(difference.within for difference in compare_models(model, reference, toy, batch=16))
    expected = make_toy.answers(inputs["frames"])
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=2e-6)
        np.testing.assert_array_equal(values, kept[name], err_msg="the next run must not change what was given out")


def test_by_its_name_it_computes_in_single_precision_also_where_the_processor_has_bf16(toy: Artefact) -> None:
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    with open_model(toy, "openvino") as model:
        assert convolved_in(model) == {"f32"}


def test_a_file_that_is_no_network_is_refused(toy: Artefact) -> None:
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    with pytest.raises(BuildFailedError, match=r"OpenVINO does not take .*toy\.onnx"):
        open_model(replace(toy, onnx=b"garbage" * 99), "openvino")

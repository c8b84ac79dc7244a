"""Artefacts of networks between iterations that change nothing, or scale: what needs no training to be told by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.models.lensfree.network import PITCH_UM, SIDE_PX, UNIT_ABSORPTION, UNIT_NM
from microscoped.models.runtimes import BatchProfile, Sidecar, Tensor, sha256_of, write_artefact

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.models.runtimes import Artefact


def write_network(folder: Path, name: str, task: str, factor: float = 1.0) -> Artefact:
    """Write a network that multiplies its maps by a factor; needs the package onnx."""
    from onnx import TensorProto, helper

    shape = ["n", 2, SIDE_PX, SIDE_PX]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["maps", "factor"], ["better"])],
        name,
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("better", TensorProto.FLOAT, shape)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx = model.SerializeToString(deterministic=True)
    maps = Tensor(name="maps", shape=(None, 2, SIDE_PX, SIDE_PX), dtype="float32", meaning="maps", unit="1")
    sidecar = Sidecar(
        name=name,
        version="1",
        title="A network for tests",
        inputs=(maps,),
        outputs=(maps.model_copy(update={"name": "better"}),),
        batch=BatchProfile(min=1, opt=1, max=4),
        preprocessing={
            "task": task,
            "side_px": SIDE_PX,
            "unit_nm": UNIT_NM,
            "unit_absorption": UNIT_ABSORPTION,
            "pitch_um": PITCH_UM,
        },
        sha256=sha256_of(onnx),
        training={},
        scores={},
        tolerance={"better": 1e-3},
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / f"{name}.onnx", onnx, sidecar)

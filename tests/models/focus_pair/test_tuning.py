"""Fine-tuning with torch: that it learns, writes what it learned, chooses by other fields, ends with its listener."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")
onnx = pytest.importorskip("onnx", reason="training needs the extra 'train'")

from microscoped.models.focus_pair import Correction, EstimateSettings  # noqa: E402
from microscoped.models.focus_pair.calibration import (  # noqa: E402
    Bars,
    DeepTools,
    Figures,
    Fit,
    PairReading,
    TuneRecipe,
)
from microscoped.models.focus_pair.calibration.deep import DeepRun  # noqa: E402
from microscoped.models.focus_pair.calibration.kept import KeptPairs, read_kept  # noqa: E402
from microscoped.models.focus_pair.calibration.process import BASE, LEFT_OUT, TUNED, TuningProcess  # noqa: E402
from microscoped.models.focus_pair.training.tuning import Draws, fine_tune  # noqa: E402
from microscoped.models.runtimes import (  # noqa: E402
    Artefact,
    BatchProfile,
    Sidecar,
    Tensor,
    load_artefact,
    open_model,
    sha256_of,
    write_artefact,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from numpy.typing import NDArray

TILES, SIDE = 4, 8
QUICK = TuneRecipe(steps=300, batch=16, rate=2e-2, warm_up=5, pull=0.0, check_every=100, folds=2)


def tensor(name: str, *shape: int) -> Tensor:
    return Tensor(name=name, shape=(None, *shape), dtype="float32", meaning="", unit="1")


def small_network(folder: Path) -> Artefact:
    """A network of a convolution, a constant scale, a linear layer; its inputs are not those of the shipped one."""
    rng = np.random.default_rng(0)

    def constant(name: str, values: NDArray[np.generic]) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array(values, name)

    def free(name: str, *shape: int) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", *shape])

    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["picture", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("ReduceMean", ["r", "axes"], ["pooled"], keepdims=0),
            node("Concat", ["pooled", "vector"], ["features"], axis=1),
            node("Gemm", ["features", "head", "bias"], ["both"], transB=1),
            node("Mul", ["both", "scale"], ["scaled"]),
            node("Gather", ["scaled", "zero"], ["defocus_dof"], axis=1),
            node("Gather", ["scaled", "one"], ["log_error"], axis=1),
        ],
        "small",
        [free("picture", 1, SIDE, SIDE), free("vector", 3)],
        [free("defocus_dof"), free("log_error"), free("features", 7)],
        [
            constant("w", rng.normal(0.0, 0.3, (4, 1, 3, 3)).astype(np.float32)),
            constant("b", np.full(4, 0.1, np.float32)),
            constant("axes", np.array([2, 3])),
            constant("head", np.zeros((2, 7), np.float32)),
            constant("bias", np.zeros(2, np.float32)),
            constant("scale", np.array([2.0, 1.0], np.float32)),
            constant("zero", np.array(0)),
            constant("one", np.array(1)),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    content = model.SerializeToString()
    sidecar = Sidecar(
        name="small",
        version="1",
        title="small",
        inputs=(tensor("picture", 1, SIDE, SIDE), tensor("vector", 3)),
        outputs=(tensor("defocus_dof"), tensor("log_error"), tensor("features", 7)),
        batch=BatchProfile(min=1, opt=4, max=16),
        preprocessing={},
        sha256=sha256_of(content),
        training={},
        scores={},
        tolerance={"defocus_dof": 1e-4, "log_error": 1e-4, "features": 1e-4},
        licence="BSD-3-Clause",
    )
    return write_artefact(folder / "small.onnx", content, sidecar)


def pair(truth_dof: float, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], PairReading]:
    """A pair whose pictures are as bright as it is out of focus: nothing that the network knows yet."""
    pictures = 1.5 + truth_dof / 4.0 + rng.normal(0.0, 0.05, (TILES, 1, SIDE, SIDE))
    vectors = rng.normal(0.0, 1.0, (TILES, 3))
    reading = PairReading(
        z_um=2.0 * truth_dof,
        delta_dof=2.0,
        defocus_dof=np.zeros(TILES, np.float32),
        expected_error_dof=np.full(TILES, 1.0, np.float32),
        features=np.zeros((TILES, 7), np.float32),
        contents=np.ones(TILES),
        centres=((0.0, 0.0),) * TILES,
    )
    return {"picture": pictures.astype(np.float32), "vector": vectors.astype(np.float32)}, reading


def pairs_of(field: int) -> list[tuple[dict[str, NDArray[np.float32]], PairReading]]:
    rng = np.random.default_rng(field)
    return [pair(truth, rng) for truth in np.linspace(-4.0, 4.0, 17)]


@pytest.fixture
def kept(tmp_path: Path) -> Generator[KeptPairs]:
    made = KeptPairs(3, 1)
    for number in (1, 2, 3):
        made.begin(number)
        for arrays, reading in pairs_of(number):
            made.add(arrays, reading)
        made.end(0.0, 2.0)
    made.write_index()
    artefact = small_network(tmp_path)
    write_artefact(made.folder / BASE, artefact.onnx, artefact.sidecar)
    yield made
    made.close()


def error_dof(artefact: Artefact, field: int) -> float:
    with open_model(artefact, "onnxruntime") as model:
        said = [np.median(model.run(arrays)["defocus_dof"]) - reading.z_um / 2.0 for arrays, reading in pairs_of(field)]
    return float(np.mean(np.abs(said)))


def test_it_learns_what_the_network_did_not_know_and_writes_it_into_the_same_graph(kept: KeptPairs) -> None:
    told: list[str] = []
    steps = fine_tune(kept.folder, QUICK, told.append)
    base, tuned = load_artefact(kept.folder / BASE), load_artefact(kept.folder / TUNED)
    assert error_dof(base, 9) > 2.0
    assert error_dof(tuned, 9) < 0.5
    assert tuned.sidecar.inputs == base.sidecar.inputs
    assert tuned.sidecar.training["base_sha256"] == base.sidecar.sha256
    assert tuned.sidecar.training["steps"] == steps
    curve = tuned.sidecar.training["curve"]
    assert isinstance(curve, list)
    assert [point["steps"] for point in curve] == [100, 200, 300]  # type: ignore[index,call-overload]
    assert steps == min(curve, key=lambda point: point["left_out_dof"])["steps"]  # type: ignore[index,call-overload]
    assert told[0] == "fine-tuning 1 of 3, step 0 of 300"
    before, after = (
        {one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_model_from_string(a.onnx).graph.initializer}
        for a in (base, tuned)
    )
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"w", "b", "head", "bias"}  # the constant scale is no weight


def test_fields_are_judged_by_networks_that_never_saw_them(kept: KeptPairs) -> None:
    fine_tune(kept.folder, QUICK, lambda _doing: None)
    with np.load(kept.folder / LEFT_OUT) as said:
        assert sorted(said) == sorted(f"{k}.{what}" for k in (1, 2, 3) for what in ("defocus_dof", "log_error"))
        left_out = said["2.defocus_dof"]
    assert left_out.shape == (17, TILES)
    with open_model(load_artefact(kept.folder / TUNED), "onnxruntime") as model:
        seen = np.stack([model.run(arrays)["defocus_dof"] for arrays, _ in pairs_of(2)])
    assert float(np.mean(np.abs(left_out - seen))) > 1e-4


def test_the_same_seed_gives_the_same_network(kept: KeptPairs) -> None:
    hashes = set()
    for _ in range(2):
        fine_tune(kept.folder, QUICK, lambda _doing: None)
        hashes.add(load_artefact(kept.folder / TUNED).sidecar.sha256)
    assert len(hashes) == 1


def test_pictures_are_turned_and_vectors_are_not(tmp_path: Path) -> None:
    made = KeptPairs(1, 1)
    made.begin(1)
    arrays, reading = pair(1.0, np.random.default_rng(0))
    arrays["picture"][:] = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    made.add(arrays, reading)
    made.end(0.0, 2.0)
    made.write_index()
    batch, targets = Draws(read_kept(made.folder), 0).batch(200)
    made.close()
    corners = {(one[0, 0, 0], one[0, 0, -1]) for one in batch["picture"]}
    low, high, right, bottom = 0.0, 63.0, 7.0, 56.0
    assert corners == {
        (low, right), (right, low), (low, bottom), (bottom, low),
        (high, right), (right, high), (high, bottom), (bottom, high),
    }  # fmt: skip
    assert all(any(np.array_equal(one, known) for known in arrays["vector"]) for one in batch["vector"])
    assert set(targets.tolist()) == {1.0}


def test_fields_without_content_teach_nothing(kept: KeptPairs) -> None:
    index = json.loads((kept.folder / "kept.json").read_text(encoding="utf-8"))
    for entry in index:
        entry["used"] = [[False] * TILES for _ in entry["used"]]
    (kept.folder / "kept.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match="no tile has content"):
        fine_tune(kept.folder, QUICK, lambda _doing: None)


# --- as a process ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_calibration_takes_the_fine_tuned_network_where_nothing_else_passes(tmp_path: Path) -> None:
    artefact = small_network(tmp_path)
    run = DeepRun(DeepTools(artefact, lambda found: open_model(found, "onnxruntime"), QUICK), 3, 1)
    for number in (1, 2, 3):
        run.begin_field(number)
        for arrays, reading in pairs_of(number):
            run.see(arrays, reading)
        run.end_field(0.0, 2.0)
    figures = Figures(pairs=51, told=51, mean_dof=2.1, p95_dof=4.0, wrong_sign=0.5, coverage=0.9)
    end = Fit("head", 1, Correction(), 2.0, figures, passed=False)

    def ladder() -> Generator[str, None, Fit]:
        yield "head"
        return end

    climbing, doings = run.climb(ladder(), EstimateSettings(), Bars()), []
    while True:
        try:
            doings.append(next(climbing))
        except StopIteration as stop:
            found: Fit = stop.value
            break
    assert found.rung == "deep", run.outcome
    assert found.figures.mean_dof is not None
    assert found.figures.mean_dof < 0.5
    assert run.outcome.startswith("taken after")
    assert any(doing.startswith("fine-tuning 3 of 3") for doing in doings)
    assert run.tuned is not None
    assert run.tuned.artefact.sidecar.training["base_sha256"] == artefact.sidecar.sha256
    run.begin_field(4)
    for arrays, reading in pairs_of(4):
        run.see(arrays, reading)
    run.end_field(0.0, 2.0)
    judged = run.readings[4]
    assert float(np.mean([abs(np.median(one.defocus_dof) - one.z_um / 2.0) for one in judged])) < 0.5
    run.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_process_ends_when_its_listener_has_gone(kept: KeptPairs) -> None:
    forever = replace(QUICK, steps=10_000_000, check_every=1_000_000)
    process = TuningProcess(kept.folder, forever)
    try:
        while (report := process.hear()) is None:
            pass
        assert report["doing"].startswith("fine-tuning 1 of")
        child = process._process
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(60) == 1
    finally:
        process.close()

"""The networks between iterations: their pairs, that they learn and resume, and what they are at run time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.lensfree import (
    NetworkAccelerator,
    NetworkError,
    NetworkUnwrapper,
    SolveSettings,
    solve_accelerated,
)
from microscoped.models.lensfree.network import HALO_PX, UNIT_ABSORPTION, UNIT_NM
from microscoped.models.training import EvaluateOptions, ExportOptions, Silence, TrainOptions
from tests.models.lensfree.dish import dish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from microscoped.models.lensfree import training  # noqa: E402
from microscoped.models.lensfree.training import evaluation, learning, pairs  # noqa: E402
from microscoped.models.lensfree.training.exporting import load_checkpoint  # noqa: E402
from microscoped.models.lensfree.training.network import FLAT, LIGHT, Architecture, ChangeNet  # noqa: E402
from microscoped.models.runtimes import load_artefact, open_model  # noqa: E402

TINY = pairs.PairRecipe(side_px=64, early=(2, 3), iterations=4)


@pytest.fixture(scope="module", autouse=True)
def few_cells() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "CELLS", 6)
        patch.setattr(pairs, "NOMINAL_SHARE", 1.0)
        patch.setattr(training, "PAIRS", TINY)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lensfree")


@pytest.fixture(scope="module")
def unwrap(folder: Path) -> Path:
    checkpoint = training.train(TrainOptions(folder, draws=24, variant="unwrap"))
    return training.export(ExportOptions(checkpoint, checkpoint.parent))


@pytest.fixture(scope="module")
def light(folder: Path) -> Path:
    return training.train(TrainOptions(folder, draws=24, variant="accelerate-light"))


def test_a_pair_is_a_reconstruction_on_its_way_and_the_truth(folder: Path) -> None:
    (path,) = pairs.make_pairs(TINY, folder, [0], 1, Silence())
    early, late, true = pairs.read_pair(path)
    scene = pairs.draw_scene(TINY, 0)
    assert early.shape == (2, 2, 64, 64)
    assert late.shape == true.shape == (2, 64, 64)
    np.testing.assert_allclose(true[0] * UNIT_NM, scene.opd_nm, rtol=1e-3, atol=0.01)
    np.testing.assert_allclose(true[1] * UNIT_ABSORPTION, scene.absorption, rtol=1e-3, atol=1e-4)
    assert not np.array_equal(early[0], early[1])
    assert not np.array_equal(early[1], late)


def test_pairs_that_are_there_are_not_made_again_and_others_are_by_processes(tmp_path: Path) -> None:
    (first,) = pairs.make_pairs(TINY, tmp_path, [3], 1, Silence())
    first.write_bytes(b"kept")
    again = pairs.make_pairs(TINY, tmp_path, [3, 4, 5], 2, Silence())
    assert again[0].read_bytes() == b"kept"
    assert [path.name for path in again] == ["000003.npz", "000004.npz", "000005.npz"]
    assert all(path.exists() for path in again)
    assert not list(first.parent.glob("*.part"))


def test_pairs_of_another_recipe_go_elsewhere() -> None:
    others = (replace(TINY, iterations=5), replace(TINY, seed=1), replace(TINY, early=(2,)))
    assert len({TINY.name, *(other.name for other in others)}) == 4
    assert replace(TINY).name == TINY.name


def test_all_variants_learn_from_the_same_pairs(folder: Path, unwrap: Path, light: Path) -> None:
    assert (unwrap.parent.name, light.parent.name) == ("unwrap", "accelerate-light")
    assert [path.name for path in folder.glob("pairs-*")] == [TINY.name]


def test_who_knows_the_truth_sets_tall_places_right_and_leaves_the_rest() -> None:
    true = np.zeros((4, 6), np.float32)
    true[1, 2], true[2, 3] = 300.0, 100.0
    found = np.full((8, 10), 7.0, np.float32)
    absorption = np.full_like(found, 0.1)
    unwrapper = pairs.TruthUnwrapper(true, 530.0, misses=1)
    assert np.array_equal(unwrapper(found, absorption)[0], found)
    right = found.copy()
    right[3, 4] = 300.0
    for made, aim in zip(unwrapper(found, absorption), (right, absorption), strict=True):
        assert np.array_equal(made, aim)
    assert (found == 7.0).all()


def test_patches_turn_what_is_seen_and_what_is_aimed_at_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "PATCH_PX", 16)
    ramp = np.arange(2 * 24 * 24, dtype=np.float32).reshape(2, 24, 24) / 64.0
    np.savez(tmp_path / "0.npz", early=np.stack([ramp, ramp + 0.5]), late=ramp + 1.0, true=ramp + 2.0)
    tasks: tuple[tuple[learning.Task, set[float]], ...] = (("accelerate", {1.0}), ("unwrap", {1.5, 2.0}))
    for task, more in tasks:
        seen, aim = learning.Patches([tmp_path / "0.npz"], task).draw(np.random.default_rng(0), 12)
        assert seen.shape == aim.shape == (12, 2, 16, 16)
        assert {round(float(change) * 2) / 2 for change in np.ravel(aim - seen)} == more
        assert len({one.tobytes() for one in seen}) == 12


@pytest.mark.parametrize("architecture", [FLAT, LIGHT])
def test_a_network_predicts_a_change_and_looks_no_farther_than_the_halo(architecture: Architecture) -> None:
    network = ChangeNet(architecture).eval()
    assert architecture.reach_px <= HALO_PX
    maps = torch.zeros(1, 2, 96, 96)
    maps[0, :, 48, 48] = 1e3
    with torch.no_grad():
        assert (network(torch.ones(1, 2, 32, 32)) - 1.0).abs().max() < 0.1
        changed = (network(maps) - network(torch.zeros(1, 2, 96, 96))).abs().sum(dim=(0, 1)) > 0
    rows, columns = torch.nonzero(changed, as_tuple=True)
    far = max(int((rows - 48).abs().max()), int((columns - 48).abs().max()))
    assert 1 < far <= architecture.reach_px


def test_the_papers_network_has_20_layers_of_16_features() -> None:
    convolutions = [layer for layer in ChangeNet(FLAT).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16] * 20 + [2]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert {layer.stride for layer in convolutions} == {(1, 1)}


def test_what_can_be_learnt_is_learnt_and_statistics_settle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(4, 2, 16, 16)).astype(np.float32)
    recipe = replace(training.RECIPE, draws=1600, batch=4, warm_up_draws=40, peak_rate=1e-2, average=0.9)
    learner = learning.Learner(tmp_path, Architecture("flat", 2, 8), recipe)
    (statistics,) = [buffer for name, buffer in learner.network.named_buffers() if name == "layers.1.running_mean"]
    errors, before = [], []
    while learner.draws < recipe.draws:
        if learner.draws >= learning.SETTLED * recipe.draws:
            before.append(statistics.clone())
        errors.append(learner.step((seen, seen - 0.5 * np.abs(seen))))
    assert errors[-1] < 0.4 * errors[0]
    assert len(before) > 10
    assert all(torch.equal(one, statistics) for one in before)


def test_training_resumes(folder: Path, light: Path) -> None:
    assert torch.load(light, weights_only=True)["draws"] == 24
    with pytest.raises(ValueError, match="exists: resume from it"):
        training.train(TrainOptions(folder, draws=32, variant="accelerate-light"))
    training.train(TrainOptions(folder, draws=32, variant="accelerate-light", resume=True))
    assert torch.load(light, weights_only=True)["draws"] == 32


def test_tiles_make_what_the_whole_would(light: Path, tmp_path: Path) -> None:
    path = training.export(ExportOptions(light, tmp_path))
    assert path.name == "lensfree_accelerate_light.onnx"
    artefact = load_artefact(path)
    network, _ = load_checkpoint(light)
    rng = np.random.default_rng(1)
    # Odd sides, several tiles, and more than one batch of them.
    opd = (40.0 * rng.normal(size=(701, 523))).astype(np.float32)
    absorption = (0.05 + 0.01 * rng.normal(size=opd.shape)).astype(np.float32)
    with open_model(artefact, "onnxruntime") as model, torch.no_grad():
        made = NetworkAccelerator(model, artefact)(opd, absorption)
        seen = np.pad(np.stack([opd / UNIT_NM, absorption / UNIT_ABSORPTION]), ((0, 0), (0, 1), (0, 1)), mode="edge")
        whole = network(torch.from_numpy(seen[None]))[0, :, :701, :523].numpy()
        np.testing.assert_allclose(made[0], whole[0] * UNIT_NM, atol=0.02)
        np.testing.assert_allclose(made[1], np.maximum(whole[1] * UNIT_ABSORPTION, 0.0), atol=1e-4)
        small = NetworkAccelerator(model, artefact)(opd[:70, :91], absorption[:70, :91])
        assert small[0].shape == small[1].shape == (70, 91)
        with pytest.raises(NetworkError, match=r"preprocessing\.task is accelerate, unwrap is needed: choose another"):
            NetworkUnwrapper(model, artefact)
        recorded, settings = dish(), SolveSettings(focus_range_um=0.0)
        given = NetworkAccelerator(model, artefact)
        found = solve_accelerated(recorded.frames, recorded.optics, given, settings, iterations=(2, 2))
        assert found.opd_nm.shape == (128, 128)


def test_networks_are_scored_against_the_reference(
    light: Path, unwrap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "SIDE_PX", 64)
    monkeypatch.setattr(evaluation, "REFERENCE_ITERATIONS", 12)
    path = training.export(ExportOptions(light, tmp_path))
    for artefact in (path, unwrap):
        report = training.evaluate(EvaluateOptions(tmp_path, artefact, splits=["density_527"], fields=1))
        row = report["density_527"]
        assert isinstance(row, dict)
        assert 0.0 < row["difference_sd_nm"] < 60.0  # type: ignore[operator]
        assert row["reference_tall_right"] is None
    assert len((tmp_path / "evaluations.jsonl").read_text().splitlines()) == 2


def test_a_tall_place_is_right_within_a_quarter_of_a_wavelength() -> None:
    true = np.zeros((20, 30), np.float32)
    true[3:8, 3:8], true[3:8, 15:20] = 300.0, 400.0
    found = true.copy()
    found[3:8, 15:20] -= 500.0
    assert evaluation.right_share(true + 60.0, true, 500.0) == 1.0
    assert evaluation.right_share(found, true, 500.0) == 0.5
    assert np.isnan(evaluation.right_share(true, 0.5 * true, 500.0))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"variant 'x': there are unwrap, accelerate, accelerate-light"):
        training.train(TrainOptions(tmp_path, draws=8, variant="x"))
    torch.save({"architecture": {}, "recipe": {}, "draws": 0, "average": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="is not a checkpoint of lensfree"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"variant\.json: is missing"):
        training.export(ExportOptions(tmp_path / "checkpoint.pt", tmp_path))

"""Training: that it learns and resumes, that no cell is in training and evaluation, and what it exports is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest

from microscoped.models.cells import CellNetwork, Quantity, disc_maps
from microscoped.models.cells.inputs import UNIT_NM
from microscoped.models.training import EvaluateOptions, ExportOptions, Silence, TrainOptions

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from microscoped.models.cells import training  # noqa: E402
from microscoped.models.cells.training import draws, reconstructed, sets  # noqa: E402
from microscoped.models.cells.training.draws import Stream  # noqa: E402
from microscoped.models.cells.training.exporting import load_checkpoint  # noqa: E402
from microscoped.models.lensfree.training import pairs  # noqa: E402
from microscoped.models.runtimes import load_artefact, open_model  # noqa: E402

EVERY = tuple(Quantity)


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(draws.simulated_fields(5, 12, 6, EVERY), 2, discs=False, images="clean")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.train(TrainOptions(tmp_path_factory.mktemp("cells"), draws=48, variant="a"))


def test_maps_lie_where_cells_are(stream: Stream) -> None:
    drawn = stream.draw(np.random.default_rng(1), 16, 256)
    assert drawn.images.shape == (16, 1, 256, 256)
    assert drawn.centres.shape == drawn.weights.shape == (16, 128, 128)
    assert drawn.quantities.shape == (16, 4, 128, 128)
    # Cells are seen where cones stand, nothing where the frame has ended.
    seen = drawn.images[:, 0].reshape(16, 128, 2, 128, 2).mean(axis=(2, 4)) * UNIT_NM
    assert seen[drawn.centres > 0.5].mean() > 30.0
    assert seen[drawn.centres == 0].mean() < 0.5 * seen[drawn.centres > 0.5].mean()
    assert ((drawn.weights > 0) == (drawn.centres > 0)).all()
    assert (drawn.quantities[:, 0][drawn.weights > 0] > 0).all()


def test_draws_of_a_seed_are_the_same_ones(stream: Stream) -> None:
    first, second = (stream.draw(np.random.default_rng(7), 4, 128) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.quantities, second.quantities)


def test_the_papers_maps_are_discs_at_full_resolution() -> None:
    fields = draws.simulated_fields(5, 8, 2, (Quantity.DRY_MASS,))
    stream = Stream(fields, 1, discs=True, images="clean")
    drawn = stream.draw(np.random.default_rng(2), 4, 128)
    assert drawn.quantities.shape == (4, 1, 128, 128)
    (disc,) = disc_maps([(64, 64)], np.ones((1, 1)), (128, 128), 1.67)
    inside = [(one > 0).sum() for one in drawn.quantities[:, 0]]
    assert max(inside) >= disc.sum()


def test_degraded_images_are_noisier(stream: Stream) -> None:
    rng = np.random.default_rng(0)
    flat = np.zeros((128, 128), np.float32)
    clean = max(draws.degrade(flat, rng, "clean").std() for _ in range(20))
    worst = max(draws.degrade(flat, rng, "degraded").std() for _ in range(20))
    assert clean < 4.0
    assert worst > 12.0


def test_reconstructions_are_made_once_and_show_the_cells_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "CELLS", 12)
    monkeypatch.setattr(pairs, "DENSITIES", (200.0, 300.0))
    monkeypatch.setattr(reconstructed, "SIDE_PX", 128)
    images = list(reconstructed.reconstructed_images(tmp_path, 500, [1, 2], Silence()))
    (place,) = tmp_path.iterdir()
    before = [path.stat().st_mtime_ns for path in place.iterdir()]
    again = list(reconstructed.reconstructed_images(tmp_path, 500, [1, 2], Silence()))
    assert before == [path.stat().st_mtime_ns for path in place.iterdir()]
    for (image, truth), (same, _) in zip(images, again, strict=True):
        np.testing.assert_array_equal(image, same)
        rows, columns = np.rint(truth.places_px).astype(int).T
        assert image[rows, columns].mean() > 20.0 + image.mean()
    fields = [draws.Field.of(image, truth, EVERY) for image, truth in images]
    drawn = Stream(fields, 2, discs=False, images="lensfree").draw(np.random.default_rng(0), 4, 64)
    assert drawn.images.shape == (4, 1, 64, 64)
    assert (drawn.quantities[:, 0][drawn.weights > 0] > 0).all()


def test_no_evaluated_cell_is_one_of_training() -> None:
    parameters = sets.SETS[1]
    seeds = {sets.SEED + 1_000 * one.number + k for one in sets.SETS for k in range(one.fields)}
    fixing = {
        sets.SEED + 1_000 * one.number + k
        for images in get_args(draws.Images)
        for one in sets.calibration_sets(images)
        for k in range(one.fields)
    }
    assert not seeds & fixing
    # Training takes cells from libraries of small seeds; evaluation draws each for its own field.
    ((image, truth),) = list(parameters.images(1 / 24))
    assert image.shape == sets.FRAME_PX
    assert len(truth) > 100


def test_an_unknown_set_and_an_unknown_variant_are_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split 'x': there are density_183, .*wide"):
        sets.evaluation_set("x")
    with pytest.raises(ValueError, match=r"variant 'x': there are a, b, lensfree"):
        training.train(TrainOptions(tmp_path, draws=8, variant="x"))


def test_training_lowers_the_error_and_resumes(trained: Path) -> None:
    before = torch.load(trained, weights_only=True)
    assert before["draws"] == 48
    with pytest.raises(ValueError, match="exists: resume from it"):
        training.train(TrainOptions(trained.parent, draws=64, variant="a"))
    training.train(TrainOptions(trained.parent, draws=64, variant="a", resume=True))
    assert torch.load(trained, weights_only=True)["draws"] == 64


def test_what_is_exported_is_read_and_scored(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "interval_factors", lambda artefact, images: {"dry_mass_pg": 3.0})
    path = training.export(ExportOptions(trained, tmp_path))
    artefact = load_artefact(path)
    assert path.name == "cells_a.onnx"
    network, architecture, _ = load_checkpoint(trained)
    image = np.random.default_rng(0).normal(size=(2, 1, 512, 512)).astype(np.float32)
    with open_model(artefact, "onnxruntime") as model, torch.no_grad():
        np.testing.assert_allclose(
            model.run({"opd": image})["maps"], network(torch.from_numpy(image)).numpy(), atol=2e-4, rtol=1e-3
        )
        assert CellNetwork(model, artefact).factor(Quantity.DRY_MASS) == 3.0
    assert architecture.outputs == 9
    report = training.evaluate(EvaluateOptions(tmp_path, path, splits=["density_183"], fields=1))
    assert set(report) == {"density_183"}
    assert (tmp_path / "evaluations.jsonl").exists()


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"architecture": {}, "recipe": {}, "draws": 0, "average": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="is not a checkpoint of cells"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"variant\.json: is missing"):
        training.export(ExportOptions(tmp_path / "checkpoint.pt", tmp_path))

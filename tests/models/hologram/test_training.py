"""Training: that it learns and resumes, that no body is in training and evaluation, and what it exports is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.training import EvaluateOptions, ExportOptions, TrainOptions

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from microscoped.models import learning  # noqa: E402
from microscoped.models.hologram import training  # noqa: E402
from microscoped.models.hologram.inputs import CHANNELS, CROP, crop_inputs  # noqa: E402
from microscoped.models.hologram.training.draws import OPTICS, Stream, contrast_offsets_um, sources  # noqa: E402
from microscoped.models.hologram.training.evaluation import bootstrap  # noqa: E402
from microscoped.models.hologram.training.exporting import load_checkpoint  # noqa: E402
from microscoped.models.hologram.training.learning import Learner  # noqa: E402
from microscoped.models.hologram.training.network import HOLOGRAM_CROP, Architecture, DistanceNet  # noqa: E402
from microscoped.models.hologram.training.sets import SETS, evaluation_set  # noqa: E402
from microscoped.models.runtimes import load_artefact, open_model  # noqa: E402


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(sources({"red_cell": 3}, (5,)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hologram")
    return training.train(TrainOptions(folder, draws=192, variant="cells"))


def test_draws_are_what_the_run_time_makes_of_fields(stream: Stream) -> None:
    drawn = stream.draw(np.random.default_rng(1), 32)
    assert drawn.crops.shape == (32, len(CHANNELS), CROP, CROP)
    assert drawn.crops.dtype == np.float32
    assert np.abs(drawn.z_dof).max() <= 1.07 * 17.0 / OPTICS.dof_um  # crops sampled 3 % more finely look further away
    assert np.ptp(drawn.z_dof) > 10.0
    assert np.isfinite(drawn.offset_dof).all()
    (source,) = sources({"red_cell": 1}, (5,), samplings=(1.0,))
    still = crop_inputs(source.still(0)[None])
    assert np.abs(still[0, 0]).max() < 0.5 * np.abs(still[0, 2]).max()


def test_draws_of_a_seed_are_the_same_ones(stream: Stream) -> None:
    first, second = (stream.draw(np.random.default_rng(7), 8) for _ in range(2))
    np.testing.assert_array_equal(first.crops, second.crops)
    np.testing.assert_array_equal(first.z_dof, second.z_dof)


def test_the_plane_of_least_contrast_is_near_the_middle_of_thin_cells_and_before_that_of_beads() -> None:
    (cells,) = sources({"red_cell": 4}, (5,), samplings=(1.0,))
    assert np.abs(contrast_offsets_um(cells)).max() < 0.2
    (beads,) = sources({"bead": 2}, (5,), samplings=(1.0,))
    assert (contrast_offsets_um(beads) < -0.3).all()


def test_a_few_steps_on_one_batch_learn_it(stream: Stream, tmp_path: Path) -> None:
    drawn = stream.draw(np.random.default_rng(2), 16)
    recipe = learning.Recipe(draws=1_280, batch=16, warm_up_draws=16, peak_rate=3e-3, huber=0.3)
    learner = Learner(tmp_path, Architecture(), recipe)
    before = learner.step(drawn)
    after = [learner.step(drawn) for _ in range(79)][-1]
    assert after < 0.4 * before


@pytest.mark.parametrize("reads", ["field", "amplitude", "hologram"])
def test_each_architecture_reads_what_it_says(reads: str) -> None:
    network = DistanceNet(Architecture(reads)).eval()  # type: ignore[arg-type]
    shape = (1, HOLOGRAM_CROP, HOLOGRAM_CROP) if reads == "hologram" else (3, CROP, CROP)
    crops = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    told = network(crops)
    assert [tuple(part.shape) for part in told] == [(2,), (2,), (2,)]
    changed = crops.clone()
    changed[:, -1] += 1.0
    same = torch.equal(network(changed)[0], told[0])
    assert same is (reads == "amplitude")


def test_training_ends_with_a_checkpoint_that_resumes(trained: Path) -> None:
    _, data = load_checkpoint(trained)
    assert data["draws"] == 192
    with pytest.raises(ValueError, match="resume from it"):
        training.train(TrainOptions(trained.parent, draws=192, variant="cells"))
    training.train(TrainOptions(trained.parent, draws=256, variant="cells", resume=True))
    assert load_checkpoint(trained)[1]["draws"] == 256
    with pytest.raises(ValueError, match="amplitude"):
        training.train(TrainOptions(trained.parent, draws=256, variant="amplitude", resume=True))


def test_an_export_says_what_the_network_says(trained: Path, tmp_path: Path, stream: Stream) -> None:
    path = training.export(ExportOptions(trained, tmp_path))
    assert path.name == "hologram_cells.onnx"
    network, _ = load_checkpoint(trained)
    crops = stream.draw(np.random.default_rng(3), 5).crops
    with torch.no_grad():
        wanted = network(torch.from_numpy(crops))
    artefact = load_artefact(path)
    with open_model(artefact, "onnxruntime") as model:
        told = model.run({"crops": crops})
    for name, values in zip(("z_dof", "offset_dof", "log_error"), wanted, strict=True):
        np.testing.assert_allclose(told[name], values.numpy(), atol=artefact.sidecar.tolerance[name])


def test_networks_for_comparison_are_not_exported(tmp_path: Path) -> None:
    checkpoint = training.train(TrainOptions(tmp_path, draws=128, variant="amplitude"))
    with pytest.raises(ValueError, match="only networks that read the field"):
        training.export(ExportOptions(checkpoint, tmp_path))


def test_an_evaluation_scores_every_method(trained: Path, tmp_path: Path) -> None:
    path = training.export(ExportOptions(trained, tmp_path))
    report = training.evaluate(EvaluateOptions(tmp_path, path, ("focus",), fields=1))
    focus = report["focus"]
    assert isinstance(focus, dict)
    assert set(focus) == {"network_refined", "network", "search", "planes"}
    search = focus["search"]
    assert isinstance(search, dict)
    assert search["cells"] == 64
    assert search["median_um"] < 0.1
    assert search["abstained_fraction"] == 0
    assert (tmp_path / "evaluations.jsonl").exists()


def test_unknown_names_are_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(ValueError, match="unfiltered"):
        training.train(TrainOptions(tmp_path, variant="best"))
    with pytest.raises(ValueError, match="spherocytes"):
        evaluation_set("E9")
    assert len({known.number for known in SETS}) == len(SETS)


def test_the_bootstrap_resamples_bodies() -> None:
    rng = np.random.default_rng(1)
    body = np.repeat(np.arange(20), 50)
    by_body = rng.normal(size=20)[body]
    low, high = bootstrap(by_body, body)
    alone = bootstrap(by_body, np.arange(body.size))
    # A median of 20 numbers jumps; that of 1000 which are fifty times the same as well, but seldom so far.
    assert high - low > 2 * (alone[1] - alone[0])

"""Training: what it may see, that it learns, resumes, and gives the weights that the daemon runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.focus_pair import FocusPairEngine, PairOptics, PairSettings
from microscoped.models.focus_pair.preprocess import TILE
from microscoped.models.focus_pair.spectra import WIDTH
from microscoped.models.training import ExportOptions, TrainOptions

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="training needs the extra 'train'")

from microscoped.models.focus_pair import training  # noqa: E402
from microscoped.models.focus_pair.training import fields, regions, sets  # noqa: E402
from microscoped.models.focus_pair.training.draws import Conditions, draw_character, draw_tile, take_pair  # noqa: E402
from microscoped.models.focus_pair.training.exporting import load_checkpoint  # noqa: E402
from microscoped.models.focus_pair.training.learning import Learner, Recipe  # noqa: E402
from microscoped.models.focus_pair.training.network import Architecture, FocusNetwork  # noqa: E402
from microscoped.models.focus_pair.training.shards import read_shard, render_shard  # noqa: E402
from microscoped.models.runtimes import load_artefact, open_model  # noqa: E402

TRAINING_DRAWS = 100_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_training_draw_lies_in_a_region_kept_for_evaluation() -> None:
    held_out = regions.regions()
    vectors = np.array([regions.unit(v) for region in held_out.stains.values() for _, v in region.vectors])
    cosines = np.cos(np.deg2rad([region.within_deg for region in held_out.stains.values() for _ in region.vectors]))
    rng = np.random.default_rng(1)
    dyes, numbers = [], []
    for _ in range(TRAINING_DRAWS):
        field = fields.draw_training_field(rng)
        assert field.family not in held_out.optics.families
        assert field.image_formation not in held_out.optics.image_formation
        dyes += getattr(field.specimen, "absorbance", ())
        abbe = field.image_formation == "abbe"
        numbers.append((field.na, abs(field.spherical_waves), field.coherence if abbe else np.nan))
    found = np.array(dyes)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert (found @ vectors.T < cosines).all()
    na, spherical, coherence = np.array(numbers).T
    assert na.min() >= held_out.optics.na_below
    assert na.max() <= held_out.optics.na_above
    assert spherical.max() <= held_out.optics.spherical_waves_above
    low, high = held_out.optics.coherence
    assert not ((coherence >= low) & (coherence <= high)).any()


@pytest.mark.parametrize("name", ["E1", "calibration"])
def test_stains_kept_for_evaluation_lie_in_their_region(name: str) -> None:
    chosen = sets.evaluation_set(name)
    for specimen in range(10):
        parameters = chosen.field(specimen, 0).specimen
        assert name in {regions.regions().stain_region(dye) for dye in parameters.absorbance}  # type: ignore[union-attr]


def test_stains_of_the_interval_are_neither_trained_nor_tested() -> None:
    stains = regions.regions().stains
    angles = [regions.angle_deg(a, b) for _, a in stains["E1"].vectors for _, b in stains["calibration"].vectors]
    assert min(angles) > 12


def test_no_field_is_in_two_sets() -> None:
    seeds: dict[int, int] = {}
    for chosen in sets.SETS:
        for specimen in range(chosen.specimens):
            for field in range(chosen.fields):
                seed = sets.BASE_SEED + chosen.number * 100_000 + specimen * 100 + field
                assert seeds.setdefault(seed, chosen.number) == chosen.number


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - a Stack, known only with torch
    field = fields.Field(family="tissue", specimen=fields.FAMILIES["tissue"](), seed=3, image_formation="incoherent")
    return read_shard(render_shard(tmp_path_factory.mktemp("fields"), "one", lambda: field))


def test_training_and_daemon_preprocess_alike(stack: Any) -> None:  # noqa: ANN401 - as above
    """The frames that a training draw is made of, given to the daemon's engine, become the same network input."""
    conditions = replace(Conditions(first_dof=-3.0), creep=(0.3, 0.1))
    drawn = draw_tile(stack, conditions, np.random.default_rng(5))
    first, second = take_pair(stack, conditions, np.random.default_rng(5))
    engine = FocusPairEngine(PairSettings(PairOptics(0.75, 540.0, 1.0, 0.36)), model=None)  # type: ignore[arg-type]
    inputs = engine.prepare(first[0].astype(np.uint16), second[0].astype(np.uint16), conditions.delta_dof)
    assert inputs.images.shape == (1, 6, TILE, TILE)
    assert set(inputs.arrays) == set(drawn.arrays) == {"images", "scalars", "spectra", "character"}
    for name, array in inputs.arrays.items():
        assert np.array_equal(array, drawn.arrays[name]), name


def test_the_label_is_the_second_image_s_defocus(stack: Any) -> None:  # noqa: ANN401 - as above
    """A pair that ends in focus is sharper in its second image; one that begins there, in its first."""
    rng = np.random.default_rng(0)
    for first_dof, sharper in ((-2.0, 1), (0.0, 0)):
        conditions = Conditions(first_dof=first_dof)
        pair = take_pair(stack, conditions, rng)
        assert conditions.second_dof == first_dof + 2.0
        assert int(np.argmax([frame.std() for frame in pair])) == sharper


def test_what_is_known_of_a_microscope_is_near_the_truth_and_often_unknown(stack: Any) -> None:  # noqa: ANN401
    rng = np.random.default_rng(0)
    drawn = [draw_character(stack, rng) for _ in range(400)]
    for name in ("coherence", "spherical_waves"):
        told = [value for one in drawn if (value := getattr(one, name)) is not None]
        assert 150 < len(told) < 250
        assert np.mean(told) == pytest.approx(getattr(stack.character, name), abs=0.05)


@pytest.mark.parametrize("head", ["pooled", "flattened"])
def test_the_network_is_small(head: Any) -> None:  # noqa: ANN401 - a literal
    network = FocusNetwork(Architecture("pair", head))
    assert sum(p.numel() for p in network.parameters()) <= 512 * 1024


@pytest.mark.parametrize(
    ("variant", "reads"),
    [("pair", {"first", "second", "both"}), ("single", {"second"}), ("difference", set())],
)
def test_a_variant_reads_no_spectra_but_its_own(variant: Any, reads: set[str]) -> None:  # noqa: ANN401 - a literal
    torch.manual_seed(0)
    network = FocusNetwork(Architecture(variant)).eval()
    images, scalars, spectra = torch.randn(1, 6, TILE, TILE), torch.tensor([[2.0, 0.1]]), torch.randn(1, WIDTH)
    unknown = torch.zeros(1, 4)
    with torch.no_grad():
        plain = network(images, scalars, spectra, unknown)[0]
        for part, name in enumerate(("first", "second", "both")):
            changed = spectra.clone().reshape(1, 3, -1)
            changed[:, part] += 1.0
            assert (network(images, scalars, changed.reshape(1, WIDTH), unknown)[0] != plain).item() == (
                name in reads
            ), name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_training_learns_resumes_and_is_exported(tmp_path: Path) -> None:
    options = TrainOptions(folder=tmp_path, draws=128, device="cpu", seed=1)
    checkpoint = training.train(options)
    with pytest.raises(ValueError, match="exists: resume from it"):
        training.train(options)
    training.train(replace(options, draws=192, resume=True))
    points = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [point["draws"] for point in points] == [128, 192]
    network, data = load_checkpoint(checkpoint)
    assert data["draws"] == 192
    path = training.export(ExportOptions(checkpoint=checkpoint, folder=tmp_path / "out"))
    rng = np.random.default_rng(0)
    inputs = {
        "images": rng.standard_normal((3, 6, TILE, TILE)).astype(np.float32),
        "scalars": np.array([[2.0, 0.1], [1.0, -0.4], [3.5, 0.0]], np.float32),
        "spectra": rng.standard_normal((3, WIDTH)).astype(np.float32),
        "character": np.array([[0, 0, 0, 0], [1, 0.5, 0, 0], [1, -1, 1, 2]], np.float32),
    }
    with open_model(load_artefact(path), "onnxruntime") as model, torch.no_grad():
        expected = network(*(torch.from_numpy(array) for array in inputs.values()))
        for name, tensor in zip(("defocus_dof", "log_error", "features"), expected, strict=True):
            assert np.allclose(model.run(inputs)[name], tensor.numpy(), atol=1e-3), name


def test_a_step_lowers_the_loss_on_its_batch(stack: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as above
    from microscoped.models.focus_pair.training.batches import make_batch, noise_banks

    learner = Learner(tmp_path, Architecture(), Recipe(draws=10_000, batch=16, warm_up_draws=16, peak_rate=1e-3))
    batch = make_batch([stack], 16, np.random.default_rng(0), noise_banks(0))
    errors = [learner.step(batch) for _ in range(15)]
    assert np.mean(errors[-3:]) < 0.8 * np.mean(errors[:3])


def test_an_unknown_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="variant 'both': there are pair, "):
        training.train(TrainOptions(folder=tmp_path, variant="both"))

"""The shipped networks on simulated cells: found and measured, at any frame size and scale, alike however they run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.cells import CellNetwork, CellTable, NetworkUnsuitableError, Quantity, pair_cells, score
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import load_artefact, open_model
from microscoped.simulators.cells import QUALITY_LEVELS, CellField, Degradation, PopulationParameters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLEAN, WORST = QUALITY_LEVELS[0], QUALITY_LEVELS[-1]
SEED = 77_000


def _opened(name: str, threads: int = 1) -> CellNetwork:
    artefact = model_spec("cells").load(name)
    return CellNetwork(open_model(artefact, "onnxruntime", threads=threads), artefact)


@pytest.fixture(scope="module")
def clean() -> Iterator[CellNetwork]:
    network = _opened("cells_a")
    yield network
    network.close()


@pytest.fixture(scope="module")
def robust() -> Iterator[CellNetwork]:
    network = _opened("cells_b")
    yield network
    network.close()


def _field(shape: tuple[int, int] = (512, 512), density: int = 255, seed: int = SEED) -> CellField:
    return CellField(PopulationParameters.matched(density), shape, seed=seed)


def _image(field: CellField, quality: Degradation = CLEAN) -> np.ndarray:
    return quality.apply(field.opd_nm, np.random.default_rng(3))


def _truth(field: CellField) -> CellTable:
    return CellTable.of_truths(field.truths, field.shape_px, field.pixel_um)


@pytest.fixture(scope="module")
def field() -> CellField:
    return _field()


def test_cells_of_a_clean_field_are_found_and_measured(clean: CellNetwork, field: CellField) -> None:
    scores = score([(_truth(field), clean.table(_image(field), field.pixel_um))])
    assert scores.detection.precision.value >= 0.97
    assert scores.detection.recall.value >= 0.97
    for quantity, least in (
        (Quantity.MAX_OPD, 0.9),
        (Quantity.DRY_MASS, 0.88),
        (Quantity.AREA, 0.85),
        (Quantity.LENGTH, 0.7),
    ):
        assert scores.quantities[quantity].r2.value >= least, quantity
        assert 0.7 <= scores.quantities[quantity].covered.value <= 0.99, quantity


def test_noise_and_background_do_not_blind_the_robust_network(robust: CellNetwork, field: CellField) -> None:
    scores = score([(_truth(field), robust.table(_image(field, WORST), field.pixel_um))])
    assert scores.detection.f1.value >= 0.95
    assert scores.quantities[Quantity.DRY_MASS].r2.value >= 0.7


@pytest.mark.parametrize("name", ["cells_a", "cells_b", "cells_reference"])
def test_an_empty_field_has_no_cells(name: str) -> None:
    network = _opened(name)
    for image in (
        np.zeros((512, 512), np.float32),
        CLEAN.apply(np.zeros((300, 411), np.float32), np.random.default_rng(1)),
    ):
        table = network.table(image, 1.67)
        assert len(table) == 0
        assert table.values()["count"] == 0
        assert table.values()["dry_mass_pg"] is None
    network.close()


def test_background_and_noise_alone_are_no_cells(robust: CellNetwork) -> None:
    for seed in range(4):
        image = WORST.apply(np.zeros((512, 512), np.float32), np.random.default_rng(seed))
        assert len(robust.table(image, 1.67)) <= 1


@pytest.mark.parametrize("shape", [(100, 700), (333, 501), (513, 512), (1100, 640)])
def test_frames_of_any_size_are_measured_whole(clean: CellNetwork, shape: tuple[int, int]) -> None:
    field = _field(shape, seed=SEED + 1)
    scores = score([(_truth(field), clean.table(_image(field), field.pixel_um))])
    assert scores.detection.f1.value >= 0.96
    assert scores.quantities[Quantity.DRY_MASS].r2.value >= 0.8


def test_no_cell_is_counted_twice_or_lost_where_tiles_meet(clean: CellNetwork) -> None:
    field = _field((1400, 512), seed=SEED + 2)
    image = _image(field)
    whole = clean.table(image, field.pixel_um)
    # The same cells, seen by tiles that lie elsewhere.
    moved = clean.table(image[224:], field.pixel_um)
    inner = whole.where(whole.row_px > 300)
    pairs = pair_cells(inner, moved.where(moved.row_px > 76), 1e6, border=True)
    assert abs(len(pairs.missed) - len(pairs.false)) <= 1
    near = np.sort(np.hypot(*(whole.places_um[:, None] - whole.places_um[None]).transpose(2, 0, 1)), axis=1)[:, 1]
    assert near.min() > 5.0


def test_cells_are_the_same_at_other_pixel_sizes(clean: CellNetwork) -> None:
    parameters = PopulationParameters.matched(183)
    coarse = CellField(parameters, (256, 256), seed=SEED + 3)
    fine, _ = coarse.render(0.835, (512, 512), (-0.4175, -0.4175))
    told = clean.table(CLEAN.apply(fine, np.random.default_rng(0)), 0.835)
    truth = _truth(coarse)
    pairs = pair_cells(truth, told)
    assert len(pairs.missed) <= 1
    assert len(pairs.false) <= 1
    true, own = pairs.true[pairs.counted], pairs.found[pairs.counted]
    ratio = told.dry_mass_pg[own] / truth.dry_mass_pg[true]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    assert told.pixel_um == 0.835
    np.testing.assert_allclose(told.row_px * 0.835, told.row_um)


def test_threads_change_nothing(field: CellField) -> None:
    tables = []
    for threads in (1, 2):
        network = _opened("cells_b", threads)
        tables.append(network.table(_image(field), field.pixel_um))
        network.close()
    first, second = tables
    assert len(first) == len(second)
    np.testing.assert_allclose(first.places_um, second.places_um, atol=1e-3)
    for quantity in Quantity:
        np.testing.assert_allclose(first.column(quantity), second.column(quantity), rtol=1e-4)


def test_a_cell_at_the_border_is_marked_and_its_interval_is_wider(clean: CellNetwork, field: CellField) -> None:
    table = clean.table(_image(field), field.pixel_um)
    assert table.border.any()
    assert np.median(table.dry_mass_pg_half_width[table.border]) > np.median(
        table.dry_mass_pg_half_width[~table.border]
    )


def test_the_papers_network_draws_discs_that_are_read_as_cells(field: CellField) -> None:
    network = _opened("cells_reference")
    scores = score([(_truth(field), network.table(_image(field), field.pixel_um))])
    network.close()
    assert scores.detection.f1.value >= 0.9
    assert scores.quantities[Quantity.DRY_MASS].correlation2.value >= 0.5


def test_weights_of_another_preprocessing_are_refused(tmp_path: Path) -> None:
    path = model_spec("cells").artefact_path("cells_b")
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    sidecar["preprocessing"]["pixel_um"] = 1.0
    copy = tmp_path / "cells_b.onnx"
    copy.write_bytes(path.read_bytes())
    copy.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    artefact = load_artefact(copy)
    with (
        open_model(artefact, "onnxruntime") as model,
        pytest.raises(NetworkUnsuitableError, match=r"preprocessing.pixel_um is 1.0, this version makes 1.67"),
    ):
        CellNetwork(model, artefact)

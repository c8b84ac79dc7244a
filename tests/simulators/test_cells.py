from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from microscoped.simulators.cells import (
    QUALITY_LEVELS,
    REFRACTIVE_INCREMENT_UM3_PER_PG,
    TABLE_1,
    CellField,
    CellLibrary,
    CellShape,
    CutOut,
    Degradation,
    Moments,
    PopulationParameters,
    Pose,
    measure,
    render,
)

PIXEL_UM = 1.67
MEASURES = ("area_um2", "dry_mass_pg", "max_opd_nm", "length_um")


@pytest.fixture(scope="module")
def library() -> CellLibrary:
    population = replace(PopulationParameters.matched(364), debris_per_mm2=(80.0, 80.0))
    return CellLibrary(population, count=80, seed=5)


@pytest.fixture(scope="module")
def fields(library: CellLibrary) -> list[CellField]:
    return [CellField(library.parameters, (200, 260), seed=seed, source=library) for seed in range(6)]


def disc(radius_px: float, opd_nm: float) -> np.ndarray:
    rows, columns = np.mgrid[:61, :61] - 30.0
    return np.where(np.hypot(rows, columns) < radius_px, np.float32(opd_nm), np.float32(0.0))


# What a measure means


@pytest.mark.parametrize("pixel_um", [0.5, 1.67])
def test_measures_of_a_bar_are_those_of_the_rectangle(pixel_um: float) -> None:
    opd = np.zeros((40, 90), np.float32)
    opd[10:20, 20:80] = 50.0
    opd[15, 30] = 80.0
    opd[5, 5] = 5.0  # not above 5 nm: mass, but no area
    got = measure(opd, pixel_um)
    assert got.area_um2 == pytest.approx(600 * pixel_um**2)
    assert got.dry_mass_pg == pytest.approx((600 * 50 + 30 + 5) * 1e-3 * pixel_um**2 / 0.18, rel=1e-5)
    assert got.max_opd_nm == 80.0
    assert got.length_um == pytest.approx(4 * 60 / np.sqrt(12) * pixel_um, rel=1e-6)  # a rectangle's second moment
    assert (got.row_px, got.column_px) == pytest.approx((14.5, 49.5), abs=0.05)


def test_length_is_the_diameter_of_a_disc_and_does_not_turn_with_the_cell() -> None:
    assert measure(disc(20.0, 40.0), 1.0).length_um == pytest.approx(40.0, rel=0.01)
    shape = PopulationParameters.matched(255).draw(np.random.default_rng(3))
    lengths = [
        measure(render(shape, Pose.turned(angle), (50.0, 50.0), (101, 101), 1.0), 1.0).length_um
        for angle in np.linspace(0.0, 3.0, 7)
    ]
    assert max(lengths) / min(lengths) < 1.02


def test_measuring_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no optical path difference above 5"):
        measure(disc(10.0, 4.9), 1.0)


# Populations


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("density", sorted(TABLE_1))
def test_matched_populations_have_the_moments_of_the_paper(density: int) -> None:
    rng = np.random.default_rng(density)
    population = PopulationParameters.matched(density)
    measured = [CutOut.of(population.draw(rng), PIXEL_UM, rng).measures for _ in range(500)]
    for name in MEASURES:
        values = np.array([getattr(m, name) for m in measured])
        wanted = getattr(TABLE_1[density], name)
        assert values.mean() == pytest.approx(wanted.mean, rel=0.03), name
        assert values.std() == pytest.approx(wanted.sd, rel=0.08), name


def test_cells_in_fields_are_those_of_the_population(library: CellLibrary) -> None:
    # Neither crowding nor the frame's edge prefers small cells.
    truths = [
        truth
        for seed in range(30)
        for truth in CellField(library.parameters, (256, 256), seed=seed, source=library).truths
    ]
    for name in MEASURES:
        drawn = np.array([getattr(cell.measures, name) for cell in library.cells])
        placed = np.array([getattr(truth, name) for truth in truths])
        assert placed.mean() == pytest.approx(drawn.mean(), rel=0.03), name


@pytest.mark.parametrize("density", [183, 527])
def test_fields_have_the_population_s_density(density: int) -> None:
    population = PopulationParameters.matched(density)
    cells = CellLibrary(population, count=30, seed=1)
    counts = [len(CellField(population, (256, 256), seed=seed, source=cells).truths) for seed in range(40)]
    assert np.mean(counts) / (256 * PIXEL_UM * 1e-3) ** 2 == pytest.approx(density, rel=0.06)


def test_the_wide_population_holds_thin_lamellae_and_cells_that_wrap_the_phase() -> None:
    rng = np.random.default_rng(2)
    wide = [PopulationParameters.wide().draw(rng) for _ in range(150)]
    assert {shape.kind for shape in wide} == {"spread", "round", "dividing"}
    assert max(shape.height_nm for shape in wide) > 0.45e3 / 2
    assert min(shape.height_nm for shape in wide) < 50
    assert any(shape.lamellae for shape in wide)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_dividing_cells_come_in_touching_pairs_and_as_often_as_told(share: float) -> None:
    population = replace(PopulationParameters.matched(183), dividing_share=share, round_share=0.0)
    cells = CellLibrary(population, count=60, seed=4)
    truths = [
        truth for seed in range(12) for truth in CellField(population, (256, 256), seed=seed, source=cells).truths
    ]
    dividing = [truth for truth in truths if truth.kind == "dividing"]
    assert len(dividing) / len(truths) == pytest.approx(share, abs=0.1)
    # A sister may lie where there was no room beside the other.
    assert sum(truth.touching for truth in dividing) >= 0.95 * len(dividing)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density_per_mm2": (300.0, 200.0)}, "density_per_mm2"),
        ({"debris_per_mm2": (-1.0, 2.0)}, "debris_per_mm2"),
        ({"round_share": 0.7, "dividing_share": 0.4}, "round_share 0.7"),
        ({"neighbours": 1.5}, "neighbours 1.5"),
        ({"area_opd_correlation": -1.0}, "area_opd_correlation"),
    ],
)
def test_impossible_populations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PopulationParameters.matched(255), **change)  # type: ignore[arg-type]


def test_an_unknown_density_names_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"200.*\[183, 255, 364, 527\]"):
        PopulationParameters.matched(200)


# Fields and their truths


def test_the_map_is_the_sum_of_its_cells(library: CellLibrary) -> None:
    bare = replace(library.parameters, debris_per_mm2=(0.0, 0.0))
    field = CellField(bare, (128, 128), seed=3, source=library)
    cells = sum(field.alone(number) for number in range(len(field.truths)))
    apart = np.abs(cells - field.opd_nm) > 1e-3
    assert len(field.truths) > 5
    # What else there is belongs to the cells whose centroid lies outside: it hangs on the frame's edge.
    regions, count = ndimage.label(apart, np.ones((3, 3)))
    edges = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    assert set(range(1, count + 1)) <= set(edges)


def test_truths_are_those_of_the_rendered_cell(fields: list[CellField]) -> None:
    checked = 0
    for field in fields:
        for number, truth in enumerate(field.truths):
            if truth.border:
                continue
            got = measure(field.alone(number), PIXEL_UM)
            assert got.row_px * PIXEL_UM == pytest.approx(truth.row_um, abs=1e-3)
            assert got.column_px * PIXEL_UM == pytest.approx(truth.column_um, abs=1e-3)
            for name in MEASURES:
                assert getattr(got, name) == pytest.approx(getattr(truth, name), rel=1e-4)
            checked += 1
    assert checked > 150


def test_truths_of_lonely_cells_are_found_in_the_map_itself(fields: list[CellField]) -> None:
    checked = 0
    for field in fields:
        regions, _ = ndimage.label(field.opd_nm > 5.0, np.ones((3, 3)))
        for truth in field.truths:
            region = regions[round(truth.row_um / PIXEL_UM), round(truth.column_um / PIXEL_UM)]
            if truth.border or truth.touching or region == 0:
                continue
            mask = regions == region
            assert mask.sum() * PIXEL_UM**2 == pytest.approx(truth.area_um2, rel=0.02)
            assert field.opd_nm[mask].max() == pytest.approx(truth.max_opd_nm, rel=1e-4)
            volume = field.opd_nm[mask].sum() * 1e-3 * PIXEL_UM**2
            assert volume / REFRACTIVE_INCREMENT_UM3_PER_PG == pytest.approx(truth.dry_mass_pg, rel=0.02)
            checked += 1
    assert checked > 40


def test_touching_and_border_are_what_the_areas_say(fields: list[CellField]) -> None:
    seen = {(truth.touching, truth.border) for field in fields for truth in field.truths}
    assert seen == {(False, False), (False, True), (True, False), (True, True)}
    for field in fields:
        areas = [field.alone(k) > 5.0 for k in range(len(field.truths))]
        layers = np.sum(areas, axis=0)
        for truth, area in zip(field.truths, areas, strict=True):
            edges = area[0].any() or area[-1].any() or area[:, 0].any() or area[:, -1].any()
            assert truth.border == edges
            grown = ndimage.binary_dilation(area, np.ones((3, 3)))
            # At the frame's edge the neighbour may lie outside.
            if not _near_edge(area):
                assert truth.touching == bool((layers[grown] - area[grown]).any())


def _near_edge(area: np.ndarray) -> bool:
    grown = ndimage.binary_dilation(area, np.ones((3, 3)), iterations=3)
    return bool(grown[0].any() or grown[-1].any() or grown[:, 0].any() or grown[:, -1].any())


def test_labels_hold_the_areas_of_all_cells(fields: list[CellField]) -> None:
    field = fields[0]
    labels = field.labels()
    assert set(np.unique(labels)) == set(range(len(field.truths) + 1))
    for number, truth in enumerate(field.truths, start=1):
        share = (labels == number).sum() * PIXEL_UM**2 / truth.area_um2
        assert share <= 1.0 + 1e-6
        if not truth.border and not truth.touching:
            assert share == pytest.approx(1.0)


def test_cells_cut_by_the_edge_keep_their_own_values_and_are_listed_once(fields: list[CellField]) -> None:
    height, width = (n * PIXEL_UM for n in fields[0].shape_px)
    for field in fields:
        assert field.outside
        for truth in field.truths:
            assert -0.5 * PIXEL_UM <= truth.row_um < height
            assert -0.5 * PIXEL_UM <= truth.column_um < width
        for truth in field.outside:
            assert truth.border
            assert not (0 <= truth.row_um < height - PIXEL_UM and 0 <= truth.column_um < width - PIXEL_UM)
    cut = [truth.area_um2 for field in fields for truth in field.truths if truth.border]
    whole = [truth.area_um2 for field in fields for truth in field.truths if not truth.border]
    assert np.mean(cut) > 0.85 * np.mean(whole)


def test_overlaps_are_small_though_cells_touch(fields: list[CellField]) -> None:
    touching = np.mean([truth.touching for field in fields for truth in field.truths])
    assert 0.3 < touching < 0.9
    for field in fields:
        layers = np.sum([field.alone(k) > 5.0 for k in range(len(field.truths))], axis=0)
        assert (layers > 1).sum() < 0.05 * (layers > 0).sum()


def test_debris_is_no_cell() -> None:
    dirty = replace(PopulationParameters.matched(183), density_per_mm2=(0.0, 0.0), debris_per_mm2=(200.0, 200.0))
    field = CellField(dirty, (256, 256), seed=1)
    assert not field.truths
    assert len(field.grains) > 10
    regions, count = ndimage.label(field.opd_nm > 5.0)
    areas = ndimage.sum_labels(np.ones_like(field.opd_nm), regions, np.arange(1, count + 1)) * PIXEL_UM**2
    assert count > 10
    assert areas.max() < 150.0
    assert np.median(areas) < 40.0


def test_an_empty_dish_is_flat() -> None:
    empty = replace(PopulationParameters.matched(183), density_per_mm2=(0.0, 0.0), debris_per_mm2=(0.0, 0.0))
    field = CellField(empty, (64, 64))
    assert not field.opd_nm.any()
    assert field.truths == field.outside == ()


def test_another_grid_shows_the_same_cells(fields: list[CellField]) -> None:
    # The cut-outs were turned and mirrored; the shapes are rendered where they came to lie.
    field = fields[1]
    cells, debris = field.render(PIXEL_UM, field.shape_px, (0.0, 0.0))
    assert debris.any()
    assert np.abs(cells + debris - field.opd_nm).max() < 0.02
    origin, fine_um = (20.0 * PIXEL_UM - 0.25 * PIXEL_UM, 30.0 * PIXEL_UM - 0.25 * PIXEL_UM), PIXEL_UM / 2
    fine = sum(field.render(fine_um, (200, 240), origin))
    coarse = fine.reshape(100, 2, 120, 2).mean(axis=(1, 3))
    apart = coarse - field.opd_nm[20:120, 30:150]
    assert np.sqrt((apart**2).mean()) < 0.03 * field.opd_nm.std()
    assert fine.sum() / 4 == pytest.approx(field.opd_nm[20:120, 30:150].sum(), rel=2e-3)


def test_what_is_true_hardly_depends_on_the_pixels() -> None:
    rng = np.random.default_rng(8)
    population = PopulationParameters.matched(255)
    shapes = [population.draw(rng) for _ in range(30)]
    by_pixel = {
        pixel: np.array([
            [getattr(CutOut.of(shape, pixel, np.random.default_rng(k)).measures, name) for name in MEASURES]
            for k, shape in enumerate(shapes)
        ])
        for pixel in (0.6, PIXEL_UM)
    }  # fmt: skip
    ratio = by_pixel[0.6] / by_pixel[PIXEL_UM]
    assert np.abs(np.median(ratio, axis=0) - 1.0).max() < 0.06
    assert np.abs(ratio[:, 1] - 1.0).max() < 0.01  # mass does not depend on them at all


def test_a_seed_is_a_field() -> None:
    population = PopulationParameters.wide()
    first, same, other = (CellField(population, (96, 96), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.opd_nm, same.opd_nm)
    assert first.truths == same.truths
    assert not np.array_equal(first.opd_nm, other.opd_nm)


def test_libraries_of_two_seeds_share_no_cell() -> None:
    population = PopulationParameters.matched(255)
    first, second = (CellLibrary(population, count=10, seed=seed) for seed in (1, 2))
    assert not {cell.shape for cell in first.cells} & {cell.shape for cell in second.cells}


def test_fields_from_a_library_draw_no_cell_anew(library: CellLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a shape was rendered")

    monkeypatch.setattr(CellShape, "opd_nm", refuse)
    assert CellField(library.parameters, (128, 128), seed=9, source=library).opd_nm.any()


def test_a_library_of_other_pixels_is_refused(library: CellLibrary) -> None:
    with pytest.raises(ValueError, match=r"1\.67 µm, the field's of 1\.0 µm"):
        CellField(library.parameters, (64, 64), 1.0, source=library)


# Image quality


def test_the_seven_levels_are_those_of_the_paper() -> None:
    levels = [(level.noise_nm, level.background_nm) for level in QUALITY_LEVELS]
    assert levels == [(1.2, 0), (10, 0), (20, 0), (1.2, 15), (1.2, 30), (10, 15), (20, 30)]


@pytest.mark.parametrize("level", QUALITY_LEVELS)
def test_a_level_adds_its_noise_and_its_background(level: Degradation) -> None:
    clean = np.full((300, 400), 25.0, np.float32)
    added = level.apply(clean, np.random.default_rng(1)) - clean
    assert (clean == 25.0).all()
    fine = np.diff(added, axis=1) / np.sqrt(2.0)
    assert fine.std() == pytest.approx(level.noise_nm, rel=0.03)
    smooth = ndimage.gaussian_filter(added, 8.0)
    assert np.abs(smooth).max() == pytest.approx(level.background_nm, abs=0.1 * level.background_nm + 4.0)
    if level.background_nm:
        assert np.ptp(smooth) > level.background_nm
        assert np.abs(np.diff(smooth, axis=0)).max() < 0.1 * level.background_nm


def test_noise_with_a_grain_keeps_its_strength() -> None:
    noise = Degradation(noise_nm=10.0, noise_scale_px=2.0).apply(
        np.zeros((256, 256), np.float32), np.random.default_rng(0)
    )
    assert noise.std() == pytest.approx(10.0, rel=1e-3)
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] > 0.8


def test_blur_spreads_a_cell_and_keeps_its_mass() -> None:
    clean = disc(10.0, 60.0)
    blurred = Degradation(blur_px=2.0).apply(clean, np.random.default_rng(0))
    assert blurred.sum() == pytest.approx(clean.sum(), rel=1e-4)
    assert (blurred > 5.0).sum() > 1.2 * (clean > 5.0).sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_nm": -1.0},
        {"background_nm": -1.0},
        {"background_scale_px": (0.0, 5.0)},
        {"noise_scale_px": -1},
        {"blur_px": -1},
    ],
)
def test_impossible_degradations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Degradation(**wrong)  # type: ignore[arg-type]


def test_moments_give_the_mean_square() -> None:
    assert Moments(3.0, 4.0).square == 25.0

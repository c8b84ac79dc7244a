from __future__ import annotations

import numpy as np
import pytest

from microscoped.simulators.optics import AbbeImager, Pupil, Source
from microscoped.simulators.specimens import CellParameters, Specimen, TissueParameters, tissue_section, unstained_cells
from microscoped.simulators.specimens._maps import layer_shares

N, PIXEL = 256, 0.2


def make(kind: str, seed: int, parameters: TissueParameters | CellParameters | None = None) -> Specimen:
    if kind == "tissue":
        chosen = parameters if isinstance(parameters, TissueParameters) else TissueParameters(tilt_um=0.0)
        return tissue_section(chosen, (N, N), PIXEL, seed)
    return unstained_cells(
        parameters if isinstance(parameters, CellParameters) else CellParameters(), (N, N), PIXEL, seed
    )


@pytest.mark.parametrize("kind", ["tissue", "cells"])
def test_a_seed_makes_one_specimen(kind: str) -> None:
    first, again, other = make(kind, 1), make(kind, 1), make(kind, 2)
    assert np.array_equal(first.density, again.density)
    assert np.array_equal(first.opd_um, again.opd_um)
    assert np.corrcoef(first.opd_um.sum(0).ravel(), other.opd_um.sum(0).ravel())[0, 1] < 0.3


@pytest.mark.parametrize("kind", ["tissue", "cells"])
@pytest.mark.parametrize("axis", [0, 1])
def test_opposite_borders_adjoin(kind: str, axis: int) -> None:
    total = make(kind, 3).opd_um.sum(0)
    inside = np.abs(np.diff(total, axis=axis)).mean()
    across = np.abs(np.take(total, 0, axis) - np.take(total, -1, axis)).mean()
    assert across < 3 * inside


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["tissue", "cells"])
def test_random_parameters_make_physical_specimens(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    specimen = make(kind, seed, TissueParameters.draw(rng) if kind == "tissue" else CellParameters.draw(rng))
    for channel, wavelength in enumerate((0.61, 0.54, 0.46)):
        wave = specimen.transmittance(channel, wavelength)
        assert wave.shape == (specimen.depth_um.size, N, N)
        assert 0 < np.abs(wave).min() <= np.abs(wave).max() <= 1 + 1e-5
        assert np.abs(np.abs(wave) ** 2 - (1 - specimen.absorption(channel))).max() < 1e-4
    assert 1 <= specimen.depth_um.size <= 7
    assert specimen.depth_um.mean() == pytest.approx(0, abs=1e-5)


def contrasts(specimen: Specimen, z: np.ndarray) -> np.ndarray:
    imager = AbbeImager(Pupil(0.5, 0.55), Source.disc(0.6, 7), (N, N), PIXEL, specimen.medium_index)
    return imager.images(specimen.transmittance(1, 0.55), specimen.depth_um, z).std(axis=(1, 2))


Z = np.arange(-4.0, 4.1, 0.5)


@pytest.mark.parametrize("seed", [1, 2])
def test_unstained_cells_have_their_least_contrast_in_focus(seed: int) -> None:
    curve = contrasts(make("cells", seed), Z)
    assert abs(Z[curve.argmin()]) <= 0.5
    assert curve.max() > 2.5 * curve.min()


@pytest.mark.parametrize("seed", [1, 2])
def test_stained_sections_have_their_greatest_contrast_in_focus(seed: int) -> None:
    curve = contrasts(make("tissue", seed), Z)
    assert abs(Z[curve.argmax()]) <= 1.0
    assert curve.max() > 1.05 * curve[[0, -1]].max()


def test_a_tilted_section_lies_deeper_on_one_side() -> None:
    parameters = TissueParameters(tilt_um=1.0, tilt_angle_rad=0.0, thickness_um=2.0, clear_fraction=0.0)
    specimen = tissue_section(parameters, (N, N), PIXEL, 1)
    od = specimen.density.sum(axis=0)
    depth = (od * specimen.depth_um[:, None, None]).sum(axis=0) / od.sum(axis=0)
    assert depth[:, -40:].mean() - depth[:, :40].mean() == pytest.approx(0.85, abs=0.35)


@pytest.mark.parametrize(("centre", "height"), [(0.0, 1.0), (0.9, 0.3), (-2.5, 2.0), (7.0, 1.0)])
def test_matter_is_divided_among_layers_without_loss(centre: float, height: float) -> None:
    depths = np.array([-1.6, -0.8, 0.0, 0.8, 1.6], np.float32)
    shares = layer_shares(centre, height, depths)
    assert shares.sum() == pytest.approx(1.0, abs=1e-4)
    assert (shares > -1e-6).all()
    if abs(centre) + height / 2 < 1.6:
        assert (shares * depths).sum() == pytest.approx(centre, abs=1e-3)

"""The shipped networks: near enough for five planes, on any sampling, and the same whatever runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import (
    DistanceMethod,
    DistanceNetwork,
    Field,
    HologramOptics,
    MeasureSettings,
    NetworkUnsuitableError,
    Reconstructor,
    find_cells,
    measure_field,
)
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import open_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.models.hologram.conftest import Bench

NAMES = model_spec("hologram").artefacts
PLACES = ((-15.0, -14.0), (2.0, 3.0), (16.0, -12.0))


@pytest.fixture(scope="module")
def network() -> Iterator[DistanceNetwork]:
    artefact = model_spec("hologram").load()
    with open_model(artefact, "onnxruntime", threads=1) as model:
        yield DistanceNetwork(model, artefact)


def recorded(bench: type[Bench], z: float, size: int = 512, optics: HologramOptics | None = None) -> Field:
    scene = bench(cells=tuple((row, column, z) for row, column in PLACES), size=size)
    frame = scene.frame()
    return Reconstructor.prepare(frame, optics or scene.optics)(frame)


@pytest.mark.parametrize("z", [-14.0, -6.0, 0.0, 3.0, 14.0])
def test_it_comes_within_the_reach_of_the_five_planes(bench: type[Bench], network: DistanceNetwork, z: float) -> None:
    field = recorded(bench, z)
    cells = find_cells(field)
    reading = network.read(field, cells)
    assert len(cells) == 3
    assert np.abs(reading.z_min_contrast - z).max() < 1.0
    assert reading.inside.all()


@pytest.mark.parametrize("size", [448, 480, 500, 600])
def test_the_sampling_of_the_field_does_not_matter(bench: type[Bench], network: DistanceNetwork, size: int) -> None:
    """Fields of these frames have between 2.0 and 2.3 samples per λ/NA."""
    field = recorded(bench, 12.0, size)
    reading = network.read(field, find_cells(field))
    assert np.abs(reading.z_min_contrast - 12.0).max() < 1.0


@pytest.mark.parametrize("z", [-0.25, 0.0, 0.25])
@pytest.mark.parametrize("method", list(DistanceMethod))
def test_no_method_abstains_at_best_focus(
    bench: type[Bench], network: DistanceNetwork, method: DistanceMethod, z: float
) -> None:
    measured = measure_field(recorded(bench, z), MeasureSettings(method), network)
    assert len(measured.cells) == 3
    assert [one.reason for one in measured.cells] == [None] * 3
    assert measured.z_min_contrast == pytest.approx(z, abs=0.5 if method is DistanceMethod.NETWORK else 0.1)


def test_where_the_scale_is_unknown_it_reads_the_pure_number(bench: type[Bench], network: DistanceNetwork) -> None:
    scene = bench()
    # The band's radius is given: measured on its own it is one of the lens, or of the noise.
    field = recorded(bench, 6.0)
    unknown = replace(
        field,
        optics=HologramOptics(None, None, None, scene.optics.medium_index),
        pixel=tuple(size / scene.optics.pixel for size in field.pixel),  # type: ignore[arg-type]
        radius=field.radius * scene.optics.pixel,
    )
    reading = network.read(unknown, find_cells(unknown))
    wavelength, pixel = scene.optics.medium_wavelength, scene.optics.pixel
    assert np.abs(reading.z_min_contrast * pixel**2 / wavelength - 6.0).max() < 1.0


@pytest.mark.parametrize("name", NAMES)
def test_one_thread_and_two_agree(bench: type[Bench], name: str) -> None:
    field = recorded(bench, -4.0)
    cells = find_cells(field)
    artefact = model_spec("hologram").load(name)
    told = []
    for threads in (1, 2):
        with open_model(artefact, "onnxruntime", threads=threads) as model:
            told.append(DistanceNetwork(model, artefact).read(field, cells).z)
    np.testing.assert_allclose(*told, atol=1e-3)


def test_many_cells_are_read_in_parts_and_none_is_nothing(bench: type[Bench], network: DistanceNetwork) -> None:
    field = recorded(bench, 4.0)
    cells = find_cells(field)
    many = network.read(field, cells * 30)
    np.testing.assert_allclose(many.z[:3], network.read(field, cells).z, atol=1e-4)
    np.testing.assert_allclose(many.z.reshape(30, 3), np.tile(many.z[:3], (30, 1)), atol=1e-4)
    assert network.read(field, []).z.shape == (0,)


def test_a_network_of_another_preprocessing_is_refused(network: DistanceNetwork) -> None:
    artefact = model_spec("hologram").load()
    other = artefact.sidecar.model_copy(update={"preprocessing": {**artefact.sidecar.preprocessing, "crop": 48}})
    with (
        open_model(artefact, "onnxruntime", threads=1) as model,
        pytest.raises(NetworkUnsuitableError, match=r"preprocessing\.crop is 48"),
    ):
        DistanceNetwork(model, replace(artefact, sidecar=other))

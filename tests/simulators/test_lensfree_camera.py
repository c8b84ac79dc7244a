"""A lens-free microscope as a camera: three colours in one frame."""

from __future__ import annotations

import numpy as np
import pytest

from microscoped.simulators.cells import CellLibrary, PopulationParameters
from microscoped.simulators.lensfree import LensFreeCameraScene, LensFreeOptics, LensFreeSetup, rgb_optics

FEW = PopulationParameters.matched(255)


@pytest.fixture(scope="module")
def scene() -> LensFreeCameraScene:
    source = CellLibrary(FEW, 1.67, 4, 1)
    return LensFreeCameraScene(LensFreeSetup(rgb_optics(z_um=400.0), FEW, (64, 80), seed=3), source=source)


def test_a_frame_holds_the_colours_as_red_green_and_blue(scene: LensFreeCameraScene) -> None:
    frame = scene.expose(0.0, 10.0, 1)
    assert (frame.shape, frame.dtype, scene.bit_depth) == (scene.shape, np.uint16, 12)
    assert scene.shape == (64, 80, 3)
    usual = LensFreeOptics()
    assert scene.inner.setup.optics.wavelengths_um == usual.wavelengths_um[::-1]
    for channel, light in enumerate(scene.inner.light):
        assert np.corrcoef(frame[..., channel].ravel(), light.ravel())[0, 1] > 0.9
    assert np.corrcoef(frame[..., 0].ravel(), scene.inner.light[2].ravel())[0, 1] < 0.9


def test_noise_is_that_of_the_shot_and_light_is_proportional_to_exposure(scene: LensFreeCameraScene) -> None:
    first, same, other = (scene.expose(z, 10.0, shot) for z, shot in ((0.0, 1), (9.0, 1), (0.0, 2)))
    np.testing.assert_array_equal(first, same)
    assert 5 < np.std(first.astype(float) - other) < 200
    dark = scene.inner.sensor.offset
    short = scene.expose(0.0, 5.0, 1)
    assert (short - dark).mean() == pytest.approx(0.5 * (first - dark).mean(), rel=0.02)


def test_it_says_what_it_is_and_refuses_other_colours(scene: LensFreeCameraScene) -> None:
    told = " ".join(scene.describe().values())
    assert "lens-free" in told
    assert "630, 530, 450 nm" in told
    single = LensFreeOptics(wavelengths_um=(0.5,), bandwidth_nm=(20.0,), shifts_um=((0.0, 0.0),))
    with pytest.raises(ValueError, match="1 wavelengths_um, but a camera's frame has 3"):
        LensFreeCameraScene(LensFreeSetup(single, shape_px=(64, 64)))

"""The engine: what it keeps between frames, and when it says that the background does not hold any more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import (
    BackgroundError,
    FrameShapeError,
    HologramEngine,
    HologramEngineSettings,
    HologramOptics,
    NoSidebandError,
)
from microscoped.models.hologram.engine import CHECK_EVERY
from microscoped.models.hologram.stored import StoredBackground

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.models.hologram.conftest import Bench

CELLS = ((-14.0, -12.0, 3.0), (10.0, 14.0, 3.0))
TAKEN = "2026-11-21T12:00:00+00:00"


def engine_of(scene: Bench, background: NDArray[np.uint16] | None = None) -> HologramEngine:
    kept = None if background is None else StoredBackground(background, TAKEN, scene.optics)
    return HologramEngine(HologramEngineSettings(scene.optics), background=kept)


@pytest.mark.parametrize("stored", [False, True])
def test_it_measures_with_a_background_hologram_or_a_fitted_one(bench: type[Bench], stored: bool) -> None:
    scene = bench(cells=CELLS, curvature=2e-4)
    engine = engine_of(scene, bench(cells=(), curvature=2e-4).frame() if stored else None)
    values = json.loads(json.dumps(engine.measure([scene.frame()], {}), allow_nan=False))
    assert values["z_min_contrast_um"] == pytest.approx(3.0, abs=0.15)
    assert values["count"] == 2
    assert values["background"]["kind"] == ("hologram" if stored else "fitted")
    assert values["background"]["taken"] == (TAKEN if stored else None)
    assert values["background"]["stale"] is False


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"carrier": (0.3312 + 1.5 / 512, 0.3278)}, "carrier has moved"),
        ({"curvature": 2e-4}, "wavefront"),
    ],
    ids=["tilt", "curvature"],
)
def test_a_background_that_no_longer_holds_is_said_to_be_stale(
    bench: type[Bench], changes: dict[str, float], why: str
) -> None:
    scene = bench(cells=CELLS)
    engine = engine_of(scene, bench(cells=()).frame())
    assert engine.measure([scene.frame()], {})["background"]["stale"] is False
    moved = replace(scene, **changes).frame()
    told = [engine.measure([moved], {})["background"] for _ in range(CHECK_EVERY)]
    assert told[-1]["stale"] is True
    assert why in told[-1]["why"]


def test_a_fitted_background_is_fitted_anew_where_the_reference_has_moved(bench: type[Bench]) -> None:
    scene = bench(cells=CELLS)
    engine = engine_of(scene)
    engine.measure([scene.frame()], {})
    moved = replace(scene, carrier=(0.3212, 0.3378)).frame()
    told = [engine.measure([moved], {}) for _ in range(CHECK_EVERY + 1)]
    assert told[-1]["background"]["stale"] is False
    assert told[-1]["z_min_contrast_um"] == pytest.approx(3.0, abs=0.15)


def test_frames_of_another_shape_or_pixel_size_are_prepared_for(bench: type[Bench]) -> None:
    small = bench(cells=((0.0, 0.0, 2.0),), size=384)
    engine = engine_of(small)
    assert engine.measure([bench(cells=CELLS).frame()], {})["count"] == 2
    assert engine.measure([small.frame()], {})["count"] == 1
    pixel = small.optics.pixel_size_um
    assert pixel is not None
    finer = engine.measure([small.frame()], {"pixel_size_um": pixel * 0.9})
    assert finer["z_min_contrast_um"] == pytest.approx(2.0 * 0.81, abs=0.2)


def test_another_background_is_used_from_the_next_frame_on(bench: type[Bench]) -> None:
    scene = bench(cells=CELLS)
    engine = engine_of(scene)
    assert engine.measure([scene.frame()], {})["background"]["kind"] == "fitted"
    engine.use(StoredBackground(bench(cells=()).frame(), TAKEN, scene.optics))
    assert engine.measure([scene.frame()], {})["background"]["kind"] == "hologram"
    engine.use(None)
    assert engine.measure([scene.frame()], {})["background"]["kind"] == "fitted"


def test_what_does_not_suit_is_refused_and_the_next_frame_is_measured(bench: type[Bench]) -> None:
    scene = bench(cells=CELLS)
    good = scene.frame()
    engine = engine_of(scene, bench(cells=()).frame())
    dark = np.random.default_rng(1).integers(0, 30, good.shape).astype(np.uint16)
    for bad, error in (
        (good[:300], BackgroundError),
        (good[:40, :40], BackgroundError),
        (dark, NoSidebandError),
    ):
        with pytest.raises(error):
            engine.measure([bad], {})
    with pytest.raises(ValueError, match="no such option"):
        engine.measure([good], {"roi": 1})
    with pytest.raises(ValueError, match="a hologram is one"):
        engine.measure([good, good], {})
    assert engine.measure([good], {})["count"] == 2


def test_without_a_background_a_frame_that_is_no_hologram_is_refused(bench: type[Bench]) -> None:
    engine = HologramEngine(HologramEngineSettings(HologramOptics()))
    with pytest.raises(FrameShapeError):
        engine.measure([np.zeros((32, 32), np.uint8)], {})
    scene = bench(cells=CELLS)
    assert engine.measure([scene.frame()], {})["scale_known"] is False

"""From frames of a lens-free camera to maps and tables of cells."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.cells import ScaleError
from microscoped.models.cells.engine import CellsEngine, WatershedReader
from microscoped.models.cells.lensfree import LensFreeOpd, LensFreeSettings
from microscoped.models.lensfree import (
    FramesError,
    InlineOptics,
    NetworkError,
    OpticsError,
    SettingsError,
    SolveSettings,
)
from microscoped.models.lensfree.shipped import open_accelerator, open_unwrapper
from tests.models.lensfree.dish import PITCH_UM, SHIFTS_UM, Z_UM, dish, rms
from tests.models.lensfree.networks import write_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.lensfree import Progress

DARK = 100.0
CLEAR = 900.0
GIVEN = SolveSettings(focus_range_um=0.0)
OPTICS = InlineOptics(z_um=Z_UM, shifts_um=SHIFTS_UM)


@functools.cache
def frame() -> NDArray[np.uint16]:
    """The dish as a camera of 12 bits counts it, its colours as channels."""
    counts = np.clip(DARK + CLEAR * dish().frames, 0, 4095).round().astype(np.uint16)
    return np.ascontiguousarray(np.moveaxis(counts, 0, 2))


def source(count: int = 12, **more: Any) -> LensFreeOpd:  # noqa: ANN401 - of `LensFreeOpd`
    return LensFreeOpd(dish().optics, LensFreeSettings(count, DARK, GIVEN), **more)


def test_a_frame_becomes_the_map_of_what_lies_there() -> None:
    told: list[int] = []
    found = source(14, follow=lambda progress: told.append(progress.iteration)).read(frame(), PITCH_UM, 12)
    assert found.opd_nm.shape == dish().opd_nm.shape
    assert rms(found.opd_nm - dish().opd_nm) < 0.35 * rms(dish().opd_nm)
    assert found.opd_nm.dtype == np.float32
    assert (found.pixel_um, found.first_px, found.scale) == (PITCH_UM, (0.0, 0.0), (1.0, 1.0))
    assert found.made["iterations"] == [14]
    assert (found.made["z_um"], found.made["z_found"]) == (Z_UM, None)
    assert found.made["shifts_um"] == [list(shift) for shift in SHIFTS_UM]
    assert (found.made["accelerator"], found.made["unwrapper"]) == (None, None)
    assert 0.005 < found.made["residual"] < 0.05
    assert set(found.timings_s) == {"light", "registration", "start", "iterations"}
    assert told == list(range(1, 15))


def test_the_order_of_the_colours_is_that_of_the_channels() -> None:
    """Red first, with the optics turned round, is the same specimen; the optics alone turned round is not."""
    known = dish().optics
    turned = InlineOptics(
        wavelengths_um=known.wavelengths_um[::-1],
        z_um=known.z_um,
        led_um=known.led_um,
        led_distance_um=known.led_distance_um,
        bandwidths_nm=known.bandwidths_nm[::-1] if known.bandwidths_nm else None,
        shifts_um=known.shifts_um[::-1] if known.shifts_um else None,
    )
    settings = LensFreeSettings(8, DARK, GIVEN)
    right = LensFreeOpd(turned, settings).read(frame()[..., ::-1], PITCH_UM)
    wrong = LensFreeOpd(turned, settings).read(frame(), PITCH_UM)
    usual = source(8).read(frame(), PITCH_UM)
    assert rms(right.opd_nm - usual.opd_nm) < 0.5
    assert wrong.made["residual"] > 1.2 * right.made["residual"]


def test_the_count_without_light_is_taken_off() -> None:
    right = source(8).read(frame(), PITCH_UM)
    plain = np.moveaxis(dish().frames, 0, 2)
    same = LensFreeOpd(dish().optics, LensFreeSettings(8, 0.0, GIVEN)).read(plain, PITCH_UM)
    assert rms(right.opd_nm - same.opd_nm) < 0.5


def test_a_distance_that_is_looked_for_is_told() -> None:
    optics = InlineOptics(z_um=Z_UM + 12.0, shifts_um=SHIFTS_UM, bandwidths_nm=dish().optics.bandwidths_nm)
    made = (
        LensFreeOpd(optics, LensFreeSettings(2, DARK, SolveSettings(focus_range_um=40.0))).read(frame(), PITCH_UM).made
    )
    assert made["z_found"] is True
    assert abs(made["z_um"] - Z_UM) < 6.0


def test_an_accelerator_stands_in_the_middle_and_is_gone_on_from(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    counts: list[float] = []
    plain: list[float] = []

    def listening(into: list[float]) -> Any:  # noqa: ANN401 - a callback
        def hear(progress: Progress) -> None:
            into.append(float(progress.maps()[0].max()))

        return hear

    source(6, follow=listening(plain)).read(frame(), PITCH_UM)
    artefact = write_network(tmp_path, "lensfree_accelerate", "accelerate", factor=2.0)
    reading = source(7, accelerator=open_accelerator(artefact, "onnxruntime"), follow=listening(counts))
    found = reading.read(frame(), PITCH_UM)
    reading.close()
    assert (found.made["iterations"], found.made["accelerator"]) == ([3, 4], "lensfree_accelerate")
    assert counts[:3] == pytest.approx(plain[:3], rel=1e-3)
    assert counts[3] > 1.5 * plain[3]
    assert found.timings_s["network"] > 0


def test_a_network_knows_the_pixels_that_it_was_trained_on(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    artefact = write_network(tmp_path, "lensfree_accelerate", "accelerate")
    read = source(accelerator=open_accelerator(artefact, "onnxruntime"))
    assert read.read(frame(), 1.02 * PITCH_UM).made["accelerator"] is not None
    with pytest.raises(NetworkError, match=r"pixel size 2\.2 µm: .* was trained on pixels of 1\.67 µm"):
        read.read(frame(), 2.2)
    read.close()


def test_an_unwrapper_is_asked_on_the_way(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    artefact = write_network(tmp_path, "lensfree_unwrap", "unwrap")
    reading = source(12, unwrapper=open_unwrapper(artefact, "onnxruntime"))
    found = reading.read(frame(), PITCH_UM)
    reading.close()
    assert (found.made["iterations"], found.made["unwrapper"]) == ([12], "lensfree_unwrap")
    assert found.timings_s["network"] > 0


def test_the_engine_makes_a_table_of_it() -> None:
    engine = CellsEngine(source(14), WatershedReader())
    measured = engine.measure([frame()], {"pixel_size_um": PITCH_UM, "bit_depth": 12, "exposure_start_ns": 5})
    values = measured.values
    assert values["source"]["kind"] == "lensfree"
    assert 8 <= values["count"] <= 30
    assert "timings_s" not in str(values)
    assert [part.name for part in measured.parts] == ["cells", "motions"]
    again = engine.measure([frame()], {"pixel_size_um": PITCH_UM, "bit_depth": 12})
    assert again.values["dry_mass_pg"] == values["dry_mass_pg"]


BAD: list[tuple[NDArray[Any], float | None, type[ValueError], str]] = [
    (np.zeros((64, 64), np.uint16), 1.67, FramesError, r"shape \(64, 64\).*\(rows, columns, 3\), a channel for each"),
    (np.zeros((3, 64, 64), np.uint16), 1.67, FramesError, r"shape \(3, 64, 64\)"),
    (np.zeros((64, 64, 4), np.uint16), 1.67, FramesError, r"shape \(64, 64, 4\)"),
    (np.zeros((64, 64, 3), np.int16), 1.67, FramesError, "dtype int16; light is told by unsigned"),
    (np.zeros((64, 64, 3), np.uint16), 1.67, FramesError, r"frames\[0\]: all pixels are"),
    (np.ones((40, 64, 3), np.uint16), 1.67, FramesError, "at least 64 rows and columns"),
    (np.zeros((64, 64, 3), np.uint16), None, ScaleError, "pixel_um is unknown"),
    (np.zeros((64, 64, 3), np.uint16), 0.2, OpticsError, "greater than pitch_um 0.2"),
]


@pytest.mark.parametrize(("pixels", "pixel_um", "kind", "words"), BAD)
def test_a_frame_that_is_no_lens_free_one_is_refused(
    pixels: NDArray[Any], pixel_um: float | None, kind: type[ValueError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        LensFreeOpd(OPTICS, LensFreeSettings(2, 0.0, GIVEN)).read(pixels, pixel_um)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"iterations": 1}, "iterations 1: at least 2"),
        ({"dark_count": -1.0}, "dark_count -1.0"),
        ({"dark_count": float("nan")}, "dark_count nan"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LensFreeSettings(**values)


def test_an_unwrapper_has_the_last_word_on_an_accelerated_map(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    accelerator = open_accelerator(write_network(tmp_path, "lensfree_accelerate", "accelerate"), "onnxruntime")
    unwrapper = open_unwrapper(write_network(tmp_path, "lensfree_unwrap", "unwrap", factor=2.0), "onnxruntime")
    plain = source(6, accelerator=accelerator).read(frame(), PITCH_UM)
    reading = source(6, accelerator=accelerator, unwrapper=unwrapper)
    found = reading.read(frame(), PITCH_UM)
    reading.close()
    assert (found.made["accelerator"], found.made["unwrapper"]) == ("lensfree_accelerate", "lensfree_unwrap")
    np.testing.assert_allclose(found.opd_nm, 2.0 * plain.opd_nm, atol=0.05 * float(plain.opd_nm.max()))

"""Measured stacks of others: each is loaded with a few declared lines and shows its documented focus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from microscoped.simulators.recorded import RecordedScene, RecordedStack, ZFile, ZInName, ZStep, read_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.data


def light_sheet(data: Path) -> RecordedStack:
    return read_stack(data / "lsfm-dfnn" / "mitochondria.tif", ZFile("mitochondria_order.txt", unit_um=0.05))


def beads(data: Path) -> RecordedStack:
    return read_stack(data / "fl-psf-beads" / "stack.tif", ZStep(0.3))


def neurons(data: Path) -> RecordedStack:
    return read_stack(data / "ph-isl-neurons", ZInName(r"z(\d+)\.png"))


def cells_fine(data: Path) -> RecordedStack:
    return read_stack(data / "bf-sephace", ZInName(r"Z([\d.]+)\.ics"), files="set1_fine_*.ics")


def cells_init(data: Path) -> RecordedStack:
    return read_stack(data / "bf-sephace", ZInName(r"Z([\d.]+)\.ics"), files="set1_init_*.ics")


STACKS = {  # shape, type, first and last z, plane count
    light_sheet: ((34, 800, 512), np.uint16, 1.6, 3.25),
    beads: ((34, 512, 512), np.uint8, 0.0, 9.9),
    neurons: ((13, 1024, 1024), np.uint16, 0.0, 12.0),
    cells_fine: ((3, 1024, 1344), np.uint8, 1341.95, 1362.0),
    cells_init: ((3, 1024, 1344), np.uint8, 1327.6, 1376.8),
}


def variance_of_laplacian(plane: np.ndarray) -> float:
    return float(ndimage.laplace(plane.astype(np.float32)).var())


@pytest.mark.parametrize("load", STACKS, ids=lambda load: load.__name__)
def test_measured_stack_has_its_documented_size_and_range(
    data_dir: Path, load: Callable[[Path], RecordedStack]
) -> None:
    shape, dtype, first_um, last_um = STACKS[load]
    stack = load(data_dir)
    assert stack.planes.shape == shape
    assert stack.planes.dtype == dtype
    assert stack.z_um[[0, -1]] == pytest.approx([first_um, last_um])
    assert stack.planes.reshape(len(stack.planes), -1).std(axis=1).min() > 0


@pytest.mark.parametrize(
    ("load", "focus_um", "tolerance_um"),
    [
        (light_sheet, 51 * 0.05, 0.1),
        (beads, 16.9 * 0.3, 0.3),
        (cells_fine, 1352.25, 0.01),
        (cells_init, 1351.6, 0.01),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_sharpest_plane_is_the_documented_focus(
    data_dir: Path, load: Callable[[Path], RecordedStack], focus_um: float, tolerance_um: float
) -> None:
    stack = load(data_dir)
    sharpest = int(np.argmax([variance_of_laplacian(plane) for plane in stack.planes]))
    assert stack.z_um[sharpest] == pytest.approx(focus_um, abs=tolerance_um)
    assert 0 < sharpest < len(stack.planes) - 1


def test_a_measured_stack_is_played_bit_for_bit(data_dir: Path) -> None:
    stack = beads(data_dir)
    scene = RecordedScene(stack)
    assert np.array_equal(scene.expose(5.05, 10.0, 0), stack.planes[17])

"""The odd cell: its phase profile is right in the composite, and wrong in the plane that suits the other cells."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.hologram import propagate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from microscoped.simulators.holograms import BodyKind

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "hologram_figure.py"
PROFILE_ERROR_MOST = 0.05


@pytest.fixture(scope="module")
def figure() -> Iterator[ModuleType]:
    """The script that draws the figure of the documents: what that shows is what is tested."""
    spec = importlib.util.spec_from_file_location("docs_hologram_figure", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("seed", "kind", "others_um", "odd_um"),
    [
        (3, "red_cell", (1.5, 3.0), -7.0),
        (4, "red_cell", (-4.0, -3.0), 6.0),
        (5, "red_cell", (-0.5, 0.5), 9.0),
        (6, "red_cell", (7.0, 9.0), -2.0),
        (7, "red_cell", (0.0, 0.0), 4.0),
        (8, "echinocyte", (2.0, 3.0), -8.0),
    ],
)
def test_the_odd_cells_profile_is_right_in_the_composite_only(
    figure: ModuleType, seed: int, kind: BodyKind, others_um: tuple[float, float], odd_um: float
) -> None:
    shown = figure.odd_cell(seed, kind=kind, others_um=others_um, odd_um=odd_um, size_px=448, count=7, dust=0)
    own, whole = shown.error(shown.composite.field), shown.error(shown.whole)
    assert own <= PROFILE_ERROR_MOST
    assert whole > max(0.08, 4.0 * own)
    assert shown.found.cells[shown.odd].z_min_contrast == pytest.approx(odd_um, abs=0.3)
    # The whole field's search finds the others' plane, not the odd cell's.
    assert others_um[0] - 0.5 < shown.whole.z < others_um[1] + 0.5
    deep = shown.composite.depth[shown.inside]
    assert np.nanmedian(deep) == pytest.approx(odd_um, abs=0.3)


def test_under_the_rings_of_dust_it_is_right_in_the_usual_field(figure: ModuleType) -> None:
    errors = []
    for seed in range(20, 24):
        shown = figure.odd_cell(seed, dust=1)
        errors.append((shown.error(shown.composite.field), shown.error(shown.whole)))
    own, whole = np.median(errors, axis=0)
    assert own <= PROFILE_ERROR_MOST
    assert whole > 3.0 * own


def test_the_measure_of_a_profile_is_nothing_for_the_truth_and_large_for_nothing(figure: ModuleType) -> None:
    shown = figure.odd_cell(3, size_px=448, count=7)
    perfect = np.exp(1j * shown.truth).astype(np.complex64)
    field = shown.composite.field
    assert shown.error(field.at(perfect)) < 1e-3
    assert shown.error(field.at(np.ones_like(perfect))) > 0.5
    # Two micrometres beside its plane the profile is clearly worse: the measure tells.
    beside = propagate(field.at(perfect), 2.0)
    assert shown.error(beside) > 0.05


def test_the_figure_can_be_drawn(figure: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "figure.png"
    figure.draw(figure.odd_cell(3, size_px=448, count=7), path)
    assert path.stat().st_size > 20_000

"""Direct integration: right on a known hill, and stable over thresholds on measured objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.restoration import unwrap_phase

from microscoped.models.cells import (
    BaselineSettings,
    MapError,
    SettingsError,
    integrate,
    seeded_growing,
    spread,
    threshold_ladder,
    threshold_watershed,
)
from tests.models.cells.hills import Hill, draw

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

HL60_PIXEL_UM, HL60_WAVELENGTH_NM = 0.139, 647.0


def test_a_hill_of_known_integral() -> None:
    hill = Hill(20, 25, 100, 5, 4)
    image = draw((hill,), (100, 120), 0.5)
    (found,) = integrate(image, [5.0])
    assert found.dry_mass_pg(0.5) == pytest.approx(hill.dry_mass_pg, rel=0.01)
    assert found.area_um2(0.5) == pytest.approx(hill.area_um2, rel=0.01)
    assert found.maximum == pytest.approx(100, rel=0.01)
    assert not found.border


def test_the_background_s_level_is_taken_off() -> None:
    image = draw((Hill(20, 25, 100, 5, 4),), (100, 120), 0.5)
    (one,), (other,) = integrate(image, [20.0]), integrate(image + 30, [50.0])
    assert other.volume == pytest.approx(one.volume, rel=0.01)
    assert other.maximum == pytest.approx(one.maximum, rel=0.01)
    assert integrate(image, [20.0], level=0.0)[0].volume == pytest.approx(image[image > 20].sum())


def test_only_the_object_at_the_place_is_integrated() -> None:
    image = draw((Hill(20, 15, 100, 4, 4), Hill(20, 45, 60, 4, 4)), (80, 120), 0.5)
    (greatest,), (other,) = integrate(image, [10.0]), integrate(image, [10.0], (40, 90))
    assert (round(greatest.maximum), round(other.maximum)) == (100, 60)
    assert integrate(image[:, 90:], [10.0])[0].border


def test_holes_are_filled() -> None:
    image = np.zeros((20, 20))
    image[4:16, 4:16], image[9, 9] = 10, 0
    assert integrate(image, [5.0], (5, 5))[0].area_px2 == 144


def test_thresholds_lie_evenly_round_a_fraction_of_the_height() -> None:
    image = np.zeros((50, 50))
    image[10:40, 10:40] = 8.0
    ladder = threshold_ladder(image + 2, 0.5, 0.1, 2)
    assert ladder == pytest.approx([4.4, 5.2, 6.0, 6.8, 7.6], abs=0.05)


@pytest.mark.parametrize(("fraction", "step", "steps"), [(0.1, 0.05, 3), (0.9, 0.05, 3), (0.5, 0.0, 3), (0.5, 0.1, -1)])
def test_thresholds_beyond_the_object_are_refused(fraction: float, step: float, steps: int) -> None:
    with pytest.raises(SettingsError, match="fraction"):
        threshold_ladder(np.eye(9), fraction, step, steps)


@pytest.mark.parametrize(
    ("image", "threshold", "said"),
    [
        (np.zeros((9, 9)), 0.5, "not above the threshold"),
        (np.zeros(9), 0.5, "rows, columns"),
        (np.full((9, 9), math.inf), 0.5, "finite"),
    ],
)
def test_what_cannot_be_integrated_is_refused(image: NDArray[np.floating], threshold: float, said: str) -> None:
    with pytest.raises(MapError, match=said):
        integrate(image, [threshold])


def measured(name: str, folder: Path) -> NDArray[np.float64]:
    """An HL60 cell in nm; a bead's phase in rad, whose scale nobody wrote down."""
    if name == "bead":
        return np.load(folder / "qpi-beads" / "phase_beads_close.npz")["phase"].astype(np.float64)
    field = np.load(folder / "hl60-field" / "HL60_field.npz")["field"]
    phase = unwrap_phase(np.angle(field))  # type: ignore[no-untyped-call] # has no types
    return np.asarray(phase * HL60_WAVELENGTH_NM / (2 * np.pi), np.float64)


@pytest.mark.data
@pytest.mark.parametrize("fraction", [0.2, 0.3])
@pytest.mark.parametrize("name", ["cell", "bead"])
def test_measured_objects_have_one_mass_area_and_height_over_seven_thresholds(
    name: str, fraction: float, data_dir: Path
) -> None:
    image = measured(name, data_dir)
    found = integrate(image, threshold_ladder(image, fraction))
    assert not any(one.border for one in found)
    assert [one.area_px2 for one in found] == sorted((one.area_px2 for one in found), reverse=True)
    varies = spread(found)
    assert varies.volume < 0.05
    assert 0 < varies.area < 0.10
    assert varies.maximum < 0.05


@pytest.mark.data
@pytest.mark.parametrize("way", [seeded_growing, threshold_watershed])
def test_a_measured_cell_has_the_same_table_by_the_classical_ways(way: object, data_dir: Path) -> None:
    image = measured("cell", data_dir)
    ladder = threshold_ladder(image)
    settings = BaselineSettings(
        threshold_nm=ladder[3], smoothing_um=HL60_PIXEL_UM, diameter_um=8.0, apart_um=6.0, least_area_um2=10.0
    )
    table = way(image, HL60_PIXEL_UM, settings)  # type: ignore[operator]
    assert len(table) == 1
    for one in integrate(image, ladder, level=0.0):
        assert table.dry_mass_pg[0] == pytest.approx(one.dry_mass_pg(HL60_PIXEL_UM), rel=0.05)
        assert table.area_um2[0] == pytest.approx(one.area_um2(HL60_PIXEL_UM), rel=0.10)
        assert table.max_opd_nm[0] == pytest.approx(one.maximum, rel=0.05)

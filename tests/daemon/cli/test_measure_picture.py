"""The parts of the picture that ``microscoped measure hologram --save`` draws, and where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.daemon.cli._measure_images import folder_names
from microscoped.daemon.cli._measure_picture import VIRIDIS, Mark, Panel, colour, draw, limits_of, round_length

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.tif"], ["a"]),
        (["x/a.tif", "y/a.tif", "a.png"], ["a", "a-2", "a-3"]),
        (["a.tif", "A.tif", "a-2.tif"], ["a", "A-2", "a-2-2"]),
    ],
)
def test_every_image_has_a_folder_of_its_own(paths: list[str], names: list[str]) -> None:
    assert folder_names([Path(path) for path in paths]) == names


@pytest.mark.parametrize(
    ("most", "length"), [(10.0, 10.0), (9.99, 5.0), (16.4, 10.0), (0.3, 0.2), (45.0, 20.0), (260.0, 200.0)]
)
def test_a_scale_bar_is_round(most: float, length: float) -> None:
    assert round_length(most) == pytest.approx(length)


def test_colours_stand_for_values_and_nothing_is_grey() -> None:
    values = np.array([[-5.0, 0.0, 0.5, 1.0, 5.0, np.nan]], np.float32)
    painted = colour(values, (0.0, 1.0), VIRIDIS)[0]
    assert painted[0].tolist() == painted[1].tolist() == [0x44, 0x01, 0x54]
    assert painted[2].tolist() == [0x21, 0x91, 0x8C]
    assert painted[3].tolist() == painted[4].tolist() == [0xFD, 0xE7, 0x25]
    assert len(set(painted[5].tolist())) == 1
    assert limits_of(values[:, :1], 1.0) == (-5.5, -4.5)
    assert limits_of(np.full((2, 2), np.nan, np.float32), 1.0) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(40, 40), (30, 90), (90, 30)])
@pytest.mark.parametrize("count", [1, 4])
def test_a_picture_keeps_proportions_and_shows_marks(shape: tuple[int, int], count: int) -> None:
    values = np.zeros(shape, np.float32)
    mark = Mark(shape[0] / 2, shape[1] / 2, (6.0, 6.0), "1")
    panels = [Panel("of zeros", values, (0.0, 1.0), marks=(mark,), scale_bar=True)] * count
    picture = np.asarray(draw(panels, (0.5, 0.5), "um", "title", "words"))
    background = (picture == np.array([0x44, 0x01, 0x54])).all(axis=2)
    left = int(np.flatnonzero(background.any(axis=0))[0])
    high = first_run(background[:, left + 3])
    wide = first_run(background[high[0] + 3])
    assert max(len(high), len(wide)) == 520
    assert len(wide) / len(high) == pytest.approx(shape[1] / shape[0], rel=0.02)
    ring = picture[high[0] : high[-1], left : left + len(wide)]
    assert (ring == 255).all(axis=2).any()


def first_run(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the first places in a row that are marked."""
    places = np.flatnonzero(marked)
    return places[: int(np.argmax(np.diff(places, append=10**6) > 1)) + 1]

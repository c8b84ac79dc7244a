"""Tiles: every pixel from one tile, every cell once, the frame as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, spatial

from microscoped.models.cells import CellTable, Quantity, disc_maps, read_table
from microscoped.models.maps import TilesError, TileSettings, padded_shape, plan_tiles, run_tiled
from tests.models.cells.hills import random_places

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PIXEL_UM = 1.67
SETTINGS = TileSettings(side_px=96, halo_px=16, multiple=8)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    multiple=st.sampled_from([1, 4, 8]),
    halo=st.integers(0, 3),
    core=st.integers(2, 8),
)
def test_cores_cover_each_pixel_once_and_lie_a_halo_inside(
    shape: tuple[int, int], multiple: int, halo: int, core: int
) -> None:
    cut = TileSettings(side_px=multiple * (2 * halo + core), halo_px=multiple * halo, multiple=multiple)
    padded = padded_shape(shape, cut)
    count = np.zeros(padded, int)
    tiles = plan_tiles(shape, cut)
    for tile in tiles:
        count[tile.core] += 1
        for window, inner, side in zip(tile.window, tile.core, padded, strict=True):
            assert window.start % multiple == 0
            assert 0 <= window.start <= inner.start < inner.stop <= window.stop <= side
            assert inner.start - window.start >= cut.halo_px or window.start == 0
            assert window.stop - inner.stop >= cut.halo_px or window.stop == side
    assert (count == 1).all()
    assert len({tuple(span.stop - span.start for span in tile.window) for tile in tiles}) == 1
    assert all(0 <= large - small < multiple for large, small in zip(padded, shape, strict=True))


def convolved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network in little: looks 15 pixels far, and sees zeros beyond its input."""
    kernel = np.random.default_rng(3).standard_normal((31, 31)).astype(np.float32)
    seen = ndimage.convolve(image, kernel, mode="constant")
    return np.stack([seen, np.maximum(seen, 0)])


@pytest.mark.parametrize("shape", [(96, 96), (96, 104), (200, 328), (128, 96), (40, 400)])
def test_tiles_make_what_the_whole_frame_makes(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(run_tiled(frame, convolved, SETTINGS), convolved(frame), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (95, 97), (201, 333)])
def test_any_frame_size(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(run_tiled(frame, lambda tile: tile[None] * 2, SETTINGS), frame[None] * 2)


def test_maps_may_be_coarser_than_the_frame() -> None:
    frame = np.random.default_rng(0).standard_normal((201, 330)).astype(np.float32)
    coarse = TileSettings(side_px=96, halo_px=16, multiple=8, stride=2)
    found = run_tiled(frame, lambda tile: tile[None, ::2, ::2], coarse)
    np.testing.assert_array_equal(found[0], frame[::2, ::2])


def test_no_cell_is_counted_twice_or_lost_across_tiles() -> None:
    """Tiles that see a cell differently, as a network at its input's border does, with many cells on the seams."""
    shape = (260, 330)
    seams = [tile.core[axis].start for axis in (0, 1) for tile in plan_tiles(shape, SETTINGS)]
    on_seams = [
        (seam + shift, 12.0 + 13 * k)
        for seam in sorted(set(seams[:12]))
        if seam
        for k, shift in enumerate(np.linspace(-3, 3, 24))
    ]
    places = np.array([*on_seams, *random_places((20, 330), 12, 9.0)])
    places = places[(places < np.array(shape) - 1).all(axis=1)]
    assert len(on_seams) > 40
    masses = np.random.default_rng(0).uniform(150, 250, (len(places), 1))
    drawn = disc_maps(places, masses, shape, PIXEL_UM)[0]
    rng = np.random.default_rng(5)

    def unlike(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        shifted = ndimage.shift(tile, rng.uniform(-0.4, 0.4, 2), order=1)
        return (shifted * np.float32(rng.uniform(0.95, 1.05)))[None]

    whole = run_tiled(drawn, unlike, SETTINGS)[0]
    found = read_table({Quantity.DRY_MASS: whole}, PIXEL_UM)
    truth = CellTable.of_columns(places, {"dry_mass_pg": masses[:, 0]}, shape, PIXEL_UM)
    assert len(found) == len(truth)
    np.testing.assert_allclose(np.sort(found.dry_mass_pg), np.sort(truth.dry_mass_pg), rtol=0.2)


def test_the_last_tile_is_moved_inwards_instead_of_being_padded() -> None:
    tiles = plan_tiles((96, 104), SETTINGS)
    assert [tile.window[1] for tile in tiles] == [slice(0, 96), slice(8, 104)]


@pytest.mark.parametrize(
    ("network", "said"),
    [(lambda tile: tile, r"maps of shape \(96, 96\)"), (lambda tile: tile[None, 1:], r"\(1, 95, 96\)")],
)
def test_maps_of_another_shape_are_refused(network: object, said: str) -> None:
    with pytest.raises(TilesError, match=said):
        run_tiled(np.zeros((100, 100), np.float32), network, SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 3)])
def test_frames_without_two_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TilesError):
        run_tiled(np.zeros(shape, np.float32), lambda tile: tile[None], SETTINGS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"side_px": 100}, "side_px 100"),
        ({"halo_px": 12}, "halo_px 12"),
        ({"side_px": 64, "halo_px": 32}, "nothing is left"),
        ({"halo_px": -8}, "halo_px -8"),
        ({"stride": 3}, "stride, 3"),
        ({"multiple": 0}, "multiple 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values: dict[str, int], said: str) -> None:
    with pytest.raises(TilesError, match=said):
        TileSettings(**values)


def test_one_and_two_threads_find_the_same_cells(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    # Blurs by many small random convolutions that add up to a Gaussian: sums of many terms, in any order.
    gauss = ndimage.gaussian_filter(np.pad([[1.0]], 3), 0.7)
    first = rng.standard_normal((48, 1, 1, 1)).astype(np.float32)
    second = first[None, :, 0] * gauss[None, None].astype(np.float32) / float((first**2).sum())
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "a"], ["m"]),
            helper.make_node("Conv", ["m", "b"], ["y"], pads=[3, 3, 3, 3]),
        ],
        "blur",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, "h", "w"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 1, "h", "w"])],
        [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")],
    )
    path = tmp_path / "blur.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    places = random_places((250, 300), 90, 9.0)
    drawn = disc_maps(places, rng.uniform(120, 280, (90, 1)), (250, 300), PIXEL_UM)[0]
    tables = []
    for threads in (1, 2):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        maps = run_tiled(drawn, lambda tile, run=session.run: run(None, {"x": tile[None, None]})[0][0], SETTINGS)
        tables.append(read_table({Quantity.DRY_MASS: maps[0]}, PIXEL_UM))
    one, two = tables
    assert len(one) == len(two) == 90
    same = spatial.cKDTree(two.places_um).query(one.places_um)[1]
    np.testing.assert_allclose(one.places_um, two.places_um[same], atol=1e-3)
    np.testing.assert_allclose(one.dry_mass_pg, two.dry_mass_pg[same], rtol=1e-5)

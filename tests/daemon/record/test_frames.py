"""The store of frames: what is written is read again, here and by a reader that knows nothing of us."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from yaozarrs import v05

from microscoped.daemon.record.errors import (
    FrameDamagedError,
    FrameMissingError,
    LayoutError,
    StoreReadError,
    StoreWriteError,
)
from microscoped.daemon.record.frames import FrameShape, FrameStore, FrameTable, Layout, StoredFrames, checksum
from microscoped.daemon.record.frames.layout import group_document
from tests.daemon.record.recording_world import BIT_DEPTH, frame_of, pixels_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.daemon.record.frames import Compression

    Frames = dict[tuple[int, int, int], NDArray[Any]]

PLANES = (-1.5, -1.0, -0.5, 0.0)


def written(path: Path, layout: Layout, frames: Frames, compression: Compression = "zstd") -> FrameStore:
    shape = FrameShape.of(next(iter(frames.values())), BIT_DEPTH)
    store = FrameStore(path, layout, shape, 7.25, compression)
    for writing in [store.write(at, pixels) for at, pixels in frames.items()]:
        writing.result(20)
    store.include(1 + max(t for t, _, _ in frames))
    return store


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((48, 64), "uint16"), ((33, 17), "uint8"), ((16, 16), "uint32"), ((20, 30, 3), "uint8")]
)
def test_what_is_written_is_read(tmp_path: Path, shape: tuple[int, ...], dtype: str, compression: Compression) -> None:
    frames = {(t, 0, 0): pixels_of(t, shape, dtype) for t in range(4)}
    written(tmp_path / "a.ome.zarr", Layout(), frames, compression=compression)
    stored = StoredFrames(tmp_path / "a.ome.zarr")
    assert stored.times == 4
    assert stored.compression == compression
    for at, pixels in frames.items():
        found = stored.read(at, checksum(pixels))
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize(
    "layout",
    [
        Layout(),
        Layout(0.325, PLANES, ("BF", "GFP"), 2.0),
        Layout(0.1, (3.0, 3.5)),
        Layout(pixel_size_um=1.67, interval_s=0.02),
    ],
)
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_layout_and_metadata_come_back_and_are_valid_by_the_standard(
    tmp_path: Path, layout: Layout, shape: tuple[int, ...]
) -> None:
    written(tmp_path / "a.ome.zarr", layout, {(0, 0, 0): pixels_of(0, shape, "uint16")})
    stored = StoredFrames(tmp_path / "a.ome.zarr")
    named = tuple(name or ("" if len(shape) == 3 else f"channel {n}") for n, name in enumerate(layout.channels))
    assert stored.layout.channels == named
    assert stored.layout.planes_um == pytest.approx(layout.planes_um)
    assert (stored.layout.pixel_size_um, stored.layout.interval_s) == (layout.pixel_size_um, layout.interval_s)
    assert stored.shape == FrameShape.of(pixels_of(0, shape, "uint16"), BIT_DEPTH)
    assert stored.z_um == (layout.planes_um[0] if layout.planes_um else 7.25)
    v05.Image.model_validate(group_document(layout, stored.shape, stored.z_um)["attributes"]["ome"])


def test_an_independent_reader_finds_axes_sizes_z_and_pixels(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    frames = {(t, c, z): pixels_of(100 * t + 10 * c + z) for t in range(2) for c in range(2) for z in range(4)}
    written(tmp_path / "a.ome.zarr", Layout(0.325, PLANES, ("BF", "GFP"), 2.0), frames)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    (scales,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == ["t", "c", "z", "y", "x"]
    assert [axis.get("unit") for axis in scales["axes"]] == ["second", None, *3 * ["micrometer"]]
    scale, translation = scales["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [2.0, 1.0, 0.5, 0.325, 0.325]
    assert translation["translation"] == [0, 0, -1.5, 0, 0]
    array = group[scales["datasets"][0]["path"]]
    assert array.shape == (2, 2, 4, 48, 64)
    assert array.metadata.dimension_names == ("t", "c", "z", "y", "x")
    for at, pixels in frames.items():
        np.testing.assert_array_equal(array[at], pixels)


def test_a_reader_meets_only_frames_that_are_counted(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "a.ome.zarr", Layout(), FrameShape.of(pixels_of(0)), 0.0)
    assert StoredFrames(store.path).times == 0
    store.write((0, 0, 0), pixels_of(0)).result(20)
    with pytest.raises(FrameMissingError, match="counts 0 times"):
        StoredFrames(store.path).read((0, 0, 0))
    store.include(1)
    store.include(1)
    assert StoredFrames(store.path).times == 1
    np.testing.assert_array_equal(StoredFrames(store.path).read((0, 0, 0)), pixels_of(0))


def test_the_table_of_frames_stands_in_the_store(tmp_path: Path) -> None:
    store = written(tmp_path / "a.ome.zarr", Layout(), {(0, 0, 0): pixels_of(0)})
    table = FrameTable()
    for number in range(1500):
        table.add((number, 0, 0), f"{number:08x}", 3 * number, frame_of(number, pixels_of(0), z_um=0.5 * number))
    table.skip('the "disk" was slow', 9, frame_of(9, pixels_of(0)))
    store.finish(table)
    own = StoredFrames(store.path).own
    assert own["frames"]["t"] == list(range(1500))
    assert own["frames"]["frame"][1499] == "frame-1499"
    assert own["frames"]["z_um"][3] == 1.5
    assert {len(column) for column in own["frames"].values()} == {1500}
    assert own["skipped"] == {"frame": ["frame-9"], "number": [9], "z_um": [2.5], "reason": ['the "disk" was slow']}


def test_a_changed_chunk_is_found_by_its_checksum(tmp_path: Path) -> None:
    store = written(tmp_path / "a.ome.zarr", Layout(), {(0, 0, 0): pixels_of(0)}, compression="none")
    (chunk,) = (path for path in (store.path / "0" / "c").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[1000] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(FrameDamagedError, match=f"but {checksum(pixels_of(0))} was recorded"):
        StoredFrames(store.path).read((0, 0, 0), checksum(pixels_of(0)))
    chunk.write_bytes(content[:-5])
    with pytest.raises(FrameDamagedError, match="cannot be read"):
        StoredFrames(store.path).read((0, 0, 0), checksum(pixels_of(0)))
    chunk.unlink()
    with pytest.raises(FrameDamagedError, match="was recorded"):
        StoredFrames(store.path).read((0, 0, 0), checksum(pixels_of(0)))


@pytest.mark.parametrize(
    ("at", "pixels", "told"),
    [
        ((0, 0, 0), pixels_of(0, (8, 8)), "8 × 8 px, uint16 does not go into a store of 64 × 48 px, uint16"),
        ((0, 0, 0), pixels_of(0, dtype="uint8"), "uint8 does not go into"),
        ((0, 0, 0), pixels_of(0, (48, 64, 3)), "in colour"),
        ((0, 0, 0), pixels_of(0).astype(float), "unsigned integers|uint8"),
        ((0, 0, 0), pixels_of(0, (0, 64)), "are no frame"),
        ((-1, 0, 0), pixels_of(0), "no place t -1"),
        ((0, 1, 0), pixels_of(0), "c 1"),
        ((0, 0, 4), pixels_of(0), "z 4 in a store of 1 channels and 4 planes"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, at: tuple[int, int, int], pixels: NDArray[Any], told: str
) -> None:
    store = FrameStore(tmp_path / "a.ome.zarr", Layout(planes_um=PLANES), FrameShape.of(pixels_of(0)), 0.0)
    with pytest.raises(LayoutError, match=told):
        store.write(at, pixels)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"pixel_size_um": 0.0}, "pixel_size_um 0.0 must be a positive number"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um nan"),
        ({"interval_s": -1.0}, "interval_s -1.0"),
        ({"planes_um": (0.0, 1.0, 3.0)}, "even steps"),
        ({"planes_um": (1.0, 0.0)}, "ascend"),
        ({"channels": ()}, "channels is empty"),
    ],
)
def test_a_layout_that_the_format_cannot_say_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(LayoutError, match=told):
        Layout(**wrong)


def test_no_store_is_written_over_another(tmp_path: Path) -> None:
    written(tmp_path / "a.ome.zarr", Layout(), {(0, 0, 0): pixels_of(0)})
    with pytest.raises(StoreWriteError, match="File exists"):
        FrameStore(tmp_path / "a.ome.zarr", Layout(), FrameShape.of(pixels_of(0)), 0.0)


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreReadError, match="no store of frames here"):
        StoredFrames(tmp_path)
    (tmp_path / "0").mkdir()
    for path in (tmp_path / "zarr.json", tmp_path / "0" / "zarr.json"):
        path.write_text(json.dumps({"attributes": {}}))
    with pytest.raises(StoreReadError, match="no store of frames of ours: KeyError"):
        StoredFrames(tmp_path)

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from microscoped.simulators.recorded import (
    BrokenFileError,
    PlanesError,
    PositionsError,
    RecordingError,
    UnknownFormatError,
    ZFile,
    ZInName,
    ZList,
    ZStep,
    read_stack,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(5)
GREY8 = RNG.integers(0, 256, (4, 6, 9), dtype=np.uint8)
GREY16 = RNG.integers(0, 4096, (4, 6, 9), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (4, 6, 9, 3), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (4, 6, 9, 3), dtype=np.uint16)
PIXELS = {"grey8": GREY8, "grey16": GREY16, "rgb8": RGB8, "rgb16": RGB16}


def write_ics(
    path: Path,
    planes: NDArray[Any],
    *,
    compression: str = "gzip",
    version: str = "2.0",
    byte_order: str = "1 2",
    extra: tuple[str, ...] = (),
    cut: int = 0,
    order: str = "bits x y z",
) -> None:
    """Write planes (n, h, w), or one plane (h, w) with order 'bits x y'."""
    bits = planes.dtype.itemsize * 8
    lines = [
        f"ics_version\t{version}",
        f"filename\t{path.stem}",
        f"layout\tparameters\t{planes.ndim + 1}",
        "layout\torder\t" + order.replace(" ", "\t"),
        "layout\tsizes\t" + "\t".join(str(n) for n in (bits, *planes.shape[::-1])),
        "representation\tformat\tinteger",
        "representation\tsign\tunsigned",
        f"representation\tcompression\t{compression}",
        "representation\tbyte_order\t" + byte_order.replace(" ", "\t"),
        *extra,
    ]
    header = ("\t\n" + "\n".join(lines) + "\nend\n").encode()
    stored = planes.astype(planes.dtype.newbyteorder(">" if byte_order == "2 1" else "<")).tobytes()
    body = gzip.compress(stored) if compression == "gzip" else stored
    body = body[: len(body) - cut]
    if version.startswith("1"):
        path.write_bytes(header)
        path.with_suffix(".ids").write_bytes(body)
    else:
        path.write_bytes(header + body)


Z_SCALE = (
    "parameter\torigin\t0\t0\t0\t10",
    "parameter\tscale\t1\t0.2\t0.2\t500",
    "parameter\tunits\trelative\tum\tum\tnm",
)


def write_ome(path: Path, planes: NDArray[Any], **metadata: object) -> None:
    tifffile.imwrite(path, planes, ome=True, metadata=metadata)


@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_multi_page_tiff_comes_back_bit_for_bit(tmp_path: Path, kind: str, compression: str | None) -> None:
    planes = PIXELS[kind]
    photometric = "rgb" if planes.ndim == 4 else "minisblack"
    tifffile.imwrite(tmp_path / "s.tif", planes, compression=compression, photometric=photometric)

    stack = read_stack(tmp_path / "s.tif", ZStep(0.5, first_um=2.0))

    assert np.array_equal(stack.planes, planes)
    assert stack.planes.dtype == planes.dtype
    assert stack.z_um.tolist() == [2.0, 2.5, 3.0, 3.5]
    assert stack.bit_depth == planes.dtype.itemsize * 8


@pytest.mark.parametrize(
    ("metadata", "z_um"),
    [
        ({"axes": "ZYX", "PhysicalSizeZ": 0.3, "PhysicalSizeZUnit": "µm"}, [0.0, 0.3, 0.6, 0.9]),
        ({"axes": "ZYX", "PhysicalSizeZ": 250, "PhysicalSizeZUnit": "nm"}, [0.0, 0.25, 0.5, 0.75]),
        (
            {"axes": "ZYX", "Plane": {"PositionZ": [5.0, 5.5, 7.0, 9.0], "PositionZUnit": ["µm"] * 4}},
            [5.0, 5.5, 7.0, 9.0],
        ),
        (  # measured positions win over the nominal step
            {"axes": "ZYX", "PhysicalSizeZ": 1.0, "Plane": {"PositionZ": [1.0, 2.1, 3.0, 4.2]}},
            [1.0, 2.1, 3.0, 4.2],
        ),
        (  # one position for all is not the planes' own
            {"axes": "ZYX", "PhysicalSizeZ": 0.5, "Plane": {"PositionZ": [7.0] * 4}},
            [0.0, 0.5, 1.0, 1.5],
        ),
    ],
)
def test_z_of_ome_tiff_comes_from_its_metadata(tmp_path: Path, metadata: dict[str, object], z_um: list[float]) -> None:
    write_ome(tmp_path / "s.ome.tif", GREY16, **metadata)
    stack = read_stack(tmp_path / "s.ome.tif")
    assert stack.z_um == pytest.approx(z_um)
    assert np.array_equal(stack.planes, GREY16)


def test_ome_significant_bits_are_the_bit_depth(tmp_path: Path) -> None:
    write_ome(tmp_path / "s.ome.tif", GREY16, axes="ZYX", PhysicalSizeZ=1.0, SignificantBits=12)
    assert read_stack(tmp_path / "s.ome.tif").bit_depth == 12


def test_channel_of_ome_tiff_is_selected_with_its_own_positions(tmp_path: Path) -> None:
    both = np.stack([GREY8, GREY8[::-1]])
    z_um = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]
    write_ome(tmp_path / "s.ome.tif", both, axes="CZYX", Plane={"PositionZ": z_um})
    stack = read_stack(tmp_path / "s.ome.tif", select={"C": 1})
    assert np.array_equal(stack.planes, GREY8[::-1])
    assert stack.z_um.tolist() == [10.0, 11.0, 12.0, 13.0]


def test_z_step_of_imagej_tiff_comes_from_its_spacing(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "s.tif", GREY16, imagej=True, metadata={"axes": "ZYX", "spacing": 0.7, "unit": "micron"}
    )
    assert read_stack(tmp_path / "s.tif").z_um == pytest.approx([0.0, 0.7, 1.4, 2.1])


@pytest.mark.parametrize("one_file", [True, False])
def test_z_of_micromanager_tiff_comes_from_each_page(tmp_path: Path, one_file: bool) -> None:
    pages = [
        (plane, (51123, "s", 0, json.dumps({"ZPositionUm": z_um}), True))
        for plane, z_um in zip(GREY16, (12.5, 11.0, 9.5, 8.0), strict=True)
    ]
    for number, group in enumerate([pages] if one_file else [[page] for page in pages]):
        with tifffile.TiffWriter(tmp_path / f"s{number}.tif") as writer:
            for plane, tag in group:
                writer.write(plane, extratags=[tag], metadata=None)
    stack = read_stack(tmp_path / "s0.tif" if one_file else tmp_path)
    assert stack.z_um.tolist() == [8.0, 9.5, 11.0, 12.5]
    assert np.array_equal(stack.planes, GREY16[::-1])


def test_time_axis_is_taken_as_z_only_where_asked(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", GREY8, imagej=True, metadata={"axes": "TYX"})
    stack = read_stack(tmp_path / "s.tif", ZStep(1.0), plane_axis="T")
    assert np.array_equal(stack.planes, GREY8)


@pytest.mark.parametrize("kind", ["grey8", "grey16", "rgb8"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_folder_of_planes_is_ordered_by_the_numbers_in_the_names(tmp_path: Path, kind: str, suffix: str) -> None:
    planes = PIXELS[kind]
    for number, plane in zip((2, 9, 10, 100), planes, strict=True):
        path = tmp_path / f"z{number}{suffix}"
        if suffix == ".png":
            Image.fromarray(plane).save(path)
        else:
            tifffile.imwrite(path, plane)

    stack = read_stack(tmp_path, ZStep(1.0))
    assert np.array_equal(stack.planes, planes)
    assert stack.planes.dtype == planes.dtype

    named = read_stack(tmp_path, ZInName(r"z(\d+)", unit_um=0.1))
    assert named.z_um == pytest.approx([0.2, 0.9, 1.0, 10.0])


def png_planes(folder: Path, n: int = 4) -> None:
    for index in range(n):
        Image.fromarray(GREY8[index]).save(folder / f"p{index}.png")


@pytest.mark.parametrize(
    "text",
    [
        "3\n1\n2\n0\n",
        "# written by hand\nz_um\n3\n\n1\n2\n0",
        "file,z\np0.png,3\np1.png,1\np3.png,0\np2.png,2\nother.png,7\n",
        "p0.png\t3\np1.png\t1\np2.png\t2\np3.png\t0\n",
    ],
)
def test_sidecar_gives_z_and_planes_come_sorted(tmp_path: Path, text: str) -> None:
    png_planes(tmp_path)
    (tmp_path / "z.csv").write_text(text)
    stack = read_stack(tmp_path, ZFile("z.csv", unit_um=0.5))
    assert stack.z_um.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert np.array_equal(stack.planes, GREY8[[3, 1, 2, 0]])


def test_negative_step_is_a_stack_recorded_downwards(tmp_path: Path) -> None:
    _tiff(tmp_path)
    stack = read_stack(tmp_path / "s.tif", ZStep(-1.0))
    assert stack.z_um.tolist() == [-3.0, -2.0, -1.0, 0.0]
    assert np.array_equal(stack.planes, GREY8[::-1])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["gzip", "uncompressed"])
@pytest.mark.parametrize(("kind", "byte_order"), [("grey8", "1"), ("grey16", "1 2"), ("grey16", "2 1")])
def test_ics_comes_back_with_the_z_of_its_header(
    tmp_path: Path, version: str, compression: str, kind: str, byte_order: str
) -> None:
    planes = PIXELS[kind]
    path = tmp_path / "s.ics"
    write_ics(path, planes, version=version, compression=compression, byte_order=byte_order, extra=Z_SCALE)
    stack = read_stack(path)
    assert np.array_equal(stack.planes, planes)
    assert stack.planes.dtype == planes.dtype
    assert stack.z_um == pytest.approx([0.01, 0.51, 1.01, 1.51])


def test_single_plane_ics_files_with_z_in_the_name(tmp_path: Path) -> None:
    for z, plane in zip(("1341.95", "1352.25", "1362.00"), GREY8, strict=False):
        extra = ("layout\tsignificant_bits\t8",)
        write_ics(tmp_path / f"fine-Time1s-Z{z}.ics", plane, order="bits x y", extra=extra)
    write_ics(tmp_path / "other.ics", GREY8[3], order="bits x y")
    stack = read_stack(tmp_path, ZInName(r"Z([\d.]+)\.ics"), files="fine*.ics")
    assert stack.z_um.tolist() == [1341.95, 1352.25, 1362.0]
    assert np.array_equal(stack.planes, GREY8[:3])


def test_ics_version_two_may_name_another_file_for_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(b"12345" + GREY8.tobytes())
    extra = (*Z_SCALE, "source\tfile\traw.bin", "source\toffset\t5")
    write_ics(tmp_path / "s.ics", GREY8, compression="uncompressed", extra=extra)
    assert np.array_equal(read_stack(tmp_path / "s.ics").planes, GREY8)


def test_list_of_files_is_read_in_its_order(tmp_path: Path) -> None:
    png_planes(tmp_path)
    stack = read_stack([tmp_path / "p2.png", tmp_path / "p0.png"], ZList((1.0, 4.0)))
    assert np.array_equal(stack.planes, GREY8[[2, 0]])


def _tiff(path: Path, planes: NDArray[Any] = GREY8, **options: Any) -> Path:  # noqa: ANN401 - passed on
    tifffile.imwrite(path / "s.tif", planes, **{"photometric": "minisblack", **options})
    return path / "s.tif"


def _cut(path: Path, keep: float) -> Path:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])
    return path


def _ics(path: Path, **options: Any) -> Path:  # noqa: ANN401 - passed on
    write_ics(path / "s.ics", GREY8, **{"extra": Z_SCALE, **options})
    return path / "s.ics"


def _unequal_pages(path: Path) -> Path:
    with tifffile.TiffWriter(path / "s.tif") as writer:
        writer.write(GREY8[0])
        writer.write(GREY8[1, :4])
    return path / "s.tif"


def _unequal_files(path: Path) -> Path:
    png_planes(path)
    Image.fromarray(GREY8[3, :4]).save(path / "p3.png")
    return path


def _folder(path: Path, **sidecars: str) -> Path:
    png_planes(path)
    for name, text in sidecars.items():
        (path / f"{name}.csv").write_text(text)
    return path


def _saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _deep_rgb_png(path: Path) -> Path:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 + 12))) + chunk(b"IEND", b"")
    return _saved(path / "a.png", b"\x89PNG\r\n\x1a\n" + body)


def _cut_png(path: Path, keep: float) -> Path:
    png_planes(path, 1)
    return _cut(path / "p0.png", keep)


def _ids_gone(path: Path) -> Path:
    _ics(path, version="1.0")
    (path / "s.ids").unlink()
    return path / "s.ics"


STEP = {"z": ZStep(1.0)}

ERRORS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], type[RecordingError], str]] = {
    "no z known": (_tiff, {}, PositionsError, r"s\.tif: the z .* not known: say it with ZStep"),
    "no z in a folder": (_folder, {}, PositionsError, "not known"),
    "constant position only": (
        lambda p: (write_ome(p / "s.tif", GREY8, axes="ZYX", Plane={"PositionZ": [1.0] * 4}), p / "s.tif")[1],
        {},
        PositionsError,
        "not known",
    ),
    "z in pixels": (
        lambda p: _tiff(p, imagej=True, metadata={"axes": "ZYX", "spacing": 2.0, "unit": "pixel"}),
        {},
        PositionsError,
        "not known",
    ),
    "zero step": (_tiff, {"z": ZStep(0.0)}, PositionsError, "no two planes apart"),
    "endless step": (_tiff, {"z": ZStep(float("inf"))}, PositionsError, "no two planes apart"),
    "too few positions": (_tiff, {"z": ZList((1.0, 2.0))}, PositionsError, "4 planes but 2 positions"),
    "position not finite": (_tiff, {"z": ZList((1.0, 2.0, 3.0, float("nan")))}, PositionsError, "not a finite"),
    "same position twice": (_tiff, {"z": ZList((1.0, 2.0, 3.0, 2.0))}, PositionsError, "planes 1 and 3 .* 2 µm"),
    "same position of files": (_folder, {"z": ZList((1, 2, 3, 2))}, PositionsError, r"p1\.png and p3\.png .* 2 µm"),
    "sidecar absent": (_folder, {"z": ZFile("z.csv")}, PositionsError, r"z\.csv: .* cannot be read"),
    "sidecar too short": (
        lambda p: _folder(p, z="1\n2\n"),
        {"z": ZFile("z.csv")},
        PositionsError,
        r"z\.csv: holds 2 positions for 4 planes",
    ),
    "sidecar forgets a file": (
        lambda p: _folder(p, z="p0.png,1\np1.png,2\np2.png,3\n"),
        {"z": ZFile("z.csv")},
        PositionsError,
        r"no z for p3\.png; add a line",
    ),
    "sidecar with words": (
        lambda p: _folder(p, z="p0.png,1\np1.png,high\n"),
        {"z": ZFile("z.csv")},
        PositionsError,
        "neither a number nor",
    ),
    "name without number": (_folder, {"z": ZInName(r"z(\d+)")}, PositionsError, r"p0\.png: the pattern .* no number"),
    "pattern without group": (_folder, {"z": ZInName(r"p\d")}, PositionsError, "one group"),
    "pattern finds a word": (_folder, {"z": ZInName("(p)")}, PositionsError, "is not a number"),
    "pattern broken": (_folder, {"z": ZInName("(")}, PositionsError, "not a regular expression"),
    "pages of unequal size": (_unequal_pages, STEP, PlanesError, "2 images of their own .* save the wanted stack"),
    "files of unequal size": (
        _unequal_files,
        STEP,
        PlanesError,
        r"p3\.png: is \(4, 9\) uint8, but p0\.png is \(6, 9\)",
    ),
    "one page": (lambda p: _tiff(p, GREY8[0]), STEP, PlanesError, "one plane; a z-stack needs at least two"),
    "time series": (
        lambda p: _tiff(p, imagej=True, metadata={"axes": "TYX"}),
        STEP,
        PlanesError,
        "axis 'T' has 4 entries and is not z; .* plane_axis='T'",
    ),
    "two channels": (
        lambda p: _tiff(p, np.stack([GREY8] * 2, axis=1), imagej=True, metadata={"axes": "ZCYX"}),
        STEP,
        PlanesError,
        r"select=\{'C': 0\}",
    ),
    "unknown axis selected": (_tiff, {**STEP, "select": {"C": 0}}, PlanesError, "no axis 'C'"),
    "index out of range": (
        lambda p: _tiff(p, np.stack([GREY8] * 2, axis=1), imagej=True, metadata={"axes": "ZCYX"}),
        {**STEP, "select": {"C": 2}},
        PlanesError,
        "2 entries, so no index 2",
    ),
    "unknown plane axis": (_tiff, {**STEP, "plane_axis": "T"}, PlanesError, "no axis 'T'"),
    "floating point": (lambda p: _tiff(p, GREY8.astype(np.float32)), STEP, UnknownFormatError, "float32; save them"),
    "alpha channel": (
        lambda p: _tiff(p, np.zeros((2, 6, 9, 4), np.uint8), photometric="rgb", extrasamples=["unassalpha"]),
        STEP,
        UnknownFormatError,
        "4 samples per pixel",
    ),
    "bit depth too small": (_tiff, {**STEP, "bit_depth": 6}, PlanesError, "more than 6 bits"),
    "not a TIFF": (lambda p: _saved(p / "s.tif", b"hello, world"), STEP, UnknownFormatError, "cannot be read as TIFF"),
    "empty TIFF": (lambda p: _saved(p / "s.tif", b""), STEP, RecordingError, r"s\.tif"),
    "TIFF cut short": (lambda p: _cut(_tiff(p), 0.7), STEP, BrokenFileError, "fetch it again"),
    "deflated TIFF cut short": (
        lambda p: _cut(_tiff(p, GREY16, compression="zlib"), 0.6),
        STEP,
        BrokenFileError,
        "fetch",
    ),
    "unknown ending": (lambda p: _saved(p / "s.lif", b"?"), STEP, UnknownFormatError, r"\.lif is not read here; use"),
    "no such file": (lambda p: p / "absent.tif", STEP, RecordingError, r"absent\.tif: cannot be opened"),
    "empty folder": (lambda p: p, STEP, RecordingError, "holds no file"),
    "PNG in name only": (lambda p: _saved(p / "a.png", b"GIF89a" * 9), STEP, UnknownFormatError, "is not a PNG"),
    "PNG of deep colour": (_deep_rgb_png, STEP, UnknownFormatError, "16 bits and colour type 2"),
    "PNG cut short": (lambda p: _cut_png(p, 0.7), STEP, BrokenFileError, "fetch it again"),
    "PNG cut in its header": (lambda p: _cut_png(p, 0.15), STEP, BrokenFileError, "fetch it again"),
    "ICS in name only": (lambda p: _saved(p / "s.ics", b"\x89PNG" * 9), STEP, UnknownFormatError, "is not an ICS"),
    "ICS cut in its header": (lambda p: _cut(_ics(p), 0.3), STEP, BrokenFileError, "no 'end' line"),
    "ICS cut in gzip": (lambda p: _ics(p, cut=40), STEP, BrokenFileError, "but its header promises 216"),
    "ICS cut in pixels": (
        lambda p: _ics(p, compression="uncompressed", cut=1),
        STEP,
        BrokenFileError,
        "215 bytes .* promises 216",
    ),
    "ICS not gzip": (
        lambda p: _saved(p / "s.ics", _ics(p).read_bytes().replace(b"\nend\n", b"\nend\nnot gzip at all")),
        STEP,
        BrokenFileError,
        "gzip data are damaged",
    ),
    "ICS of unknown compression": (
        lambda p: _ics(p, compression="compress"),
        STEP,
        UnknownFormatError,
        "compression 'compress'",
    ),
    "ICS without pixels beside": (_ids_gone, STEP, BrokenFileError, r"s\.ids, which is not beside it"),
    "ICS of floating point": (
        lambda p: _ics(p, extra=("representation\tformat\treal",)),
        STEP,
        UnknownFormatError,
        "unsigned real of 8 bits",
    ),
    "ICS of no layout": (
        lambda p: _saved(p / "s.ics", b"\t\nics_version\t2.0\nend\n"),
        STEP,
        BrokenFileError,
        "does not say 'layout",
    ),
    "ICS layout in disorder": (
        lambda p: _ics(p, order="bits x y"),
        STEP,
        BrokenFileError,
        "do not fit each other",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_the_file_the_fault_and_the_remedy(tmp_path: Path, case: str) -> None:
    write, arguments, kind, message = ERRORS[case]
    source = write(tmp_path)
    with pytest.raises(kind, match=message) as caught:
        read_stack(source, **arguments)
    assert type(caught.value).__doc__
    assert caught.value.code == "invalid"


def test_multi_page_files_in_a_folder_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        _tiff(tmp_path).rename(tmp_path / f"{name}.tif")
    with pytest.raises(PlanesError, match=r"a\.tif: holds 4 planes; where there are several files"):
        read_stack(tmp_path, ZStep(1.0))


def test_empty_list_of_files_is_refused() -> None:
    with pytest.raises(RecordingError, match="empty list"):
        read_stack([], ZStep(1.0))


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_cut_anywhere_is_never_read_as_a_shorter_stack(
    tmp_path: Path, keep: float, compression: str | None
) -> None:
    path = tmp_path / "s.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in RNG.integers(0, 256, (6, 40, 40), dtype=np.uint8):
            writer.write(plane, compression=compression, contiguous=False, metadata=None)
    _cut(path, keep)
    with pytest.raises(RecordingError):
        read_stack(path, ZStep(1.0))

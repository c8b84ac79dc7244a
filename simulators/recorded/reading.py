"""Read a z-stack from a file, a folder of planes, or a list of files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from microscoped.simulators.recorded.axes import Choice, FileContent
from microscoped.simulators.recorded.errors import PlanesError, PositionsError, RecordingError, UnknownFormatError
from microscoped.simulators.recorded.ics import read_ics
from microscoped.simulators.recorded.png import read_png
from microscoped.simulators.recorded.positions import REMEDY, ZSource, positions
from microscoped.simulators.recorded.stack import RecordedStack
from microscoped.simulators.recorded.tiff import read_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PathLike: TypeAlias = str | Path

READERS: Mapping[str, Callable[[Path, Choice], FileContent]] = {
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".png": read_png,
    ".ics": read_ics,
}


def read_stack(
    source: PathLike | Sequence[PathLike],
    z: ZSource | None = None,
    *,
    files: str = "*",
    select: Mapping[str, int] | None = None,
    plane_axis: str | None = None,
    bit_depth: int | None = None,
) -> RecordedStack:
    """Read a measured z-stack: TIFF (also of OME, ImageJ and Micro-Manager), PNG, ICS; monochrome or RGB; 8 or 16 bits.

    Parameters
    ----------
    source
        A file that holds all planes; a folder with one plane per file; or the files, one plane each.
    z
        Where the z of the planes is declared; without it, the file's metadata must say it.
    files
        Of a folder, the files to take, e.g. ``"run1_*.tif"``. They are ordered by name, numbers by value.
    select
        Index to keep along an axis that does not belong to the stack, e.g. ``{"C": 0}`` for the first channel.
    plane_axis
        The axis to be taken as z, where the file calls it otherwise.
    bit_depth
        Significant bits of a pixel, where the file does not say; by default all of the pixel's bits.

    Returns
    -------
    RecordedStack
        Its planes sorted by rising z.

    Raises
    ------
    UnknownFormatError
        A format, pixel type or compression that is not read here.
    BrokenFileError
        A file is cut short or damaged.
    PlanesError
        Planes of unequal size or type, fewer than two, or axes that do not form a z-stack.
    PositionsError
        z is not known, not one per plane, or not distinct.
    RecordingError
        There is no such file or folder.
    """
    name, paths = _paths(source, files)
    choice = Choice(select or {}, plane_axis)
    contents = [_read(path, choice) for path in paths]
    if len(contents) > 1:
        _check_alike(paths, contents)
    planes = np.concatenate([content.planes for content in contents]) if len(contents) > 1 else contents[0].planes
    if len(planes) < 2:
        raise PlanesError(f"{name}: holds one plane; a z-stack needs at least two: name a folder or a list of files")
    z_um = np.array(_positions(name, z, paths, contents, len(planes)), dtype=np.float64)
    order = np.argsort(z_um, kind="stable")
    z_um = z_um[order]
    same = np.flatnonzero(np.diff(z_um) == 0)
    if same.size:
        first, second = sorted((int(order[same[0]]), int(order[same[0] + 1])))
        which = f"{paths[first].name} and {paths[second].name}" if len(paths) > 1 else f"planes {first} and {second}"
        raise PositionsError(f"{name}: {which} both have z = {z_um[same[0]]:g} µm; give each plane its own z")
    if (np.diff(order) != 1).any():
        planes = planes[order]
    depth = bit_depth or contents[0].bit_depth or planes.dtype.itemsize * 8
    top = int(planes.max())
    if top >= 2**depth:
        raise PlanesError(f"{name}: has pixels of {top}, more than {depth} bits hold; correct bit_depth")
    return RecordedStack(planes, z_um, depth, name)


def _paths(source: PathLike | Sequence[PathLike], pattern: str) -> tuple[str, list[Path]]:
    """Return the name of the source and its image files in order."""
    if not isinstance(source, (str, Path)):
        paths = [Path(item) for item in source]
        if not paths:
            raise RecordingError("an empty list of files was given; name at least two planes")
        return f"{paths[0]} …", paths
    path = Path(source)
    if not path.is_dir():
        return str(path), [path]
    found = [item for item in path.glob(pattern) if item.is_file() and item.suffix.lower() in READERS]
    if not found:
        raise RecordingError(f"{path}: holds no file {pattern!r} that ends in {', '.join(READERS)}; mend the path")
    return str(path), sorted(found, key=lambda item: _natural(item.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Order z2 before z10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _read(path: Path, choice: Choice) -> FileContent:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnknownFormatError(f"{path}: {path.suffix or 'no ending'} is not read here; use {', '.join(READERS)}")
    try:
        with path.open("rb"):
            pass
        return reader(path, choice)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened ({error.strerror or error}); mend the path") from error


def _check_alike(paths: Sequence[Path], contents: Sequence[FileContent]) -> None:
    first = contents[0].planes
    for path, content in zip(paths, contents, strict=True):
        planes = content.planes
        if len(planes) != 1:
            raise PlanesError(f"{path}: holds {len(planes)} planes; where there are several files, each must hold one")
        if planes.shape != first.shape or planes.dtype != first.dtype:
            raise PlanesError(
                f"{path}: is {planes.shape[1:]} {planes.dtype}, but {paths[0].name} is {first.shape[1:]} "
                f"{first.dtype}; planes of one stack must be alike: leave it out with files='…', or crop it"
            )


def _positions(
    name: str, z: ZSource | None, paths: Sequence[Path], contents: Sequence[FileContent], n_planes: int
) -> tuple[float, ...]:
    if z is not None:
        return positions(name, z, paths, n_planes)
    found = [value for content in contents for value in content.z_um or ()]
    if len(found) != n_planes:
        raise PositionsError(f"{name}: the z of its planes is not known: {REMEDY}")
    return tuple(found)


__all__ = ["PathLike", "read_stack"]

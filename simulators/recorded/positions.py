"""Where the z of each plane is declared, when the files themselves do not say it."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from microscoped.simulators.recorded.errors import PositionsError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ZStep:
    """Planes lie ``step_um`` apart, in the order of the file or of the file names; the first at ``first_um``.

    A negative step says that the stack was recorded downwards.
    """

    step_um: float
    first_um: float = 0.0


@dataclass(frozen=True, slots=True)
class ZList:
    """The z of each plane, in the order of the file or of the file names."""

    z_um: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ZFile:
    """A text or CSV file beside the images.

    Either one number per line in the order of the planes, or lines of *file name, number*; further columns, blank
    lines, lines that begin with # and one line of column titles are passed over.

    Parameters
    ----------
    path
        The file; a relative path is looked for beside the images.
    unit_um
        So many micrometres is a 1 in the file: the step, where the file numbers the planes.
    """

    path: str | Path
    unit_um: float = 1.0


@dataclass(frozen=True, slots=True)
class ZInName:
    r"""The z stands in each file's name.

    Parameters
    ----------
    pattern
        Regular expression whose first group is the number, e.g. ``r"Z([-+]?[0-9.]+)\.ics"``.
    unit_um
        So many micrometres is a 1 in the name: the step, where the names number the planes.
    """

    pattern: str
    unit_um: float = 1.0


ZSource: TypeAlias = ZStep | ZList | ZFile | ZInName

REMEDY = (
    "say it with ZStep(step_um), ZList((…)), ZFile('z.csv') or ZInName(r'z(\\d+)', unit_um=…), "
    "or write PositionZ or PhysicalSizeZ into the OME-TIFF"
)


def positions(name: str, source: ZSource, files: Sequence[Path], n_planes: int) -> tuple[float, ...]:
    """Return the z of each plane in micrometres.

    Parameters
    ----------
    name
        The stack's name, for messages.
    source
        Where z is declared.
    files
        The image files in order: one for the whole stack, or one per plane.
    n_planes
        Number of planes.

    Raises
    ------
    PositionsError
        The declaration does not give one finite z to each plane.
    """
    match source:
        case ZStep(step_um, first_um):
            if step_um == 0 or not math.isfinite(step_um) or not math.isfinite(first_um):
                raise PositionsError(f"{name}: step_um {step_um} from {first_um} puts no two planes apart")
            z_um = [first_um + index * step_um for index in range(n_planes)]
        case ZList(listed):
            z_um = list(listed)
        case ZFile():
            z_um = _from_file(source, files, n_planes)
        case ZInName():
            z_um = [_from_name(source, file) for file in files]
    if len(z_um) != n_planes:
        raise PositionsError(f"{name}: {n_planes} planes but {len(z_um)} positions were declared; give one for each")
    if not all(math.isfinite(z) for z in z_um):
        raise PositionsError(f"{name}: a declared position is not a finite number")
    return tuple(z_um)


def _from_name(source: ZInName, file: Path) -> float:
    try:
        found = re.search(source.pattern, file.name)
    except re.error as error:
        raise PositionsError(f"the pattern {source.pattern!r} is not a regular expression: {error}") from error
    if found is None or not found.groups():
        raise PositionsError(
            f"{file.name}: the pattern {source.pattern!r} finds no number in this name; it needs one group that does"
        )
    number = _number(found.group(1) or "")
    if number is None:
        raise PositionsError(f"{file.name}: {found.group(1)!r} in this name is not a number; mend {source.pattern!r}")
    return number * source.unit_um


def _from_file(source: ZFile, files: Sequence[Path], n_planes: int) -> list[float]:
    path = Path(source.path)
    path = path if path.is_absolute() else files[0].parent / path
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PositionsError(f"{path}: the z of the planes cannot be read from it: {error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = [[cell.strip() for cell in row] for row in csv.reader(line.replace("\t", ",") for line in lines)]
    if rows and all(_number(cell) is None for cell in rows[0]):
        rows = rows[1:]  # column titles
    if rows and all(_number(row[0]) is not None for row in rows):
        if len(rows) != n_planes:
            raise PositionsError(f"{path}: holds {len(rows)} positions for {n_planes} planes; it needs one line each")
        return [float(row[0]) * source.unit_um for row in rows]
    named: dict[str, float] = {}
    for row in rows:
        number = _number(row[1]) if len(row) > 1 else None
        if number is None:
            raise PositionsError(f"{path}: the line {','.join(row)!r} is neither a number nor 'file name, number'")
        named[row[0]] = number * source.unit_um
    missing = [file.name for file in files if file.name not in named]
    if missing:
        raise PositionsError(f"{path}: gives no z for {missing[0]}; add a line '{missing[0]}, z'")
    return [named[file.name] for file in files]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


__all__ = ["REMEDY", "ZFile", "ZInName", "ZList", "ZSource", "ZStep", "positions"]

"""From an array with named axes to the planes of a z-stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.recorded.errors import PlanesError, UnknownFormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Pixels

Z_AXES = frozenset({"Z", "Q", "I"})
"""Names that mean z, or (Q, I: a plain series of pages) may mean it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of an array with more axes than a z-stack is wanted.

    Parameters
    ----------
    select
        Index to keep along an axis, by the axis' name, e.g. ``{"C": 0}`` for the first channel.
    plane_axis
        The axis to be taken as z, where it is called otherwise.
    """

    select: Mapping[str, int]
    plane_axis: str | None = None


@dataclass(frozen=True, slots=True)
class FileContent:
    """What one file held.

    Parameters
    ----------
    planes
        Shape (n, height, width[, 3]), uint8 or uint16, in the file's order.
    bit_depth
        Significant bits, or None where the file does not say.
    z_um
        Position of each plane as the file says it, or None.
    """

    planes: Pixels
    bit_depth: int | None = None
    z_um: tuple[float, ...] | None = None


def as_planes(name: str, array: NDArray[Any], axes: Sequence[str], choice: Choice) -> Pixels:
    """Return ``array`` as (n, height, width[, 3]).

    Parameters
    ----------
    name
        The file's name, for messages.
    array
        Pixels with one axis per entry of ``axes``.
    axes
        Names: X, Y, S (samples of a colour pixel), Z, C, T …
    choice
        What to keep of the axes that do not belong to a z-stack.

    Raises
    ------
    UnknownFormatError
        Pixels are not unsigned integers of 8 or 16 bits, or colour pixels not of three samples.
    PlanesError
        An axis is missing, an index out of range, or an axis is left that is not z.
    """
    names = list(axes)
    if array.dtype.newbyteorder("=") not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise UnknownFormatError(f"{name}: pixels are {array.dtype}; save them as unsigned integers of 8 or 16 bits")
    for axis, index in choice.select.items():
        if axis not in names:
            raise PlanesError(f"{name}: has no axis {axis!r} to select from; its axes are {', '.join(axes)}")
        position = names.index(axis)
        if not 0 <= index < array.shape[position]:
            raise PlanesError(f"{name}: axis {axis!r} has {array.shape[position]} entries, so no index {index}")
        array = array.take(index, axis=position)
        names.pop(position)
    if choice.plane_axis is not None and choice.plane_axis not in names:
        raise PlanesError(f"{name}: has no axis {choice.plane_axis!r}; its axes are {', '.join(axes)}")
    if not {"X", "Y"} <= set(names):
        raise PlanesError(f"{name}: its axes are {', '.join(names)}; a picture needs X and Y")
    for position in reversed(range(len(names))):
        if array.shape[position] == 1 and names[position] not in {"X", "Y"}:
            array = array.squeeze(axis=position)
            names.pop(position)
    colour = "S" in names and choice.plane_axis != "S"
    if colour and array.shape[names.index("S")] != 3:
        raise UnknownFormatError(
            f"{name}: has {array.shape[names.index('S')]} samples per pixel; save it as monochrome or RGB"
        )
    depth = [axis for axis in names if axis not in ({"X", "Y", "S"} if colour else {"X", "Y"})]
    z_names = Z_AXES if choice.plane_axis is None else {choice.plane_axis}
    wrong = [axis for axis in depth if axis not in z_names]
    if wrong:
        axis = wrong[0]
        raise PlanesError(
            f"{name}: axis {axis!r} has {array.shape[names.index(axis)]} entries and is not z; choose one with "
            f"select={{{axis!r}: 0}}, or take it as z with plane_axis={axis!r}"
        )
    if len(depth) > 1:
        raise PlanesError(f"{name}: more than one axis may be z ({', '.join(depth)}); choose with select={{…}}")
    if not depth:
        array, names = array[np.newaxis], ["Z", *names]
        depth = ["Z"]
    wanted = [depth[0], "Y", "X"] + (["S"] if colour else [])
    array = array.transpose([names.index(axis) for axis in wanted])
    if array.dtype.itemsize == 1:
        return np.ascontiguousarray(array, dtype=np.uint8)
    return np.ascontiguousarray(array, dtype=np.uint16)


__all__ = ["Choice", "FileContent", "as_planes"]

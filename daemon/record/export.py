"""The frames of acquisitions as images of their plans: one OME-Zarr store of t, c, z, y, x for each position.

A recording holds all frames in the order in which they came. Whoever looks at one acquisition wants its stacks and
channels; their places stand in the headers of the frames.
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.daemon.record.errors import LayoutError
from microscoped.daemon.record.frames import FrameShape, FrameStore, FrameTable, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from microscoped.daemon.protocol.events import AcquiredData
    from microscoped.daemon.record.frames import StoreIndex, Writing
    from microscoped.daemon.record.recorded import Recorded, RecordedFrame

UNEVEN: Final = 0.25
"""Part of a step by which planes, as they were read back, may lie off an even spacing."""
MOST_WRITING: Final = 16
"""Frames on their way to the disk."""


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """What was made of one position of an acquisition, or of one injection into it.

    Parameters
    ----------
    path
        The store.
    task, batch, position
        Which acquisition; ``plan`` or the injection; the position's name.
    shape
        Points in time, channels and planes.
    frames, missing
        Frames in it, and places of the plan that are empty: skipped, cut short, or not recorded.
    in_order
        Whether the frames lie along t as they came, because the plan has one place for several.
    """

    path: Path
    task: str
    batch: str
    position: str
    shape: StoreIndex
    frames: int
    missing: int
    in_order: bool


@dataclass(slots=True)
class _Group:
    """The frames of one image."""

    task: str
    batch: str
    place: tuple[tuple[str, int], ...]
    position: str
    frames: list[tuple[RecordedFrame, AcquiredData]] = field(default_factory=list)


def export_acquisitions(recorded: Recorded, folder: Path, task: str | None = None) -> list[ExportedImage]:
    """Write the frames of acquisitions into stores of their own.

    Parameters
    ----------
    recorded
        The recording.
    folder
        Where the stores go, ``acquisition-1.plan.p0.ome.zarr`` and so on; made if need be.
    task
        Of one acquisition; ``None``: all.

    Returns
    -------
    images
        What was made, in the order of the first frames.

    Raises
    ------
    LayoutError
        A stack's planes are not evenly spaced, or its frames differ in shape: such an image cannot be an OME-Zarr.
    StoreWriteError
        A store is there already, or the disk does not take it.
    FrameMissingError, FrameDamagedError, StoreReadError
        A frame cannot be read.
    """
    groups = _grouped(recorded.frames.values())
    numbers = {task: number for number, task in enumerate(dict.fromkeys(group.task for group in groups), start=1)}
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(recorded, group, folder / f"{_name(group, numbers[group.task])}.ome.zarr")
        for group in groups
        if task in (None, group.task)
    ]


def _grouped(frames: Iterable[RecordedFrame]) -> list[_Group]:
    """The frames that have pixels by acquisition, batch and position."""
    groups: dict[tuple[object, ...], _Group] = {}
    for one in frames:
        acquired = one.frame.acquired
        if acquired is None or one.at is None:
            continue
        place = tuple((axis, acquired.index[axis]) for axis in "pg" if axis in acquired.index)
        key = (acquired.task, acquired.batch, place)
        if key not in groups:
            groups[key] = _Group(acquired.task, acquired.batch, place, acquired.position)
        groups[key].frames.append((one, acquired))
    return list(groups.values())


def _name(group: _Group, number: int) -> str:
    parts = [f"acquisition-{number}", group.batch, *(f"{axis}{place}" for axis, place in group.place), group.position]
    return ".".join(re.sub(r"[^\w-]+", "_", part) for part in parts if part)


def _write(recorded: Recorded, group: _Group, path: Path) -> ExportedImage:
    index = [tuple(acquired.index.get(axis, 0) for axis in "tcz") for _, acquired in group.frames]
    in_order = len(set(index)) < len(index)
    if in_order:
        index = [(number, 0, 0) for number in range(len(index))]
    planes_um = _planes_um(group, index, path)
    if planes_um[0] > planes_um[-1]:  # planned from above; a store has its planes from below
        planes_um.reverse()
        index = [(t, c, len(planes_um) - 1 - z) for t, c, z in index]
    layout = Layout(
        pixel_size_um=recorded.store.layout.pixel_size_um,
        planes_um=tuple(planes_um) if len(planes_um) > 1 else (),
        channels=_channels(group, index),
        interval_s=_interval_s(group, index),
    )
    first = group.frames[0][0].frame
    shape = FrameShape.of(recorded.pixels(first.frame), first.bit_depth)
    store = FrameStore(path, layout, shape, planes_um[0], recorded.store.compression)
    table = FrameTable()
    under_way: deque[tuple[RecordedFrame, Writing]] = deque()
    for (one, _), (t, c, z) in zip(group.frames, index, strict=True):
        under_way.append((one, store.write((t, c, z), recorded.pixels(one.frame.frame))))
        _settle(table, under_way, MOST_WRITING)
    _settle(table, under_way, 0)
    size = (1 + max(t for t, _, _ in index), len(layout.channels), layout.planes)
    store.include(size[0])
    store.finish(table)
    missing = math.prod(size) - len(index)
    return ExportedImage(path, group.task, group.batch, group.position, size, len(index), missing, in_order)


def _settle(table: FrameTable, under_way: deque[tuple[RecordedFrame, Writing]], most: int) -> None:
    """Wait until no more than so many frames are on their way to the disk."""
    while len(under_way) > most:
        one, writing = under_way.popleft()
        writing.result()
        table.add(writing.at, writing.crc32, one.number, one.frame)


def _planes_um(group: _Group, index: Sequence[tuple[int, ...]], path: Path) -> list[float]:
    """Where the planes of the plan are, on an even spacing, as they were read back.

    Of each the median over times and channels counts, for focusing moves a whole stack.

    Raises
    ------
    LayoutError
        They are not evenly spaced.
    """
    found: dict[int, list[float]] = {}
    for (one, _), (_, _, z) in zip(group.frames, index, strict=True):
        found.setdefault(z, []).append(one.frame.z_um)
    there_um = {z: float(np.median(found[z])) for z in sorted(found)}
    first, last = min(there_um), max(there_um)
    step_um = (there_um[last] - there_um[first]) / max(1, last - first)
    even_um = [there_um[first] + step_um * (z - first) for z in range(last + 1)]
    if any(abs(z_um - even_um[z]) > UNEVEN * abs(step_um) for z, z_um in there_um.items()):
        told = ", ".join(f"{z_um:g}" for z_um in there_um.values())
        raise LayoutError(f"{path.name}: planes at {told} µm are not evenly spaced, and OME-Zarr has one spacing of z")
    return even_um


def _channels(group: _Group, index: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for (_, acquired), (_, c, _) in zip(group.frames, index, strict=True):
        names.setdefault(c, acquired.channel or "")
    return tuple(names.get(c, "") for c in range(1 + max(names)))


def _interval_s(group: _Group, index: Sequence[tuple[int, ...]]) -> float | None:
    """From one point in time to the next, as it was: the median."""
    starts: dict[int, int] = {}
    for (one, _), (t, _, _) in zip(group.frames, index, strict=True):
        starts.setdefault(t, one.frame.exposure_start_ns)
    steps = [(starts[t + 1] - starts[t]) / 1e9 for t in starts if t + 1 in starts]
    return float(np.median(steps)) if steps and np.median(steps) > 0 else None


__all__ = ["ExportedImage", "export_acquisitions"]

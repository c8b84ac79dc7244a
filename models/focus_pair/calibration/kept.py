"""What the network reads of a calibration's pairs, kept on disk until it is fine-tuned on them, or not."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from microscoped.models.focus_pair.calibration.figures import Field
from microscoped.models.focus_pair.estimate import CONTENT_FLOOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.calibration.figures import PairReading

BYTES_MOST = 640_000_000
"""Most that is kept of one calibration. Four fields of 37 pairs of 25 tiles of 6 × 112 × 112 numbers are 557 MB; of
more, each field keeps as many pairs as its share holds, drawn evenly from all of its sweep."""
PREFIX = "microscoped-deep-"
INDEX = "kept.json"
STALE_S = 86_400.0
"""Age from which on such a folder belongs to a daemon that was killed."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptField:
    """One field whose pairs were kept, as the training reads it.

    Parameters
    ----------
    number
        Which field.
    arrays
        The network's inputs by name, shape (pairs, tiles, …) each; pictures in half precision, not in memory.
    targets_dof
        What the network should say of each pair, shape (pairs,).
    used
        Tiles with content, shape (pairs, tiles).
    """

    number: int
    arrays: Mapping[str, NDArray[Any]]
    targets_dof: NDArray[np.float64]
    used: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Growing:
    """The field whose sweep is under way; reading k belongs to slot k of each file."""

    number: int
    rng: np.random.Generator
    files: dict[str, IO[bytes]]
    seen: int
    most: int
    shapes: dict[str, tuple[int, ...]]
    readings: list[PairReading]


class KeptPairs:
    """Keeps prepared inputs of the fields that are fitted to. Used by one thread; `close` takes the folder away.

    Parameters
    ----------
    fields
        How many fields share the room.
    sign
        Which way the pairs were read (see `Field.readings`).
    bytes_most
        Size of the room.

    Raises
    ------
    OSError
        There is no folder for temporary files.
    """

    def __init__(self, fields: int, sign: int, bytes_most: int = BYTES_MOST) -> None:
        self.sign = sign
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        _remove_stale(self.folder.parent)
        self.fields: list[Field] = []
        self._share = bytes_most // max(fields, 1)
        self._growing: _Growing | None = None
        self._index: list[dict[str, Any]] = []
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def begin(self, number: int) -> None:
        """Begin with a field; what is unfinished is forgotten."""
        self._forget()
        self._growing = _Growing(number, np.random.default_rng(number), {}, 0, 0, {}, [])

    def add(self, arrays: Mapping[str, NDArray[Any]], reading: PairReading) -> None:
        """Keep a pair of the present field, or not: all of a sweep are kept with the same probability.

        By reservoir sampling (Vitter, ACM Transactions on Mathematical Software 11:37, 1985, algorithm R).

        Raises
        ------
        OSError
            The disk is full or fails.
        """
        growing = self._growing
        if growing is None:
            return
        kept = {name: _narrow(array) for name, array in arrays.items()}
        if not growing.shapes:
            growing.shapes = {name: array.shape for name, array in kept.items()}
            growing.most = self._share // sum(array.nbytes for array in kept.values())
        if growing.shapes != {name: array.shape for name, array in kept.items()}:
            raise ValueError(f"field {growing.number}: frames changed their size during the sweep")
        growing.seen += 1
        slot = len(growing.readings)
        if slot >= growing.most:
            slot = int(growing.rng.integers(growing.seen))
            if slot >= growing.most:
                return
            growing.readings[slot] = reading
        else:
            growing.readings.append(reading)
        for name, array in kept.items():
            if name not in growing.files:
                growing.files[name] = (self.folder / _file_name(growing.number, name)).open("wb")
            growing.files[name].seek(slot * array.nbytes)
            growing.files[name].write(array.tobytes())

    def end(self, focus_um: float | None, dof_um: float) -> None:
        """End a field, whose focus is known now; without one it is forgotten.

        Raises
        ------
        OSError
            The disk is full or fails.
        """
        growing = self._growing
        if growing is None or focus_um is None or not growing.readings:
            self._forget()
            return
        for file in growing.files.values():
            file.close()
        field = Field(growing.number, focus_um, dof_um, {self.sign: tuple(growing.readings)})
        self.fields.append(field)
        self._index.append(
            {
                "number": field.number,
                "shapes": growing.shapes,
                "targets_dof": [
                    field.truth_dof(reading, self.sign) - min(reading.delta_dof, 0.0) for reading in growing.readings
                ],
                "used": [(reading.contents >= CONTENT_FLOOR).tolist() for reading in growing.readings],
            }
        )
        self._growing = None

    def write_index(self) -> None:
        """Write down what is where, for `read_kept`.

        Raises
        ------
        OSError
            The disk is full or fails.
        """
        (self.folder / INDEX).write_text(json.dumps(self._index), encoding="utf-8")

    def close(self) -> None:
        """Take everything away; may be called again."""
        self._forget()
        self._remove()

    def _forget(self) -> None:
        growing, self._growing = self._growing, None
        if growing is not None:
            for name, file in growing.files.items():
                file.close()
                (self.folder / _file_name(growing.number, name)).unlink(missing_ok=True)


def read_kept(folder: Path) -> list[KeptField]:
    """Open what `KeptPairs` has kept.

    Raises
    ------
    OSError, ValueError
        It is not whole.
    """
    index: Sequence[Mapping[str, Any]] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    fields = []
    for entry in index:
        pairs = len(entry["targets_dof"])
        arrays = {
            name: np.memmap(folder / _file_name(entry["number"], name), _dtype(len(shape)), "r", shape=(pairs, *shape))
            for name, shape in entry["shapes"].items()
        }
        targets, used = np.array(entry["targets_dof"], float), np.array(entry["used"], bool)
        fields.append(KeptField(entry["number"], arrays, targets, used))
    return fields


def _remove_stale(parent: Path) -> None:
    """Remove what daemons have left that were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > STALE_S:
                shutil.rmtree(folder, ignore_errors=True)


def _file_name(number: int, name: str) -> str:
    return f"field-{number}.{name}"


def _dtype(axes: int) -> np.dtype[np.floating[Any]]:
    """Pictures (tiles, channels, rows, columns) are kept in half precision, vectors in single."""
    return np.dtype(np.float16 if axes > 2 else np.float32)


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(_dtype(array.ndim))


__all__ = ["BYTES_MOST", "KeptField", "KeptPairs", "read_kept"]

"""The process that fine-tunes: how it is started, heard and ended.

It trains on one thread and reports on a pipe; it ends by itself when nobody listens any more.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from microscoped.models.focus_pair.calibration.errors import FineTuningError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MODULE = "microscoped.models.focus_pair.training.tuning"
COMMAND = (sys.executable, "-m", MODULE)
NEEDED = ("torch", "onnx")
BASE, TUNED, LEFT_OUT, WORDS = "base.onnx", "tuned.onnx", "left_out.npz", "words.txt"
"""What is written for the process, what it writes, and where its errors go."""
PIECE_S = 0.2
SILENCE_S = 20.0
"""How long nobody may listen before the process ends."""
BEAT: Final = b"."


@dataclass(frozen=True, slots=True)
class TuneRecipe:
    """How the network is fine-tuned.

    Parameters
    ----------
    steps, batch
        Most steps, and tiles in each.
    rate, warm_up
        Greatest learning rate, and steps until it is reached; it then falls as half a cosine.
    pull
        How strongly weights are drawn back to where they began.
    check_every
        Steps between two looks at the fields that were left out; the number of steps is chosen among these.
    folds
        In how many groups the fields are left out in turn.
    seed
        Of everything random.
    """

    steps: int = 300
    batch: int = 32
    rate: float = 5e-4
    warm_up: int = 20
    pull: float = 1e-3
    check_every: int = 50
    folds: int = 3
    seed: int = 0


def missing_for_training() -> str:
    """Return why this installation cannot fine-tune, with the remedy; empty where it can. Imports nothing."""
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    are = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {are} not installed; pip install 'microscoped[train]', or calibrate without deep"


class TuningProcess:
    """The process that trains. It ends when this is closed, and when `hear` was not called for `SILENCE_S`.

    Parameters
    ----------
    folder
        With the kept pairs and `BASE`.
    recipe, command
        As in `DeepTools`.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self, folder: Path, recipe: TuneRecipe, command: Sequence[str] = COMMAND) -> None:
        self._folder = folder
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with (folder / WORDS).open("wb") as words:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*command, str(folder), json.dumps(asdict(recipe))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            )
        self._reader = threading.Thread(target=self._read, name="fine-tuning", daemon=True)
        self._reader.start()

    def hear(self, timeout_s: float = PIECE_S) -> dict[str, Any] | None:
        """Return the next report, or ``None`` where there was none in time.

        Raises
        ------
        FineTuningError
            It ended before its last report.
        """
        pipe = _pipe(self._process.stdin)
        with suppress(OSError):  # where it has ended, its last words are still to be read
            pipe.write(BEAT)
            pipe.flush()
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            self._process.wait()
            raise FineTuningError(f"the training ended early: {self._last_words()}")
        try:
            report: dict[str, Any] = json.loads(line)
        except ValueError:
            raise FineTuningError(f"the training said {line[:80]!r}, which is no report") from None
        return report

    def close(self) -> None:
        """End it; may be called again."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # a beat that nobody read
                _pipe(pipe).close()

    def _read(self) -> None:
        for line in _pipe(self._process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        lines = (self._folder / WORDS).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101 - both were asked for; narrows the type
    return pipe


__all__ = [
    "BASE",
    "COMMAND",
    "LEFT_OUT",
    "PIECE_S",
    "SILENCE_S",
    "TUNED",
    "TuneRecipe",
    "TuningProcess",
    "missing_for_training",
]

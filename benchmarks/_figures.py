"""Percentiles, and the control that tells the machine's own gaps from the program's."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SLEEP_S = 0.0005
_SLEEPER = f"""
import sys, threading, time
over, ending = [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
while not ending.is_set():
    t = time.perf_counter(); time.sleep({SLEEP_S}); over.append(time.perf_counter() - t - {SLEEP_S})
over.sort()
print(*(1e3 * over[min(len(over) - 1, int(part * len(over)))] for part in (0.5, 0.99, 0.999, 1.0)))
"""


def spread(values_ms: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Return ``n``, ``p50``, ``p99`` and ``max`` of those values that are numbers."""
    values = np.asarray(values_ms, float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return {"n": 0, "p50": float("nan"), "p99": float("nan"), "max": float("nan")}
    p50, p99 = np.percentile(values, (50, 99))
    return {"n": int(values.size), "p50": float(p50), "p99": float(p99), "max": float(values.max())}


def line(name: str, found: dict[str, Any], unit: str = "ms") -> str:
    """Return a spread in words."""
    return f"  {name:<58} p50 {found['p50']:8.3f}  p99 {found['p99']:8.3f}  max {found['max']:8.2f} {unit}"


def received_ns(stamps: Sequence[str | None]) -> NDArray[np.float64]:
    """Return the core's stamps (local wall time) on the clock of ``perf_counter_ns``; NaN where there is none."""
    offset_ns = time.time_ns() - time.perf_counter_ns()
    return np.array(
        [np.nan if stamp is None else datetime.fromisoformat(stamp).timestamp() * 1e9 - offset_ns for stamp in stamps]
    )


def plain(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return the same with ``None`` for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def sleep_control() -> Iterator[dict[str, float]]:
    """Measure, in a process of its own, how late a bare ``sleep(0.0005)`` returns while the ``with`` lasts.

    The dictionary is filled at its end: ``p50``, ``p99``, ``p999``, ``max`` in ms.
    """
    found: dict[str, float] = {}
    process = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield found
    finally:
        words = process.communicate("")[0].split()
        found.update(zip(("p50", "p99", "p999", "max"), map(float, words), strict=True))

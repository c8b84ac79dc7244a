"""Rows of a benchmark, measured one after the other: what their figures say of the machine, and how they are kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import plain
from _hologram_peers import threads_at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def processor() -> str:
    """Return the name of this computer's processor."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_mib() -> float:
    """Return the most memory that this process has held; not on Windows."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure_rows(
    rows: Mapping[str, Callable[[], Any]],
    judge: Callable[[Mapping[str, Any]], list[dict[str, Any]]],
    path: Path | None,
    threads: int,
    **told: Any,  # noqa: ANN401 - as JSON
) -> dict[str, Any]:
    """Measure rows one after the other; after each the figures are judged and kept.

    Parameters
    ----------
    rows
        What measures each, by its name.
    judge
        Returns the targets with what was found of them.
    path
        Where the figures are kept; ``None``: nowhere.
    threads
        That peers may use, and linear algebra should.
    told
        What else the figures say.

    Returns
    -------
    Those of each row by its name, ``targets``, ``machine``, ``threads``, and what was told.
    """
    if os.environ.get("OMP_NUM_THREADS") != str(threads):
        sys.stderr.write(f"OMP_NUM_THREADS is not {threads}: linear algebra may use another number\n")
    machine = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    figures: dict[str, Any] = {"machine": machine, "threads": threads, **told}
    with threads_at_most(threads):
        for name, measure in rows.items():
            sys.stderr.write(f"{name} …\n")
            figures[name] = measure()
            figures["targets"] = judge(figures)
            keep(path, figures)
    return figures


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures so far, whole or not at all."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(plain(figures), indent=1), encoding="utf-8")
    part.replace(path)


__all__ = ["keep", "measure_rows", "peak_mib", "processor"]

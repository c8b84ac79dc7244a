"""What every set of figures says of its machine and process, and how it is kept."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

from _figures import plain


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


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures so far, whole or not at all."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(plain(figures), indent=1), encoding="utf-8")
    part.replace(path)


__all__ = ["keep", "peak_mib", "processor"]

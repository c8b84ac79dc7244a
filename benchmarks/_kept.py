"""What every set of figures says of its machine, and how it is kept."""

from __future__ import annotations

import json
import platform
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


def keep(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures so far, whole or not at all."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(plain(figures), indent=1), encoding="utf-8")
    part.replace(path)


__all__ = ["keep", "processor"]

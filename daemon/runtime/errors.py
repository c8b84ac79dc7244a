"""What can go wrong round the reducer."""

from __future__ import annotations

from typing import ClassVar


class EngineProcessError(RuntimeError):
    """The process of an engine ended, does not start, or its engine failed. The message says which, and why."""

    code: ClassVar[str] = "engine.process"


__all__ = ["EngineProcessError"]

"""The search for focus by images: pure functions of the samples so far."""

from __future__ import annotations

from microscoped.daemon.focus._types import (
    Approach,
    Extremum,
    ExtremumChoice,
    Probe,
    Sample,
    SearchResult,
    SearchSettings,
)
from microscoped.daemon.focus.search import propose

__all__ = ["Approach", "Extremum", "ExtremumChoice", "Probe", "Sample", "SearchResult", "SearchSettings", "propose"]

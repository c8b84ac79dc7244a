"""Sharpness as an engine of the daemon."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from microscoped.models.sharpness._measure import SharpnessSettings, measure_sharpness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

OPTIONS = ("metric", "roi", "bit_depth")


def sharpness_settings(options: Mapping[str, Any], base: SharpnessSettings | None = None) -> SharpnessSettings:
    """Merge options into settings.

    Parameters
    ----------
    options
        Any of ``metric``, ``roi`` and ``bit_depth`` (see `SharpnessSettings`).
    base
        What holds where no option says otherwise.

    Raises
    ------
    ValueError
        An unknown option, or a value out of range.
    """
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no such option; there are {', '.join(OPTIONS)}")
    changes = dict(options)
    if changes.get("roi") is not None:
        changes["roi"] = tuple(changes["roi"])
    return replace(base or SharpnessSettings(), **changes)


class SharpnessEngine:
    """Measures how sharp a frame is.

    Parameters
    ----------
    settings
        What holds where a frame's options do not say otherwise.
    """

    name = "sharpness"
    frames = 1

    def __init__(self, settings: SharpnessSettings | None = None) -> None:
        self._settings = settings or SharpnessSettings()

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return ``score``, ``error``, ``mean`` and ``saturated_fraction`` of one frame (see `Sharpness`).

        Raises
        ------
        ValueError
            An unknown option or a value out of range, a region that leaves the frame, or another number of frames.
        """
        if len(frames) != self.frames:
            raise ValueError(f"{len(frames)} frames: sharpness is that of one")
        return asdict(measure_sharpness(frames[0], sharpness_settings(options, self._settings)))


__all__ = ["SharpnessEngine", "sharpness_settings"]

"""Which frames the engine of cells is offered, and what it must know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.core.handlers import rules
from microscoped.daemon.core.handlers.camera import pixel_size_um

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.protocol.events import FrameData

ENGINE = "cells"


def due(turn: Turn, frame: FrameData) -> bool:
    """Return whether a frame is measured: of a stream every so manieth, of single ones each."""
    known = turn.state.settings.cells
    return known is None or not frame.streamed or frame.number % known.every == 0


def options_of(turn: Turn, frame: FrameData) -> dict[str, JsonValue]:
    """Return what the engine must know of a frame."""
    known = turn.state.settings.cells
    options: dict[str, JsonValue] = {"bit_depth": frame.bit_depth, "exposure_start_ns": frame.exposure_start_ns}
    told = rules.columns(turn, ENGINE)
    if told:
        options["columns"] = told
    size_um = pixel_size_um(turn, known.pixel_size_um if known else None)
    return options if size_um is None else {**options, "pixel_size_um": size_um}


def background_of(values: Mapping[str, JsonValue]) -> JsonValue:
    """Return how well the background hologram fits, where the cells were read from one."""
    source = values.get("source")
    return source.get("background") if isinstance(source, dict) else None


__all__ = ["ENGINE", "background_of", "due", "options_of"]

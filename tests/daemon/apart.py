"""Engines for processes of their own, which import them from here."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models import Measurement, Part

if TYPE_CHECKING:
    from pathlib import Path


class Apart:
    """Does what its options say."""

    name = "cells"
    frames = 1

    def __init__(self, hold: Path | None = None, life: int = 0) -> None:
        self._hold = hold
        self._life = life
        self._count = 0

    def measure(self, frames: Any, options: Any) -> Any:  # noqa: ANN401 - an Engine's
        self._count += 1
        if "warns" in options:
            logging.getLogger("microscoped.apart").warning("it is %s", options["warns"], exc_info=KeyError("why"))
        if "hangs" in options:
            time.sleep(1000.0)
        if "dies" in options:
            os._exit(options["dies"])
        if "refuses" in options:
            raise ValueError(options["refuses"])
        if "fails" in options:
            raise KeyError(options["fails"])
        if self._hold is not None:
            self._hold.with_suffix(".began").touch()
            while not self._hold.exists():
                time.sleep(0.01)
        values = {
            "pid": os.getpid(),
            "count": self._count,
            "life": self._life,
            "sums": [int(np.sum(frame)) for frame in frames],
            "dtypes": [str(frame.dtype) for frame in frames],
            "shapes": [list(frame.shape) for frame in frames],
        }
        return Measurement(values, (Part("raw", "text/plain", b"abc"),)) if options.get("parts") else values


def build(life: int) -> Apart:
    return Apart(None, life)


def build_held(hold: Path, life: int) -> Apart:
    return Apart(hold, life)


def build_none(life: int) -> Apart:
    raise RuntimeError("there is no such network")

"""A daemon whose rules are timed: when an engine had measured, when it was decided, and when the hardware began.

Run as ``python _latency_watched.py CONFIG --notes FILE.npz [--cells N]``. It is the daemon that ``microscoped run``
starts; its engines note when they return, its camera when it is set, and the loop tells when it is done with an input.
With ``--cells`` the engine of cells is replaced by one that tells a table of so many cells, at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _watched import NotedMicroscope, run_as_served

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import load_config
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core.inputs import MeasureEnded
from microscoped.daemon.engines import build_engines
from microscoped.daemon.microscopes import build_microscope
from microscoped.drivers.commands import Configure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.daemon.core import Effect, Input, Now
    from microscoped.drivers.protocols import CameraSettings
    from microscoped.models import Engine


class NotedEngine:
    """An engine that notes when it has measured each frame."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.frames = engine.name, engine.frames
        self._engine = engine
        self.ended_ns: list[int] = []

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 (as engines do)
        found = self._engine.measure(frames, options)
        self.ended_ns.append(time.perf_counter_ns())
        return found


class ManyCells:
    """Tells a table of cells that grow and shrink at random, whatever the frame shows."""

    name = "cells"
    frames = 1

    def __init__(self, count: int) -> None:
        self._rng = np.random.default_rng(1)
        self._count = count
        self._opd_nm = self._rng.uniform(60.0, 100.0, count)

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        opd_nm = self._opd_nm + self._rng.normal(0.0, 3.0, self._count)
        area_um2 = self._rng.normal(600.0, 30.0, self._count)
        table = {
            "track": list(range(self._count)),
            "max_opd_nm": np.round(opd_nm, 4).tolist(),
            "area_um2": np.round(area_um2, 4).tolist(),
            "border": [False] * self._count,
        }
        return {"count": self._count, "cells": table}


def main() -> int:
    """Run the daemon."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--cells", type=int)
    chosen = parser.parse_args()
    config = load_config(chosen.config)
    built = build_engines(config).engines
    if chosen.cells is not None:
        built = (*(engine for engine in built if engine.name != "cells"), ManyCells(chosen.cells))
    engines = {engine.name: NotedEngine(engine) for engine in built}
    begun_ns: list[int] = []
    heard_of = dict.fromkeys(engines, 0)
    decided: list[tuple[float, bool]] = []
    submitted_ns: list[int] = []

    def watch(heard: Input, now: Now, effects: tuple[Effect, ...]) -> None:
        done_ns = time.perf_counter_ns()
        wants = any(isinstance(one, to_do.Submit) and isinstance(one.command, Configure) for one in effects)
        if wants:
            submitted_ns.append(done_ns)
        if isinstance(heard, MeasureEnded) and heard.values is not None:
            ended_ns = engines[heard.engine].ended_ns[heard_of[heard.engine]]
            heard_of[heard.engine] += 1
            decisions = any(isinstance(one, to_do.Publish) and one.topic.startswith("v1.decision.") for one in effects)
            decided.append(((done_ns - ended_ns) / 1e6, decisions))

    class Microscope(NotedMicroscope):
        """Notes when the camera is set."""

        def __enter__(self) -> Microscope:
            super().__enter__()
            configure = self.camera.configure

            def noted(change: CameraSettings) -> CameraSettings:
                begun_ns.append(time.perf_counter_ns())
                return configure(change)

            self.camera.configure = noted
            return self

    microscope = Microscope(build_microscope(config))
    code = run_as_served(Daemon(config, microscope=microscope, engines=tuple(engines.values()), watch=watch))
    begun = begun_ns[1:]  # the first is the opening
    np.savez(
        chosen.notes,
        decided_ms=np.array([taken for taken, _ in decided]),
        with_decision=np.array([found for _, found in decided], bool),
        begun_ms=np.array([(b - s) / 1e6 for s, b in zip(submitted_ns, begun, strict=False)]),
    )
    return code


if __name__ == "__main__":
    sys.exit(main())

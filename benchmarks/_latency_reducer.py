"""What one measurement costs the reducer alone, rules included: no threads, no sockets, processor time."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.config import Config
from microscoped.daemon.core import Now, RulesView, State, step
from microscoped.daemon.core.inputs import FrameAdmitted, HardwareOpened, MeasureEnded
from microscoped.daemon.engines import cells_defaults
from microscoped.daemon.heap import set_aside
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.settings import core_settings
from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.core import Input

PERIOD_NS = 20_000_000
WARM_UP, FRAMES = 300, 500
"""Frames until all windows are full, and frames that are timed."""


def reducer_costs(configuration: Mapping[str, Any], count: int) -> dict[str, list[float]]:
    """Return, for each engine, the milliseconds that each of its measurements took.

    Parameters
    ----------
    configuration
        Of a daemon, with its rules.
    count
        Rows of the table of cells.
    """
    config = Config.model_validate(configuration)
    settings = core_settings(config, {}, cells=cells_defaults(config))
    state = State(settings, str(uuid.UUID(int=1)), 0, rules=RulesView(config.rule_set))
    number = 0
    now_ns = 0
    rng = np.random.default_rng(1)
    taken: dict[str, list[float]] = {"sharpness": [], "cells": []}
    set_aside()  # as in the daemon

    def hear(heard: Input) -> float:
        nonlocal state, number
        number += 1
        now = Now(number, now_ns, "2026-01-01T00:00:00.000000+00:00")
        before = time.thread_time()
        state, _ = step(state, heard, now)
        return 1e3 * (time.thread_time() - before)

    info = CameraInfo("Camera", 128, 128, 1, "uint16", 16)
    hear(HardwareOpened(info, CameraSettings(exposure_ms=5.0), "Z", 0.0, FocusDirection.TOWARD_SAMPLE, {}))
    opd_nm = rng.uniform(60.0, 100.0, count)
    for at in range(WARM_UP + FRAMES):
        now_ns += PERIOD_NS
        frame = FrameData(
            frame=f"f-{at}",
            camera="Camera",
            shape=[128, 128],
            dtype="uint16",
            bit_depth=16,
            exposure_start_ns=now_ns - 6_000_000,
            exposure_start_error_ns=0,
            exposure_ms=5.0,
            z_um=0.0,
            z_source="readback",
            moving=False,
            number=at,
            lost_before=0,
            streamed=True,
        )
        hear(FrameAdmitted(frame))
        table = {
            "track": list(range(count)),
            "max_opd_nm": np.round(opd_nm + rng.normal(0.0, 3.0, count), 4).tolist(),
            "area_um2": np.round(rng.normal(600.0, 30.0, count), 4).tolist(),
            "border": [False] * count,
        }
        told = {
            "sharpness": {"score": float(rng.uniform(0.9, 1.1)), "error": 0.01, "mean": 1.0, "saturated_fraction": 0.0},
            "cells": {"count": count, "cells": table},
        }
        for engine, values in told.items():
            cost = hear(MeasureEnded(engine, frame.frame, None, values, 1.0))
            if at >= WARM_UP:
                taken[engine].append(cost)
    return taken

"""Live holograms through the daemon: how many frames get distances of each cell, how soon, and how true."""

from __future__ import annotations

import math
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _daemon import running
from _figures import sleep_control
from _hologram_frames import EXPOSURE_MS, SCENE_OPTICS
from _hologram_ours import NEAR_UM
from _hologram_timing import errors_um
from _streams import WATCHED, Subscriber
from _wire import Wire

from microscoped.simulators.holograms import BodiesParameters, place_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from microscoped.simulators.holograms import PlacedBody

TOPIC = b"v1.measure.hologram."
SHAPE_PX = (1024, 1024)
COUNT = 16
DEPTH_UM = (-3.0, 3.0)
SEED = 1
CORES = 2
SETTLE_S = 2.0
"""So long the stream runs before it is looked at: networks warm up, carrier and background are found."""


def config(calibrations: Path) -> dict[str, Any]:
    """Return the configuration of the simulated holographic microscope, its engine on.

    Parameters
    ----------
    calibrations
        An empty folder: carrier and background are those of the first frame.
    """
    return {
        "microscope": {
            "kind": "hologram",
            "count": COUNT,
            "depth_um": list(DEPTH_UM),
            "seed": SEED,
            "shape_px": list(SHAPE_PX),
            "max_fps": 30.0,
        },
        "optics": {
            "na": SCENE_OPTICS.na,
            "wavelength_nm": SCENE_OPTICS.wavelength_nm,
            "pixel_size_um": SCENE_OPTICS.pixel_um,
        },
        "camera": {"exposure_ms": EXPOSURE_MS},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
        "engines": {"sharpness": {"enabled": False}, "hologram": {"enabled": True, "calibration": calibrations}},
    }


def live(seconds: float) -> dict[str, Any]:
    """Stream for a while on two cores.

    Returns
    -------
    Frames a second of the camera and measured, what was skipped, latency from the frame in hand to its measurement in
    this process, errors of all cells that are bodies, and how late a bare ``sleep`` returned meanwhile.
    """
    with tempfile.TemporaryDirectory() as folder, on_cores(CORES) as cores, sleep_control() as control:
        notes = Path(folder) / "notes.npz"
        with (
            running(config(Path(folder)), WATCHED, ["--notes", str(notes)]) as daemon,
            Wire(daemon.control) as wire,
            Subscriber(daemon.events, (TOPIC,)) as heard,
        ):
            time.sleep(0.3)  # the subscription is on its way
            wire.ask("camera.start")
            time.sleep(SETTLE_S)
            began_ns = time.perf_counter_ns()
            time.sleep(seconds)
            ended_ns = time.perf_counter_ns()
            wire.ask("camera.stop")
            time.sleep(1.0)  # the last frame is on its way
        noted = dict(np.load(notes))
    in_hand = {
        frame: at
        for frame, at in zip(noted["frame"].tolist(), noted["in_hand_ns"].tolist(), strict=True)
        if began_ns <= at <= ended_ns
    }
    events = [(at, message["data"]) for at, message in heard.read(TOPIC) if message["data"]["frame"] in in_hand]
    return {"cores": cores, "sleep_control": control, **summed(in_hand, events, placed(), seconds)}


def summed(
    in_hand: Mapping[str, float],
    events: Sequence[tuple[int, Mapping[str, Any]]],
    bodies: Sequence[PlacedBody],
    seconds: float,
) -> dict[str, Any]:
    """Return the figures of a stream.

    Parameters
    ----------
    in_hand
        When each frame was in hand, in ns.
    events
        When each measurement arrived, and what it says.
    bodies
        What lies in the field.
    seconds
        How long it was.
    """
    measured = [(at, data) for at, data in events if not data["skipped"]]
    late_ms = np.array([(at - in_hand[data["frame"]]) / 1e6 for at, data in measured])
    counts, found, true = [], [], []
    for _, data in measured:
        cells = [cell for cell in data["values"].get("cells", ()) if not cell["border"]]
        counts.append(len(cells))
        for cell in cells:
            z_um = truth_um(cell, bodies)
            if z_um is not None:
                found.append(cell["z_um"] if cell["z_um"] is not None else cell["z_min_contrast_um"])
                true.append(z_um)
    p50, p95, p99 = np.percentile(late_ms, (50, 95, 99)) if measured else (math.nan,) * 3
    return {
        "seconds": seconds,
        "camera_fps": len(in_hand) / seconds,
        "fps": len(measured) / seconds,
        "skipped": sum(bool(data["skipped"]) for _, data in events),
        "latency_ms": {"p50": float(p50), "p95": float(p95), "p99": float(p99)},
        "cells": float(np.mean(counts)) if counts else math.nan,
        "error_um": errors_um(found, true),
    }


def placed() -> tuple[PlacedBody, ...]:
    """Return what lies in the daemon's field; its focal plane is at 0."""
    parameters = BodiesParameters(kinds=("red_cell",), count=COUNT, z_um=DEPTH_UM)
    return place_bodies(parameters, SHAPE_PX, SCENE_OPTICS, SEED)


def truth_um(cell: Mapping[str, Any], bodies: Sequence[PlacedBody]) -> float | None:
    """Return the distance of the body that a published cell is; ``None`` where none is near."""
    x_um, y_um = (cell[name] * SCENE_OPTICS.pixel_um for name in ("column_px", "row_px"))
    away = [(math.hypot(body.x_um - x_um, body.y_um - y_um), body.z_um) for body in bodies]
    nearest = min(away, default=(math.inf, math.nan))
    return nearest[1] if nearest[0] <= NEAR_UM else None


@contextmanager
def on_cores(count: int) -> Iterator[int]:
    """Keep this process, and those that it starts meanwhile, to so many cores; yields how many there are.

    Where the system cannot, all cores are used.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    chosen = set(sorted(before)[:count])
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, before)


__all__ = ["config", "live", "on_cores", "placed", "summed", "truth_um"]

"""The frame loop written with the stock acquisition engine of pymmcore-plus, to compare the daemon with.

Run as ``python _stock.py CONFIG.cfg ENDPOINT FORM SECONDS PERIOD_MS NOTES.npz``, where the form is ``iterator`` (an
iterator of events, one snap each) or ``sequenced`` (one hardware sequence). Each frame is scored with the sharpness
that the daemon uses, in a ``frameReady`` handler, and the score is published over ZeroMQ as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")

import mm_test_adapters  # type: ignore[import-untyped] # it says nothing of its types
import numpy as np
import pymmcore
import useq
import zmq
from _figures import received_ns
from pymmcore_plus import CMMCorePlus

from microscoped.models.sharpness import SharpnessSettings, measure_sharpness

if TYPE_CHECKING:
    from collections.abc import Iterator


class NotedCore(CMMCorePlus):
    """A core that notes when each image was in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.in_hand: list[tuple[int, str | None]] = []

    def getImage(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (passed on as they are)
        image = super().getImage(*args, **kwargs)
        self.in_hand.append((time.perf_counter_ns(), None))
        return image

    def popNextImageAndMD(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (passed on as they are)
        image, tags = super().popNextImageAndMD(*args, **kwargs)
        self.in_hand.append((time.perf_counter_ns(), dict(tags).get("TimeReceivedByCore")))
        return image, tags


def main() -> int:
    """Run the loop; the exit code is 0."""
    config, endpoint, form, seconds, period_ms, notes = sys.argv[1:7]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.bind(endpoint)
    core = NotedCore()
    core.setDeviceAdapterSearchPaths([mm_test_adapters.device_adapter_path()])
    core.loadSystemConfiguration(config)
    core.setAutoShutter(False)
    core.mda.engine.use_hardware_sequencing = form == "sequenced"  # type: ignore[union-attr] # it has one
    settings = SharpnessSettings(bit_depth=16)
    published: list[int] = []
    exposure_ms = core.getExposure()

    def on_frame(image: np.ndarray, event: useq.MDAEvent, meta: Any) -> None:  # noqa: ANN401 (a TypedDict of theirs)
        sharpness = measure_sharpness(image, settings)
        message = {"frame": len(published), "score": sharpness.score, "error": sharpness.error}
        socket.send_multipart([b"score.", json.dumps(message).encode()])
        published.append(time.perf_counter_ns())

    def events() -> Iterator[useq.MDAEvent]:
        ends = time.perf_counter() + float(seconds)
        index = 0
        while time.perf_counter() < ends:
            yield useq.MDAEvent(index={"t": index}, exposure=exposure_ms)
            index += 1

    core.mda.events.frameReady.connect(on_frame)
    time.sleep(0.5)  # subscribers join
    began = time.perf_counter()
    began_cpu = time.process_time()
    frames = round(float(seconds) * 1000 / float(period_ms))
    if form == "iterator":
        core.mda.run(events())
    else:
        plan = {"interval": 0, "loops": frames}
        core.mda.run(useq.MDASequence(time_plan=plan, channels=[]))  # type: ignore[arg-type] # useq makes models of it
    elapsed = time.perf_counter() - began
    cpu = time.process_time() - began_cpu
    socket.send_multipart([b"end.", b"{}"])
    count = len(published)
    in_hand = core.in_hand[:count]
    np.savez(
        notes,
        frame=np.arange(count),
        received_ns=received_ns([stamp for _, stamp in in_hand]),
        in_hand_ns=np.array([moment for moment, _ in in_hand], float),
        measured_ns=np.array(published, float),
        asked=np.array(frames if form == "sequenced" else count),
        elapsed_s=np.array(elapsed),
        cpu_s=np.array(cpu),
    )
    socket.close(linger=500)
    context.term()
    core.mda.cancel()
    with contextlib.suppress(RuntimeError):
        core.waitForSystem()
    # Ends the thread that delivers the core's events: without it the process may abort at its end.
    pymmcore.CMMCore.registerCallback(core, None)
    core.unloadAllDevices()
    return 0


if __name__ == "__main__":
    sys.exit(main())

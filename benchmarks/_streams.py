"""Streams of frames, measured: what became of every frame, and when; of the daemon and of the stock engine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import zmq
from _daemon import free_endpoints, running
from _figures import sleep_control, spread
from _rigs import PERIOD_MS, demo
from _wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

HERE = Path(__file__).resolve().parent
WATCHED = (sys.executable, str(HERE / "_watched.py"))
SCORES = b"v1.measure.sharpness."
FRAMES = b"v1.frame."


class Subscriber:
    """Notes what arrives on a SUB socket, and when; on a thread, so that the main one may wait."""

    def __init__(self, endpoint: str, topics: tuple[bytes, ...]) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 100_000)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)
        self._socket.connect(endpoint)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.messages: list[tuple[int, bytes, bytes]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._socket.close(linger=0)

    def _run(self) -> None:
        while not self._ending.is_set():
            if self._socket.poll(50):
                topic, payload, *_ = self._socket.recv_multipart()
                self.messages.append((time.perf_counter_ns(), topic, payload))

    def read(self, topic: bytes) -> list[tuple[int, dict[str, Any]]]:
        """Return arrival and content of all messages of a topic."""
        return [(at, json.loads(payload)) for at, name, payload in self.messages if name.startswith(topic)]


def stream(config: Mapping[str, Any], seconds: float, folder: Path, *, hungry: bool = False) -> dict[str, Any]:
    """Stream for a while and say what became of every frame, and when."""
    notes = folder / "notes.npz"
    options = ["--notes", str(notes), *(["--hungry"] if hungry else [])]
    with sleep_control() as control:
        with (
            running(config, WATCHED, options) as daemon,
            Wire(daemon.control) as wire,
            Subscriber(daemon.events, (FRAMES, SCORES)) as heard,
        ):
            time.sleep(0.3)  # the subscription is on its way
            wire.ask("camera.start")
            time.sleep(seconds)
            wire.ask("camera.stop")
            status = _settled(wire)
            deadline = time.monotonic() + 5
            while len(heard.messages) < 2 * status["camera"]["frames"] and time.monotonic() < deadline:
                time.sleep(0.05)
        noted = dict(np.load(notes))
    frames, scores = heard.read(FRAMES), heard.read(SCORES)
    engine = status["engines"]["sharpness"]
    in_hand = dict(zip(noted["frame"].tolist(), noted["in_hand_ns"].tolist(), strict=True))
    received = dict(zip(noted["frame"].tolist(), noted["received_ns"].tolist(), strict=True))
    arrived = {message["data"]["frame"]: at for at, message in scores if not message["data"]["skipped"]}
    found: dict[str, Any] = {
        "frames": status["camera"]["frames"],
        "lost": status["camera"]["lost"],
        "camera_gave": int(noted["number"].max()) + 1,
        "fps": _rate(noted["in_hand_ns"]),
        "measured": engine["measured"],
        "skipped": engine["skipped"],
        "frame_events": len(frames),
        "score_events": len(scores),
        "gapless": _gapless(frames) and _gapless(scores),
        "cpu_ms_per_frame": 1e3 * float(noted["cpu_s"]) / max(1, len(noted["frame"]) - 1),
        "in_hand_to_published": spread((noted["published_ns"] - noted["in_hand_ns"]) / 1e6),
        "in_hand_to_arrived": spread([(at - in_hand[m["data"]["frame"]]) / 1e6 for at, m in frames]),
        "in_hand_to_score_published": spread((noted["measured_ns"] - noted["in_hand_ns"]) / 1e6),
        "in_hand_to_score_arrived": spread([(at - in_hand[frame]) / 1e6 for frame, at in arrived.items()]),
        "received_to_score_arrived": spread([(at - received[frame]) / 1e6 for frame, at in arrived.items()]),
        "sleep_control": control,
    }
    found["complete"] = (
        found["gapless"]
        and found["frames"] == found["frame_events"]
        and found["frames"] + found["lost"] == found["camera_gave"]
        and found["measured"] + found["skipped"] == found["frames"] == found["score_events"]
    )
    return found


def _settled(wire: Wire) -> dict[str, Any]:
    """Return the status once the engine has said its last word of every frame."""
    deadline = time.monotonic() + 10
    while True:
        status = wire.ask("status")
        engine = status["engines"].get("sharpness", {"measured": 0, "skipped": 0})
        if engine["measured"] + engine["skipped"] == status["camera"]["frames"] or time.monotonic() > deadline:
            return status
        time.sleep(0.05)


def _gapless(messages: list[tuple[int, dict[str, Any]]]) -> bool:
    numbers = [message["seq"] for _, message in messages]
    return numbers == list(range(1, len(numbers) + 1))


def _rate(moments_ns: np.ndarray) -> float:
    return 1e9 * (len(moments_ns) - 1) / float(moments_ns[-1] - moments_ns[0]) if len(moments_ns) > 1 else 0.0


def stock(form: str, seconds: float, folder: Path) -> dict[str, Any]:
    """Run the stock engine's loop for a while."""
    config, notes = folder / "demo.cfg", folder / "stock.npz"
    demo(folder)
    (endpoint,) = free_endpoints(1)
    command = [sys.executable, str(HERE / "_stock.py"), str(config), endpoint, form, str(seconds), str(PERIOD_MS)]
    with Subscriber(endpoint, (b"score.", b"end.")) as heard:
        subprocess.run([*command, str(notes)], check=True, timeout=seconds * 3 + 60, stderr=subprocess.DEVNULL)
    noted = dict(np.load(notes))
    arrived = {message["frame"]: at for at, message in heard.read(b"score.")}
    count = len(noted["frame"])
    return {
        "frames": count,
        "fps": _rate(noted["in_hand_ns"]),
        "dropped": int(noted["asked"]) - count,
        "arrived": len(arrived),
        "cpu_ms_per_frame": 1e3 * float(noted["cpu_s"]) / max(1, count),
        "in_hand_to_score_published": spread((noted["measured_ns"] - noted["in_hand_ns"]) / 1e6),
        "in_hand_to_score_arrived": spread([(at - noted["in_hand_ns"][k]) / 1e6 for k, at in arrived.items()]),
        "received_to_score_arrived": spread([(at - noted["received_ns"][k]) / 1e6 for k, at in arrived.items()]),
    }

"""What the daemon costs: live frames, answers while the camera is busy, stops; beside the stock acquisition engine.

Parts (choose with ``--parts abcde``):

a. 512² at 100 frames/s: is every frame processed or counted, and how long after it is in hand is it published?
b. ``ping`` while the camera exposes for 100 ms, as a stream and as single snaps.
c. a and b again with a Python thread in the daemon's process that never pauses.
d. ``stop`` during long moves and during focus runs: how soon is the driver's own stop called, and the stage still?
e. the same loop written with pymmcore-plus' acquisition engine, in blocks that alternate with the daemon's.

Every daemon runs as a process of its own; the client is a plain ZeroMQ script in this process. A bare ``sleep`` in a
third process tells, in the same run, how late this machine wakes anybody.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import zmq
from _daemon import free_endpoints, running
from _figures import line, sleep_control, spread
from _wire import Wire, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

HERE = Path(__file__).resolve().parent
WATCHED = (sys.executable, str(HERE / "_watched.py"))
PERIOD_MS = 10.0
DEMO_EXPOSURE_MS = 9.0
"""The demonstration camera adds its rendering to each period: with 9 ms it gives 100 frames/s or a little more."""
LONG_EXPOSURE_MS = 100.0
SCORES = b"v1.measure.sharpness."
FRAMES = b"v1.frame."
TARGETS = {
    "published_p50_ms": 1.0,
    "published_p99_ms": 5.0,
    "ping_p99_ms": 10.0,
    "stop_issued_max_ms": 10.0,
    "stage_still_max_ms": 50.0,
}


@dataclass
class Report:
    """All figures, and the targets that were missed."""

    figures: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def judge(self, name: str, value: float, target: str) -> None:
        """Compare a figure with a target of `TARGETS`."""
        if not value <= TARGETS[target]:
            self.missed.append(f"{name}: {target} {value:.3g}, target {TARGETS[target]:g}")

    def require(self, name: str, *, holds: bool) -> None:
        """Note what must hold and does not."""
        if not holds:
            self.missed.append(name)


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


# --- microscopes --------------------------------------------------------------------------------------------------


def simulated(exposure_ms: float = PERIOD_MS, *, speed_um_s: float = 500.0) -> dict[str, Any]:
    """Return the configuration of the simulated brightfield microscope, 512², 100 frames/s at most."""
    return {
        "microscope": {"kind": "simulated", "stage": {"speed_um_s": speed_um_s}},
        "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
        "camera": {"exposure_ms": exposure_ms},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample", "timeout_s": 60},
    }


def demo_lines() -> list[str]:
    """Return the packaged configuration of Micro-Manager's demonstration camera, found without importing anything."""
    found = importlib.util.find_spec("microscoped.drivers")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("microscoped is not installed here")
    path = Path(next(iter(found.submodule_search_locations))) / "micromanager" / "demo.cfg"
    return path.read_text(encoding="utf-8").splitlines()


def demo(folder: Path, exposure_ms: float = DEMO_EXPOSURE_MS) -> dict[str, Any]:
    """Return the demonstration camera (real C++ adapters) with beads at 512²."""
    path = folder / "demo.cfg"
    exposure = f"ConfigGroup,System,Startup,Camera,Exposure,{exposure_ms}"
    lines = [exposure if line.startswith("ConfigGroup,System,Startup,Camera,Exposure,") else line for line in demo_lines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return _micromanager(path, exposure_ms)


def slow_demo(folder: Path) -> dict[str, Any]:
    """Return the demonstration camera with a focus drive of another adapter that takes its time: 10 µm/s."""
    path = folder / "slow.cfg"
    lines = demo_lines()
    at = lines.index("Device,Z,DemoCamera,DStage")
    lines[at] = "Device,Z,NotificationTester,NTAsyncStage"
    lines.remove("Parent,Z,DHub")
    after = lines.index("Property,Core,Initialize,1") + 1
    # Steps of 0.1 µm, one each 10 ms; where it is, it tells every 5 ms.
    lines[after:after] = ["Property,Z,SlewTimePerStep_s,0.01", "Property,Z,UpdateInterval_s,0.005"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return _micromanager(path, 5.0)


def _micromanager(path: Path, exposure_ms: float) -> dict[str, Any]:
    import mm_test_adapters  # type: ignore[import-untyped] # it says nothing of its types

    return {
        "microscope": {
            "kind": "micromanager",
            "config_file": path,
            "adapter_paths": [mm_test_adapters.device_adapter_path()],
        },
        "camera": {"exposure_ms": exposure_ms},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample", "timeout_s": 60},
    }


# --- a: frames ----------------------------------------------------------------------------------------------------


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


def print_stream(name: str, found: dict[str, Any]) -> None:
    """Print the figures of a stream."""
    print(f"\n{name}: {found['fps']:.1f} frames/s, {found['cpu_ms_per_frame']:.2f} ms CPU a frame in the daemon")
    print(
        f"  the camera gave {found['camera_gave']}: {found['frames']} admitted + {found['lost']} lost; "
        f"{found['measured']} measured + {found['skipped']} skipped; events without gap: {found['gapless']}; "
        f"{'every frame is accounted for' if found['complete'] else 'FRAMES ARE MISSING'}"
    )
    print(line("in hand → frame event sent", found["in_hand_to_published"]))
    print(line("in hand → frame event in another process", found["in_hand_to_arrived"]))
    print(line("in hand → sharpness event sent", found["in_hand_to_score_published"]))
    print(line("in hand → sharpness event in another process", found["in_hand_to_score_arrived"]))
    print(line("(a bare sleep(0.5 ms) came late by)", found["sleep_control"]), flush=True)


def part_a(report: Report, seconds: float, folder: Path, *, hungry: bool = False) -> None:
    """Live frames."""
    for name, config in (("simulated", simulated()), ("DemoCamera", demo(folder))):
        title = f"{'c' if hungry else 'a'}. stream, {name}{', hungry thread' if hungry else ''}"
        found = stream(config, seconds, folder, hungry=hungry)
        report.figures[title] = found
        print_stream(title, found)
        report.require(f"{title}: every frame processed or counted", holds=found["complete"])
        if not hungry:
            report.judge(title, found["in_hand_to_published"]["p50"], "published_p50_ms")
            report.judge(title, found["in_hand_to_published"]["p99"], "published_p99_ms")


# --- b: answers ---------------------------------------------------------------------------------------------------


def pings(control: str, seconds: float) -> list[float]:
    """Return round trips in ms, asked at irregular moments."""
    trips = []
    dice = random.Random(1)
    with Wire(control) as wire:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(dice.uniform(0.001, 0.015))
            began = time.perf_counter_ns()
            wire.ask("ping")
            trips.append((time.perf_counter_ns() - began) / 1e6)
    return trips


def snap_for_ever(control: str, ending: threading.Event, count: list[int]) -> None:
    """Snap, one frame after the other."""
    with Wire(control) as wire:
        while not ending.is_set():
            wire.finish("camera.snap")
            count[0] += 1


def part_b(report: Report, seconds: float, folder: Path, *, hungry: bool = False) -> None:
    """Answers while the camera exposes."""
    for name, config in (
        ("simulated", simulated(LONG_EXPOSURE_MS)),
        ("DemoCamera", demo(folder, LONG_EXPOSURE_MS)),
    ):
        with sleep_control() as control, running(config, WATCHED, ["--hungry"] if hungry else []) as daemon:
            with Wire(daemon.control) as wire:
                idle = pings(daemon.control, seconds / 2)
                wire.ask("camera.start")
                streaming = pings(daemon.control, seconds)
                wire.ask("camera.stop")
                ending, count = threading.Event(), [0]
                snapper = threading.Thread(target=snap_for_ever, args=(daemon.control, ending, count))
                snapper.start()
                try:
                    snapping = pings(daemon.control, seconds)
                finally:
                    ending.set()
                    snapper.join()
        title = f"{'c' if hungry else 'b'}. ping, {name}{', hungry thread' if hungry else ''}"
        found = {
            "idle": spread(idle),
            "streaming": spread(streaming),
            "snapping": spread(snapping),
            "snaps": count[0],
            "sleep_control": control,
        }
        report.figures[title] = found
        print(f"\n{title}: {found['streaming']['n']} + {found['snapping']['n']} round trips, {count[0]} snaps")
        print(line("nothing else goes on", found["idle"]))
        print(line(f"while the camera streams, {LONG_EXPOSURE_MS:g} ms exposures", found["streaming"]))
        print(line(f"while it snaps, {LONG_EXPOSURE_MS:g} ms exposures", found["snapping"]))
        print(line("(a bare sleep(0.5 ms) came late by)", control), flush=True)
        if not hungry:
            report.judge(f"{title}, stream", found["streaming"]["p99"], "ping_p99_ms")
            report.judge(f"{title}, snaps", found["snapping"]["p99"], "ping_p99_ms")


# --- d: stops -----------------------------------------------------------------------------------------------------


@dataclass
class Stops:
    """What was seen of some stops."""

    issued_ms: list[float] = field(default_factory=list)
    reply_ms: list[float] = field(default_factory=list)
    still_ms: list[float] = field(default_factory=list)
    moving: int = 0
    failed: int = 0


def stop_once(wire: Wire, watcher: Wire, task: str, stops: Stops) -> None:
    """Stop, and look from outside when the stage rests: its read-back has its last value from then on."""
    before = [float(watcher.ask("stage.position")["z_um"])]
    time.sleep(0.012)
    before.append(float(watcher.ask("stage.position")["z_um"]))
    stops.moving += before[0] != before[1]
    began = time.perf_counter_ns()
    reply = wire.ask("stop")
    stops.reply_ms.append((time.perf_counter_ns() - began) / 1e6)
    stops.issued_ms.append(float("inf") if reply["issue_ms"] is None else float(reply["issue_ms"]))
    seen: list[tuple[float, float]] = []
    while not seen or seen[-1][0] < 200:
        z_um = float(watcher.ask("stage.position")["z_um"])
        seen.append(((time.perf_counter_ns() - began) / 1e6, z_um))
    still_ms = next(at for at, z_um in seen if z_um == seen[-1][1])
    stops.still_ms.append(still_ms)
    state = wire.ask("task.get", task=task, wait_ms=2_000)["task"]["state"]
    stops.failed += state != "cancelled"
    wire.ask("resume")


def part_d(report: Report, repeats: int, folder: Path) -> None:
    """Stops during moves and focus runs."""
    dice = random.Random(2)
    for name, config in (
        ("simulated, 10 µm/s", simulated(5.0, speed_um_s=10.0)),
        ("Micro-Manager, NTAsyncStage at 10 µm/s", slow_demo(folder)),
    ):
        for what in ("move", "focus run"):
            stops = Stops()
            with (
                sleep_control() as control,
                running(config) as daemon,
                Wire(daemon.control) as wire,
                Wire(daemon.control) as watcher,
            ):
                for _ in range(repeats):
                    at_um = float(wire.ask("stage.position")["z_um"])
                    if what == "move":
                        task = wire.ask("stage.move", z_um=-15.0 if at_um > 0 else 15.0)["task"]
                    else:
                        task = wire.ask("focus.run", range_um=8.0)["task"]
                    time.sleep(dice.uniform(0.1, 0.9))
                    stop_once(wire, watcher, task, stops)
            title = f"d. stop, {name}, during a {what}"
            found = {
                "issued": spread(stops.issued_ms),
                "reply": spread(stops.reply_ms),
                "still": spread(stops.still_ms),
                "was_moving": stops.moving,
                "not_cancelled": stops.failed,
                "unanswered": sum(value == float("inf") for value in stops.issued_ms),
                "sleep_control": control,
            }
            report.figures[title] = found
            print(f"\n{title}: {repeats} times, the stage moving in {stops.moving} of them")
            print(line("request received → the driver's stop is called", found["issued"]))
            print(line("request sent → reply", found["reply"]))
            print(line("request sent → stage read back at rest", found["still"]))
            print(line("(a bare sleep(0.5 ms) came late by)", control), flush=True)
            report.judge(title, max(stops.issued_ms), "stop_issued_max_ms")
            report.judge(title, max(stops.still_ms), "stage_still_max_ms")
            report.require(f"{title}: every task ended as cancelled", holds=stops.failed == 0)
            if what == "move":
                report.require(f"{title}: the stage was moving", holds=stops.moving == repeats)


# --- e: beside the stock engine -----------------------------------------------------------------------------------


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


def part_e(report: Report, seconds: float, blocks: int, folder: Path) -> None:
    """The daemon and the stock engine in alternating blocks."""
    results: dict[str, list[dict[str, Any]]] = {"daemon": [], "stock, iterator": [], "stock, sequenced": []}
    with sleep_control() as control:
        for _ in range(blocks):
            for name, found in results.items():
                if name == "daemon":
                    block = stream(demo(folder), seconds, folder)
                    block["dropped"] = block["lost"] + block["skipped"]
                    found.append(block)
                else:
                    found.append(stock(name.partition(", ")[2], seconds, folder))
    print(f"\ne. DemoCamera, sharpness of each frame over ZeroMQ: medians of {blocks} blocks of {seconds:g} s")
    print(f"  {'':<18}{'frames/s':>9}{'dropped':>9}{'CPU ms':>8}   in hand → sent      → arrived        received → arrived")
    medians: dict[str, dict[str, float]] = {}
    for name, found in results.items():
        values = {key: statistics.median(block[key] for block in found) for key in ("fps", "dropped", "cpu_ms_per_frame")}
        for key in ("in_hand_to_score_published", "in_hand_to_score_arrived", "received_to_score_arrived"):
            for part in ("p50", "p99"):
                values[f"{key}_{part}"] = statistics.median(block[key][part] for block in found)
        medians[name] = values
        pairs = "".join(
            f"  {values[f'{key}_p50']:6.2f} /{values[f'{key}_p99']:6.2f} ms" if values[f"{key}_p50"] > 0 else f"{'–':>16}"
            for key in ("in_hand_to_score_published", "in_hand_to_score_arrived", "received_to_score_arrived")
        )
        print(f"  {name:<18}{values['fps']:>9.1f}{values['dropped']:>9g}{values['cpu_ms_per_frame']:>8.2f}{pairs}")
    for name in ("stock, iterator", "stock, sequenced"):
        ours, theirs = medians["daemon"], medians[name]
        ratios = {key: ours[key] / theirs[key] if theirs[key] else float("nan") for key in ours}
        medians[f"daemon over {name}"] = ratios
        print(
            f"  daemon over {name}: frames/s ×{ratios['fps']:.2f}, CPU ×{ratios['cpu_ms_per_frame']:.2f}, "
            f"in hand → arrived p50 ×{ratios['in_hand_to_score_arrived_p50']:.2f}, "
            f"p99 ×{ratios['in_hand_to_score_arrived_p99']:.2f}"
        )
    print(line("(a bare sleep(0.5 ms) came late by)", control), flush=True)
    report.figures["e. beside the stock engine"] = {"blocks": results, "medians": medians, "sleep_control": control}


def main() -> int:
    """Run the parts; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="abcde", help="which parts, for example ad")
    parser.add_argument("--seconds", type=float, help="length of each stream of part a (60)")
    parser.add_argument("--quick", action="store_true", help="10 s streams and few repeats")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    sys.setswitchinterval(0.0005)
    seconds = chosen.seconds or (10.0 if chosen.quick else 60.0)
    short = min(seconds, 5.0 if chosen.quick else 20.0)
    repeats, blocks = (5, 1) if chosen.quick else (25, 3)
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "a" in chosen.parts:
            part_a(report, seconds, folder)
        if "b" in chosen.parts:
            part_b(report, short, folder)
        if "c" in chosen.parts:
            part_a(report, short, folder, hungry=True)
            part_b(report, short, folder, hungry=True)
        if "d" in chosen.parts:
            part_d(report, repeats, folder)
        if "e" in chosen.parts:
            part_e(report, min(short, 10.0), blocks, folder)
    print("\ntargets: " + ("all met" if not report.missed else "; ".join(["MISSED", *report.missed])))
    if chosen.json is not None:
        content = {"targets": TARGETS, "missed": report.missed, **report.figures}
        chosen.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0 if not report.missed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WireError as error:
        sys.exit(f"the daemon refused: {error}")

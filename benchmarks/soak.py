"""Half an hour of streaming beside bad company: how the daemon's memory and its loop lag develop.

The simulated microscope streams 512² at 100 frames/s. For the first minute one good subscriber listens alone. Then
three bad ones join it: one reads an event each 100 ms, one subscribes to events and pictures and never reads, one
reconnects each second. Memory of the daemon's processes (resident set, Linux only) and the loop lag that it publishes
itself are sampled with each heartbeat.

Targets: memory grows by at most 5 % from the end of the first minute in bad company on (the queues kept for slow
readers have then filled), the median p99 of loop lag is not more than a millisecond above that of the first minute,
the good subscriber misses nothing, no frame goes uncounted.

    python benchmarks/soak.py [--minutes 30] [--json FILE] [--plot FILE.png]

The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import zmq
from _daemon import running
from _rigs import simulated
from _wire import Wire

ALONE_S = 60.0
FILL_S = 60.0
GROWTH, LAG_MS = 1.05, 1.0


def main() -> int:
    """Run the soak; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    figures = soak(arguments.minutes * 60)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")
    if arguments.plot:
        plot(figures, arguments.plot)
    return report(figures)


def soak(seconds: float) -> dict[str, Any]:
    """Stream for so long; return the samples and the counts."""
    samples: list[dict[str, float]] = []
    seen: dict[str, int] = {}
    gaps = 0
    over = threading.Event()
    company: list[threading.Thread] = []
    with running(simulated()) as daemon, Wire(daemon.control) as wire:
        endpoints = wire.ask("hello")["endpoints"]
        good: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        good.setsockopt(zmq.RCVHWM, 0)
        good.subscribe("v1.")
        good.connect(daemon.events)
        wire.ask("camera.start")
        began = time.monotonic()
        while (now_s := time.monotonic() - began) < seconds:
            if not company and now_s > ALONE_S:
                company = [threading.Thread(target=bad, args=(endpoints, over)) for bad in (_slow, _deaf, _restless)]
                for thread in company:
                    thread.start()
            if not good.poll(5_000):
                raise RuntimeError("the daemon has said nothing for five seconds")
            event = json.loads(good.recv_multipart()[1])
            topic, seq = event["topic"], event["seq"]
            gaps += seq - seen.get(topic, seq - 1) - 1
            seen[topic] = seq
            if topic == "v1.heartbeat.":
                samples.append(_sample(now_s, daemon.process.pid, event["data"]))
        over.set()
        for thread in company:
            thread.join()
        good.close(linger=0)
        wire.ask("camera.stop")
        status = wire.ask("status")
    counts = {"frames": status["camera"]["frames"], "lost": status["camera"]["lost"], "gaps": gaps}
    return {"seconds": seconds, "samples": samples, **counts, "engines": status["engines"]}


def _sample(now_s: float, pid: int, beat: dict[str, Any]) -> dict[str, float]:
    lag = beat["loop_lag_ms"]
    return {"s": now_s, "mib": resident_mib(pid), "p50": lag["p50"], "p99": lag["p99"], "max": lag["max"]}


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children in MiB; 0 where the system does not tell."""
    total = 0.0
    try:
        for status in Path("/proc").glob("[0-9]*/status"):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(lines["Pid"]) == pid or int(lines["PPid"]) == pid:
                total += int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
    except (OSError, KeyError, ValueError):
        return total
    return total


def _subscriber(endpoint: str, topic: str = "v1.") -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, 10)
    socket.subscribe(topic)
    socket.connect(endpoint)
    return socket


def _slow(endpoints: dict[str, str], over: threading.Event) -> None:
    """Read an event each 100 ms of the 200 a second."""
    with _subscriber(endpoints["events"]) as socket:
        while not over.wait(0.1):
            if socket.poll(1_000):
                socket.recv_multipart()


def _deaf(endpoints: dict[str, str], over: threading.Event) -> None:
    """Subscribe to events and pictures, and never read."""
    with _subscriber(endpoints["events"]), _subscriber(endpoints["frames"]):
        over.wait()


def _restless(endpoints: dict[str, str], over: threading.Event) -> None:
    """Come and go each second."""
    while not over.is_set():
        with _subscriber(endpoints["events"]) as events, _subscriber(endpoints["frames"]):
            over.wait(1.0)
            if events.poll(0):
                events.recv_multipart()


def report(figures: dict[str, Any]) -> int:
    """Print the figures and what they were held to; return 1 where a target is missed."""
    samples = figures["samples"]
    alone = [sample for sample in samples if 5 < sample["s"] <= ALONE_S]
    later = [sample for sample in samples if sample["s"] > ALONE_S + FILL_S]
    if not alone or not later:
        sys.stderr.write("too short: at least three minutes are needed\n")
        return 1
    settled = statistics.median(sample["mib"] for sample in later[:10])
    end = statistics.median(sample["mib"] for sample in later[-10:])
    lag_alone = statistics.median(sample["p99"] for sample in alone)
    lag_later = statistics.median(sample["p99"] for sample in later)
    engine = figures["engines"]["sharpness"]
    rows = [
        ("memory, MiB: alone", f"{statistics.median(sample['mib'] for sample in alone):.0f}", ""),
        ("memory, MiB: in bad company, after a minute", f"{settled:.0f}", ""),
        ("memory, MiB: at the end", f"{end:.0f} (x {end / settled:.3f})", f"<= x {GROWTH}"),
        ("loop lag p99, ms, median of seconds: alone", f"{lag_alone:.2f}", ""),
        ("the same in bad company", f"{lag_later:.2f}", f"<= {lag_alone + LAG_MS:.2f}"),
        ("worst single lag, ms", f"{max(sample['max'] for sample in samples):.1f}", ""),
        ("events that the good subscriber missed", f"{figures['gaps']}", "0"),
        ("frames / lost / measured + skipped", f"{figures['frames']} / {figures['lost']} / {_told(engine)}", ""),
    ]
    for name, value, target in rows:
        sys.stdout.write(f"{name:46} {value:>24}   {target}\n")
    frames_told = figures["frames"] - engine["measured"] - engine["skipped"] <= 1  # one may be under way at the end
    ok = end <= GROWTH * settled and lag_later <= lag_alone + LAG_MS and figures["gaps"] == 0 and frames_told
    sys.stdout.write("all targets met\n" if ok else "a target was MISSED\n")
    return 0 if ok else 1


def _told(engine: dict[str, int]) -> str:
    return f"{engine['measured']} + {engine['skipped']}"


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw memory and loop lag over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    samples = figures["samples"]
    minutes = [sample["s"] / 60 for sample in samples]
    chart, (memory, lag) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    memory.plot(minutes, [sample["mib"] for sample in samples], color="tab:blue")
    memory.set_ylabel("resident memory, MiB")
    memory.set_ylim(0, 1.15 * max(sample["mib"] for sample in samples))
    for name, colour in (("max", "0.8"), ("p99", "tab:orange"), ("p50", "tab:blue")):
        lag.plot(minutes, [sample[name] for sample in samples], color=colour, label=name, linewidth=0.8)
    lag.set_ylabel("loop lag in each second, ms")
    lag.set_yscale("log")
    lag.set_xlabel("minutes")
    lag.legend(loc="upper right", ncols=3)
    for axes in (memory, lag):
        axes.axvline(ALONE_S / 60, color="0.5", linestyle=":")
    memory.annotate("bad company joins", (ALONE_S / 60, 0), textcoords="offset points", xytext=(4, 6), color="0.4")
    chart.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())

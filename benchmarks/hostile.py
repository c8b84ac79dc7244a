"""Strangers at all three doors: what a ping costs meanwhile, whether memory grows, whether the stage moves.

A daemon streams 512² at 100 frames/s. For a third of the time a good client pings it alone, then together with
strangers (in a process of their own, one after the other, over and over): floods of garbage on ``control``, frames of
64 MB, half-open connections, raw noise with and without ZeroMQ's greeting, garbage among subscriptions, requests to be
refused. Targets: p99 of the ping <= 10 ms, every ping answered, the stage where it was, memory at the end within
10 % of what it was when the strangers had been there for a third of their time.

    python benchmarks/hostile.py [--seconds 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq
from _daemon import running
from _figures import line, spread
from _rigs import simulated
from _wire import Wire
from soak import resident_mib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.synchronize import Event

PING_MS, GROWTH = 10.0, 1.10
NOISE = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x00" * 64,
    b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48 + b"noise" * 99,
)
REFUSED = (
    {"op": "stage.move", "params": {"z_um": 1e9}},
    {"op": "stage.explode"},
    {"op": "stage.move", "params": {"z_um": "1"}},
    {"op": "ping", "surprise": 1},
    {"op": "camera.set", "params": {"exposure_ms": -1}},
)


def strangers(endpoints: Mapping[str, str], over: Event) -> None:
    """Do all of it, over and over."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    held: list[socket.socket] = []
    while not over.is_set():
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 100)
            dealer.connect(endpoints["control"])
            for number in range(200):
                dealer.send(b"garbage %d" % number)
                body = {"v": "1.0", "id": f"00000000-0000-0000-0000-{number:012d}", "type": "request"}
                dealer.send_json({**body, **REFUSED[number % len(REFUSED)]})
            while dealer.poll(20):
                dealer.recv_multipart()
        with context.socket(zmq.DEALER) as dealer:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.connect(endpoints["control"])
            dealer.send(bytes(64 * 2**20))
            over.wait(0.05)
        for name in ("events", "frames"):
            with context.socket(zmq.XSUB) as subscriber:
                subscriber.setsockopt(zmq.LINGER, 100)
                subscriber.connect(endpoints[name])
                for number in range(50):
                    subscriber.send_multipart([b"\x01" + b"%d" % number, b"garbage"])
                subscriber.send(b"\x07" * 5_000)
        for endpoint in endpoints.values():
            host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
            for noise in NOISE:
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(noise)
            half_open = socket.create_connection((host, int(port)))
            half_open.sendall(b"\xff\x00")
            held.append(half_open)
        while len(held) > 60:
            held.pop(0).close()
    context.destroy(linger=0)


def measure(seconds: float) -> dict[str, Any]:
    """Ping for so long, a third of it alone; return the figures."""
    context = multiprocessing.get_context("spawn")
    pings: dict[str, list[float]] = {"alone": [], "with strangers": []}
    memory: list[float] = []
    with running(simulated()) as daemon, Wire(daemon.control) as wire:
        endpoints = wire.ask("hello")["endpoints"]
        z_um = wire.ask("stage.position")["z_um"]
        wire.ask("camera.start")
        over = context.Event()
        process = context.Process(target=strangers, args=(endpoints, over))
        for name, part in (("alone", seconds / 3), ("with strangers", 2 * seconds / 3)):
            if name != "alone":
                process.start()
            until = time.monotonic() + part
            while time.monotonic() < until:
                began = time.perf_counter()
                wire.ask("ping")
                pings[name].append(1000 * (time.perf_counter() - began))
                if len(pings[name]) % 100 == 0:
                    memory.append(resident_mib(daemon.process.pid))
                time.sleep(0.005)
        over.set()
        process.join()
        wire.ask("camera.stop")
        moved = wire.ask("stage.position")["z_um"] != z_um
    return {"pings_ms": pings, "memory_mib": memory, "moved": moved}


def main() -> int:
    """Run it; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description="Strangers at all three doors.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")
    for name, pings in figures["pings_ms"].items():
        sys.stdout.write(line(f"ping {name}", spread(pings)) + "\n")
    memory = figures["memory_mib"]  # every hundred pings: the first third of them without strangers
    third = len(memory) // 3
    settled, end = statistics.median(memory[third : 2 * third]), statistics.median(memory[-max(3, third // 4) :])
    sys.stdout.write(
        f"memory {settled:.0f} -> {end:.0f} MiB; the stage {'MOVED' if figures['moved'] else 'did not move'}\n"
    )
    p99 = spread(figures["pings_ms"]["with strangers"])["p99"]
    ok = p99 <= PING_MS and end <= GROWTH * settled and not figures["moved"]
    sys.stdout.write("all targets met\n" if ok else "a target was MISSED\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

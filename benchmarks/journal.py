"""What the journal costs: the daemon at 100 frames/s, with and without it, in turns within one run.

One daemon streams the simulated microscope (512², sharpness of each frame). Its journal is switched on and off in
blocks, so that whatever else this computer does meets both alike. Of each block are counted: how late each input of the
loop was handled, and the processor time of the recorder thread and of the whole process. Targets: the recorder thread
takes at most 5 % of one core, and p99 of the lag moves by at most 1 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _figures import line, plain, sleep_control, spread
from _rigs import simulated

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.core.inputs import FrameAdmitted
from microscoped.daemon.record import Facts, Recorder, RecorderSettings

if TYPE_CHECKING:
    from microscoped.daemon.core import Effect, Input, Now, State

SWITCH_S = 0.0005
"""As in ``microscoped run``."""
WARM_S = 0.5
CPU_PERCENT = 5.0
P99_MS = 1.0


class Lags(list[int]):
    """The loop's own list of how late it was, which it clears each second; everything is noted once more."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[int] = []

    def append(self, value: int) -> None:
        """Note a lag, in ns."""
        self.noted.append(value)
        super().append(value)


class Switch:
    """A journal that can be exchanged while the loop runs."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.recorder: Recorder | None = None
        self.frames = self.recorded = 0

    def record(self, heard: Input, now: Now, effects: tuple[Effect, ...], state: State) -> None:
        """Pass an input on, if a journal is kept."""
        self.state = state
        self.frames += isinstance(heard, FrameAdmitted)
        if self.recorder is not None:
            self.recorded += 1
            self.recorder.record(heard, now, effects, state)

    @property
    def recorded_seq(self) -> int:
        """See `Recorder`."""
        return self.recorder.recorded_seq if self.recorder is not None else 0

    @property
    def durable_seq(self) -> int:
        """See `Recorder`."""
        return self.recorder.durable_seq if self.recorder is not None else 0

    @property
    def unrecorded(self) -> int:
        """See `Recorder`."""
        return 0

    @property
    def disk_free_mb(self) -> float | None:
        """See `Recorder`."""
        return self.recorder.disk_free_mb if self.recorder is not None else None

    def waiting(self) -> int:
        """How many inputs wait to be written."""
        return self.recorder.waiting() if self.recorder is not None else 0


@dataclass
class Block:
    """Figures of one block."""

    journal: bool
    seconds: float = 0.0
    frames: int = 0
    lags_ms: list[float] = field(default_factory=list)
    process_s: float = 0.0
    recorder_s: float = 0.0
    inputs: int = 0
    size: int = 0


def measure(switch: Switch, lags: Lags, *, journal: bool, seconds: float, folder: Path) -> Block:
    """Measure one block."""
    recorder: Recorder | None = None
    block = Block(journal)
    recorded = switch.recorded
    if journal:
        recorder = Recorder(RecorderSettings(folder), Facts("benchmark", "1.0", {}), switch.state, print)
        recorder.start()
        switch.recorder = recorder
    time.sleep(WARM_S)
    lags.noted = []
    began = time.perf_counter(), time.process_time(), switch.frames, recorder.cpu_s if recorder else 0.0
    time.sleep(seconds)
    block.lags_ms = [lag / 1e6 for lag in lags.noted]
    block.seconds = time.perf_counter() - began[0]
    block.process_s = time.process_time() - began[1]
    block.frames = switch.frames - began[2]
    if recorder is not None:
        block.recorder_s = recorder.cpu_s - began[3]
        switch.recorder = None
        recorder.close(10)
        block.inputs = switch.recorded - recorded
        if recorder.folder is not None:
            block.size = sum(path.stat().st_size for path in recorder.folder.iterdir())
    return block


def main() -> int:
    """Run the blocks and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=30, help="blocks of each kind")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a block")
    parser.add_argument("--folder", type=Path, help="where journals are written; by default a temporary folder")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    content = {
        **simulated(),
        "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
        "journal": {"enabled": False},
    }
    content["camera"] = {**content["camera"], "stream_at_start": True}
    daemon = Daemon(Config.model_validate(content))
    switch, lags = Switch(daemon.state), Lags()
    loop: Any = daemon._loop  # noqa: SLF001 - the loop is watched from inside, between its turns
    loop._journal, loop._lags_ns = switch, lags  # noqa: SLF001
    codes: list[int] = []
    runner = threading.Thread(target=lambda: codes.append(daemon.run()))
    blocks: list[Block] = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, sleep_control() as control:
        runner.start()
        while switch.frames < 100:
            time.sleep(0.1)
        for number in range(2 * chosen.blocks):
            where = Path(folder) / str(number)
            blocks.append(measure(switch, lags, journal=bool(number % 2), seconds=chosen.seconds, folder=where))
        daemon.shut_down("the benchmark is over")
        runner.join()
    if codes != [0]:
        print("the daemon did not end in order")
        return 1
    return report(blocks, control, chosen.json)


def report(blocks: list[Block], control: dict[str, float], path: Path | None) -> int:
    """Print the figures; return 1 where a target is missed."""
    figures: dict[str, Any] = {"sleep_control": control}
    for journal in (False, True):
        these = [block for block in blocks if block.journal is journal]
        lags = spread([lag for block in these for lag in block.lags_ms])
        seconds = sum(block.seconds for block in these)
        name = "with a journal" if journal else "without"
        figures[name] = {
            "fps": sum(block.frames for block in these) / seconds,
            "loop_lag_ms": lags,
            "p99_of_blocks_ms": [spread(block.lags_ms)["p99"] for block in these],
            "process_percent": 100 * sum(block.process_s for block in these) / seconds,
            "recorder_percent": 100 * sum(block.recorder_s for block in these) / seconds,
            "inputs": sum(block.inputs for block in these),
            "bytes": sum(block.size for block in these),
        }
        print(
            f"{name}: {figures[name]['fps']:.1f} frames/s, process {figures[name]['process_percent']:.1f} % of a core"
        )
        print(line("loop lag", lags))
    on, off = figures["with a journal"], figures["without"]
    print(line("(a bare sleep(0.5 ms) came late by)", control))
    cpu = on["recorder_percent"]
    moved = on["loop_lag_ms"]["p99"] - off["loop_lag_ms"]["p99"]
    by_blocks = statistics.median(on["p99_of_blocks_ms"]) - statistics.median(off["p99_of_blocks_ms"])
    rate = sum(len(block.lags_ms) for block in blocks) / sum(block.seconds for block in blocks)
    size = on["bytes"] / max(1, on["inputs"])
    print(
        f"recorder thread: {cpu:.2f} % of one core (target {CPU_PERCENT:g}), {rate:.0f} inputs/s, {size:.0f} bytes each"
    )
    print(f"p99 of the loop's lag moves by {moved:+.3f} ms (target {P99_MS:g})")
    print(f"p99 of the median block moves by {by_blocks:+.3f} ms")
    if path is not None:
        path.write_text(json.dumps(plain(figures), indent=1), encoding="utf-8")
    return 0 if cpu <= CPU_PERCENT and moved <= P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())

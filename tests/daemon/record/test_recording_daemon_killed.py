"""``kill -9`` of a real daemon that records: nothing that its heartbeat had promised is lost.

Twice by default; ``MICROSCOPED_BARE_KILLS=50`` for more.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from microscoped.daemon.client import Scope
from microscoped.daemon.record import Entry, Recorded, read_journal, repair, replay_journal

KILLS = min(50, int(os.environ.get("MICROSCOPED_BARE_KILLS", "2")))
CONFIG = """\
microscope: {{kind: simulated, shape_px: [64, 64], through_micromanager: false, stage: {{start_um: 4.0}}}}
optics: {{na: 0.5, wavelength_nm: 550, pixel_size_um: 0.325}}
stage: {{limits_um: [-20, 20], focus_direction: toward_sample, overshoot_um: 1}}
camera: {{exposure_ms: 10, stream_at_start: true}}
focus: {{pair: {{enabled: false}}}}
supervisor: {{enabled: false}}
journal: {{enabled: false}}
record: {{folder: {folder}, reserve_mb: 0}}
network: {{control: "tcp://127.0.0.1:*", events: "tcp://127.0.0.1:*", frames: "tcp://127.0.0.1:*"}}
"""


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_daemon_killed_while_recording_has_lost_nothing_that_it_promised(tmp_path: Path) -> None:
    moments = random.Random(3)  # noqa: S311 - when to kill is no secret
    path = tmp_path / "scope.yaml"
    path.write_text(CONFIG.format(folder=tmp_path / "recordings"), encoding="utf-8")
    for kill in range(1, KILLS + 1):
        with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "microscoped.daemon", "run", str(path)],
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert process.stdout is not None
        try:
            control = process.stdout.readline().split()[1]
            promised, frames, ends_s = 0, 0, None
            with Scope(control, timeout_s=20) as scope:
                while scope.status()["state"] == "STARTING":
                    time.sleep(0.05)
                folder = Path(scope.start_recording(f"run {kill}")["folder"])
                for event in scope.events("v1.heartbeat.", "v1.frame.", timeout_s=20):
                    now_s = time.monotonic()
                    told = event.data.get("recording")
                    if isinstance(told, dict):
                        promised, frames = max(promised, told["recorded_seq"]), max(frames, told["frames"])
                    if promised and ends_s is None:
                        ends_s = now_s + moments.uniform(0, 1.5)
                    if ends_s is not None and now_s >= ends_s:
                        break
                process.kill()
                process.wait(20)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        numbers = [line.n for line in read_journal(folder) if isinstance(line, Entry)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[-1] >= promised > 0
        replay = replay_journal(folder)
        assert replay.difference is None, str(replay.difference)
        repair(folder)
        recorded = Recorded(folder)
        verified = recorded.verify()
        assert not verified.damaged
        assert verified.good >= frames > 0
        assert recorded.store.times == verified.good

"""``kill -9`` of a real daemon at random moments: nothing that it said was recorded is lost.

Five times by default; ``MICROSCOPED_BARE_KILLS=100`` for more.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.client import Scope
from microscoped.daemon.record import Entry, read_journal, replay_journal

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("MICROSCOPED_BARE_KILLS", "5"))
CONFIG = """\
microscope: {{kind: simulated, shape_px: [64, 64], through_micromanager: false, stage: {{start_um: 4.0}}}}
optics: {{na: 0.5, wavelength_nm: 550, pixel_size_um: 0.325}}
stage: {{limits_um: [-20, 20], focus_direction: toward_sample, overshoot_um: 1}}
camera: {{exposure_ms: 5, stream_at_start: true}}
supervisor: {{enabled: false}}
journal: {{folder: {folder}, rotate_mb: 0.1}}
network: {{control: "tcp://127.0.0.1:*", events: "tcp://127.0.0.1:*", frames: "tcp://127.0.0.1:*"}}
"""


@pytest.mark.slow
@pytest.mark.timeout(60 + 15 * KILLS)
def test_a_killed_daemon_has_lost_nothing_that_it_said_was_recorded(tmp_path: Path) -> None:
    moments = random.Random(1)  # noqa: S311 - when to kill is no secret
    path = tmp_path / "scope.yaml"
    journals = tmp_path / "journals"
    path.write_text(CONFIG.format(folder=journals), encoding="utf-8")
    torn = 0
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
            promised = 0
            with Scope(control, timeout_s=20) as scope:
                ends_s = None
                for event in scope.events("v1.heartbeat.", "v1.measure.", timeout_s=20):
                    now_s = time.monotonic()
                    if event.topic == "v1.heartbeat.":
                        promised = max(promised, int(event.data["recorded_seq"]))  # type: ignore[arg-type] # a number
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
        session = max(journals.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
        assert len(list(journals.iterdir())) == kill
        numbers = [line.n for line in read_journal(session) if isinstance(line, Entry)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= promised > 0
        replay = replay_journal(session)
        assert replay.difference is None, str(replay.difference)
        torn += replay.torn is not None
    print(f"{KILLS} kills, {torn} torn ends")

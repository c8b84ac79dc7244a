"""``kill -9`` while recording: nothing that was acknowledged is lost, and the store opens as it is.

Three times by default; ``MICROSCOPED_BARE_KILLS=50`` for more. ``benchmarks/record_kill.py`` does the same at length,
with ome-zarr-py beside.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.record import Entry, Recorded, read_journal, repair, replay_journal

if TYPE_CHECKING:
    from types import ModuleType

KILLS = min(50, int(os.environ.get("MICROSCOPED_BARE_KILLS", "3")))
BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_recorded")


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_killed_recording_has_lost_nothing_that_was_acknowledged(tmp_path: Path, child: Any) -> None:  # noqa: ANN401
    moments = random.Random(2)  # noqa: S311 - when to kill is no secret
    zarr = pytest.importorskip("zarr")
    for kill in range(1, KILLS + 1):
        folder = tmp_path / f"run {kill}"
        command = [sys.executable, str(BENCHMARKS / "_recorded.py"), str(folder), str(kill)]
        with Popen(command, stdout=PIPE, encoding="utf-8") as process:
            assert process.stdout is not None
            promised = int(process.stdout.readline())
            time.sleep(moments.uniform(0, 1))
            process.kill()
            promised = max([promised, *map(int, process.stdout.read().split("\n")[:-1])])
        numbers = [line.n for line in read_journal(folder) if isinstance(line, Entry)]
        assert numbers == list(range(2, len(numbers) + 2))
        assert numbers[-1] >= promised > 0
        assert replay_journal(folder).difference is None
        recorded = Recorded(folder)
        stored = [one for one in recorded.frames.values() if one.at is not None]
        assert stored
        assert all((one.at is None) == (one.frame.number % 10 == 0) for one in recorded.frames.values())

        group = zarr.open_group(folder / "frames.ome.zarr", mode="r")  # before anything is repaired
        (scales,) = group.attrs["ome"]["multiscales"]
        scale, translation = scales["datasets"][0]["coordinateTransformations"]
        assert [axis["name"] for axis in scales["axes"]] == ["t", "c", "z", "y", "x"]
        assert scale["scale"][3:] == [child.PIXEL_SIZE_UM] * 2
        assert translation["translation"][2] == child.FIRST_Z_UM
        array = group["0"]
        assert array.shape[0] >= len(stored)
        for one in stored:
            np.testing.assert_array_equal(array[one.at], child.pixels_of(kill, one.frame.number))
        for at in range(len(stored), array.shape[0]):
            assert array[at].any(), "a frame is counted and is not there"

        assert repair(folder).times == len(stored)
        recorded = Recorded(folder)
        assert recorded.store.own["frames"]["z_um"] == [child.z_of(one.frame.number) for one in stored]
        assert not recorded.verify().damaged

"""Recorded frames are measured again: the same within a tolerance, or the first difference with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core import step as step_of
from microscoped.daemon.record import (
    Entry,
    Recomputation,
    Recorded,
    Replay,
    Tolerance,
    read_journal,
    replay_journal,
)
from microscoped.daemon.record import replay as room
from microscoped.models.sharpness import SharpnessEngine
from tests.daemon.record.recording_world import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES = 6


class Other(SharpnessEngine):
    """The engine with one constant changed."""

    factor = 1.0
    only: str | None = None

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        found = dict(super().measure(frames, options))
        return {**found, "mean": found["mean"] * self.factor}


class Background:
    """Stands for an engine whose words decide about an alarm."""

    name = "hologram"
    frames = 1

    def __init__(self, stale: bool) -> None:
        self.stale = stale

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        residual_rad = 0.31 if self.stale else 0.29
        return {"background": {"stale": self.stale, "why": "", "residual_rad": residual_rad}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    for number in range(1, FRAMES + 1):
        scene.frame(number)
    scene.close()
    return tmp_path / "run"


def again(folder: Path, *engines: Any, **tolerances: Tolerance) -> Replay:  # noqa: ANN401 - stand-ins
    return replay_journal(folder, recompute=Recomputation(Recorded(folder), engines, tolerances))


def number_of(folder: Path, nth: int) -> int:
    """Number of the nth measurement."""
    return [line.n for line in read_journal(folder) if isinstance(line, Entry) and line.input == "MeasureEnded"][nth]


def test_the_same_engine_measures_the_same(folder: Path) -> None:
    found = again(folder, SharpnessEngine())
    assert found.difference is None
    assert found.recomputed is not None
    assert (found.recomputed.measured, found.recomputed.differing, found.recomputed.left_out) == (FRAMES, 0, {})
    assert found.recomputed.largest["sharpness"] == {"score": 0, "error": 0, "mean": 0, "saturated_fraction": 0}


def test_a_changed_constant_is_found_where_it_first_matters(folder: Path) -> None:
    engine = Other()
    engine.factor = 1.001
    found = again(folder, engine)
    assert found.difference is not None
    assert (found.difference.number, found.difference.input) == (number_of(folder, 0), "MeasureEnded")
    assert found.difference.what == "measurement"
    assert "mean: " in found.difference.found
    assert "is allowed" in found.difference.found
    assert found.recomputed is not None
    assert (found.recomputed.measured, found.recomputed.differing, found.recomputed.flipped) == (FRAMES, FRAMES, 0)
    within = again(folder, engine, sharpness=Tolerance(relative=2e-3))
    assert within.difference is None
    assert within.recomputed is not None
    assert within.recomputed.largest["sharpness"]["mean"] > 0


def test_a_changed_constant_of_the_reducer_is_found_where_it_first_matters(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = number_of(folder, 2)

    def step(state: Any, heard: Any, now: Any) -> Any:  # noqa: ANN401 - as it is
        state, effects = step_of(state, heard, now)
        return state, effects[:-1] if now.number == third else effects

    monkeypatch.setattr(room, "step", step)
    found = replay_journal(folder)
    assert found.difference is not None
    assert (found.difference.number, found.difference.what) == (third, "effects")
    assert replay_journal(folder, until=third - 1).difference is None


def test_damaged_pixels_are_told_and_not_measured(folder: Path) -> None:
    chunk = folder / "frames.ome.zarr" / "0" / "c" / "2" / "0" / "0" / "0" / "0"
    chunk.unlink()
    found = again(folder, SharpnessEngine())
    assert found.difference is not None
    assert (found.difference.number, found.difference.what) == (number_of(folder, 2), "pixels")
    assert "checksum" in found.difference.found


def test_a_failing_engine_is_a_difference(folder: Path) -> None:
    class Failing(Other):
        def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
            raise ZeroDivisionError("none")

    found = again(folder, Failing())
    assert found.difference is not None
    assert "ZeroDivisionError: none" in found.difference.found


def test_what_cannot_be_measured_again_is_counted_with_the_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run", most_waiting_mb=1e-6)
    scene.recording.start()
    scene.frame(1)
    scene.frame(2)
    scene.hear(heard_of.MeasureEnded("cells", "frame-1", None, {"count": 3}, 1.0))
    scene.hear(heard_of.MeasureEnded("sharpness", "frame-0", None, {"score": 3.0}, 1.0))
    scene.close()
    found = again(tmp_path / "run", SharpnessEngine())
    assert found.difference is None
    assert found.recomputed is not None
    assert found.recomputed.measured == 0
    assert found.recomputed.left_out == {
        "a frame was not recorded: the disk is too slow: 0.0 MB of frames wait for it": 2,
        "engine cells does not run here": 1,
        "it was asked for before the recording began": 1,
    }


def test_a_flipped_decision_is_shown_with_its_margin(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "run")
    scene.recording.start()
    scene.frame(1)
    values = Background(stale=False).measure([], {})
    scene.hear(heard_of.MeasureEnded("hologram", "frame-1", "an id", values, 1.0))
    scene.close()
    recorded = Recorded(tmp_path / "run")
    for stale, flipped in ((False, 0), (True, 1)):
        recompute = Recomputation(recorded, [Background(stale)])
        recompute._asked["hologram", "frame-1", "an id"] = {}
        found = replay_journal(tmp_path / "run", recompute=recompute)
        assert found.recomputed is not None
        assert found.recomputed.flipped == flipped
    assert found.difference is not None
    assert found.difference.what == "decision flipped"
    assert "hologram.background" in found.difference.found
    assert "margin: background.stale: False → True; background.residual_rad: 0.29 → 0.31" in found.difference.found


@pytest.mark.parametrize(
    ("was", "found", "deviations"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-7}, []),
        ({"a": 1.0}, {"a": 1.0 + 1e-5}, ["a"]),
        ({"a": 0.0}, {"a": 1e-13}, []),
        ({"a": 0.0}, {"a": 1e-8}, ["a"]),
        ({"a": 2}, {"a": 3}, ["a"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": None}, {"a": 0.0}, ["a"]),
        ({"a": "near"}, {"a": "far"}, ["a"]),
        ({"a": 1.0}, {"b": 1.0}, [""]),
        ({"cells": [{"mass": 1.0}, {"mass": 2.0}]}, {"cells": [{"mass": 1.0}, {"mass": 2.5}]}, ["cells[1].mass"]),
        ({"cells": [1.0, 2.0]}, {"cells": [1.0]}, ["cells"]),
        ({"a": [[1.0], [2.0]]}, {"a": [[1.0], [2.1]]}, ["a[1][0]"]),
    ],
)
def test_values_are_compared_to_the_last_leaf(
    was: dict[str, Any], found: dict[str, Any], deviations: list[str]
) -> None:
    recompute = Recomputation(Recorded.__new__(Recorded), [])
    heard = heard_of.MeasureEnded("any", "frame-1", None, was, 1.0)
    told = [one.field for one in recompute._compare(heard, json.loads(json.dumps(found)), Tolerance())]
    assert told == deviations

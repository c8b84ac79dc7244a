"""The scripted experiment counts right, and runs; its figures are judged by people."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
HOURS = 12.0


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def a_run(part: Callable[[str], ModuleType], events_s: Sequence[float], bursts_s: Sequence[tuple[float, float]]) -> Any:  # noqa: ANN401
    dish = part("_experiment_dish")
    seconds = 3600.0 * HOURS
    empty = dish.Run(7, seconds, [], 40, [], list(bursts_s), [])
    exposures = part("_experiment_scores")._with_bursts(empty, bursts_s)
    events = [dish.Event(at, inside=True, seen=True) for at in events_s]
    return dish.Run(7, seconds, exposures, 40, [0.0] * len(exposures), list(bursts_s), events)


@pytest.mark.parametrize(
    ("exposures", "begin", "end", "gap"),
    [
        ([0, 10, 20, 30], 10, 20, 10),
        ([0, 10, 20, 30], 12, 18, 10),
        ([0, 100], 40, 60, 100),
        ([0, 10, 90, 100], 5, 95, 80),
        ([50], 40, 60, math.inf),
        ([], 40, 60, math.inf),
    ],
)
def test_the_longest_gap_is_that_of_all_that_reach_into_the_time(
    part: Callable[[str], ModuleType], exposures: list[float], begin: float, end: float, gap: float
) -> None:
    assert part("_experiment_scores").longest_gap_s(exposures, begin, end) == gap


def test_an_event_is_caught_where_the_fast_rate_was_on_before_and_after_it(part: Callable[[str], ModuleType]) -> None:
    scores = part("_experiment_scores")
    at = 20_000.0
    for burst, caught in (
        ((at - 700, at + 400), 1),
        ((at - 500, at + 400), 0),  # too late
        ((at - 700, at + 200), 0),  # not long enough
    ):
        run = a_run(part, [at], [burst])
        found = scores.score(run.exposures_s, run.exposures, scores.counted(run))
        assert (found.caught, found.events) == (caught, 1)


def test_events_count_where_all_of_them_can_be_seen(part: Callable[[str], ModuleType]) -> None:
    dish, scores = part("_experiment_dish"), part("_experiment_scores")
    run = a_run(part, [100.0, 20_000.0, 3600.0 * HOURS - 10.0], [])
    assert scores.counted(run) == [20_000.0]
    run.events.append(dish.Event(21_000.0, inside=False, seen=True))
    assert scores.counted(run) == [20_000.0]


def test_a_burst_is_false_where_no_cell_divides(part: Callable[[str], ModuleType]) -> None:
    scores = part("_experiment_scores")
    bursts = [(20_000.0 - 1000, 20_500.0), (30_000.0, 31_000.0), (40_000.0 + 600, 41_500.0)]
    assert scores.false_bursts(a_run(part, [20_000.0, 40_000.0], bursts)) == 1


def test_the_same_dose_is_spent_by_all(part: Callable[[str], ModuleType]) -> None:
    scores = part("_experiment_scores")
    run = a_run(part, [20_000.0], [(19_000.0, 21_000.0), (30_000.0, 33_000.0)])
    for name, spent in scores.OTHERS.items():
        times = np.array(spent(run))
        assert len(times) == pytest.approx(len(run.exposures_s), abs=3), name
        assert (np.diff(times) > 0).all(), name
        assert times.min() >= 0
        assert times.max() <= run.seconds
    gaps = np.diff(scores.evenly(run))
    assert np.ptp(gaps) < 1e-6
    for name in ("periodic bursts", "random trigger"):
        fast = np.count_nonzero(np.diff(scores.OTHERS[name](run)) < 11.0)
        assert fast == pytest.approx(5000 / 10, abs=4), name


@pytest.mark.parametrize(
    ("caught", "events", "low", "high"),
    [(10, 10, 0.722, 1.0), (0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (0, 0, 0.0, 1.0)],
)
def test_intervals_of_shares_are_those_of_wilson(
    part: Callable[[str], ModuleType], caught: int, events: int, low: float, high: float
) -> None:
    assert part("_experiment_scores").wilson(caught, events) == pytest.approx((low, high), abs=1e-3)


def test_intervals_of_ratios_hold_the_ratio(part: Callable[[str], ModuleType]) -> None:
    mean, low, high = part("_experiment_scores").bootstrap([10.0, 20.0, 30.0, 40.0], [100.0] * 4)
    assert mean == 0.25
    assert 0.1 <= low < 0.25 < high <= 0.4


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_experiment_runs_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found, picture = tmp_path / "found.json", tmp_path / "found.png"
    options = ["--seeds", "1", "--hours", "2", "--network", "none", "--json", str(found), "--plot", str(picture)]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "experiment.py"), *options],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert found.exists(), done.stdout + done.stderr
    figures = json.loads(found.read_text())
    (run,) = figures["runs"]
    assert run["focus_exposures"] > 15
    assert max(map(abs, run["defocus_um"])) < 6.0
    assert len(run["exposures_s"]) < 0.6 * 720
    assert picture.stat().st_size > 10_000
    assert set(figures["policies"]) == {
        "always fast",
        "rules",
        "periodic",
        "random",
        "periodic bursts",
        "random trigger",
    }


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_latencies_are_of_every_measurement(tmp_path: Path) -> None:
    found = tmp_path / "latency.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "latency.py"), "--seconds", "2", "--cells", "20", "--json", str(found)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert found.exists(), done.stdout + done.stderr
    figures = json.loads(found.read_text())
    for name in ("cells", "many"):
        measured = sum(engine["measured"] for engine in figures[name]["engines"].values())
        assert figures[name]["measurement_to_decision"]["n"] == measured > 20
        assert figures[name]["decision_to_action"]["n"] > 0

"""The benchmark of lens-free reconstruction counts and judges right; its figures are judged by people."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

pytest.importorskip("torch", reason="its scenes need the extra 'train'")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
REFERENCE, FAST, LIGHT = (
    "153 iterations, unwrapped",
    "10 + network + 10, unwrapped",
    "10 + light network + 10, unwrapped",
)


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def row(name: str, **changed: float) -> dict[str, Any]:
    good = {"rmse_nm": 2.0, "difference_sd_nm": 1.0, "ssim": 0.995, "tall_right": 0.97}
    over = {"busy": changed.pop("over", 7.0), "paired": 7.0}
    return {"name": name, **good, **changed, "over": over, "busy_s": 2.0, "seconds": 2.5}


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, set()),
        ({"over": 5.9}, {"times faster"}),
        ({"rmse_nm": 2.11}, {"error ÷"}),
        ({"difference_sd_nm": 6.1}, {"SD of difference"}),
        ({"ssim": 0.98}, {"SSIM"}),
        ({"tall_right": 0.9}, {"tall cells right"}),
        ({"tall_right": float("nan")}, {"tall cells right"}),
    ],
)
def test_what_misses_a_target_is_said_to(
    part: Callable[[str], ModuleType], changed: dict[str, float], missed: set[str]
) -> None:
    report = part("_lensfree_report")
    told = report.judge({"scenes": {"absent": [], "wide": [row(REFERENCE), row(FAST), row(LIGHT, **changed)]}})
    failed = [target["what"] for target in told if target["met"] is False]
    assert all(LIGHT in what and any(name in what for name in missed) for what in failed)
    assert all(any(name in what for what in failed) for name in missed)
    assert all(target["met"] is not None for target in told)


def test_what_was_not_measured_is_neither_met_nor_missed(part: Callable[[str], ModuleType]) -> None:
    report = part("_lensfree_report")
    told = report.judge({"scenes": {"absent": ["lensfree_unwrap"]}, "frame": {"reason": "no network"}})
    assert told
    assert {target["met"] for target in told} == {None}
    assert part("_judged").missed(told)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_runs(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "lensfree.py", "--quick", "--rows", "scenes", "course", "--json", found],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    told = json.loads(found.read_text(encoding="utf-8"))
    assert told["scenes"]["absent"] == [], done.stderr
    names = [one["name"] for one in told["scenes"]["wide"]]
    assert names[:3] == [REFERENCE, FAST, LIGHT]
    assert "the truth" in names
    assert [stop["iteration"] for stop in told["course"]["wide"]] == [10, 20]
    assert "times faster than the reference" in done.stdout

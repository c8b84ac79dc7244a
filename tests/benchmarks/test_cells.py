"""The benchmarks of cells count and judge right; their figures are judged by people."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.cells import CellTable, HeatMaps, Quantity, disc_maps
from microscoped.models.cells.inputs import PIXEL_UM

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from numpy.typing import NDArray

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SHAPE = (200, 240)
CLEAN, DEGRADED = "network A", "network B"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def table(places: list[tuple[float, float]], mass: float = 200.0, shape: tuple[int, int] = SHAPE) -> CellTable:
    spread = 1.0 + 0.1 * np.arange(len(places))
    columns = {quantity.value: mass * spread for quantity in Quantity}
    columns["border"] = np.zeros(len(places), bool)
    return CellTable.of_columns(places, columns, shape, PIXEL_UM)


def shown(part: Callable[[str], ModuleType], count: int) -> Any:  # noqa: ANN401
    truth = table([(20.0 + 30.0 * (k // 6), 20.0 + 35.0 * (k % 6)) for k in range(count)])
    return part("_cells_compared").Shown(np.zeros(SHAPE, np.float32), truth)


def test_rates_are_of_the_field_s_own_cells_and_ratios_of_the_same_field(part: Callable[[str], ModuleType]) -> None:
    compared, timing = part("_cells_compared"), part("_hologram_timing")
    fields = [shown(part, 4), shown(part, 8), shown(part, 12)]
    seconds = {"fast": [0.1, 0.3, 0.1, 0.1, 0.1, 9.0, 0.2, 0.2, 0.2], "slow": [1.0, 0.5, 0.4]}
    seen: dict[str, list[int]] = {"fast": [], "slow": []}

    def taken(jobs: list[Any], rounds: int) -> dict[str, list[Any]]:
        assert rounds == 9
        told: dict[str, list[Any]] = {}
        for job in jobs:
            due = [number for number in range(rounds) if number % job.every == 0]
            told[job.name] = [
                timing.Turn(number, of, of / 2, job.run(number))
                for number, of in zip(due, seconds[job.name], strict=True)
            ]
        return told

    def reader(name: str) -> Callable[[NDArray[np.float32], float], CellTable]:
        def read(opd_nm: NDArray[np.float32], _pixel_um: float) -> CellTable:
            number = next(k for k, one in enumerate(fields) if one.opd_nm is opd_nm)
            seen[name].append(number)
            return fields[number].truth

        return read

    method = part("_cells_methods").Method
    methods = [method("fast", reader("fast")), method("slow", reader("slow"), slow=True)]
    found = compared.compare(fields, methods, 3, turns=taken)
    assert seen == {"fast": [0, 0, 0, 0, 1, 1, 1, 2, 2, 2], "slow": [0, 0, 1, 2]}
    fast, slow = found["rows"]
    assert fast["cells_per_s"]["median"] == pytest.approx(60.0)
    assert slow["over"]["fast"] == {
        "fields": 3,
        "median": pytest.approx(5.0),
        "low": pytest.approx(2.0),
        "high": pytest.approx(10.0),
    }
    assert (found["cells"], found["fields"], fast["ms"]["n"], slow["ms"]["n"]) == (24, 3, 9, 3)
    assert fast["detection"]["recall"]["value"] == 1.0
    assert fast["quantities"]["area_um2"]["r2"]["value"] == 1.0
    json.dumps(found)


def test_a_ratio_without_a_field_is_no_number(part: Callable[[str], ModuleType]) -> None:
    ratio = part("_cells_compared").median_ratio
    assert ratio(np.array([4.0, np.nan, 9.0]), np.array([2.0, 1.0, 3.0]))["median"] == 2.5
    assert np.isnan(ratio(np.array([np.nan]), np.array([1.0]))["median"])


@pytest.mark.parametrize("stride", [1, 2])
def test_true_discs_are_like_themselves_and_others_less(part: Callable[[str], ModuleType], stride: int) -> None:
    one = shown(part, 12)
    offset = 0.5 * (stride - 1)
    places = (one.truth.places_px - offset) / stride
    shape = SHAPE[0] // stride, SHAPE[1] // stride

    def maps(factor: float) -> Callable[..., HeatMaps]:
        drawn = {
            quantity: factor * disc_maps(places, one.truth.column(quantity)[:, None], shape, stride * PIXEL_UM)[0]
            for quantity in Quantity
        }
        return lambda *_: HeatMaps(stride * PIXEL_UM, offset, stride, drawn, None, {})

    method, likeness = part("_cells_methods").Method, part("_cells_compared").likeness
    same, less = (likeness(method("net", lambda *_: one.truth, maps=maps(of)), [one]) for of in (1.0, 0.1))
    assert same == pytest.approx({quantity.value: 1.0 for quantity in Quantity})
    assert all(less[name] < 0.99 for name in same), less
    assert likeness(method("classical", lambda *_: one.truth), [one]) == {}


def test_a_frame_of_fields_has_the_cells_that_are_counted(part: Callable[[str], ModuleType]) -> None:
    compared, frames = part("_cells_compared"), part("_cells_frame")
    image = np.zeros((64, 64), np.float32)
    places = [(10.0, 12.0), (40.0, 50.0), (60.0, 5.0)]
    for row, column in places:
        image[int(row), int(column)] = 1.0
    one = compared.Shown(image, table(places, shape=(64, 64)))
    frame, cells = frames.tiled([one], (150, 170))
    assert frame.shape == (150, 170)
    assert cells == int(frame.sum())
    assert 10 < cells < 27
    assert (frame[:64, 64:128] != frame[:64, :64]).any()


def row(name: str, r2: float = 0.97, slope: float = 1.0, mad: float = 1.0, rate: float = 5e3, over: float = 0) -> Any:  # noqa: ANN401
    figure = {"value": 0.995, "low": 0.99, "high": 1.0}
    told = {"r2": r2, "slope": slope, "error_mad": mad, "covered": 0.9}
    return {
        "name": name,
        "told": {},
        "ms": {"n": 3, "median": 20.0, "busy": 19.0},
        "cells_per_s": {"median": rate, "low": rate, "high": rate},
        "over": {one: {"median": over, "low": over, "high": over} for one in (CLEAN, DEGRADED) if one != name},
        "detection": {"precision": figure, "recall": figure},
        "quantities": {quantity.value: {key: {"value": of} for key, of in told.items()} for quantity in Quantity},
        "ssim": {quantity.value: 0.95 for quantity in Quantity},
    }


def figures(*rows: Any) -> dict[str, Any]:  # noqa: ANN401
    one = {"cells": 10, "fields": 2, "repeats": 1, "rows": list(rows)}
    return {"fields": {"absent": {}, "density_255": one, "noise_20_background_30": one}}


GOOD = (row(CLEAN), row(DEGRADED), row("seeded growing", 0.8, over=6.0), row("threshold, watershed", 0.7, over=9.0))


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, set()),
        ({"r2": 0.94}, {"max OPD, R²"}),
        ({"slope": 0.94}, {"max OPD, slope", "mass, slope", "area, slope", "length, slope"}),
        ({"slope": 1.06}, {"max OPD, slope", "mass, slope", "area, slope", "length, slope"}),
        ({"mad": 11.0}, {"max OPD, MAD", "mass, MAD", "length, MAD"}),
        ({"rate": 1900.0}, {"cells/s"}),
        ({"r2": float("nan")}, {"max OPD, R²", "mass, R²", "area, R²", "length, R²", "R² above", "R² of mass"}),
    ],
)
def test_what_misses_a_target_is_said_to(
    part: Callable[[str], ModuleType], changed: dict[str, float], missed: set[str]
) -> None:
    report = part("_cells_report")
    told = report.judge(figures(GOOD[0], row(DEGRADED, **changed), *GOOD[2:]))
    failed = [target["what"] for target in told if target["met"] is False]
    assert all(DEGRADED in what and any(name in what for name in missed) for what in failed)
    assert all(any(name in what for what in failed) for name in missed)
    assert part("_judged").missed(told) == bool(missed)


def test_bfloat16_is_judged_where_it_runs(part: Callable[[str], ModuleType]) -> None:
    report, name = part("_cells_report"), part("_cells_methods").BF16
    growing = row("seeded growing", 0.8, over=6.0)
    growing["over"][name] = {"median": 4.9, "low": 4.8, "high": 5.0}
    watershed = row("threshold, watershed", 0.7, over=9.0)
    watershed["over"][name] = growing["over"][CLEAN]
    told = [
        target for target in report.judge(figures(*GOOD[:2], row(name), growing, watershed)) if name in target["what"]
    ]
    failed = [target["what"] for target in told if target["met"] is not True]
    assert failed == [f"density_255, {name}: seeded growing ÷ it"]
    assert {"noise_20_background_30", "density_255"} == {target["what"].split(",")[0] for target in told}
    assert not any(name in target["what"] for target in report.judge(figures(*GOOD)))


@pytest.mark.parametrize(
    ("baseline", "missed"),
    [
        (row("seeded growing", 0.8, over=4.9), "seeded growing ÷ it"),
        (row("seeded growing", 0.97, over=6.0), "R² above, least"),
    ],
)
def test_a_ratio_counts_only_beside_a_better_r2(
    part: Callable[[str], ModuleType], baseline: dict[str, Any], missed: str
) -> None:
    told = part("_cells_report").judge(figures(*GOOD[:2], baseline, GOOD[3]))
    failed = [target["what"] for target in told if target["met"] is False]
    assert len(failed) == 2
    assert all(what.endswith(missed) for what in failed)


def test_what_was_not_measured_is_neither_met_nor_missed(part: Callable[[str], ModuleType]) -> None:
    report = part("_cells_report")
    told = report.judge(figures(*GOOD[1:3]))
    unknown = [target["what"] for target in told if target["met"] is None]
    assert unknown
    assert all(CLEAN in what or "threshold, watershed" in what for what in unknown)
    assert not part("_judged").missed(told)
    assert part("_judged").missed([])
    assert part("_judged").missed(report.judge(figures()))


def test_all_tables_are_printed(part: Callable[[str], ModuleType]) -> None:
    printed: list[Any] = []
    report = part("_cells_report")
    found = figures(*GOOD)
    found["frame"] = {
        "shape": [2748, 3840],
        "cells": 7_500,
        "rows": [
            {"threads": 1, "backend": "cuda", "reason": "no GPU"},
            {"threads": 2, "backend": "onnxruntime", "device": "CPU", "seconds": 1.5, "busy_s": 1.4}
            | {"found": 7_490, "peak_mib": 300.0, "alone_px_per_s": 2e7},
        ],
    }
    assert report.frame_rate(found["frame"], found["frame"]["rows"][1]) == 5_000.0
    found["gpu"] = found["frame"]
    found["reference"] = {"absent": {"one quantity": "is missing"}}
    found["targets"] = report.judge(found)
    report.tables(found, SimpleNamespace(print=lambda line, **_: printed.append(line)))
    lines = [line for line in printed if isinstance(line, str)]
    assert any("one quantity: skipped (is missing)" in line for line in lines)
    assert sum("cuda: skipped (no GPU)" in line for line in lines) == 2
    assert any("GPU" in line and "MISSED" in line for line in lines)
    assert len(printed) - len(lines) == 6


def test_networks_that_are_absent_are_told_and_nothing_passes(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the evaluation sets are of the extra 'train'")
    program = (sys.executable, BENCHMARKS / "cells.py", "--rows", "reference", "--weights", tmp_path, "--quick")
    done = subprocess.run(list(map(str, program)), capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1, done.stderr
    assert "one quantity: skipped" in done.stdout


@dataclass
class Direct:
    """Stands for a network: measures what is above a height, times a factor, and may see nothing or too much."""

    factor: float = 1.0
    cells: int = 1
    pixel_um: float = PIXEL_UM

    def table(self, opd_nm: NDArray[np.float32], pixel_um: float) -> CellTable:
        above = opd_nm > 0.2 * opd_nm.max()
        place = np.argwhere(above).mean(axis=0)
        mass = float(opd_nm[above].sum()) * 1e-3 * pixel_um**2 / 0.18
        told = {
            Quantity.DRY_MASS: mass,
            Quantity.AREA: float(above.sum()) * pixel_um**2,
            Quantity.MAX_OPD: float(opd_nm.max()),
        }
        places = np.repeat(place[None], self.cells, axis=0) + np.arange(self.cells)[:, None]
        columns = {quantity.value: np.full(self.cells, self.factor * value) for quantity, value in told.items()}
        return CellTable.of_columns(places, columns, (opd_nm.shape[0], opd_nm.shape[1]), pixel_um)


def ball(centre: tuple[float, float] = (60.0, 64.0), radius: float = 30.0) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:120, :128]
    inside = 1.0 - ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / radius**2
    noise = np.random.default_rng(0).normal(0.0, 0.005, inside.shape)
    return np.asarray(0.3 + 4.0 * np.sqrt(np.maximum(inside, 0.0)) + noise, np.float32)


def compared(part: Callable[[str], ModuleType], phase: NDArray[np.float32], network: Direct) -> dict[str, Any]:
    real = part("_cells_real")
    (scale,) = real.scales(real.Phase("ball", "nobody", phase))
    told: dict[str, Any] = real.compared(phase, scale, network.table)
    return told


def test_an_unknown_scale_makes_the_object_a_cell(part: Callable[[str], ModuleType]) -> None:
    real = part("_cells_real")
    phase = real.Phase("ball", "nobody", ball())
    (scale,) = real.scales(phase)
    assert (scale.name, scale.pixel_um) == ("assumed", pytest.approx(12.5 / 29.4, rel=0.02))
    assert scale.nm_per_rad == pytest.approx(75.5 / 4.0, rel=0.02)
    first, second = real.scales(replace(phase, wavelength_um=0.6, pixel_um=0.1))
    assert (first.name, first.nm_per_rad, first.pixel_um) == ("documented", pytest.approx(95.49, rel=1e-3), 0.1)
    assert second == scale


@pytest.mark.parametrize(("factor", "met"), [(1.0, True), (1.2, False), (0.8, False)])
def test_a_network_is_held_against_the_integral(part: Callable[[str], ModuleType], factor: float, met: bool) -> None:
    told = compared(part, ball(), Direct(factor))
    assert (told["objects"], told["cut"], told["missed"], told["split"], told["elsewhere"]) == (1, 0, 0, 0, 0)
    for quantity, limit in ((Quantity.DRY_MASS, 0.05), (Quantity.AREA, 0.1), (Quantity.MAX_OPD, 0.05)):
        one = told["quantities"][quantity.value]
        assert one["ratio"] == pytest.approx(factor, rel=0.02)
        assert (one["limit"], one["met"]) == (limit, met)
        assert one["apart"] >= abs(one["ratio"] - 1.0)


@pytest.mark.parametrize(
    ("phase", "cells", "counts"),
    [(ball(), 0, (0, 1, 0)), (ball(), 2, (0, 0, 1)), (ball((20.0, 64.0)), 1, (1, 0, 0))],
    ids=["missed", "split", "cut"],
)
def test_objects_that_cannot_be_compared_are_counted(
    part: Callable[[str], ModuleType], phase: NDArray[np.float32], cells: int, counts: tuple[int, int, int]
) -> None:
    told = compared(part, phase, Direct(cells=cells))
    assert (told["cut"], told["missed"], told["split"]) == counts
    assert "nothing to compare" in told["reason"]
    assert {one["met"] for one in told["quantities"].values()} == {None}


def test_integrals_that_disagree_among_themselves_judge_nothing(part: Callable[[str], ModuleType]) -> None:
    rows, columns = np.mgrid[:120, :128]
    cone = np.maximum(0.0, 1.0 - np.hypot(rows - 60, columns - 64) / 40.0).astype(np.float32) ** 2
    told = compared(part, cone, Direct())
    assert told["quantities"]["area_um2"]["spread"] > 0.1
    assert told["quantities"]["area_um2"]["met"] is None


@pytest.mark.data
def test_measured_phases_are_read(part: Callable[[str], ModuleType], data_dir: Path) -> None:
    real = part("_cells_real")
    told = [
        row for row in real.rows(data_dir, Direct()) if row["name"] in ("hl60-field: HL60", "qpi-beads: microgel bead")
    ]
    assert [row["scale"] for row in told] == ["documented"] * 2 + ["assumed"] * 4
    assert [row["way"] for row in told] == ["network B", "threshold"] * 3
    for one in told:
        assert one["objects"] - one["cut"] == 1
        assert one["quantities"]["dry_mass_pg"]["met"] or one["way"] == "threshold"
    assert "not claimed" in real.lines(told)[-1]
    json.dumps(told)


def test_absent_data_are_told(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    real = part("_cells_real")
    told = real.rows(tmp_path, Direct())
    assert len(told) == 6
    assert all("absent" in line for line in real.lines(told)[2:-1])

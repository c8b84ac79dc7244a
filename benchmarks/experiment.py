"""The scripted experiment: rare events in a living dish, caught at a fast rate with a quarter of the light.

Simulated cells move, grow, round up and divide while the focus drifts. The daemon's rules read each frame by the
network of cells and switch between a slow rate and a fast one; `focus.hold` searches the focus every hour. Beside
them: the fast rate all the time, and the rules' dose spent evenly, at random, in periodic bursts, and in bursts
triggered at random.

    python benchmarks/experiment.py [--seeds N] [--hours H] [--network cells_b|none] [--json FILE] [--plot FILE.png]

Time is simulated: rates and durations are those of `_experiment_dish.py`. The rules were chosen on the dishes 1 to 8
and are judged on others. The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _experiment_dish import DOF_UM, EXPOSURE_MS, FAST_S, SLOW_S, Run, follow, read_by
from _experiment_scores import OTHERS, Score, bootstrap, counted, false_bursts, score, wilson
from _figures import plain

RULES, ALWAYS = "rules", "always fast"
TARGETS = {"caught": 0.95, "dose": 0.25, "defocus_dof": 1.0}


def judged(run: Run, always: Run) -> dict[str, Score]:
    """Return how each policy did on one dish."""
    events = counted(run)
    found = {
        ALWAYS: score(always.exposures_s, always.exposures, events),
        RULES: score(run.exposures_s, run.exposures, events),
    }
    for name, spent in OTHERS.items():
        times = spent(run)
        found[name] = score(times, len(times) + run.focus_exposures, events)
    return found


def table(scores: list[dict[str, Score]]) -> dict[str, Any]:
    """Return, for each policy, its figures over all dishes."""
    light = [one[ALWAYS].exposures for one in scores]
    rows: dict[str, Any] = {}
    for name in scores[0]:
        own = [one[name] for one in scores]
        caught, events = sum(one.caught for one in own), sum(one.events for one in own)
        gaps = [gap for one in own for gap in one.gaps_s]
        rows[name] = {
            "caught": caught,
            "events": events,
            "share": caught / events if events else float("nan"),
            "share_95": wilson(caught, events),
            "dose": bootstrap([one.exposures for one in own], light),
            "gap_s": float(np.median(gaps)) if gaps else float("nan"),
        }
    return rows


def report(runs: list[Run], always: list[Run]) -> dict[str, Any]:
    """Return all figures."""
    rows = table([judged(run, other) for run, other in zip(runs, always, strict=True)])
    bursts, false = sum(len(run.bursts_s) for run in runs), sum(false_bursts(run) for run in runs)
    hours = sum(run.seconds for run in runs) / 3600.0
    off = np.abs(np.concatenate([run.defocus_um for run in (*runs, *always)])) / DOF_UM
    return {
        "dishes": len(runs),
        "hours": hours,
        "policies": rows,
        "bursts": bursts,
        "false_bursts": false,
        "false_share_95": wilson(false, bursts),
        "false_per_h": bootstrap([float(false_bursts(run)) for run in runs], [run.seconds / 3600.0 for run in runs]),
        "focus_exposures": bootstrap(
            [float(run.focus_exposures) for run in runs], [float(run.exposures) for run in runs]
        ),
        "defocus_dof": {"p50": float(np.median(off)), "p99": float(np.percentile(off, 99)), "max": float(off.max())},
    }


def show(found: dict[str, Any]) -> list[str]:
    """Print the figures; return the targets that were missed."""
    print(
        f"\n{found['dishes']} dishes, {found['hours']:.0f} h; exposures of {EXPOSURE_MS:g} ms every {FAST_S:g} s "
        f"(fast) or {SLOW_S:g} s (slow)"
    )
    print(f"{'policy':<18}{'caught at the fast rate':<30}{'light of always fast':<26}longest gap, median")
    for name, row in found["policies"].items():
        low, high = (100 * bound for bound in row["share_95"])
        dose, least, most = (100 * value for value in row["dose"])
        caught = f"{row['caught']}/{row['events']} = {100 * row['share']:.0f} % ({low:.0f}–{high:.0f})"
        print(f"{name:<18}{caught:<30}{f'{dose:.1f} % ({least:.1f}–{most:.1f})':<26}{row['gap_s']:.0f} s")
    rate, low, high = found["false_per_h"]
    bounds = "–".join(f"{100 * bound:.0f}" for bound in found["false_share_95"])
    print(
        f"false bursts: {found['false_bursts']} of {found['bursts']} ({bounds} %), {rate:.3f} an hour "
        f"({low:.3f}–{high:.3f}); focusing: {100 * found['focus_exposures'][0]:.1f} % of the rules' exposures"
    )
    off = found["defocus_dof"]
    print(f"distance from the focus: median {off['p50']:.2f}, p99 {off['p99']:.2f}, most {off['max']:.2f} DoF")
    ours = found["policies"][RULES]
    missed = []
    if not ours["share"] >= TARGETS["caught"]:
        missed.append(f"caught {ours['share']:.3f}, target {TARGETS['caught']}")
    if not ours["dose"][0] <= TARGETS["dose"]:
        missed.append(f"dose {ours['dose'][0]:.3f} of always fast, target {TARGETS['dose']}")
    if not off["max"] <= TARGETS["defocus_dof"]:
        missed.append(f"distance from the focus {off['max']:.2f} DoF, target {TARGETS['defocus_dof']}")
    return missed


def main() -> int:
    """Run the experiment; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40, help="so many dishes")
    parser.add_argument("--first", type=int, default=101, help="seed of the first one")
    parser.add_argument("--hours", type=float, default=12.0, help="how long each is watched, simulated")
    parser.add_argument("--network", default="cells_b", help="what reads the cells; none: a threshold and a watershed")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--plot", type=Path, help="draw them here")
    chosen = parser.parse_args()
    reader = read_by(chosen.network)
    runs: list[Run] = []
    always: list[Run] = []
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        began = time.perf_counter()
        runs.append(follow(seed, chosen.hours, reader))
        always.append(follow(seed, chosen.hours, None))
        scores = judged(runs[-1], always[-1])
        print(
            f"dish {seed}: {scores[RULES].caught} of {scores[RULES].events} caught, "
            f"{100 * scores[RULES].exposures / scores[ALWAYS].exposures:.1f} % of the light, "
            f"{false_bursts(runs[-1])} of {len(runs[-1].bursts_s)} bursts false "
            f"({time.perf_counter() - began:.0f} s)",
            flush=True,
        )
    found = report(runs, always)
    missed = show(found)
    if chosen.plot is not None:
        from _experiment_plot import draw

        draw(runs, found["policies"], chosen.plot)
    if chosen.json is not None:
        told = {"targets": TARGETS, "missed": missed, **found, "runs": [asdict(run) for run in runs]}
        chosen.json.write_text(json.dumps(plain(told), allow_nan=False), encoding="utf-8")
    print("targets: " + ("all met" if not missed else "; ".join(["MISSED", *missed])))
    return 0 if not missed else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())

"""The picture of the scripted experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment_dish import DOF_UM, FAST_S
from _experiment_scores import AFTER_S, BEFORE_S, OTHERS, counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from _experiment_dish import Run

COLOURS = {"always fast": "#6c757d", "rules": "#c1121f"}
OTHER = "#2a6f97"


def draw(runs: Sequence[Run], policies: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw when each policy exposed one dish, and what each has caught of all for which light."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = max(runs, key=lambda run: len(counted(run)))
    times = {
        "always fast": list(np.arange(0.0, shown.seconds, FAST_S)),
        "rules": shown.exposures_s,
        **{name: spent(shown) for name, spent in OTHERS.items()},
    }
    figure, ((top, side), (below, spare)) = plt.subplots(
        2,
        2,
        figsize=(12, 5.2),
        width_ratios=(1.7, 1.0),
        height_ratios=(3.0, 1.0),
        layout="constrained",
    )
    for row, (name, exposures) in enumerate(times.items()):
        top.eventplot(
            np.asarray(exposures) / 3600.0,
            lineoffsets=-row,
            linelengths=0.7,
            linewidths=0.25,
            colors=COLOURS.get(name, OTHER),
        )
    for axis in (top, below):
        for at_s in counted(shown):
            axis.axvspan((at_s - BEFORE_S) / 3600.0, (at_s + AFTER_S) / 3600.0, color="#f4a261", alpha=0.5, lw=0)
        axis.set_xlim(0.0, shown.seconds / 3600.0)
    top.set_yticks([-row for row in range(len(times))], list(times))
    top.set_title(f"exposures of dish {shown.seed}; orange: divisions to be caught", fontsize=10)
    below.plot(np.asarray(shown.exposures_s) / 3600.0, np.asarray(shown.defocus_um) / DOF_UM, color="#c1121f", lw=0.8)
    below.set_ylim(-1.1, 1.1)
    below.set_ylabel("defocus, DoF")
    below.set_xlabel("hours")
    for row, name in enumerate(times):
        told = policies[name]
        share, (low, high) = 100.0 * told["share"], (100.0 * bound for bound in told["share_95"])
        side.barh(-row, share, 0.7, color=COLOURS.get(name, OTHER), alpha=0.8)
        side.errorbar(share, -row, xerr=[[max(0.0, share - low)], [max(0.0, high - share)]], color="black", capsize=2)
        side.annotate(f"{100.0 * told['dose'][0]:.0f} % of the light", (103.0, -row), va="center", fontsize=9)
    side.axvline(95.0, color="#666666", lw=0.8, ls=":")
    side.set_xlim(0.0, 150.0)
    side.set_xticks(range(0, 101, 20))
    side.set_yticks([])
    side.set_ylim(top.get_ylim())
    side.set_xlabel("divisions at the fast rate, %")
    side.set_title(f"{len(runs)} dishes, 95 % intervals; dotted: target", fontsize=10)
    spare.axis("off")
    figure.savefig(path, dpi=110)
    plt.close(figure)

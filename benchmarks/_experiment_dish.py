"""The dish of the scripted experiment, its rules, and one run of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment_lab import Laboratory

from microscoped.daemon.config import Config
from microscoped.models.cells import CellNetwork
from microscoped.models.cells.engine import CellsEngine, CellsEngineSettings, WatershedReader
from microscoped.models.cells.opd import CountedOpd
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import open_model
from microscoped.models.sharpness import SharpnessEngine
from microscoped.simulators import ManualClock, StageModel
from microscoped.simulators.cells import Defocus, Mitosis, OpdScene, OpdSetup, PopulationParameters

if TYPE_CHECKING:
    from microscoped.models import Engine
    from microscoped.models.cells.engine import CellReader

FAST_S, SLOW_S = 10.0, 180.0
"""Between two exposures: at the fast rate, and at the slow one."""
EXPOSURE_MS = 10.0
SIDE_PX, PIXEL_UM = 128, 1.67
DENSITY_PER_MM2, DEAD_SHARE = 90.0, 0.1
GROWTH_PER_H = 0.035
MITOSIS = Mitosis(rounding_min=8.0, round_min=20.0, spreading_min=15.0)
NA, WAVELENGTH_NM = 0.3, 550.0
DOF_UM = WAVELENGTH_NM * 1e-3 / NA**2
DRIFT_UM_PER_H, JITTER_UM = 2.0, 0.2
FOCUS_EVERY_S = 3600.0
INSIDE_UM = 20.0
"""An event counts where the cell lies so far within the frame: others are cut by its edge."""
NEIGHBOURS = 0.0
"""Simulated cells do not give way to each other, so that none is set against another at the beginning."""
ROUNDED = (
    "any(cells, not border and area_um2 < 600 and (max_opd_nm > 200 nm"
    " or max_opd_nm > 120 nm and max_opd_nm > 1.5 * min(max_opd_nm, over 40 min)))"
)
STILL_S = 360.0
"""How long nothing must have been round until the rate is slow again."""
RULES: list[dict[str, Any]] = [
    {
        "name": "fast",
        "when": ROUNDED,
        "max_age_s": 400,
        "priority": 2,
        "action": {"do": "camera", "fps": 1.0 / FAST_S},
    },
    {
        "name": "slow",
        "when": f"not {ROUNDED}",
        "hold_s": STILL_S,
        "max_age_s": 400,
        "priority": 1,
        "action": {"do": "camera", "fps": 1.0 / SLOW_S},
    },
]


@dataclass(frozen=True)
class Event:
    """A cell divides.

    Parameters
    ----------
    at_s
        When.
    inside
        Whether it counts: the cell lies well within the frame.
    seen
        Whether any of it is in the frame.
    """

    at_s: float
    inside: bool
    seen: bool


@dataclass(frozen=True)
class Run:
    """What came of one run; times are seconds since its beginning.

    Parameters
    ----------
    seed, seconds
        Which dish, and for how long.
    exposures_s, focus_exposures
        When frames of the stream were exposed, and how many more exposures focusing took.
    defocus_um
        Distance of the specimen from the focus in each frame of the stream.
    bursts_s
        From when to when the fast rate was on.
    events
        What happened.
    """

    seed: int
    seconds: float
    exposures_s: list[float]
    focus_exposures: int
    defocus_um: list[float]
    bursts_s: list[tuple[float, float]]
    events: list[Event]

    @property
    def exposures(self) -> int:
        """All exposures; each gives the same light."""
        return len(self.exposures_s) + self.focus_exposures


def read_by(network: str) -> CellReader:
    """Open what reads cells: a network by its name, or the watershed for ``none``."""
    if network == "none":
        return WatershedReader()
    artefact = model_spec("cells").load(network)
    return CellNetwork(open_model(artefact, "onnxruntime", threads=1), artefact)


def follow(seed: int, hours: float, reader: CellReader | None) -> Run:
    """Run the experiment on one dish.

    Parameters
    ----------
    seed, hours
        Which dish, and for how long.
    reader
        Reads the cells for the rules; ``None``: no rules, and the fast rate all the time.
    """
    clock = ManualClock(0)
    population = replace(
        PopulationParameters.matched(),
        density_per_mm2=(DENSITY_PER_MM2, DENSITY_PER_MM2),
        round_share=DEAD_SHARE,
        dividing_share=0.0,
        neighbours=NEIGHBOURS,
    )
    setup = OpdSetup(
        parameters=population,
        seed=seed,
        shape_px=(SIDE_PX, SIDE_PX),
        pixel_um=PIXEL_UM,
        growth_per_h=GROWTH_PER_H,
        mitosis=MITOSIS,
        defocus=Defocus(WAVELENGTH_NM, NA),
    )
    scene = OpdScene(setup, clock)
    rng = np.random.default_rng((seed, 7))
    drift_um_s = DRIFT_UM_PER_H / 3600.0 * (1.0 if rng.uniform() < 0.5 else -1.0)
    stage = StageModel(start_um=float(rng.uniform(-4.0, 4.0)), drift_um_s=drift_um_s, jitter_um=JITTER_UM)
    engines: dict[str, Engine] = {"sharpness": SharpnessEngine()}
    if reader is not None:
        source = CountedOpd(setup.nm_per_count, setup.zero_count, PIXEL_UM)
        engines["cells"] = CellsEngine(source, reader, CellsEngineSettings())
    with Laboratory(_config(adaptive=reader is not None), scene, clock, stage, engines) as laboratory:
        laboratory.ask("focus.hold", every_s=FOCUS_EVERY_S, method="search")
        laboratory.run(60.0)
        laboratory.ask("camera.start")
        laboratory.run(60.0 + 3600.0 * hours)
    notes = laboratory.notes
    bursts: list[tuple[float, float]] = []
    began_s: float | None = None
    for at_s, rule, kind in notes.decisions:
        if kind == "fired" and rule == "fast" and began_s is None:
            began_s = at_s
        elif kind == "fired" and rule == "slow" and began_s is not None:
            bursts.append((began_s, at_s))
            began_s = None
    if began_s is not None:
        bursts.append((began_s, 60.0 + 3600.0 * hours))
    events = [_event(scene, one.hours, one.cell) for one in scene.divisions(0.0, hours)]
    return Run(
        seed,
        60.0 + 3600.0 * hours,
        notes.exposures_s,
        notes.focus_exposures,
        notes.defocus_um,
        bursts,
        events,
    )


def _event(scene: OpdScene, hours: float, cell: int) -> Event:
    state = scene.states(hours)[cell]
    side_um = SIDE_PX * PIXEL_UM
    place = (state.row_um, state.column_um)
    return Event(
        3600.0 * hours,
        inside=all(INSIDE_UM < at < side_um - INSIDE_UM for at in place),
        seen=all(-INSIDE_UM < at < side_um + INSIDE_UM for at in place),
    )


def _config(*, adaptive: bool) -> Config:
    return Config.model_validate(
        {
            "optics": {"na": NA, "wavelength_nm": WAVELENGTH_NM, "pixel_size_um": PIXEL_UM},
            "stage": {
                "limits_um": [-100, 100],
                "max_step_um": 50,
                "focus_direction": "toward_sample",
                "overshoot_um": 1,
            },
            "camera": {"fps": 1.0 / (SLOW_S if adaptive else FAST_S), "exposure_ms": EXPOSURE_MS},
            "focus": {"range_um": 20, "coarse_step_um": 8},
            "engines": {"cells": {"enabled": adaptive, "nm_per_count": 0.1, "zero_count": 2000}},
            "rules": RULES if adaptive else [],
        }
    )

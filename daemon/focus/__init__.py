"""How the focus is found, by a search, from pairs of images, from holograms: pure functions of what was seen so far."""

from __future__ import annotations

from microscoped.daemon.focus._types import (
    Approach,
    Extremum,
    ExtremumChoice,
    Probe,
    Sample,
    SearchResult,
    SearchSettings,
)
from microscoped.daemon.focus.calibration import SWEEP_DOF, CalibrationPlan, Leg
from microscoped.daemon.focus.direction import light_sign
from microscoped.daemon.focus.distance import (
    Correct,
    DistancePolicy,
    DistanceReading,
    DistanceResult,
    ReadDistance,
    propose_distance,
)
from microscoped.daemon.focus.pair import (
    FURTHEST_DOF,
    NEAREST_DOF,
    Confirmation,
    PairCheck,
    PairEvent,
    PairPolicy,
    PairReading,
    PairResult,
    PairStep,
    ReadPair,
    Shot,
    TakeShot,
    propose_pair,
)
from microscoped.daemon.focus.search import propose
from microscoped.daemon.focus.stage_steps import FEWEST_STEPS, StepLeg, StepPlan
from microscoped.daemon.focus.watch import WINDOW, mistrusted, watch_figures

__all__ = [
    "FEWEST_STEPS",
    "FURTHEST_DOF",
    "NEAREST_DOF",
    "SWEEP_DOF",
    "WINDOW",
    "Approach",
    "CalibrationPlan",
    "Confirmation",
    "Correct",
    "DistancePolicy",
    "DistanceReading",
    "DistanceResult",
    "Extremum",
    "ExtremumChoice",
    "Leg",
    "PairCheck",
    "PairEvent",
    "PairPolicy",
    "PairReading",
    "PairResult",
    "PairStep",
    "Probe",
    "ReadDistance",
    "ReadPair",
    "Sample",
    "SearchResult",
    "SearchSettings",
    "Shot",
    "StepLeg",
    "StepPlan",
    "TakeShot",
    "light_sign",
    "mistrusted",
    "propose",
    "propose_distance",
    "propose_pair",
    "watch_figures",
]

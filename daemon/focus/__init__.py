"""How the focus is found, by a search or from pairs of images: pure functions of what was seen so far."""

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
from microscoped.daemon.focus.watch import WINDOW, mistrusted, watch_figures

__all__ = [
    "FURTHEST_DOF",
    "NEAREST_DOF",
    "SWEEP_DOF",
    "WINDOW",
    "Approach",
    "CalibrationPlan",
    "Confirmation",
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
    "ReadPair",
    "Sample",
    "SearchResult",
    "SearchSettings",
    "Shot",
    "TakeShot",
    "light_sign",
    "mistrusted",
    "propose",
    "propose_pair",
    "watch_figures",
]

"""Focus from a pair of images (T. Rai Dastidar, CVPR Workshops 2020)."""

from microscoped.models.focus_pair.correction import Correction
from microscoped.models.focus_pair.engine import DELTA_RANGE_DOF, FocusPairEngine, PairSettings, Reading
from microscoped.models.focus_pair.estimate import Estimate, EstimateSettings
from microscoped.models.focus_pair.inputs import PairInputs
from microscoped.models.focus_pair.optics import Character, PairOptics

__all__ = [
    "DELTA_RANGE_DOF",
    "Character",
    "Correction",
    "Estimate",
    "EstimateSettings",
    "FocusPairEngine",
    "PairInputs",
    "PairOptics",
    "PairSettings",
    "Reading",
]

"""Whether focus from pairs may be trusted on one microscope, and what it takes."""

from microscoped.models.focus_pair.calibration.bars import Bars, Moves, move_shortfalls, moves_of, shortfalls
from microscoped.models.focus_pair.calibration.deep import DeepTools
from microscoped.models.focus_pair.calibration.engine import CalibrationEngine, CalibrationSetup
from microscoped.models.focus_pair.calibration.errors import CalibrationError, CalibrationFileError, FineTuningError
from microscoped.models.focus_pair.calibration.figures import Field, Figures, PairReading, Told, figures_of, told_of
from microscoped.models.focus_pair.calibration.fit import Fit, fit, zero_shot
from microscoped.models.focus_pair.calibration.focus import SweepFocus, focus_of, scores_of
from microscoped.models.focus_pair.calibration.networks import load_network
from microscoped.models.focus_pair.calibration.process import TuneRecipe, missing_for_training
from microscoped.models.focus_pair.calibration.record import Calibration, Conditions, FieldRecord, find, load, save
from microscoped.models.focus_pair.calibration.stage import VISITS, Flank, StageFigures, flank_of

__all__ = [
    "VISITS",
    "Bars",
    "Calibration",
    "CalibrationEngine",
    "CalibrationError",
    "CalibrationFileError",
    "CalibrationSetup",
    "Conditions",
    "DeepTools",
    "Field",
    "FieldRecord",
    "Figures",
    "FineTuningError",
    "Fit",
    "Flank",
    "Moves",
    "PairReading",
    "StageFigures",
    "SweepFocus",
    "Told",
    "TuneRecipe",
    "figures_of",
    "find",
    "fit",
    "flank_of",
    "focus_of",
    "load",
    "load_network",
    "missing_for_training",
    "move_shortfalls",
    "moves_of",
    "save",
    "scores_of",
    "shortfalls",
    "told_of",
    "zero_shot",
]

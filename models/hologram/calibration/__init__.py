"""How distances of one holographic microscope follow its stage, and its background hologram."""

from microscoped.models.hologram.calibration.engine import HologramCalibrationEngine, HologramCalibrationSetup
from microscoped.models.hologram.calibration.files import background_from
from microscoped.models.hologram.calibration.line import DistanceReading, Line, PlaceFigures, fit_line
from microscoped.models.hologram.calibration.plots import line_svg
from microscoped.models.hologram.calibration.record import (
    BackgroundRecord,
    Conditions,
    HologramCalibration,
    HologramRecord,
    LineRecord,
    PlaceRecord,
    load,
    read,
    save,
)
from microscoped.models.hologram.calibration.tracks import CellTracks
from microscoped.models.hologram.calibration.verdict import Bars, SideFound, Told, find_side, shortfalls

__all__ = [
    "BackgroundRecord",
    "Bars",
    "CellTracks",
    "Conditions",
    "DistanceReading",
    "HologramCalibration",
    "HologramCalibrationEngine",
    "HologramCalibrationSetup",
    "HologramRecord",
    "Line",
    "LineRecord",
    "PlaceFigures",
    "PlaceRecord",
    "SideFound",
    "Told",
    "background_from",
    "find_side",
    "fit_line",
    "line_svg",
    "load",
    "read",
    "save",
    "shortfalls",
]

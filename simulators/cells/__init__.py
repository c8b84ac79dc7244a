"""Adherent cells as maps of the optical path difference, with the true quantities of every cell.

Places are micrometres from the middle of the frame's first pixel, (row, column); heights are nanometres of optical
path difference against the medium.
"""

from microscoped.simulators.cells._debris import Grain
from microscoped.simulators.cells._defocus import Defocus
from microscoped.simulators.cells._degradation import QUALITY_LEVELS, Degradation
from microscoped.simulators.cells._field import CellField
from microscoped.simulators.cells._library import CellLibrary, CellSource, CutOut, FreshCells
from microscoped.simulators.cells._mitosis import Mitosis
from microscoped.simulators.cells._population import TABLE_1, Moments, PopulationParameters, TableRow
from microscoped.simulators.cells._pose import Pose
from microscoped.simulators.cells._render import render
from microscoped.simulators.cells._scene import CellState, Division, OpdScene, OpdSetup
from microscoped.simulators.cells._shape import CellKind, CellShape
from microscoped.simulators.cells._truth import (
    AREA_ABOVE_NM,
    REFRACTIVE_INCREMENT_UM3_PER_PG,
    CellMeasures,
    CellTruth,
    measure,
)

__all__ = [
    "AREA_ABOVE_NM",
    "QUALITY_LEVELS",
    "REFRACTIVE_INCREMENT_UM3_PER_PG",
    "TABLE_1",
    "CellField",
    "CellKind",
    "CellLibrary",
    "CellMeasures",
    "CellShape",
    "CellSource",
    "CellState",
    "CellTruth",
    "CutOut",
    "Defocus",
    "Degradation",
    "Division",
    "FreshCells",
    "Grain",
    "Mitosis",
    "Moments",
    "OpdScene",
    "OpdSetup",
    "PopulationParameters",
    "Pose",
    "TableRow",
    "measure",
    "render",
]

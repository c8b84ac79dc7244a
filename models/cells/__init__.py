"""Adherent cells: from an image of the optical path difference to a table of cells (C. Allier et al. 2022)."""

from microscoped.models.cells.arrow import from_arrow, to_arrow
from microscoped.models.cells.baselines import BaselineSettings, measure_labels, seeded_growing, threshold_watershed
from microscoped.models.cells.errors import (
    CellsError,
    MapError,
    NetworkUnsuitableError,
    ScaleError,
    SettingsError,
    TableError,
    TimeError,
)
from microscoped.models.cells.heatmaps import DISC_RADIUS_UM, centre_map, disc_maps
from microscoped.models.cells.integrate import Integral, Spread, integrate, spread, threshold_ladder
from microscoped.models.cells.linking import Linker, LinkSettings, Motion
from microscoped.models.cells.measures import COLUMNS, CellTable, Truth
from microscoped.models.cells.network import CellNetwork, HeatMaps
from microscoped.models.cells.quantities import AREA_ABOVE_NM, REFRACTIVE_INCREMENT, TYPICAL, Quantity, dry_mass_pg
from microscoped.models.cells.reading import ReadingSettings, disc_medians, find_places, local_maxima, read_table
from microscoped.models.cells.scores import (
    DetectionScore,
    Figure,
    Pairing,
    QuantityScore,
    Scores,
    pair_cells,
    score,
)

__all__ = [
    "AREA_ABOVE_NM",
    "COLUMNS",
    "DISC_RADIUS_UM",
    "REFRACTIVE_INCREMENT",
    "TYPICAL",
    "BaselineSettings",
    "CellNetwork",
    "CellTable",
    "CellsError",
    "DetectionScore",
    "Figure",
    "HeatMaps",
    "Integral",
    "LinkSettings",
    "Linker",
    "MapError",
    "Motion",
    "NetworkUnsuitableError",
    "Pairing",
    "Quantity",
    "QuantityScore",
    "ReadingSettings",
    "ScaleError",
    "Scores",
    "SettingsError",
    "Spread",
    "TableError",
    "TimeError",
    "Truth",
    "centre_map",
    "disc_maps",
    "disc_medians",
    "dry_mass_pg",
    "find_places",
    "from_arrow",
    "integrate",
    "local_maxima",
    "measure_labels",
    "pair_cells",
    "read_table",
    "score",
    "seeded_growing",
    "spread",
    "threshold_ladder",
    "threshold_watershed",
    "to_arrow",
]

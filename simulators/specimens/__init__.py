"""Procedural brightfield specimens: seeded, periodic, thick."""

from microscoped.simulators.specimens._cells import CellParameters, unstained_cells
from microscoped.simulators.specimens._maps import Specimen
from microscoped.simulators.specimens._tissue import EOSIN, HAEMATOXYLIN, TissueParameters, tissue_section

__all__ = [
    "EOSIN",
    "HAEMATOXYLIN",
    "CellParameters",
    "Specimen",
    "TissueParameters",
    "tissue_section",
    "unstained_cells",
]

"""Procedural brightfield specimens: seeded, periodic, thick."""

from microscoped.simulators.specimens._cells import CellParameters, unstained_cells
from microscoped.simulators.specimens._filaments import FilamentParameters, stained_filaments
from microscoped.simulators.specimens._maps import Specimen
from microscoped.simulators.specimens._smear import SmearParameters, stained_smear
from microscoped.simulators.specimens._stains import EOSIN, HAEMATOXYLIN, Absorbance
from microscoped.simulators.specimens._tissue import TissueParameters, tissue_section

__all__ = [
    "EOSIN",
    "HAEMATOXYLIN",
    "Absorbance",
    "CellParameters",
    "FilamentParameters",
    "SmearParameters",
    "Specimen",
    "TissueParameters",
    "stained_filaments",
    "stained_smear",
    "tissue_section",
    "unstained_cells",
]

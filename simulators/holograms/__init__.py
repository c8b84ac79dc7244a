"""Off-axis holograms of cells and beads at different depths: shapes, object waves, recording, a live microscope.

Distances are micrometres in the medium, on the specimen's side, and positive downstream of the recording plane:
propagating the recorded field by a body's distance brings it into focus.
"""

from microscoped.simulators.holograms._bodies import Body, BodyKind, Echinocyte, RedCell, Sphere
from microscoped.simulators.holograms._crops import CropParameters, Crops, CropSource, field_noise
from microscoped.simulators.holograms._draw import draw_body
from microscoped.simulators.holograms._field import ObjectField
from microscoped.simulators.holograms._irregular import Irregular
from microscoped.simulators.holograms._mie import mie_body_field, mie_field
from microscoped.simulators.holograms._multislice import Slicing, multislice_body_field, multislice_field
from microscoped.simulators.holograms._optics import OffAxisOptics
from microscoped.simulators.holograms._recording import Disturbances, Interferometer, Reference
from microscoped.simulators.holograms._render import body_field, specimen_field
from microscoped.simulators.holograms._scene import HologramScene, HologramSetup
from microscoped.simulators.holograms._specimen import (
    BodiesParameters,
    HologramTruth,
    PlacedBody,
    place_bodies,
    truths,
)
from microscoped.simulators.holograms._thickness import thickness_um
from microscoped.simulators.holograms._thin import thin_body_field, thin_field

__all__ = [
    "BodiesParameters",
    "Body",
    "BodyKind",
    "CropParameters",
    "CropSource",
    "Crops",
    "Disturbances",
    "Echinocyte",
    "HologramScene",
    "HologramSetup",
    "HologramTruth",
    "Interferometer",
    "Irregular",
    "ObjectField",
    "OffAxisOptics",
    "PlacedBody",
    "RedCell",
    "Reference",
    "Slicing",
    "Sphere",
    "body_field",
    "draw_body",
    "field_noise",
    "mie_body_field",
    "mie_field",
    "multislice_body_field",
    "multislice_field",
    "place_bodies",
    "specimen_field",
    "thickness_um",
    "thin_body_field",
    "thin_field",
    "truths",
]

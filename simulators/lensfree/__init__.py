"""Holograms of adherent cells from a lens-free RGB microscope, with the true maps and quantities."""

from microscoped.simulators.lensfree._camera import LensFreeCameraScene, rgb_optics
from microscoped.simulators.lensfree._optics import LensFreeOptics, Line
from microscoped.simulators.lensfree._recording import ThinSpecimen, record
from microscoped.simulators.lensfree._scene import DEFAULT_SENSOR, LensFreeRecording, LensFreeScene, LensFreeSetup

__all__ = [
    "DEFAULT_SENSOR",
    "LensFreeCameraScene",
    "LensFreeOptics",
    "LensFreeRecording",
    "LensFreeScene",
    "LensFreeSetup",
    "Line",
    "ThinSpecimen",
    "record",
    "rgb_optics",
]

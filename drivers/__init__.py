"""What a camera, a focus stage and a microscope are, and the one safe way to them.

``microscoped.drivers.micromanager`` is the backend for real microscopes; it is imported only where one is built.
"""

from microscoped.drivers.optics import Optics
from microscoped.drivers.protocols import (
    Camera,
    CameraFrame,
    CameraInfo,
    CameraSettings,
    Clock,
    FocusDirection,
    FocusStage,
    Microscope,
    Pixels,
)

__all__ = [
    "Camera",
    "CameraFrame",
    "CameraInfo",
    "CameraSettings",
    "Clock",
    "FocusDirection",
    "FocusStage",
    "Microscope",
    "Optics",
    "Pixels",
]

"""Simulated microscopes: honest optics and noise, recorded stacks, refocused fields.

They satisfy the Protocols of ``microscoped.drivers``, of which they use protocols, errors and optics, and import
nothing else of the project.
"""

from microscoped.simulators.brightfield import BrightfieldScene
from microscoped.simulators.camera import SimulatedCamera
from microscoped.simulators.clock import ManualClock
from microscoped.simulators.faults import Faults
from microscoped.simulators.microscope import SimulatedMicroscope
from microscoped.simulators.protocols import OpticalAxis, Scene
from microscoped.simulators.rendering import BrightfieldSetup
from microscoped.simulators.sensor import SensorModel
from microscoped.simulators.stage import SimulatedStage, StageModel

__all__ = [
    "BrightfieldScene",
    "BrightfieldSetup",
    "Faults",
    "ManualClock",
    "OpticalAxis",
    "Scene",
    "SensorModel",
    "SimulatedCamera",
    "SimulatedMicroscope",
    "SimulatedStage",
    "StageModel",
]

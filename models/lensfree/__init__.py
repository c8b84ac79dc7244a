"""Lens-free microscopy: from in-line holograms of three colours to optical path difference (C. Allier et al. 2022)."""

from microscoped.models.lensfree.autofocus import Focus, find_distance
from microscoped.models.lensfree.errors import (
    FramesError,
    LensFreeError,
    NetworkError,
    OpticsError,
    SettingsError,
    StartError,
)
from microscoped.models.lensfree.forward import ForwardModel
from microscoped.models.lensfree.frames import even_light
from microscoped.models.lensfree.network import NetworkAccelerator, NetworkUnwrapper
from microscoped.models.lensfree.optics import InlineOptics
from microscoped.models.lensfree.register import estimate_shifts_um
from microscoped.models.lensfree.settings import FAST_ITERATIONS, REFERENCE_ITERATIONS, SolveSettings
from microscoped.models.lensfree.solve import Progress, Reconstruction, solve, solve_accelerated
from microscoped.models.lensfree.start import linear_start
from microscoped.models.lensfree.unwrap import Accelerator, Maps, PathUnwrapper, Unwrapper

__all__ = [
    "FAST_ITERATIONS",
    "REFERENCE_ITERATIONS",
    "Accelerator",
    "Focus",
    "ForwardModel",
    "FramesError",
    "InlineOptics",
    "LensFreeError",
    "Maps",
    "NetworkAccelerator",
    "NetworkError",
    "NetworkUnwrapper",
    "OpticsError",
    "PathUnwrapper",
    "Progress",
    "Reconstruction",
    "SettingsError",
    "SolveSettings",
    "StartError",
    "Unwrapper",
    "estimate_shifts_um",
    "even_light",
    "find_distance",
    "linear_start",
    "solve",
    "solve_accelerated",
]

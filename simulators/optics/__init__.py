"""Image formation in a brightfield microscope, in single precision, many optical positions per call.

Functions and immutable objects only: nothing is remembered between calls. Specimens are periodic, so that no border
has to be cut away; images are relative intensities, 1 for a clear field.
"""

from microscoped.simulators.optics._abbe import AbbeImager, Source
from microscoped.simulators.optics._incoherent import (
    Combination,
    hopkins_otf,
    incoherent_images,
    incoherent_otf,
    stokseth_otf,
)
from microscoped.simulators.optics._pupil import (
    ComplexArray,
    FloatArray,
    Pupil,
    axial_frequency,
    frequencies,
    unit_phasor,
)
from microscoped.simulators.optics._sampling import (
    axial_nyquist_um,
    axial_weights,
    pixel_matrix,
    resample_periodic,
    to_camera,
)

__all__ = [
    "AbbeImager",
    "Combination",
    "ComplexArray",
    "FloatArray",
    "Pupil",
    "Source",
    "axial_frequency",
    "axial_nyquist_um",
    "axial_weights",
    "frequencies",
    "hopkins_otf",
    "incoherent_images",
    "incoherent_otf",
    "pixel_matrix",
    "resample_periodic",
    "stokseth_otf",
    "to_camera",
    "unit_phasor",
]

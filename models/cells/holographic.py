"""Off-axis holograms as maps of the optical path difference: the phase in the plane of the cells, times λ/2π."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import signal

from microscoped.models.cells.errors import ScaleError
from microscoped.models.cells.opd import OpdMap
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.distance import field_distance
from microscoped.models.hologram.phase import opd_nm
from microscoped.models.hologram.propagation import propagate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.distance import DistanceRange, DistanceSettings
    from microscoped.models.hologram.engine import HologramEngine
    from microscoped.models.hologram.field import Field

SEARCH_EVERY: Final = 20
"""Frames from one search of the cells' plane to the next."""


class HolographicOpd:
    """Reads holograms of one instrument; satisfies `microscoped.models.cells.opd.OpdSource`. Used by one thread.

    Adherent cells lie in one plane: one distance, searched in the whole field, brings all of them into focus. The map
    has the samples of the band, not the camera's pixels: about two for each λ/NA hold all that the hologram does.

    Parameters
    ----------
    engine
        Makes fields of frames, with carrier and background; may be the one that measures holograms, which then is
        calibrated for both.
    distance_um
        From the recording plane to the cells, in the medium, positive downstream; ``None`` to search it in the first
        frame and every twentieth after. Where the search finds nothing, the plane before is kept, at first the
        recording plane.
    within
        Where it is searched.
    arrays
        The library that transforms.
    """

    kind = "hologram"

    def __init__(
        self,
        engine: HologramEngine,
        distance_um: float | None = None,
        within: DistanceRange | None = None,
        arrays: ArrayBackend = SCIPY,
    ) -> None:
        self._engine = engine
        self._given = distance_um
        self._within = within
        self._arrays = arrays
        self._found = 0.0
        self._why = ""
        self._seen = 0

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`; ``made`` has ``distance_um``, ``reason`` where none was found, and the ``background``.

        Raises
        ------
        HologramError
            The frame is no hologram that suits the optics.
        ScaleError
            Wavelength or pixel size are unknown.
        """
        recorded = self._engine.reconstruct(frame, pixel_um)
        optics = recorded.optics
        if optics.wavelength_um is None or optics.pixel_size_um is None:
            raise ScaleError(
                f"wavelength_um {optics.wavelength_um}, pixel_size_um {optics.pixel_size_um}: dry mass needs both; "
                "configure optics.wavelength_nm and optics.pixel_size_um"
            )
        distance = self._distance(recorded)
        focused = recorded if distance == recorded.z else propagate(recorded, distance - recorded.z, self._arrays)
        focused = _square(focused)
        rows, columns = focused.pixel
        return OpdMap(
            opd_nm(focused),
            math.sqrt(rows * columns),
            first_px=focused.first,
            scale=(rows / optics.pixel_size_um, columns / optics.pixel_size_um),
            made={"distance_um": distance, "reason": self._why, "background": self._engine.background_values()},
        )

    def _distance(self, recorded: Field) -> float:
        if self._given is not None:
            return self._given
        if self._seen % SEARCH_EVERY == 0:
            settings: DistanceSettings = self._engine.settings.measure.distance
            found = field_distance(recorded, self._within, settings, self._arrays)
            self._why = found.reason.value if found.reason else ""
            if found.z_min_contrast is not None:
                self._found = found.z_min_contrast
        self._seen += 1
        return self._found


def _square(field: Field) -> Field:
    """Return a field on samples that are as long as they are wide, to within rounding of their number: the finer ones.

    A field is periodic and band-limited, so that it can be sampled more finely without loss (`scipy.signal.resample`).
    """
    finest = min(field.pixel)
    values, pixel = field.values, list(field.pixel)
    for axis in (0, 1):
        count = round(values.shape[axis] * pixel[axis] / finest)
        if count != values.shape[axis]:
            pixel[axis] *= values.shape[axis] / count
            values = np.asarray(signal.resample(values, count, axis=axis), np.complex64)
    return replace(field, values=values, pixel=(pixel[0], pixel[1]))


__all__ = ["SEARCH_EVERY", "HolographicOpd"]

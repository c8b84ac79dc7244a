"""Lens-free frames as maps of the optical path difference: each frame is an inverse problem of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from microscoped.models.cells.opd import OpdMap, choose_pixel_um
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.lensfree import (
    FAST_ITERATIONS,
    FramesError,
    SettingsError,
    SolveSettings,
    solve,
    solve_accelerated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.lensfree import (
        InlineOptics,
        NetworkAccelerator,
        NetworkUnwrapper,
        Progress,
        Reconstruction,
    )

FEWEST_ITERATIONS: Final = 2
"""One before an accelerator, and one after it."""


@dataclass(frozen=True, slots=True)
class LensFreeSettings:
    """How frames of a lens-free microscope are read.

    Parameters
    ----------
    iterations
        Of a frame; with an accelerator half of them before it, the rest after it.
    dark_count
        What the camera counts without light.
    solve
        Weights, and the range in which the distance is looked for.

    Raises
    ------
    SettingsError
        A value is out of its range. The message names it.
    """

    iterations: int = sum(FAST_ITERATIONS)
    dark_count: float = 0.0
    solve: SolveSettings = field(default_factory=SolveSettings)

    def __post_init__(self) -> None:
        if self.iterations < FEWEST_ITERATIONS:
            raise SettingsError(f"iterations {self.iterations}: at least {FEWEST_ITERATIONS} are needed")
        if not (self.dark_count >= 0 and math.isfinite(self.dark_count)):
            raise SettingsError(f"dark_count {self.dark_count}: must be 0 or a positive number of counts")


class LensFreeOpd:
    """Reads frames of one lens-free microscope; satisfies `microscoped.models.cells.opd.OpdSource`.

    A frame takes seconds to minutes: a daemon runs this in a process of its own. Used by one thread.

    Parameters
    ----------
    optics
        The microscope; its colours are the frame's channels in their order, and its ``pitch_um`` is not looked at.
    settings
        How frames are read.
    accelerator
        Brings the maps of the first half of the iterations near to those of many.
    unwrapper
        Sets wrapped cells right: after 10 and 40 iterations, or, with an accelerator, after the last.
    pixel_um
        Size of a pixel in the specimen, instead of what comes with the frame.
    arrays
        Where it is computed.
    follow
        Hears of every iteration.
    """

    kind = "lensfree"

    def __init__(
        self,
        optics: InlineOptics,
        settings: LensFreeSettings = LensFreeSettings(),
        *,
        accelerator: NetworkAccelerator | None = None,
        unwrapper: NetworkUnwrapper | None = None,
        pixel_um: float | None = None,
        arrays: ArrayBackend = SCIPY,
        follow: Callable[[Progress], None] | None = None,
    ) -> None:
        self._optics = optics
        self._settings = settings
        self._accelerator = accelerator
        self._unwrapper = unwrapper
        self._pixel_um = pixel_um
        self._arrays = arrays
        self._follow = follow

    def read(self, frame: NDArray[Any], pixel_um: float | None = None, bit_depth: int | None = None) -> OpdMap:
        """See `OpdSource`. The bit depth means nothing here.

        ``made`` has ``z_um`` from specimen to sensor, whether it was found in the frame (``z_found``; ``None`` where it
        was not looked for), the colours' ``shifts_um``, the ``iterations``, the ``residual`` that they left (root mean
        square of the difference of the modulus, the clear field being 1), and the networks' names.

        Parameters
        ----------
        frame
            Shape (rows, columns, colours): unsigned integers, or floating-point numbers of files.

        Raises
        ------
        FramesError, OpticsError, SettingsError, StartError
            The frame is no hologram that suits the optics.
        NetworkError
            The network was trained on other pixels.
        ScaleError
            The pixel size is unknown.
        """
        optics = replace(self._optics, pitch_um=choose_pixel_um(self._pixel_um, pixel_um))
        for network in (self._accelerator, self._unwrapper):
            if network is not None:
                network.check_pitch(optics.pitch_um)
        found, iterations = self._solved(self._colours(frame), optics)
        looked = self._settings.solve.focus_range_um > 0
        made = {
            "z_um": found.z_um,
            # Where nothing stands out, the distance stays what it was believed to be, to the last digit.
            "z_found": found.z_um != optics.z_um if looked else None,
            "shifts_um": [list(shift) for shift in found.shifts_um],
            "iterations": list(iterations),
            "residual": found.residuals[-1],
            "accelerator": self._accelerator.name if self._accelerator else None,
            "unwrapper": self._unwrapper.name if self._unwrapper else None,
        }
        return OpdMap(found.opd_nm, optics.pitch_um, made=made, timings_s=found.timings_s)

    def close(self) -> None:
        """Give back the networks' memory and devices."""
        for network in (self._accelerator, self._unwrapper):
            if network is not None:
                network.close()

    def _solved(self, frames: NDArray[np.float32], optics: InlineOptics) -> tuple[Reconstruction, tuple[int, ...]]:
        settings, count = self._settings.solve, self._settings.iterations
        if self._accelerator is None:
            found = solve(
                frames,
                optics,
                settings,
                iterations=count,
                unwrapper=self._unwrapper,
                callback=self._follow,
                arrays=self._arrays,
            )
            return found, (count,)
        halves = count // 2, count - count // 2
        found = solve_accelerated(
            frames,
            optics,
            self._accelerator,
            settings,
            unwrapper=self._unwrapper,
            iterations=halves,
            callback=self._follow,
            arrays=self._arrays,
        )
        return found, halves

    def _colours(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Return a frame as shape (colours, rows, columns), the count without light taken off."""
        colours = len(self._optics.wavelengths_um)
        if frame.ndim != 3 or frame.shape[2] != colours:
            raise FramesError(
                f"frame: shape {frame.shape}; a lens-free frame has (rows, columns, {colours}), a channel for each "
                "wavelength"
            )
        if frame.dtype.kind not in "uf":
            raise FramesError(f"frame: dtype {frame.dtype}; light is told by unsigned integers or floats")
        frames = np.ascontiguousarray(np.moveaxis(frame, 2, 0), np.float32)
        frames -= np.float32(self._settings.dark_count)
        return frames


__all__ = ["FEWEST_ITERATIONS", "LensFreeOpd", "LensFreeSettings"]

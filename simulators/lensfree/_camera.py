"""A lens-free microscope's camera: the three colours as the channels of one frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.lensfree._optics import LensFreeOptics
from microscoped.simulators.lensfree._scene import DEFAULT_SENSOR, LensFreeScene, LensFreeSetup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.cells import CellSource
    from microscoped.simulators.sensor import SensorModel

CAMERA_SENSOR = replace(DEFAULT_SENSOR, nominal_exposure_ms=10.0)
"""The LEDs are as bright as the exposures of other simulated microscopes are short."""


def rgb_optics(z_um: float = 1000.0, pitch_um: float = 1.67) -> LensFreeOptics:
    """Return the default optics with the colours in the order of a frame's channels: red, green, blue."""
    usual = LensFreeOptics(z_um=z_um, pitch_um=pitch_um)
    return replace(
        usual,
        wavelengths_um=usual.wavelengths_um[::-1],
        bandwidth_nm=usual.bandwidth_nm[::-1],
        shifts_um=usual.shifts_um[::-1],
    )


class LensFreeCameraScene:
    """Adherent cells before a lens-free camera; satisfies ``Scene``. Immutable; any thread.

    Parameters
    ----------
    setup
        Cells, light and sensor's grid; its optics have red, green and blue (see `rgb_optics`).
    sensor
        The sensor's noise.
    source
        As of `LensFreeScene`.

    Raises
    ------
    ValueError
        The optics have not three colours.
    """

    def __init__(
        self,
        setup: LensFreeSetup | None = None,
        sensor: SensorModel = CAMERA_SENSOR,
        *,
        source: CellSource | None = None,
    ) -> None:
        setup = setup if setup is not None else LensFreeSetup(optics=rgb_optics())
        colours = len(setup.optics.wavelengths_um)
        if colours != 3:
            raise ValueError(f"setup.optics has {colours} wavelengths_um, but a camera's frame has 3 channels")
        self.inner = LensFreeScene(setup, sensor, source=source)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an image: (height, width, 3)."""
        return (*self.inner.setup.shape_px, 3)

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel."""
        return self.inner.sensor.bit_depth

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh frame; see ``Scene``. The position changes nothing."""
        return np.ascontiguousarray(np.moveaxis(self.inner.expose(shot, exposure_ms).pixels, 0, 2))

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people."""
        setup, optics = self.inner.setup, self.inner.setup.optics
        colours = ", ".join(f"{1000 * one:g}" for one in optics.wavelengths_um)
        return {
            "scene": "simulated lens-free microscope",
            "specimen": f"adherent cells, {len(self.inner.truths)} in the frame (seed {setup.seed})",
            "optics": (
                f"{colours} nm, {optics.z_um:g} ± {setup.z_error_um:g} µm before the sensor, {optics.pitch_um:g} "
                "µm/pixel"
            ),
        }


__all__ = ["CAMERA_SENSOR", "LensFreeCameraScene", "rgb_optics"]

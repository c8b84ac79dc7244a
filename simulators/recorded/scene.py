"""A recorded stack as a scene before the simulated camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from microscoped.simulators.recorded.errors import BlendRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.drivers.optics import Optics
    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.recorded.stack import RecordedStack


class RecordedScene:
    """Plays a measured z-stack; satisfies ``Scene``.

    The nearest plane is shown as it was measured. Beyond the measured range the end plane is shown. The optical
    position is the stack's own z: shift the stack where the stage shall begin elsewhere.

    Measured planes carry the noise of their own camera, so none is added by default and two shots of one plane are
    equal, bit for bit. Where that is a danger (an estimate that compares shots), add some.

    Parameters
    ----------
    stack
        What was measured.
    blend
        Interpolate linearly between neighbouring planes. It averages their noise, and planes further apart than half
        a depth of field would give images that no microscope makes: there it is refused.
    optics
        What the stack was measured with; needed for `blend`.
    recorded_exposure_ms
        The exposure time of the recording. Where it is given, brightness follows the exposure, and ends at full scale;
        where not, a recording has one brightness.
    added_noise
        Standard deviation, in grey values, of normal noise added to each shot.
    seed
        Seeds the added noise together with the number of the shot.

    Raises
    ------
    BlendRefusedError
        Blending was asked for without `optics`, or planes lie too far apart.
    ValueError
        A figure is out of range.
    """

    def __init__(
        self,
        stack: RecordedStack,
        *,
        blend: bool = False,
        optics: Optics | None = None,
        recorded_exposure_ms: float | None = None,
        added_noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        if blend:
            _check_blend(stack, optics)
        if recorded_exposure_ms is not None and not recorded_exposure_ms > 0:
            raise ValueError(f"recorded_exposure_ms is {recorded_exposure_ms}, but must be positive")
        if not added_noise >= 0:
            raise ValueError(f"added_noise is {added_noise}, but must not be negative")
        self._stack = stack
        self._blend = blend
        self._recorded_exposure_ms = recorded_exposure_ms
        self._added_noise = added_noise
        self._seed = seed

    @property
    def stack(self) -> RecordedStack:
        """What is played."""
        return self._stack

    @property
    def shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of an image: (height, width) or (height, width, 3)."""
        return self._stack.shape

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel: at least 8, and above 8 where pixels are uint16."""
        return max(self._stack.bit_depth, 8 if self._stack.planes.dtype == np.uint8 else 9)

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return the plane nearest to ``z_um``, or the blend of its neighbours, as a fresh image.

        Parameters
        ----------
        z_um
            Optical position, in the z of the stack.
        exposure_ms
            Exposure time; it matters only where that of the recording is known.
        shot
            Seeds the added noise.
        """
        value = self._blended(z_um) if self._blend else None
        if self._recorded_exposure_ms is not None and exposure_ms != self._recorded_exposure_ms:
            value = self._plane(z_um) if value is None else value
            value = value * np.float32(exposure_ms / self._recorded_exposure_ms)
        if self._added_noise > 0:
            value = self._plane(z_um) if value is None else value
            random = np.random.default_rng((self._seed, shot))
            value = value + np.float32(self._added_noise) * random.standard_normal(value.shape, dtype=np.float32)
        planes = self._stack.planes
        if value is None:
            return cast("Pixels", planes[self._stack.nearest(z_um)].copy())
        grey = np.clip(np.rint(value), 0, 2**self.bit_depth - 1)
        return grey.astype(np.uint8) if planes.dtype == np.uint8 else grey.astype(np.uint16)

    def describe(self) -> Mapping[str, str]:
        """Return what is played, how, and the measured range."""
        stack = self._stack
        low, high = stack.z_um[0], stack.z_um[-1]
        return {
            "scene": "recorded stack",
            "source": stack.name,
            "planes": str(len(stack.planes)),
            "measured range": f"{low:g} … {high:g} µm; beyond it the end plane is shown",
            "largest step": f"{stack.largest_gap_um:g} µm",
            "playback": "linear blend of neighbouring planes" if self._blend else "nearest plane",
            "brightness": "as recorded" if self._recorded_exposure_ms is None else "follows the exposure time",
            "added noise": f"{self._added_noise:g} grey values" if self._added_noise else "none",
        }

    def _plane(self, z_um: float) -> NDArray[np.float32]:
        return np.asarray(self._stack.planes[self._stack.nearest(z_um)], np.float32)

    def _blended(self, z_um: float) -> NDArray[np.float32]:
        planes, z = self._stack.planes, self._stack.z_um
        upper = int(np.clip(np.searchsorted(z, z_um), 1, len(z) - 1))
        weight = np.float32(np.clip((z_um - z[upper - 1]) / (z[upper] - z[upper - 1]), 0, 1))
        below, above = planes[upper - 1].astype(np.float32), planes[upper].astype(np.float32)
        return np.asarray(below + weight * (above - below), np.float32)


def _check_blend(stack: RecordedStack, optics: Optics | None) -> None:
    if optics is None:
        raise BlendRefusedError(f"{stack.name}: blending needs the optics of the recording, to know its depth of field")
    limit_um = optics.dof_um / 2
    if stack.largest_gap_um > limit_um:
        raise BlendRefusedError(
            f"{stack.name}: planes lie up to {stack.largest_gap_um:g} µm apart, more than half the depth of field "
            f"({limit_um:.3g} µm); play the nearest plane (blend=False) or record a denser stack"
        )


__all__ = ["RecordedScene"]

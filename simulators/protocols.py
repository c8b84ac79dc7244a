"""What stands before a simulated camera, and what moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.protocols import Pixels


class Scene(Protocol):
    """A field of view that can be exposed at any focus: computed, recorded or refocused."""

    @property
    def shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of an image: (height, width), or (height, width, 3) in the order red, green, blue."""
        ...

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel, 8 to 16; an image is uint8 up to 8 bits and uint16 above."""
        ...

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh digital image.

        Parameters
        ----------
        z_um
            Optical position: how far downstream of the nominal focus the focal plane lies, in the scene's micrometres.
        exposure_ms
            Exposure time; light is proportional to it.
        shot
            Seeds the noise: the same shot gives the same noise, another shot independent noise.
        """
        ...

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people."""
        ...


class OpticalAxis(Protocol):
    """Something that knows where the focal plane truly is."""

    def optical_z_um(self, t_ns: int) -> float:
        """Return the true optical position at the time ``t_ns``, in micrometres; past times are allowed."""
        ...


__all__ = ["OpticalAxis", "Scene"]

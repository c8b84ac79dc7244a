"""How frames of a lens-free microscope are read."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from microscoped.daemon.config.section import KeyProblemError, Positive, Section

Wavelength = Annotated[float, Field(ge=200, le=1_600)]
Bandwidth = Annotated[float, Field(ge=0, lt=300)]
Shift = tuple[float, float]


class LensFreeReadingConfig(Section):
    """How frames of a lens-free microscope are read: in-line holograms in the channels red, green and blue.

    All of three values are of red, green and blue. Lengths are those in the specimen's scale, pixels too.

    Parameters
    ----------
    z_um
        From specimen to sensor, as far as it is known; required.
    focus_range_um
        The distance is looked for in each frame within so much of ``z_um``; 0: it is that.
    wavelengths_nm, bandwidths_nm
        Mean, and full width at half maximum, of each colour's spectrum; by default single lines.
    shifts_um
        How far each colour's hologram lies from the specimen, [row, column]; by default they are found in each frame,
        against green.
    led_um, led_distance_um
        Diameter of the pinhole before the light, and its distance to the specimen; by default a point.
    dark_count
        What the camera counts without light.
    method
        ``fast``: 20 iterations, the accelerator after the first 10 of them, the unwrapper after the last;
        ``reference``: 153, and the unwrapper after 10 and 40 of them.
    iterations
        Instead; the accelerator comes after half of them.
    accelerator
        Of ``fast``: a network of the weights, ``auto`` for the usual one if it is there, or ``none``.
    unwrapper
        Likewise; of ``fast`` without an accelerator it comes after 10 iterations.
    late_s, hung_s
        Where a frame takes longer, an alarm is raised; and the process that reads it is ended, and started again with
        the next one.
    """

    z_um: Positive | None = None
    focus_range_um: Annotated[float, Field(ge=0)] = 40.0
    wavelengths_nm: tuple[Wavelength, Wavelength, Wavelength] = (630.0, 530.0, 450.0)
    bandwidths_nm: tuple[Bandwidth, Bandwidth, Bandwidth] | None = None
    shifts_um: tuple[Shift, Shift, Shift] | None = None
    led_um: Positive | None = None
    led_distance_um: Positive | None = None
    dark_count: Annotated[float, Field(ge=0)] = 0.0
    method: Literal["fast", "reference"] = "fast"
    iterations: Annotated[int, Field(ge=2, le=10_000)] | None = None
    accelerator: Literal["auto", "lensfree_accelerate_light", "lensfree_accelerate", "none"] = "auto"
    unwrapper: Literal["auto", "lensfree_unwrap", "none"] = "auto"
    late_s: Positive = 120.0
    hung_s: Positive = 1_800.0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.led_um is None) != (self.led_distance_um is None):
            missing = "led_um" if self.led_um is None else "led_distance_um"
            raise KeyProblemError(missing, "led_um and led_distance_um: give both, or neither for a point")
        if self.z_um is not None and self.focus_range_um >= self.z_um:
            raise KeyProblemError(
                "focus_range_um",
                f"focus_range_um {self.focus_range_um:g} must be below z_um {self.z_um:g}, the distance to the sensor",
            )
        if self.hung_s <= self.late_s:
            raise KeyProblemError("hung_s", f"hung_s {self.hung_s:g} must be above late_s {self.late_s:g}, its alarm")
        if self.accelerator not in ("auto", "none") and self.method == "reference":
            raise KeyProblemError(
                "accelerator", f"accelerator {self.accelerator} means nothing with method reference; take it out"
            )
        return self


__all__ = ["LensFreeReadingConfig"]

"""One holographic microscope as the command line describes it, and what it measures in a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from microscoped.models.hologram import (
    BackgroundError,
    HologramError,
    MeasureSettings,
    OpticsError,
    ReconstructionSettings,
    Reconstructor,
    SidebandOutsideError,
    SidebandOverlapError,
    background_change,
    compose,
    denser_side,
    measure_field,
    propagate,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models.hologram import (
        Composite,
        DistanceNetwork,
        Field,
        FieldMeasurement,
        HologramOptics,
    )

SCALE_ERRORS = (SidebandOutsideError, SidebandOverlapError, OpticsError)
"""What a wrong wavelength, pixel size, magnification or aperture leads to."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in one frame.

    Parameters
    ----------
    found
        Field, cells and distances.
    plane
        The field in the plane that is the field's own distance, or as recorded where it has none.
    composite
        The field with each cell in its own plane.
    reconstructor
        What made the field.
    background
        Kind and state of the background, as JSON values.
    warnings
        What a person should know, in words.
    """

    found: FieldMeasurement
    plane: Field
    composite: Composite
    reconstructor: Reconstructor
    background: dict[str, Any]
    warnings: tuple[str, ...]

    def values(self) -> dict[str, Any]:
        """Return all as plain JSON values with units in their names."""
        carrier = self.reconstructor.sideband.carrier
        sideband = {
            "carrier_row_cycles_per_px": carrier[0],
            "carrier_column_cycles_per_px": carrier[1],
            "radius_cycles_per_px": self.reconstructor.sideband.radius,
            "side": self.reconstructor.sideband.side.name.lower(),
        }
        return {
            **self.found.values(),
            "sideband": sideband,
            "background": self.background,
            "warnings": list(self.warnings),
        }


@dataclass
class Instrument:
    """Measures frames of one microscope.

    Parameters
    ----------
    optics
        What is known of it.
    given
        The options that the optics were made of, for messages.
    background
        A hologram of a place without specimen; without it the background is fitted to each frame.
    network
        Reads distances; without it they are searched.
    reconstruction, settings
        How fields are made, and what is measured.
    """

    optics: HologramOptics
    given: str
    background: NDArray[Any] | None = None
    network: DistanceNetwork | None = None
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    settings: MeasureSettings = field(default_factory=MeasureSettings)
    _prepared: Reconstructor | None = None

    def measure(self, frame: NDArray[Any]) -> Measured:
        """Measure a frame.

        Parameters
        ----------
        frame
            Shape (height, width), or (height, width, 3 or 4) with equal channels.

        Raises
        ------
        HologramError
            It is no hologram of this instrument; the message names what was given, where that may be wrong.
        """
        try:
            reconstructor = self._reconstructor(frame)
            recorded = reconstructor(frame)
            found = measure_field(recorded, self.settings, self.network)
        except SCALE_ERRORS as error:
            raise type(error)(f"{error} (given: {self.given or 'nothing'})") from error
        distance = found.z_min_contrast
        plane = recorded if distance is None else propagate(recorded, distance - recorded.z)
        cells = [one.cell for one in found.cells]
        composite = compose(recorded, cells, found.cells, distance, self.settings.distance.cells)
        background = self._state(recorded)
        warnings = (*self._remarks(composite.field), *([background["why"]] if background["why"] else []))
        return Measured(found, plane, composite, reconstructor, background, warnings)

    def _reconstructor(self, frame: NDArray[Any]) -> Reconstructor:
        if self.background is None:
            return Reconstructor.prepare(frame, self.optics, settings=self.reconstruction)
        if self._prepared is None:
            try:
                self._prepared = Reconstructor.prepare(
                    self.background, self.optics, background=self.background, settings=self.reconstruction
                )
            except SCALE_ERRORS:
                raise
            except HologramError as error:
                raise BackgroundError(f"--background: {error}") from error
        if frame.shape[:2] != self.background.shape[:2]:
            raise BackgroundError(
                f"shape {frame.shape[:2]}: the background has {self.background.shape[:2]}; take both with the same "
                "camera region and binning, or leave --background out"
            )
        return self._prepared

    def _state(self, recorded: Field) -> dict[str, Any]:
        if self.background is None:
            return {"kind": "fitted", "stale": False, "why": ""}
        change = background_change(recorded)
        return {
            "kind": "hologram",
            "carrier_moved_px": change.moved_px,
            "residual_rad": change.residual_rad,
            "stale": bool(change.stale),
            "why": change.stale,
        }

    def _remarks(self, focused: Field) -> list[str]:
        side = self.reconstruction.side
        remarks = []
        if denser_side(focused, side) not in (side, None):
            other = "minus" if side > 0 else "plus"
            remarks.append(
                "the specimen's phase is negative, as of one less dense than the medium; of cells in a buffer this is "
                f"the wrong sideband, and all signs are inverted: --side {other}"
            )
        if self.optics.scale_known and self.optics.na is None:
            remarks.append(
                "without --na the band's radius is measured, and a wrong wavelength, pixel size or magnification "
                "goes unnoticed"
            )
        return remarks


__all__ = ["SCALE_ERRORS", "Instrument", "Measured"]

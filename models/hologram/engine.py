"""Holograms as an engine of the daemon: distance, depth and phase of every cell of every frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.background import BackgroundChange, background_change
from microscoped.models.hologram.errors import NoSidebandError
from microscoped.models.hologram.measurement import MeasureSettings, measure_field
from microscoped.models.hologram.reconstruction import ReconstructionSettings, Reconstructor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.network import DistanceNetwork
    from microscoped.models.hologram.optics import HologramOptics
    from microscoped.models.hologram.stored import StoredBackground

OPTIONS = ("pixel_size_um",)
CHECK_EVERY = 10
"""Frames from one look at the background's age to the next."""


@dataclass(frozen=True, slots=True)
class HologramEngineSettings:
    """How holograms are measured.

    Parameters
    ----------
    optics
        What is known of the instrument; the pixel size without binning's effect where frames bring their own.
    reconstruction, measure
        How frames become fields, and what is measured in them.
    """

    optics: HologramOptics
    reconstruction: ReconstructionSettings = field(default_factory=ReconstructionSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)


class HologramEngine:
    """Measures holograms of one instrument. Used by one thread.

    Carrier and background are found in the background hologram, or without one in the first frame, and kept as long as
    frames have its shape and fringes where they were.

    Parameters
    ----------
    settings
        How.
    network
        Reads distances; without it cells are searched.
    background
        Of a place without specimen; without it the background is fitted to a frame.
    arrays
        The library that transforms.
    """

    name = "hologram"
    frames = 1

    def __init__(
        self,
        settings: HologramEngineSettings,
        network: DistanceNetwork | None = None,
        background: StoredBackground | None = None,
        arrays: ArrayBackend = SCIPY,
    ) -> None:
        self._settings = settings
        self._network = network
        self._background = background
        self._arrays = arrays
        self._reconstructor: Reconstructor | None = None
        self._prepared: tuple[tuple[int, ...], HologramOptics] | None = None
        self._change = BackgroundChange((0.0, 0.0), 0.0)
        self._seen = 0

    @property
    def settings(self) -> HologramEngineSettings:
        """How it measures."""
        return self._settings

    def use(self, background: StoredBackground | None, settings: HologramEngineSettings | None = None) -> None:
        """Take another background, or other settings, from the next frame on; called by the thread that measures."""
        self._background = background
        self._settings = settings or self._settings
        self._reconstructor = None

    @property
    def network_sha256(self) -> str:
        """SHA-256 of the network's weights; empty without a network."""
        return "" if self._network is None else self._network.sha256

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure a hologram.

        Parameters
        ----------
        frames
            One hologram.
        options
            ``pixel_size_um``: size of its pixels in the specimen, binning included; that of the settings by default.

        Returns
        -------
        values
            As `FieldMeasurement.values`; and ``background`` with ``kind`` (``hologram`` or ``fitted``), ``taken``,
            ``sha256``, ``carrier_moved_px``, ``residual_rad``, ``stale`` and, in words, ``why``.

        Raises
        ------
        ValueError
            The frame is no hologram that suits the settings, or an option is unknown; the message names the value and
            the remedy.
        """
        if len(frames) != self.frames:
            raise ValueError(f"{len(frames)} frames: a hologram is one")
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such option; there are {', '.join(OPTIONS)}")
        recorded = self.reconstruct(frames[0], options.get("pixel_size_um"))
        measured = measure_field(recorded, self._settings.measure, self._network, self._arrays)
        return {**measured.values(), "background": self.background_values()}

    def reconstruct(self, frame: NDArray[Any], pixel_size_um: float | None = None) -> Field:
        """Return the normalised field of a frame at the recording plane.

        Parameters
        ----------
        frame
            A hologram.
        pixel_size_um
            Size of its pixels in the specimen, where it is another one than that of the settings.

        Raises
        ------
        HologramError
            It is no hologram that suits the settings.
        """
        optics = self._settings.optics
        if pixel_size_um is not None:
            optics = replace(optics, pixel_size_um=pixel_size_um)
        wanted = frame.shape, optics
        if self._reconstructor is None or self._prepared != wanted:
            self._reconstructor, self._prepared, self._seen = self._prepare(frame, optics), wanted, 0
        try:
            recorded = self._reconstructor(frame)
        except NoSidebandError:
            if self._background is not None:
                raise
            # Without a background hologram the carrier is looked for anew.
            self._reconstructor, self._seen = self._prepare(frame, optics), 0
            recorded = self._reconstructor(frame)
        if self._seen % CHECK_EVERY == 0:
            self._change = background_change(recorded)
            if self._background is None and self._change.stale:
                self._reconstructor = self._prepare(frame, optics)
                recorded = self._reconstructor(frame)
                self._change = background_change(recorded)
        self._seen += 1
        return recorded

    def background_values(self) -> dict[str, Any]:
        """Return what the last frame's background was, and whether it still fits; see `measure`."""
        why = self._change.stale
        taken = self._background
        return {
            "kind": "fitted" if taken is None else "hologram",
            "taken": None if taken is None else taken.taken,
            "sha256": None if taken is None else taken.sha256,
            "carrier_moved_px": self._change.moved_px,
            "residual_rad": self._change.residual_rad,
            "stale": bool(why),
            "why": why,
        }

    def _prepare(self, frame: NDArray[Any], optics: HologramOptics) -> Reconstructor:
        background = None if self._background is None else self._background.frame
        return Reconstructor.prepare(
            frame, optics, background=background, settings=self._settings.reconstruction, arrays=self._arrays
        )


__all__ = ["CHECK_EVERY", "HologramEngine", "HologramEngineSettings"]

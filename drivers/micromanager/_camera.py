"""A camera of a Micro-Manager core."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.drivers.errors import CameraError
from microscoped.drivers.micromanager._pixels import normalise, pixel_format
from microscoped.drivers.micromanager._settings import SettingsAccess, camera_errors
from microscoped.drivers.micromanager._timing import SequenceTiming
from microscoped.drivers.protocols import CameraFrame, CameraInfo, CameraSettings

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

    from microscoped.drivers.protocols import Clock


class MicroManagerCamera:
    """A camera; satisfies ``Camera``.

    Sequences are Micro-Manager's sequence acquisition. When nobody takes the frames of an endless sequence and the
    circular buffer is full, Micro-Manager throws away all that it holds: the numbers of the frames jump. A finite
    sequence ends early instead.

    Parameters
    ----------
    core
        The core, configured; the camera has its camera role.
    label
        Label of the camera.
    clock
        Monotonic nanoseconds.
    """

    def __init__(self, core: CMMCorePlus, label: str, clock: Clock) -> None:
        self._core = core
        self._label = label
        self._clock = clock
        self._settings = SettingsAccess(core, label)
        self._timing: SequenceTiming | None = None
        self._components = 1
        self._exposure_ms = 0.0
        self._adjusts_exposure = False

    @property
    def name(self) -> str:
        """The device's label."""
        return self._label

    def info(self) -> CameraInfo:
        """Return facts about the camera as it is set now.

        Raises
        ------
        CameraError
            The device failed, or its pixels are neither 8 nor 16 bits.
        """
        core = self._core
        with camera_errors(self._label, "the image format could not be read"):
            channels, dtype = pixel_format(int(core.getBytesPerPixel()), int(core.getNumberOfComponents()))
            return CameraInfo(
                name=self._label,
                height_px=int(core.getImageHeight()),
                width_px=int(core.getImageWidth()),
                channels=channels,
                dtype=dtype,
                bit_depth=min(int(core.getImageBitDepth()), 8 if dtype == "uint8" else 16),
                pixel_size_um=float(core.getPixelSizeUm()) or None,
            )

    def settings(self) -> CameraSettings:
        """Return all settings, read back from the device."""
        return self._settings.read()

    def configure(self, change: CameraSettings) -> CameraSettings:
        """Change the settings that are not ``None`` and return all of them, read back.

        Raises
        ------
        SettingError
            The camera has no such setting, or cannot do the value; nothing was changed.
        CameraError
            The device failed, or a change other than the exposure was asked for while a sequence runs.
        """
        running = self.is_running()
        if running and replace(change, exposure_ms=None) != CameraSettings():
            raise CameraError(f"{self._label}: only the exposure can be changed while a sequence runs; stop it first")
        now = self._settings.write(change)
        if running and now.exposure_ms is not None:
            self._note_exposure(now.exposure_ms)
        return now

    def snap(self) -> CameraFrame:
        """Take one frame and return it; blocks for the exposure.

        Raises
        ------
        CameraError
            The device failed, or a sequence runs.
        """
        core = self._core
        if self.is_running():
            raise CameraError(f"{self._label}: cannot snap while a sequence runs; stop it first")
        with camera_errors(self._label, "the snap failed"):
            called_ns = self._clock()
            core.snapImage()
            returned_ns = self._clock()
            image = core.getImage(fix=False)
            exposure_ms = self._settings.exposure_ms()
            pixels = normalise(image, int(core.getNumberOfComponents()))
        # The exposure lies between call and return; before it, shutters open, after it, the image is read out.
        latest_ns = max(called_ns, returned_ns - round(exposure_ms * 1e6))
        middle_ns = (called_ns + latest_ns + 1) // 2
        return CameraFrame(
            pixels=pixels,
            number=0,
            exposure_start_ns=middle_ns,
            exposure_start_error_ns=middle_ns - called_ns,
            exposure_ms=exposure_ms,
            metadata={"Camera": self._label},
        )

    def start(self, n_frames: int | None = None) -> None:
        """Begin a sequence of ``n_frames``, or an endless one; returns at once.

        Raises
        ------
        CameraError
            A sequence runs already, or the device refused.
        """
        if n_frames is not None and n_frames < 1:
            raise CameraError(f"{self._label}: a sequence of {n_frames} frames is not possible")
        if self.is_running():
            raise CameraError(f"{self._label}: a sequence runs already; stop it first")
        self.stop()
        core = self._core
        with camera_errors(self._label, "the sequence could not be started"):
            self._components = int(core.getNumberOfComponents())
            self._exposure_ms = self._settings.exposure_ms()
            self._adjusts_exposure = self._settings.switches_exposure and bool(self._settings.read().auto_exposure)
            started_ns = self._clock()
            if n_frames is None:
                core.startContinuousSequenceAcquisition(0)
            else:
                core.startSequenceAcquisition(n_frames, 0, True)
        self._timing = SequenceTiming(started_ns, self._exposure_ms, clock=self._clock)

    def take(self) -> CameraFrame | None:
        """Return the oldest frame of the sequence not yet taken, or ``None``. Never waits.

        Raises
        ------
        CameraError
            The device failed.
        """
        timing = self._timing
        if timing is None:
            return None
        with camera_errors(self._label, "the image could not be fetched"):
            asked_ns = self._clock()
            if self._core.getRemainingImageCount() == 0:
                timing.saw_empty(asked_ns)
                return None
            try:
                image, tags = self._core.popNextImageAndMD(fix=False)
            except IndexError:
                return None  # the buffer was full and has been emptied since it was asked
            metadata = {str(key): str(value) for key, value in dict(tags).items()}
            if self._adjusts_exposure:
                self._note_exposure(self._settings.exposure_ms())
            number = int(metadata["ImageNumber"])
            start_ns, error_ns, exposure_ms = timing.frame(number, metadata.get("TimeReceivedByCore"))
            pixels = normalise(image, self._components)
        return CameraFrame(
            pixels=pixels,
            number=number,
            exposure_start_ns=start_ns,
            exposure_start_error_ns=error_ns,
            exposure_ms=exposure_ms,
            metadata=metadata,
        )

    def is_running(self) -> bool:
        """Return whether a sequence runs: false after its last frame, after `stop`, and when the camera died.

        Raises
        ------
        CameraError
            The device failed.
        """
        with camera_errors(self._label, "the state could not be read"):
            return bool(self._core.isSequenceRunning(self._label))

    def stop(self) -> None:
        """End the sequence and drop its frames. May wait for the exposure in progress. Idempotent.

        Raises
        ------
        CameraError
            The device failed.
        """
        if self._timing is None and not self.is_running():
            return
        with camera_errors(self._label, "the sequence could not be stopped"):
            self._core.stopSequenceAcquisition(self._label)
            self._core.clearCircularBuffer()
        self._timing = None

    def _note_exposure(self, exposure_ms: float) -> None:
        if self._timing is not None and exposure_ms != self._exposure_ms:
            self._exposure_ms = exposure_ms
            self._timing.exposure_changed(exposure_ms, self._clock())


__all__ = ["MicroManagerCamera"]

"""Simulated microscopes as devices of a Micro-Manager core.

What is tested against such a core has gone through Micro-Manager's own calls: its camera and stage are Python devices
in pymmcore-plus's *UniMMCore*, beside which C++ devices may be loaded. Written for and tested with pymmcore-plus 0.18
(the project pins it), where UniMMCore is experimental. What it lacks, and what is done here about it:

- ``stopSequenceAcquisition`` does not tell a Python camera to stop; it waits two seconds for the next frame and then
  leaves the thread running. `SimulatedCore` tells the camera first.
- ``snapImage`` and a sequence of one frame look the same to a Python camera. `SimulatedCore` tells them apart.
- An error inside a sequence kills its thread with a traceback on the console. Here the sequence ends quietly, as with
  real drivers, and the log has the reason; the caller sees that it does not run any more.
- ``ImageNumber`` counts what reached the core. `SimulatedCore` puts the camera's own number there, so that frames lost
  by the simulated camera show as gaps, as with C++ cameras whose buffer was emptied.
- Errors while a Python device is initialised are only logged. `build_core` opens the microscope beforehand.
- Bit depth and pixel size come from the simulated camera instead of the array type and a configuration.
- A full buffer of an endless sequence drops its oldest frames, where C++ cores drop everything.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

# Must be set before the first core is made: with a Qt application in the process, events would need its event loop.
os.environ.setdefault("PYMM_SIGNALS_BACKEND", "psygnal")

from pymmcore_plus import FocusDirection as CoreDirection
from pymmcore_plus.experimental.unicore import CameraDevice, StageDevice, UniMMCore

from microscoped.drivers.errors import DriverError
from microscoped.drivers.protocols import CameraSettings, FocusDirection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from microscoped.drivers.protocols import Camera, CameraFrame, CameraInfo, Microscope

logger = logging.getLogger(__name__)

POLL_S = 0.001
"""How often the camera is asked for its next frame."""

NUMBER_TAG = "SourceImageNumber"
CAMERA_LABEL = "Camera"
STAGE_LABEL = "Z"

DIRECTIONS = {
    FocusDirection.TOWARD_SAMPLE: CoreDirection.TowardSample,
    FocusDirection.AWAY: CoreDirection.AwayFromSample,
    FocusDirection.UNKNOWN: CoreDirection.Unknown,
}

AUTOMATIC = {"auto_exposure": "ExposureAuto", "auto_gain": "GainAuto", "auto_white_balance": "BalanceWhiteAuto"}
"""Property names, as GenICam cameras have them."""


class _Bench:
    """Opens the microscope with its first device, closes it with the last."""

    def __init__(self, microscope: Microscope) -> None:
        self.microscope = microscope
        self._users = 0

    @property
    def is_open(self) -> bool:
        """Whether any device uses the microscope."""
        return self._users > 0

    def enter(self) -> None:
        if self._users == 0:
            self.microscope.__enter__()
        self._users += 1

    def leave(self) -> None:
        if self._users == 0:
            return  # a device that was never initialised is unloaded
        self._users -= 1
        if self._users == 0:
            self.microscope.__exit__(None, None, None)


class SimulatedCameraDevice(CameraDevice):
    """A simulated camera as a Micro-Manager camera.

    The simulated camera is called under a lock: by the thread of the sequence and by the one that owns the core.

    Parameters
    ----------
    bench
        The microscope with the camera.
    """

    def __init__(self, bench: _Bench) -> None:
        super().__init__()
        self._bench = bench
        self._device_lock = threading.Lock()
        self._stopping = threading.Event()
        self._snapping = False
        self._full = (0, 0, 0, 0)

    def initialize(self) -> None:
        """Open the microscope, and register the properties that its camera has."""
        self._bench.enter()
        now = self._inner.settings()
        x, y, width, height = now.roi or (0, 0, self.shape()[1], self.shape()[0])
        self._full = (0, 0, x + width, y + height)
        if now.binning is not None:
            self._register("Binning", "binning", int)
        if now.gain is not None:
            self._register("Gain", "gain", float)
        for setting, name in AUTOMATIC.items():
            if getattr(now, setting) is not None:
                self._register_switch(name, setting)

    def shutdown(self) -> None:
        """Close the microscope."""
        if self._bench.is_open:
            self.end_sequence()
        self._bench.leave()

    def get_exposure(self) -> float:
        """Return the exposure time, in milliseconds."""
        with self._device_lock:
            return float(self._inner.settings().exposure_ms or 0.0)

    def set_exposure(self, exposure: float) -> None:
        """Set the exposure time, in milliseconds."""
        self._configure(CameraSettings(exposure_ms=float(exposure)))

    def shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Return the shape of an image as set now."""
        info = self.inner_info()
        plane = (info.height_px, info.width_px)
        return plane if info.channels == 1 else (*plane, info.channels)

    def dtype(self) -> DTypeLike:
        """Return the type of a pixel."""
        return np.dtype(self.inner_info().dtype)

    def inner_info(self) -> CameraInfo:
        """Return what the simulated camera says of itself."""
        with self._device_lock:
            return self._inner.info()

    def get_roi(self) -> tuple[int, int, int, int]:
        """Return the region in binned pixels, as Micro-Manager counts."""
        with self._device_lock:
            now = self._inner.settings()
        binning = now.binning or 1
        x, y, width, height = now.roi or self._full
        return x // binning, y // binning, width // binning, height // binning

    def set_roi(self, x: int, y: int, width: int, height: int) -> None:
        """Set the region, in binned pixels."""
        with self._device_lock:
            binning = self._inner.settings().binning or 1
        self._configure(CameraSettings(roi=(x * binning, y * binning, width * binning, height * binning)))

    def clear_roi(self) -> None:
        """Set the whole frame, as it was when the device was opened."""
        with self._device_lock:
            has_roi = self._inner.settings().roi is not None
        if has_roi:
            self._configure(CameraSettings(roi=self._full))

    @contextmanager
    def snapping(self) -> Iterator[None]:
        """Let the next sequence of one be a snap."""
        self._snapping = True
        try:
            yield
        finally:
            self._snapping = False

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]
    ) -> Iterator[Mapping[str, str]]:
        """Start at once and return the iterator that fills the core's buffers."""
        if self._snapping:
            return self._snap(get_buffer)
        with self._device_lock:
            self._inner.start(n)
        self._stopping.clear()
        return self._frames(get_buffer)

    def request_stop(self) -> None:
        """Let the sequence's thread end before its next frame."""
        self._stopping.set()

    def end_sequence(self) -> None:
        """Stop the simulated camera."""
        self._stopping.set()
        with self._device_lock:
            self._inner.stop()

    @property
    def _inner(self) -> Camera:
        return self._bench.microscope.camera

    def _snap(self, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]) -> Iterator[Mapping[str, str]]:
        with self._device_lock:
            frame = self._inner.snap()
        yield _deliver(frame, get_buffer)

    def _frames(self, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]) -> Iterator[Mapping[str, str]]:
        while not self._stopping.is_set():
            try:
                with self._device_lock:
                    running = self._inner.is_running()
                    frame = self._inner.take()
            except DriverError:
                logger.exception("%s: the sequence ended", self.get_label())
                return
            if frame is not None:
                yield _deliver(frame, get_buffer)
            elif not running:
                return
            else:
                self._stopping.wait(POLL_S)

    def _configure(self, change: CameraSettings) -> None:
        with self._device_lock:
            self._inner.configure(change)

    def _read(self, setting: str) -> Any:  # noqa: ANN401 (as many types as settings)
        with self._device_lock:
            return getattr(self._inner.settings(), setting)

    def _write(self, setting: str, value: Any) -> None:  # noqa: ANN401 (as many types as settings)
        self._configure(replace(CameraSettings(), **{setting: value}))

    def _register(self, name: str, setting: str, kind: type[int] | type[float]) -> None:
        self.register_property(
            name,
            property_type=kind,
            getter=lambda _: self._read(setting),
            setter=lambda _, value: self._write(setting, kind(value)),
        )

    def _register_switch(self, name: str, setting: str) -> None:
        self.register_property(
            name,
            property_type=str,
            allowed_values=("Off", "Continuous"),
            getter=lambda _: "Continuous" if self._read(setting) else "Off",
            setter=lambda _, value: self._write(setting, value != "Off"),
        )


class SimulatedStageDevice(StageDevice):
    """A simulated focus stage as a Micro-Manager stage.

    Parameters
    ----------
    bench
        The microscope with the stage.
    """

    def __init__(self, bench: _Bench) -> None:
        super().__init__()
        self._bench = bench

    def initialize(self) -> None:
        """Open the microscope."""
        self._bench.enter()

    def shutdown(self) -> None:
        """Close the microscope."""
        self._bench.leave()

    def set_position_um(self, val: float) -> None:
        """Command a move."""
        self._bench.microscope.stage.move_to(float(val))
        self.core.events.stagePositionChanged.emit(self.get_label(), float(val))

    def get_position_um(self) -> float:
        """Return the position read back."""
        return self._bench.microscope.stage.position_um()

    def busy(self) -> bool:
        """Return whether the stage says that it moves."""
        return self._bench.microscope.stage.is_busy()

    def stop(self) -> None:
        """Halt."""
        self._bench.microscope.stage.stop()

    def home(self) -> None:
        """Refuse: simulated stages have no reference switch."""
        raise NotImplementedError("a simulated stage has no home position")

    def set_origin(self) -> None:
        """Refuse: the origin is never reset."""
        raise NotImplementedError("the origin of a simulated stage is never reset")

    def get_focus_direction(self) -> CoreDirection:
        """Return what the simulated driver says."""
        return DIRECTIONS[self._bench.microscope.stage.focus_direction()]


class SimulatedCore(UniMMCore):
    """A core that knows that its camera is simulated; made by `build_core`. The module's text says what it mends.

    Parameters
    ----------
    bench
        The microscope whose camera and stage become devices, open.
    """

    def __init__(self, bench: _Bench) -> None:
        super().__init__()
        self._simulated = SimulatedCameraDevice(bench)
        self.loadPyDevice(STAGE_LABEL, SimulatedStageDevice(bench))
        self.loadPyDevice(CAMERA_LABEL, self._simulated)
        self.initializeAllDevices()
        self.setCameraDevice(CAMERA_LABEL)
        self.setFocusDevice(STAGE_LABEL)
        self.setAutoShutter(False)

    def snapImage(self) -> None:
        """Take a single image."""
        with self._simulated.snapping():
            super().snapImage()

    def stopSequenceAcquisition(self, cameraLabel: str | None = None) -> None:
        """Stop the sequence; waits for the image being computed."""
        self._simulated.request_stop()
        super().stopSequenceAcquisition(cameraLabel)
        self._simulated.end_sequence()

    def popNextImageAndMD(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (overloads passed on as they are)
        """Return the oldest image and its tags, with the camera's own image number."""
        image, tags = super().popNextImageAndMD(*args, **kwargs)
        own = dict(tags)
        own["ImageNumber"] = own.pop(NUMBER_TAG, own["ImageNumber"])
        return image, own

    def getImageBitDepth(self) -> int:
        """Return the significant bits of a pixel."""
        return self._simulated.inner_info().bit_depth

    def getPixelSizeUm(self, cached: bool = False) -> float:
        """Return the micrometres per pixel as binned now, or 0 where unknown."""
        return self._simulated.inner_info().pixel_size_um or 0.0


def build_core(microscope: Microscope) -> SimulatedCore:
    """Return a core with camera ``Camera`` and focus drive ``Z`` that are those of a simulated microscope.

    Give it to the driver as a function, so that the core is made on the thread that will own it and is closed with
    the driver: ``MicroManagerMicroscope(core=lambda: build_core(microscope))``. Whoever calls it directly closes the
    core with ``microscoped.drivers.micromanager.close_core``.

    Parameters
    ----------
    microscope
        A simulated microscope that is not open, in real time (no manual clock). It is closed when the devices are
        unloaded.
    """
    bench = _Bench(microscope)
    bench.enter()  # before there is a core: its errors shall be seen, and half a core cannot be collected safely
    try:
        return SimulatedCore(bench)
    finally:
        bench.leave()


def _deliver(frame: CameraFrame, get_buffer: Callable[[Sequence[int], DTypeLike], NDArray[Any]]) -> dict[str, str]:
    buffer = get_buffer(frame.pixels.shape, frame.pixels.dtype)
    buffer[:] = frame.pixels
    return {**frame.metadata, NUMBER_TAG: str(frame.number)}


__all__ = ["SimulatedCameraDevice", "SimulatedCore", "SimulatedStageDevice", "build_core"]

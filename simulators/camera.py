"""A camera without a thread of its own: frames are computed when they are fetched, as if exposed when they were due."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from microscoped.drivers.errors import CameraError, SettingError
from microscoped.drivers.protocols import CameraFrame, CameraInfo, CameraSettings
from microscoped.simulators.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.drivers.protocols import Clock, Pixels
    from microscoped.simulators.protocols import OpticalAxis, Scene

EXPOSURE_RANGE_MS = (0.01, 10_000.0)
BINNINGS = (1, 2, 4, 8)
GAIN_RANGE = (1.0, 16.0)
Z_SAMPLES = 8
"""The optical position of a frame is the mean of so many moments of its exposure."""

BinningMode = Literal["mean", "sum"]


@dataclass(frozen=True, slots=True)
class _Due:
    """A frame of a sequence that has been or will be exposed."""

    number: int
    start_ns: int
    exposure_ms: float


@dataclass(slots=True)
class _Sequence:
    """A running sequence: the next frame not yet scheduled, and the frames scheduled but not taken."""

    n_frames: int | None
    next_number: int
    next_start_ns: int
    died: bool
    waiting: deque[_Due]


class SimulatedCamera:
    """A camera that looks at a scene; satisfies ``Camera``.

    Frame k of a sequence is exposed from ``t0 + k·period``, period = max(exposure, 1/max_fps), and can be taken after
    exposure and readout. Frames that nobody takes fall out of a bounded buffer, oldest first: their numbers are
    missing, as with a real camera. One thread only, as the Protocol says.

    Parameters
    ----------
    scene
        What is seen.
    stage
        Where the focus truly is.
    clock
        Nanoseconds.
    sleep
        Waits for so many seconds; the exposure of a snap is slept.
    faults
        Faults to obey; none by default.
    name
        The device's label.
    pixel_size_um
        Micrometres in the specimen per unbinned pixel, told by `info`.
    exposure_ms
        Exposure time at the beginning.
    max_fps
        Frames per second at most.
    readout_ms
        Time from the end of the exposure until the frame can be taken.
    buffer_frames
        Frames that wait at most.
    binning_mode
        Whether binned pixels are averaged or summed (a sum ends at full scale).
    start_error_ns
        What the camera says about the error of its exposure times, which are exact.
    """

    def __init__(
        self,
        scene: Scene,
        stage: OpticalAxis,
        *,
        clock: Clock = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
        faults: Faults | None = None,
        name: str = "Camera",
        pixel_size_um: float | None = None,
        exposure_ms: float = 10.0,
        max_fps: float = 100.0,
        readout_ms: float = 1.0,
        buffer_frames: int = 64,
        binning_mode: BinningMode = "mean",
        start_error_ns: int = 0,
    ) -> None:
        if max_fps <= 0 or readout_ms < 0 or buffer_frames < 1:
            raise ValueError("max_fps must be positive, readout not negative, and the buffer hold one frame")
        self._scene = scene
        self._stage = stage
        self._clock = clock
        self._sleep = sleep
        self._faults = faults if faults is not None else Faults()
        self._name = name
        self._pixel_size_um = pixel_size_um
        self._max_fps = max_fps
        self._readout_ns = round(readout_ms * 1e6)
        self._buffer_frames = buffer_frames
        self._binning_mode = binning_mode
        self._start_error_ns = start_error_ns
        self._exposure_ms = exposure_ms
        self._binning = 1
        self._gain = 1.0
        height, width = scene.shape[:2]
        self._roi = (0, 0, width, height)
        self._sequence: _Sequence | None = None
        self._shot = 0
        self.dropped_frames = 0
        """Frames that fell out of the buffer since the camera was made."""
        self.lost_frames = 0
        """Frames that an injected fault has lost."""

    @property
    def name(self) -> str:
        """The device's label."""
        return self._name

    def look_at(self, scene: Scene) -> None:
        """Look at another scene of the same shape and bit depth from the next exposure on.

        Raises
        ------
        ValueError
            Its images are of another kind.
        """
        if (scene.shape, scene.bit_depth) != (self._scene.shape, self._scene.bit_depth):
            raise ValueError(f"a scene of {scene.shape} pixels cannot replace one of {self._scene.shape}")
        self._scene = scene

    def info(self) -> CameraInfo:
        """Return facts about the camera as it is set now."""
        _, _, width, height = self._roi
        bits = self._scene.bit_depth
        return CameraInfo(
            name=self._name,
            height_px=height // self._binning,
            width_px=width // self._binning,
            channels=self._scene.shape[2] if len(self._scene.shape) == 3 else 1,
            dtype="uint8" if bits <= 8 else "uint16",
            bit_depth=bits,
            pixel_size_um=None if self._pixel_size_um is None else self._pixel_size_um * self._binning,
        )

    def settings(self) -> CameraSettings:
        """Return all settings; this camera has no automatic ones."""
        return CameraSettings(exposure_ms=self._exposure_ms, binning=self._binning, roi=self._roi, gain=self._gain)

    def configure(self, change: CameraSettings) -> CameraSettings:
        """Change the settings that are not ``None`` and return all of them.

        Raises
        ------
        SettingError
            No such setting, or out of range; nothing was changed.
        CameraError
            A change other than the exposure while a sequence runs.
        """
        self._check(change)
        if self.is_running() and replace(change, exposure_ms=None) != CameraSettings():
            raise CameraError(f"{self._name}: only the exposure can be changed while a sequence runs")
        if change.exposure_ms is not None:
            self._schedule(self._clock())  # exposures that have begun keep their time
            self._exposure_ms = float(change.exposure_ms)
        self._binning = self._binning if change.binning is None else change.binning
        self._gain = self._gain if change.gain is None else float(change.gain)
        self._roi = self._roi if change.roi is None else change.roi
        return self.settings()

    def snap(self) -> CameraFrame:
        """Take one frame; sleeps for exposure and readout.

        Raises
        ------
        CameraError
            A sequence runs, or an injected fault.
        """
        self._hang()
        if self.is_running():
            raise CameraError(f"{self._name}: cannot snap while a sequence runs")
        if self._faults.snap_failures > 0:
            self._faults.snap_failures -= 1
            raise CameraError(f"{self._name}: snap failed (simulated)")
        start_ns = self._clock()
        self._sleep((self._exposure_ms * 1e6 + self._readout_ns) / 1e9)
        return self._render(_Due(0, start_ns - round(self._faults.frame_age_s * 1e9), self._exposure_ms))

    def start(self, n_frames: int | None = None) -> None:
        """Begin a sequence of ``n_frames``, or an endless one.

        Raises
        ------
        CameraError
            A sequence runs already, or the number of frames is not positive.
        """
        self._hang()
        if self.is_running():
            raise CameraError(f"{self._name}: a sequence runs already")
        if n_frames is not None and n_frames < 1:
            raise CameraError(f"{self._name}: a sequence of {n_frames} frames is not possible")
        self._sequence = _Sequence(
            n_frames=n_frames, next_number=0, next_start_ns=self._clock(), died=False, waiting=deque()
        )

    def take(self) -> CameraFrame | None:
        """Return the oldest frame not yet taken, or ``None``; never waits, except for an injected hang.

        Raises
        ------
        CameraError
            An injected fault.
        """
        self._hang()
        if self._faults.take_failures > 0:
            self._faults.take_failures -= 1
            raise CameraError(f"{self._name}: the image could not be fetched (simulated)")
        now_ns = self._clock()
        self._schedule(now_ns)
        if self._sequence is None:
            return None
        waiting = self._sequence.waiting
        age_ns = round(self._faults.frame_age_s * 1e9)
        if not waiting or self._ready_ns(waiting[0]) > now_ns:
            return None
        due = waiting.popleft()
        return self._render(replace(due, start_ns=due.start_ns - age_ns))

    def is_running(self) -> bool:
        """Return whether a sequence runs."""
        now_ns = self._clock()
        self._schedule(now_ns)
        sequence = self._sequence
        if sequence is None or sequence.died:
            return False
        if sequence.n_frames is None or sequence.next_number < sequence.n_frames or sequence.next_start_ns > now_ns:
            return True  # the next exposure would begin when the last one has ended
        return bool(sequence.waiting) and self._ready_ns(sequence.waiting[-1]) > now_ns  # the last one is read out

    def stop(self) -> None:
        """End the sequence and drop its frames."""
        self._sequence = None

    def _check(self, change: CameraSettings) -> None:
        automatic = {
            "auto_exposure": change.auto_exposure,
            "auto_gain": change.auto_gain,
            "auto_white_balance": change.auto_white_balance,
        }
        for setting, value in automatic.items():
            if value is not None:
                raise SettingError(f"{self._name} has no setting {setting}")
        low_ms, high_ms = EXPOSURE_RANGE_MS
        if change.exposure_ms is not None and not low_ms <= change.exposure_ms <= high_ms:
            raise SettingError(f"exposure_ms {change.exposure_ms} is outside {low_ms} … {high_ms}")
        low, high = GAIN_RANGE
        if change.gain is not None and not low <= change.gain <= high:
            raise SettingError(f"gain {change.gain} is outside {low} … {high}")
        if change.binning is not None and change.binning not in BINNINGS:
            raise SettingError(f"binning {change.binning} is none of {BINNINGS}")
        x, y, width, height = self._roi if change.roi is None else change.roi
        least = self._binning if change.binning is None else change.binning
        full_height, full_width = self._scene.shape[:2]
        inside = x >= 0 and y >= 0 and x + width <= full_width and y + height <= full_height
        if not inside or min(width, height) < least:
            raise SettingError(
                f"roi {(x, y, width, height)} does not fit {full_width} × {full_height} pixels at binning {least}"
            )

    def _hang(self) -> None:
        if self._faults.camera_hang_s > 0:
            seconds, self._faults.camera_hang_s = self._faults.camera_hang_s, 0.0
            self._sleep(seconds)

    def _ready_ns(self, due: _Due) -> int:
        return due.start_ns + round(due.exposure_ms * 1e6) + self._readout_ns

    def _schedule(self, now_ns: int) -> None:
        """Note all exposures that have begun by now, and let the oldest frames fall out of the buffer."""
        sequence = self._sequence
        if sequence is None or sequence.died:
            return
        if self._faults.sequence_dies:
            self._faults.sequence_dies = False
            sequence.died = True
            return
        period_ns = round(max(self._exposure_ms * 1e6, 1e9 / self._max_fps))
        # Frames that would fall out of the buffer anyway are counted, not listed: nobody may have looked for hours.
        overdue = (now_ns - sequence.next_start_ns) // period_ns - 2 * self._buffer_frames
        if sequence.n_frames is not None:
            overdue = min(overdue, sequence.n_frames - sequence.next_number - 2 * self._buffer_frames)
        if overdue > 0 and self._faults.lose_every == 0:
            self.dropped_frames += overdue
            sequence.next_number += overdue
            sequence.next_start_ns += overdue * period_ns
        while sequence.next_start_ns <= now_ns and (
            sequence.n_frames is None or sequence.next_number < sequence.n_frames
        ):
            number = sequence.next_number
            if self._faults.lose_every and (number + 1) % self._faults.lose_every == 0:
                self.lost_frames += 1
            else:
                sequence.waiting.append(_Due(number, sequence.next_start_ns, self._exposure_ms))
            sequence.next_number += 1
            sequence.next_start_ns += period_ns
        ready = sum(self._ready_ns(due) <= now_ns for due in sequence.waiting)
        for _ in range(ready - self._buffer_frames):
            sequence.waiting.popleft()
            self.dropped_frames += 1

    def _render(self, due: _Due) -> CameraFrame:
        exposure_ns = due.exposure_ms * 1e6
        moments = (due.start_ns + round(exposure_ns * (k + 0.5) / Z_SAMPLES) for k in range(Z_SAMPLES))
        z_um = sum(self._stage.optical_z_um(moment) for moment in moments) / Z_SAMPLES
        pixels = self._scene.expose(z_um, due.exposure_ms, self._shot)
        self._shot += 1
        x, y, width, height = self._roi
        pixels = pixels[y : y + height, x : x + width]
        if self._binning > 1 or self._gain != 1.0:
            pixels = self._processed(pixels)
        return CameraFrame(
            pixels=cast("Pixels", np.ascontiguousarray(pixels)),
            number=due.number,
            exposure_start_ns=due.start_ns,
            exposure_start_error_ns=self._start_error_ns,
            exposure_ms=due.exposure_ms,
            metadata={"Camera": self._name},
        )

    def _processed(self, pixels: Pixels) -> Pixels:
        """Bin and amplify; values end at full scale."""
        n = self._binning
        height, width = pixels.shape[0] // n, pixels.shape[1] // n
        blocks = pixels[: height * n, : width * n].reshape((height, n, width, n, *pixels.shape[2:]))
        value = blocks.sum(axis=(1, 3), dtype=np.float64) * self._gain
        if self._binning_mode == "mean":
            value /= n * n
        full_scale = 2**self._scene.bit_depth - 1
        return cast("Pixels", np.minimum(np.rint(value), full_scale).astype(pixels.dtype))


__all__ = ["SimulatedCamera"]

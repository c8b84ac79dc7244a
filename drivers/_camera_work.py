"""What the hardware thread does with the camera."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.drivers.commands import Configure, FrameTaken, HardwareEvent, Snap, StampedFrame, StreamEnded
from microscoped.drivers.errors import CameraError, DriverError, FrameTimeoutError, SettingError
from microscoped.drivers.motion import POLL_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from microscoped.drivers._stage_work import StageWork
    from microscoped.drivers.commands import FrameRate
    from microscoped.drivers.protocols import Camera, CameraFrame, CameraSettings, Clock

STREAM_POLL_NS = 500_000
IDLE_NS = 20_000_000
"""How long the thread may sleep while no frame is awaited."""
ROUNDING = 1e-9


class CameraWork:
    """Jobs on the camera, its stream, and the stamping of frames with z.

    Without a frame rate a stream is a sequence of the camera, which exposes as often as it can: the light is on all the
    time. With one each exposure is made by itself when it is due, so that there is no light between two. (The interval
    of Micro-Manager's sequences is left to each adapter, and most pass it over.) An exposure that is due while another
    one goes on is left out.

    Parameters
    ----------
    camera, stage
        The camera, and the work on the stage, which knows z.
    long_exposure_ms
        A snap longer than this runs as a sequence of one frame, so that it never blocks the thread.
    frame_allowance_ns
        How long after its exposure a frame may take to arrive.
    fps
        Exposures of a stream per second; ``None``: as the camera makes them by itself.
    clock, post
        Monotonic nanoseconds; hears what happens.

    Raises
    ------
    SettingError
        So many exposures do not fit into a second.
    """

    def __init__(
        self,
        camera: Camera,
        stage: StageWork,
        *,
        long_exposure_ms: float,
        frame_allowance_ns: int,
        fps: float | None = None,
        clock: Clock,
        post: Callable[[HardwareEvent], None],
    ) -> None:
        self._camera = camera
        self._stage = stage
        self._long_exposure_ms = long_exposure_ms
        self._frame_allowance_ns = frame_allowance_ns
        self._clock = clock
        self._post = post
        self._serial = 0
        self._next_number = 0
        self._deadline_ns = 0
        self._latest: StampedFrame | None = None
        self._fps = fps
        self._single_on = False
        self._due_exposure: Generator[int, None, CameraFrame] | None = None
        self._due_ns = 0
        self.streaming = False
        self._check_rate(fps, self._exposure_ms())

    def snap(self, command: Snap) -> Generator[int, None, StampedFrame]:
        """Take one frame whose exposure began after now and after the last arrival.

        While the camera streams by itself, this is the first frame of the stream that qualifies; between the exposures
        of a stream with a frame rate it is one of its own.
        """
        if self.streaming and self._fps is None:
            return (yield from self._snap_from_stream())
        yield from self._exposure_over()
        stamped = self._stamp((yield from self._expose()), lost=0, streamed=False)
        self._post(FrameTaken(stamped, command.id))
        return stamped

    def configure(self, command: Configure) -> Generator[int, None, CameraSettings]:
        """Change settings and the frame rate; a stream pauses for those that a running sequence does not allow.

        Raises
        ------
        SettingError
            The camera does not take a setting, or so many exposures do not fit into a second; nothing was changed.
        """
        yield 0
        change = command.change
        fps = self._fps if command.fps is None else _paced(command.fps)
        self._check_rate(fps, self._exposure_ms() if change.exposure_ms is None else change.exposure_ms)
        yield from self._exposure_over()
        free = self._fps is None
        pause = self.streaming and (
            free is not (fps is None)
            or (free and any(value is not None for value in (change.binning, change.roi, change.gain)))
        )
        if pause and free:
            self._camera.stop()
        try:
            settings = self._camera.configure(change)
            self._change_rate(fps)
            return settings
        finally:
            if pause:
                self._begin()

    def start_stream(self) -> Generator[int, None, None]:
        """Begin to stream, with an exposure at once; streaming already, do nothing."""
        yield 0
        if not self.streaming:
            self._due_ns = 0
            self._begin()

    def stop_stream(self) -> Generator[int, None, None]:
        """End the stream."""
        yield 0
        self._halt()

    def pause(self) -> bool:
        """End the stream for a moment, until `go_on`; return whether there is one."""
        streaming = self.streaming
        if streaming:
            self._halt()
        return streaming

    def go_on(self) -> None:
        """Begin the stream again."""
        self._begin()

    def close(self) -> None:
        """Give up an exposure of the stream that goes on, while the camera is still there."""
        self.streaming = False
        exposure, self._due_exposure = self._due_exposure, None
        if exposure is not None:
            with suppress(DriverError):  # the microscope is being closed
                exposure.close()

    def wait_ns(self) -> int:
        """Return how long the thread may sleep before it looks for a frame again."""
        if not self.streaming:
            return IDLE_NS
        if self._fps is None or self._single_on:
            return STREAM_POLL_NS
        return min(max(0, self._due_ns - self._clock()), IDLE_NS)

    def pump(self) -> bool:
        """Take and post one frame of the stream, if there is one; notice when it has died.

        Returns
        -------
        Whether a frame was taken, so that more may wait. One at a time: a camera that gives frames faster than they
        can be fetched must not keep the thread from its commands.
        """
        if not self.streaming:
            return False
        try:
            frame = self._next_of_sequence() if self._fps is None else self._next_when_due(1e9 / self._fps)
        except DriverError as error:
            self.streaming, self._due_exposure = False, None
            self._end_failed()
            self._post(StreamEnded(error))
            return False
        if frame is None:
            return False
        lost = max(0, frame.number - self._next_number)
        self._next_number = frame.number + 1
        self._latest = self._stamp(frame, lost=lost, streamed=True)
        self._deadline_ns = self._latest.in_hand_ns + self._patience_ns(frame.exposure_ms)
        self._post(FrameTaken(self._latest))
        return True

    def _next_of_sequence(self) -> CameraFrame | None:
        """A frame that the camera made by itself, if there is one."""
        running = self._camera.is_running()
        frame = self._camera.take()
        if frame is None:
            if not running:
                raise CameraError("the camera's sequence stopped running by itself; check its cable and power")
            if self._clock() > self._deadline_ns:
                raise self._no_frame(self._exposure_ms())
        return frame

    def _next_when_due(self, interval_ns: float) -> CameraFrame | None:
        """Go on with the exposure that is due; return its frame when it is there."""
        if self._due_exposure is None:
            now_ns = self._clock()
            if self._single_on or now_ns < self._due_ns:
                return None
            missed = int((now_ns - self._due_ns) / interval_ns)
            self._due_ns += round(interval_ns * (1 + missed))
            self._due_exposure = self._expose()
        try:
            next(self._due_exposure)
        except StopIteration as end:
            self._due_exposure = None
            frame: CameraFrame = replace(end.value, number=self._next_number)
            return frame
        return None

    def _begin(self) -> None:
        if self._fps is None:
            self._camera.start(None)
        else:
            self._due_ns = max(self._due_ns, self._clock())
        self.streaming, self._next_number, self._latest = True, 0, None
        self._deadline_ns = self._clock() + self._patience_ns(self._exposure_ms())

    def _halt(self) -> None:
        """End the stream, and an exposure of it that goes on."""
        self.streaming = False
        if self._due_exposure is not None:
            exposure, self._due_exposure = self._due_exposure, None
            exposure.close()
        self._camera.stop()

    def _change_rate(self, fps: float | None) -> None:
        """Take over a frame rate: the next exposure is due so long after the last one as the new rate says."""
        if fps is not None and self._fps is not None:
            last_ns = self._due_ns - round(1e9 / self._fps)
            self._due_ns = last_ns + round(1e9 / fps)
        elif fps is not None:
            self._due_ns = 0
        self._fps = fps

    def _check_rate(self, fps: float | None, exposure_ms: float) -> None:
        if fps is not None and fps * exposure_ms > 1000.0 * (1.0 + ROUNDING):
            raise SettingError(
                f"fps {fps:g}: {1000.0 / exposure_ms:.6g} is the fastest with an exposure of {exposure_ms:g} ms; lower "
                "fps or exposure_ms"
            )

    def _exposure_over(self) -> Generator[int, None, None]:
        """Wait until the exposure of the stream that goes on is over."""
        while self._due_exposure is not None:
            yield STREAM_POLL_NS

    def _expose(self) -> Generator[int, None, CameraFrame]:
        """Make one exposure by itself, while no sequence runs; a long one blocks nobody."""
        exposure_ms = self._exposure_ms()
        if exposure_ms <= self._long_exposure_ms:
            return self._camera.snap()
        self._single_on = True
        try:
            self._camera.start(1)
            return (yield from self._single(exposure_ms))
        finally:
            self._single_on = False
            self._camera.stop()

    def _end_failed(self) -> None:
        """Stop a sequence that has failed already: the first error is the one that matters."""
        try:
            self._camera.stop()
        except DriverError:
            return

    def _single(self, exposure_ms: float) -> Generator[int, None, CameraFrame]:
        deadline_ns = self._clock() + self._patience_ns(exposure_ms)
        while (frame := self._camera.take()) is None:
            if self._clock() > deadline_ns:
                raise self._no_frame(exposure_ms)
            yield POLL_NS
        return frame

    def _snap_from_stream(self) -> Generator[int, None, StampedFrame]:
        asked_ns = self._clock()
        while self.streaming:
            latest = self._latest
            if latest is not None and not latest.moving and latest.frame.earliest_start_ns >= asked_ns:
                return latest
            yield STREAM_POLL_NS
        raise CameraError("the stream ended before a frame came; start it again or snap again")

    def _stamp(self, frame: CameraFrame, *, lost: int, streamed: bool) -> StampedFrame:
        in_hand_ns = self._clock()
        self._serial += 1
        rested = self._stage.rested_since(frame.earliest_start_ns)
        middle_ns = frame.exposure_start_ns + int(frame.exposure_ms * 5e5)
        return StampedFrame(
            serial=self._serial,
            frame=frame,
            z_um=self._stage.z_um if rested else self._stage.z_at(middle_ns),
            z_source="readback" if rested else "interpolated",
            moving=not rested,
            lost_before=lost,
            streamed=streamed,
            in_hand_ns=in_hand_ns,
        )

    def _exposure_ms(self) -> float:
        return self._camera.settings().exposure_ms or 0.0

    def _patience_ns(self, exposure_ms: float) -> int:
        return int(exposure_ms * 2e6) + self._frame_allowance_ns

    def _no_frame(self, exposure_ms: float) -> FrameTimeoutError:
        return FrameTimeoutError(
            f"camera {self._camera.name!r} gave no frame {self._frame_allowance_ns / 1e9:g} s after an exposure of "
            f"{exposure_ms:g} ms; check its trigger mode, cable and power"
        )


def _paced(fps: FrameRate) -> float | None:
    return None if fps == "free" else fps


__all__ = ["IDLE_NS", "CameraWork"]

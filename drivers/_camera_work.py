"""What the hardware thread does with the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.drivers.commands import Configure, FrameTaken, HardwareEvent, Snap, StampedFrame, StreamEnded
from microscoped.drivers.errors import CameraError, DriverError, FrameTimeoutError
from microscoped.drivers.motion import POLL_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from microscoped.drivers._stage_work import StageWork
    from microscoped.drivers.protocols import Camera, CameraFrame, CameraSettings, Clock

STREAM_POLL_NS = 500_000


class CameraWork:
    """Jobs on the camera, its stream, and the stamping of frames with z.

    Parameters
    ----------
    camera, stage
        The camera, and the work on the stage, which knows z.
    long_exposure_ms
        A snap longer than this runs as a sequence of one frame, so that it never blocks the thread.
    frame_allowance_ns
        How long after its exposure a frame may take to arrive.
    clock, post
        Monotonic nanoseconds; hears what happens.
    """

    def __init__(
        self,
        camera: Camera,
        stage: StageWork,
        *,
        long_exposure_ms: float,
        frame_allowance_ns: int,
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
        self.streaming = False

    def snap(self, command: Snap) -> Generator[int, None, StampedFrame]:
        """Take one frame whose exposure began after now and after the last arrival.

        While the camera streams, this is the first frame of the stream that qualifies.
        """
        if self.streaming:
            return (yield from self._snap_from_stream())
        exposure_ms = self._exposure_ms()
        if exposure_ms <= self._long_exposure_ms:
            frame = self._camera.snap()
        else:
            self._camera.start(1)
            try:
                frame = yield from self._single(exposure_ms)
            finally:
                self._camera.stop()
        stamped = self._stamp(frame, lost=0, streamed=False)
        self._post(FrameTaken(stamped, command.id))
        return stamped

    def configure(self, command: Configure) -> Generator[int, None, CameraSettings]:
        """Change settings; a stream pauses for those that a running sequence does not allow."""
        yield 0
        change = command.change
        pause = self.streaming and any(value is not None for value in (change.binning, change.roi, change.gain))
        if pause:
            self._camera.stop()
        try:
            return self._camera.configure(change)
        finally:
            if pause:
                self._begin()

    def start_stream(self) -> Generator[int, None, None]:
        """Begin to stream; streaming already, do nothing."""
        yield 0
        if not self.streaming:
            self._begin()

    def stop_stream(self) -> Generator[int, None, None]:
        """End the stream."""
        yield 0
        self.streaming = False
        self._camera.stop()

    def pause(self) -> bool:
        """End the stream for a moment, until `go_on`; return whether there is one."""
        streaming, self.streaming = self.streaming, False
        if streaming:
            self._camera.stop()
        return streaming

    def go_on(self) -> None:
        """Begin the stream again."""
        self._begin()

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
            running = self._camera.is_running()
            frame = self._camera.take()
            if frame is not None:
                lost = max(0, frame.number - self._next_number)
                self._next_number = frame.number + 1
                self._latest = self._stamp(frame, lost=lost, streamed=True)
                self._deadline_ns = self._latest.in_hand_ns + self._patience_ns(frame.exposure_ms)
                self._post(FrameTaken(self._latest))
                return True
            if not running:
                raise CameraError("the camera's sequence stopped running by itself; check its cable and power")
            if self._clock() > self._deadline_ns:
                raise self._no_frame(self._exposure_ms())
        except DriverError as error:
            self.streaming = False
            self._end_failed()
            self._post(StreamEnded(error))
        return False

    def _begin(self) -> None:
        self._camera.start(None)
        self.streaming, self._next_number, self._latest = True, 0, None
        self._deadline_ns = self._clock() + self._patience_ns(self._exposure_ms())

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


__all__ = ["STREAM_POLL_NS", "CameraWork"]

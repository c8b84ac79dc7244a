"""From what the hardware thread says to what the reducer hears: pixels stay behind, errors become words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.core import inputs
from microscoped.daemon.protocol import ErrorBody, ErrorCode
from microscoped.daemon.protocol.events import FrameData
from microscoped.drivers import commands

if TYPE_CHECKING:
    from microscoped.daemon.core.inputs import Input
    from microscoped.daemon.protocol.events import AcquiredData
    from microscoped.drivers.commands import HardwareEvent, StampedFrame
    from microscoped.drivers.errors import DriverError
    from microscoped.drivers.protocols import CameraInfo


def error_body(error: DriverError) -> ErrorBody:
    """The wire's form of a driver's error."""
    return ErrorBody.of(error.code, str(error))


def frame_id(stamped: StampedFrame) -> str:
    """Id of a frame, unique within a session."""
    return f"frame-{stamped.serial}"


def frame_data(stamped: StampedFrame, camera: CameraInfo, acquired: AcquiredData | None = None) -> FrameData:
    """The header of a frame, with what an acquisition says of it."""
    frame = stamped.frame
    return FrameData(
        frame=frame_id(stamped),
        camera=camera.name,
        shape=list(frame.pixels.shape),
        dtype=str(frame.pixels.dtype),
        bit_depth=camera.bit_depth,
        exposure_start_ns=frame.exposure_start_ns,
        exposure_start_error_ns=frame.exposure_start_error_ns,
        exposure_ms=frame.exposure_ms,
        z_um=stamped.z_um,
        z_source="readback" if stamped.z_source == "readback" else "interpolated",
        moving=stamped.moving,
        number=frame.number,
        lost_before=stamped.lost_before,
        streamed=stamped.streamed,
        acquired=acquired,
    )


def translate(event: HardwareEvent, camera: CameraInfo | None, acquired: AcquiredData | None = None) -> Input:
    """Turn an event of the hardware into an input of the loop.

    Parameters
    ----------
    event
        What happened.
    camera
        Facts of the camera, known since `Opened`.
    acquired
        What an acquisition says of the frame, where it is one of its.
    """
    match event:
        case commands.Opened():
            return inputs.HardwareOpened(
                event.camera,
                event.settings,
                event.stage_name,
                event.z_um,
                event.focus_direction,
                event.description,
                event.xy_um,
                event.presets,
            )
        case commands.OpenFailed():
            return inputs.HardwareLost(error_body(event.error))
        case commands.Result():
            error = None if event.error is None else error_body(event.error)
            match event.value:
                case commands.StampedFrame() as stamped:
                    return inputs.CommandEnded(event.command.id, frame_id(stamped), error)
                case value:
                    return inputs.CommandEnded(event.command.id, value, error)
        case commands.FrameTaken():
            if camera is None:
                raise RuntimeError("a frame came before the camera was open")
            return inputs.FrameAdmitted(frame_data(event.frame, camera, acquired), event.command)
        case commands.StreamEnded():
            return inputs.StreamDied(error_body(event.error))
        case commands.PositionRead():
            return inputs.PositionSeen(event.z_um, event.moved)
        case commands.StageFailed():
            return inputs.StageLost(error_body(event.error))
        case commands.StopDone():
            error = None if event.error is None else error_body(event.error)
            return inputs.StopReturned(event.issued_ns, event.returned_ns, error)
        case commands.Closed():
            if event.crash is None:
                return inputs.HardwareClosed()
            return inputs.HardwareLost(
                ErrorBody.of(ErrorCode.FAULT, f"the hardware thread ended by a fault of its own: {event.crash}")
            )


__all__ = ["error_body", "frame_data", "frame_id", "translate"]

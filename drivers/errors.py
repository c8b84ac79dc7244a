"""What can go wrong between us and the hardware.

Every error has a stable ``code`` (the one that a client sees on the wire) and a message that says what happened, with
which value, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class DriverError(Exception):
    """Something went wrong in the driver layer; the base of all errors here."""

    code: ClassVar[str] = "fault"


class ConnectionFailedError(DriverError):
    """The microscope could not be opened. The message names the cause and the remedy."""

    code = "fault.connection"


class InterfaceMismatchError(ConnectionFailedError):
    """The adapters on this computer speak another Micro-Manager device interface than the installed pymmcore.

    Install the pymmcore release whose third-from-last version number equals the adapters' interface number, or the
    Micro-Manager nightly that matches this pymmcore.
    """


class AdapterLibraryError(ConnectionFailedError):
    """A device adapter could not be loaded: it is not in the search path, or a vendor library beside it is missing."""


class DeviceInUseError(ConnectionFailedError):
    """A device refused to open, most often because another program (Micro-Manager, a vendor tool) holds it."""


class CameraError(DriverError):
    """The camera refused a command or stopped by itself."""

    code = "fault.camera"


class FrameTimeoutError(CameraError):
    """No frame came within the exposure time plus the configured allowance."""

    code = "fault.frame_timeout"


class StageError(DriverError):
    """The focus stage refused a command."""

    code = "fault.stage"


class StageNotArrivedError(StageError):
    """The stage did not reach the target, by its own read-back, within the deadline."""

    code = "fault.stage_not_arrived"


class SettingError(DriverError):
    """A camera setting is not available on this camera, or its value is out of range."""

    code = "invalid"


class MotionRefusedError(DriverError):
    """The safety layer refused a move; nothing moved. The base of all refusals."""

    code = "limit"


class LimitHighError(MotionRefusedError):
    """The target lies above the configured upper limit. Targets are never clipped."""

    code = "limit.z_high"


class LimitLowError(MotionRefusedError):
    """The target lies below the configured lower limit. Targets are never clipped."""

    code = "limit.z_low"


class StepLimitError(MotionRefusedError):
    """The step is longer than a client may command at once."""

    code = "limit.step"


class LimitXYError(MotionRefusedError):
    """The target lies outside the configured limits of the stage in the plane. Targets are never clipped."""

    code = "limit"


class LimitsUnsetError(MotionRefusedError):
    """No limits are configured, so nothing moves."""

    code = "limit.unset"


class DirectionUnknownError(MotionRefusedError):
    """The focus direction is unknown, so automatic moves are short, and only with a configured approach side."""

    code = "limit.direction_unknown"


class MotionStoppedError(MotionRefusedError):
    """Motion is disabled by ``stop`` until ``resume``."""

    code = "stopped"


class DeviceMissingError(DriverError):
    """The microscope has no such device: a stage in the plane, or presets."""

    code = "invalid"


class PresetError(DriverError):
    """A device did not take the setting of a preset."""


class PresetTimeoutError(PresetError):
    """A device of a preset was not ready within the deadline."""


class CommandExpiredError(DriverError):
    """The command's deadline passed before it could be started; it was not executed."""

    code = "timeout"


class HardwareBusyError(DriverError):
    """The hardware thread's queue is full; the command was not accepted."""

    code = "busy"


__all__ = [
    "AdapterLibraryError",
    "CameraError",
    "CommandExpiredError",
    "ConnectionFailedError",
    "DeviceInUseError",
    "DeviceMissingError",
    "DirectionUnknownError",
    "DriverError",
    "FrameTimeoutError",
    "HardwareBusyError",
    "InterfaceMismatchError",
    "LimitHighError",
    "LimitLowError",
    "LimitXYError",
    "LimitsUnsetError",
    "MotionRefusedError",
    "MotionStoppedError",
    "PresetError",
    "PresetTimeoutError",
    "SettingError",
    "StageError",
    "StageNotArrivedError",
    "StepLimitError",
]

"""What the hardware thread does with the stage in the plane and with presets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.drivers.errors import DeviceMissingError, PresetTimeoutError
from microscoped.drivers.motion import POLL_NS, XYArrival, move_xy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from microscoped.drivers._camera_work import CameraWork
    from microscoped.drivers.accessories import Presets, XYStage
    from microscoped.drivers.commands import MoveXY, SelectPreset
    from microscoped.drivers.protocols import Clock
    from microscoped.drivers.safety import XYMotionSettings


class AccessoryWork:
    """Jobs on what a microscope may have beside camera and focus stage.

    Parameters
    ----------
    xy, presets
        The devices, or ``None`` where there are none.
    camera
        The work on the camera, whose stream pauses while a preset changes.
    motion
        The rules of motion in the plane.
    preset_timeout_ns
        How long the devices of a preset may take.
    clock, stopped
        Monotonic nanoseconds; whether ``stop`` was asked for.
    """

    def __init__(
        self,
        xy: XYStage | None,
        presets: Presets | None,
        camera: CameraWork,
        motion: XYMotionSettings,
        preset_timeout_ns: int,
        *,
        clock: Clock,
        stopped: Callable[[], bool],
    ) -> None:
        self.xy = xy
        self._presets = presets
        self._camera = camera
        self._motion = motion
        self._preset_timeout_ns = preset_timeout_ns
        self._clock = clock
        self._stopped = stopped

    def position_um(self) -> tuple[float, float] | None:
        """Where the stage is, in µm; ``None`` where there is none."""
        return None if self.xy is None else self.xy.position_um()

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the presets of each group."""
        return {} if self._presets is None else self._presets.groups()

    def move(self, command: MoveXY) -> Generator[int, None, XYArrival]:
        """Move the stage in the plane (see `microscoped.drivers.motion.move_xy`)."""
        return (
            yield from move_xy(
                self._stage(), self._motion, (command.x_um, command.y_um), clock=self._clock, stopped=self._stopped
            )
        )

    def select(self, command: SelectPreset) -> Generator[int, None, None]:
        """Select a preset and wait until its devices are ready; a stream pauses meanwhile."""
        yield 0
        if self._presets is None:
            raise DeviceMissingError(
                f"this microscope has no presets, so {command.group} cannot be {command.preset}; take the channel out, "
                "or add the group to the configuration of Micro-Manager"
            )
        streaming = self._camera.pause()
        try:
            self._presets.select(command.group, command.preset)
            deadline_ns = self._clock() + self._preset_timeout_ns
            while self._presets.is_busy(command.group, command.preset):
                if self._clock() > deadline_ns:
                    raise PresetTimeoutError(
                        f"a device of the preset {command.preset!r} ({command.group}) was still busy "
                        f"{self._preset_timeout_ns / 1e9:g} s after it was selected; check the device"
                    )
                yield POLL_NS
        finally:
            if streaming:
                self._camera.go_on()

    def _stage(self) -> XYStage:
        if self.xy is None:
            raise DeviceMissingError(
                "this microscope has no motorised stage in the plane; take x and y out, or give it the role of the "
                "XY stage in the configuration of Micro-Manager"
            )
        return self.xy


__all__ = ["AccessoryWork"]

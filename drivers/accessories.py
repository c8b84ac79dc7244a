"""What a microscope may have beside camera and focus stage: a stage in the plane, and presets of its other devices.

Everything here is called from the hardware thread, but for `XYStage.stop`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping


class XYStage(Protocol):
    """A motorised stage in the plane of the specimen."""

    @property
    def name(self) -> str:
        """The device's label."""
        ...

    def position_um(self) -> tuple[float, float]:
        """The position (x, y) that the stage reads back, in its own coordinates.

        Raises
        ------
        StageError
            The device failed.
        """
        ...

    def move_to(self, x_um: float, y_um: float) -> None:
        """Command a move; may return before arrival.

        Raises
        ------
        StageError
            The device refused. Limits are not its business: the safety layer has checked them before.
        """
        ...

    def is_busy(self) -> bool:
        """Whether the stage says that it moves; arrival is judged by read-back.

        Raises
        ------
        StageError
            The device failed.
        """
        ...

    def stop(self) -> None:
        """Halt where the stage is. Any thread may call it, at any time.

        Raises
        ------
        StageError
            The device failed or cannot halt a move.
        """
        ...


class Presets(Protocol):
    """Named settings of light, filters and the like, in groups: what Micro-Manager calls a configuration group."""

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the presets of each group."""
        ...

    def select(self, group: str, preset: str) -> None:
        """Have the devices of a preset take its settings; may return before they have.

        Raises
        ------
        SettingError
            There is no such preset, or it would move a stage, whose limits a preset knows nothing of.
        DriverError
            A device refused.
        """
        ...

    def is_busy(self, group: str, preset: str) -> bool:
        """Whether a device of that preset still changes.

        Raises
        ------
        DriverError
            A device failed.
        """
        ...


@runtime_checkable
class HasXYStage(Protocol):
    """What a microscope may offer beside camera and focus stage; asked while it is open."""

    def xy_stage(self) -> XYStage | None:
        """The stage in the plane, or ``None`` where there is none."""
        ...


@runtime_checkable
class HasPresets(Protocol):
    """What a microscope may offer beside camera and focus stage; asked while it is open."""

    def presets(self) -> Presets | None:
        """The presets, or ``None`` where there are none."""
        ...


__all__ = ["HasPresets", "HasXYStage", "Presets", "XYStage"]

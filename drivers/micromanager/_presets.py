"""Configuration groups of a Micro-Manager core."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pymmcore_plus import DeviceType

from microscoped.drivers.errors import PresetError, SettingError
from microscoped.drivers.micromanager._core import CORE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pymmcore_plus import CMMCorePlus

STAGES = (DeviceType.Stage, DeviceType.XYStage)
ROLES = frozenset({"Camera", "Focus", "XYStage"})
"""Roles of the core that a preset must not give to another device: the daemon holds to those it was opened with."""


class MicroManagerPresets:
    """The configuration groups of a core; satisfies ``Presets``. Never waits.

    Parameters
    ----------
    core
        The core, configured.
    """

    def __init__(self, core: CMMCorePlus) -> None:
        self._core = core

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the presets of each group.

        Raises
        ------
        PresetError
            The core failed.
        """
        with self._errors("the configuration groups could not be read"):
            return {
                str(group): tuple(str(preset) for preset in self._core.getAvailableConfigs(group))
                for group in self._core.getAvailableConfigGroups()
            }

    def select(self, group: str, preset: str) -> None:
        """Have the devices of a preset take its settings; returns before they have.

        Raises
        ------
        SettingError
            There is no such preset, or it would move a stage or change the role of a device.
        PresetError
            A device refused.
        """
        groups = self.groups()
        if preset not in groups.get(group, ()):
            known = ", ".join(groups.get(group, ())) or f"there is no group {group!r}; groups are {', '.join(groups)}"
            raise SettingError(f"there is no preset {preset!r} of {group!r}; choose one of: {known}")
        for device, name in self._settings(group, preset):
            if device == "Core" and name in ROLES:
                raise SettingError(
                    f"the preset {preset!r} of {group!r} gives the core another {name}; take Core-{name} out of it"
                )
            if device != "Core" and self._core.getDeviceType(device) in STAGES:
                raise SettingError(
                    f"the preset {preset!r} of {group!r} sets {name} of the stage {device!r}: presets know no limits, "
                    "so they must not touch stages; take it out of the preset"
                )
        with self._errors(f"the preset {preset!r} of {group!r} was refused"):
            self._core.setConfig(group, preset)

    def is_busy(self, group: str, preset: str) -> bool:
        """Return whether a device of that preset still changes.

        Raises
        ------
        PresetError
            A device failed.
        """
        devices = {device for device, _ in self._settings(group, preset)} - {"Core"}
        with self._errors(f"the state of the devices of {preset!r} ({group}) could not be read"):
            return any(self._core.deviceBusy(device) for device in devices)

    def _settings(self, group: str, preset: str) -> list[tuple[str, str]]:
        """Device and property of each setting of a preset."""
        with self._errors(f"the preset {preset!r} of {group!r} could not be read"):
            return [(str(setting[0]), str(setting[1])) for setting in self._core.getConfigData(group, preset)]

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except CORE_ERRORS as error:
            raise PresetError(f"{what}: {error}") from error


__all__ = ["MicroManagerPresets"]

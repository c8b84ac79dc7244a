"""Finding a camera's automatic settings: Micro-Manager has no standard names for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

NAMES = {
    "auto_exposure": {
        "exposureauto",  # GenICam cameras (Basler, Hikrobot, …), AmScope; TIS as "Exposure Auto", EPIX "Exposure: Auto"
        "autoexposure",  # SPOT, older TIS
        "automaticexposure",
        "autoexposuremode",
        "autoexposurecontrol",
        "exposureautomode",
        "exposuremodeauto",
    },
    "auto_gain": {
        "gainauto",  # GenICam cameras
        "propertygainauto",  # TIS: "Property Gain_Auto"
        "autogain",
        "automaticgain",
        "autogainmode",
        "autogaincontrol",
    },
    "auto_white_balance": {
        "balancewhiteauto",  # GenICam cameras
        "propertywhitebalanceauto",  # TIS: "Property White_Balance_Auto"
        "whitebalanceauto",
        "autowhitebalance",
        "automaticwhitebalance",
        "autowb",
        "awb",
    },
}
"""Setting → property names of known adapters, in lower case without anything but letters and digits."""

ON_VALUES = ("continuous", "on", "1", "auto", "automatic", "enabled", "enable", "true", "yes")
OFF_VALUES = ("off", "0", "manual", "disabled", "disable", "false", "no", "none")

GAIN_NAMES = ("gain", "propertygain")
"""The general gain of `MMDeviceConstants`, and that of the TIS adapter."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A property that switches an automatic setting.

    Parameters
    ----------
    name
        Name of the property.
    on, off
        Its values for always and never. Any other value, such as ``Once``, reads as on: the camera may still adjust.
    """

    name: str
    on: str
    off: str


def plain(name: str) -> str:
    """Return a property name in lower case without anything but letters and digits."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_switches(core: CMMCorePlus, camera: str) -> dict[str, Switch]:
    """Return the switch of each automatic setting that this camera has."""
    switches: dict[str, Switch] = {}
    for name in core.getDevicePropertyNames(camera):
        for setting, names in NAMES.items():
            if setting in switches or plain(name) not in names or core.isPropertyReadOnly(camera, name):
                continue
            values = [str(value) for value in core.getAllowedPropertyValues(camera, name)]
            if not values and core.hasPropertyLimits(camera, name):
                limits = (core.getPropertyLowerLimit(camera, name), core.getPropertyUpperLimit(camera, name))
                values = ["0", "1"] if limits == (0, 1) else []
            on, off = _choose(values, ON_VALUES), _choose(values, OFF_VALUES)
            if on is not None and off is not None:
                switches[setting] = Switch(name, on, off)
    return switches


def find_gain(core: CMMCorePlus, camera: str) -> str | None:
    """Return the name of the gain property, if there is one and its value is a number."""
    for name in core.getDevicePropertyNames(camera):
        if plain(name) in GAIN_NAMES:
            try:
                float(core.getProperty(camera, name))
            except ValueError:
                continue
            return str(name)
    return None


def _choose(values: list[str], wanted: tuple[str, ...]) -> str | None:
    by_name = {value.lower(): value for value in values}
    return next((by_name[name] for name in wanted if name in by_name), None)


__all__ = ["Switch", "find_gain", "find_switches", "plain"]

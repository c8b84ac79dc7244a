"""Reading and changing the settings of a Micro-Manager camera."""

from __future__ import annotations

import math
import re
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from microscoped.drivers.errors import CameraError, DriverError, SettingError
from microscoped.drivers.micromanager._automatic import find_gain, find_switches
from microscoped.drivers.micromanager._core import CORE_ERRORS
from microscoped.drivers.protocols import CameraSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus

EXPOSURE_TOLERANCE = (0.1, 0.1)
"""A read-back exposure may differ by so many ms, or by this part: cameras count in lines and round. More is a refusal,
since many drivers ignore or clip what they cannot do without a word."""

Roi = tuple[int, int, int, int]


class SettingsAccess:
    """The settings of one camera.

    Parameters
    ----------
    core
        The core, configured.
    label
        Label of the camera.
    """

    def __init__(self, core: CMMCorePlus, label: str) -> None:
        self._core = core
        self._label = label
        self._switches = find_switches(core, label)
        self._gain = find_gain(core, label)
        self._has_binning = bool(core.hasProperty(label, "Binning"))

    @property
    def switches_exposure(self) -> bool:
        """Whether the camera can adjust its exposure time by itself."""
        return "auto_exposure" in self._switches

    def exposure_ms(self) -> float:
        """Return the exposure time, in milliseconds."""
        return float(self._core.getExposure(self._label))

    def read(self) -> CameraSettings:
        """Return all settings, read back.

        Raises
        ------
        CameraError
            The device failed.
        """
        with camera_errors(self._label, "the settings could not be read"):
            return CameraSettings(
                exposure_ms=self.exposure_ms(),
                binning=self._binning() if self._has_binning else None,
                roi=self._roi(),
                gain=None if self._gain is None else float(self._core.getProperty(self._label, self._gain)),
                auto_exposure=self._automatic("auto_exposure"),
                auto_gain=self._automatic("auto_gain"),
                auto_white_balance=self._automatic("auto_white_balance"),
            )

    def write(self, change: CameraSettings) -> CameraSettings:
        """Change what is not ``None``; undo it if one of the changes is refused.

        Raises
        ------
        SettingError
            A setting is absent or a value not possible; nothing was changed.
        """
        wanted = {f.name: value for f in fields(change) if (value := getattr(change, f.name)) is not None}
        before = self.read()
        for name, value in wanted.items():
            self._check(name, value, getattr(before, name))
        # Automatic settings first: while they are on, many cameras refuse the manual value. The region comes after
        # the binning, which drivers may answer with another region.
        order = ("auto_exposure", "auto_gain", "auto_white_balance", "binning", "roi", "gain", "exposure_ms")
        done: list[str] = []
        try:
            for name in order:
                if name in wanted:
                    done.append(name)
                    self._write(name, wanted[name])
        except DriverError:
            self._undo(done, before)
            raise
        return self.read()

    def _undo(self, done: list[str], before: CameraSettings) -> None:
        if "binning" in done and "roi" not in done:
            done.append("roi")
        for name in sorted(done, key=lambda name: name != "binning"):  # the region is counted in binned pixels
            if (old := getattr(before, name)) is not None:
                self._write(name, old)

    def _check(self, name: str, value: Any, now: Any) -> None:  # noqa: ANN401 (as many types as settings)
        if now is None:
            raise SettingError(f"{self._label} has no setting {name}")
        if name == "exposure_ms":
            low, high = self._limits("Exposure")
            if not (math.isfinite(value) and value > 0 and low <= value <= high):
                raise SettingError(f"exposure_ms {value} is not possible on {self._label}: {low} … {high}, above 0")
        if name == "gain" and self._gain is not None:
            low, high = self._limits(self._gain)
            if not (math.isfinite(value) and low <= value <= high):
                raise SettingError(f"gain {value} is outside {low} … {high} of {self._label}")

    def _limits(self, name: str) -> tuple[float, float]:
        core, label = self._core, self._label
        with camera_errors(label, f"the limits of {name} could not be read"):
            if not core.hasProperty(label, name) or not core.hasPropertyLimits(label, name):
                return -math.inf, math.inf
            return float(core.getPropertyLowerLimit(label, name)), float(core.getPropertyUpperLimit(label, name))

    def _write(self, name: str, value: Any) -> None:  # noqa: ANN401 (as many types as settings)
        try:
            match name:
                case "exposure_ms":
                    self._write_exposure(float(value))
                case "binning":
                    self._write_binning(int(value))
                case "roi":
                    self._write_roi(value)
                case "gain":
                    self._core.setProperty(self._label, str(self._gain), _number(float(value)))
                case _:
                    switch = self._switches[name]
                    self._core.setProperty(self._label, switch.name, switch.on if value else switch.off)
        except CORE_ERRORS as error:
            raise SettingError(f"{self._label} refused {name} = {value}: {error}") from error

    def _write_exposure(self, exposure_ms: float) -> None:
        self._core.setExposure(self._label, exposure_ms)
        now_ms = self.exposure_ms()
        absolute_ms, relative = EXPOSURE_TOLERANCE
        if abs(now_ms - exposure_ms) > max(absolute_ms, relative * exposure_ms):
            raise SettingError(f"exposure_ms {exposure_ms} is not possible on {self._label}: it made it {now_ms}")

    def _binning(self) -> int:
        return _leading_number(str(self._core.getProperty(self._label, "Binning")))

    def _write_binning(self, binning: int) -> None:
        if binning == self._binning():
            return
        core, label = self._core, self._label
        values = [str(value) for value in core.getAllowedPropertyValues(label, "Binning")]
        matching = [value for value in values if _leading_number(value) == binning]
        if values and not matching:
            raise SettingError(f"binning {binning} is none of {', '.join(values)} of {label}")
        core.setProperty(label, "Binning", matching[0] if matching else str(binning))
        if self._binning() != binning:
            raise SettingError(f"binning {binning} is not possible on {label}: it made it {self._binning()}")

    def _roi(self) -> Roi:
        """Return the region in unbinned pixels."""
        x, y, width, height = (int(value) for value in self._core.getROI(self._label))
        scale = self._roi_scale(width)
        return x * scale, y * scale, width * scale, height * scale

    def _roi_scale(self, driver_width: int) -> int:
        """Return the unbinned pixels per pixel in which this driver counts regions: most count binned ones."""
        binning = self._binning() if self._has_binning else 1
        return binning if driver_width == int(self._core.getImageWidth()) else 1

    def _write_roi(self, roi: Roi) -> None:
        if roi == self._roi():
            return
        core = self._core
        old = tuple(int(value) for value in core.getROI(self._label))
        core.clearROI()  # the size of the whole frame can be seen only in this way
        full = self._roi()
        if roi == full:
            return
        scale = self._roi_scale(int(core.getROI(self._label)[2]))
        x, y, width, height = roi
        inside = x >= 0 and y >= 0 and width > 0 and height > 0 and x + width <= full[2] and y + height <= full[3]
        if not inside or any(value % scale for value in roi):
            core.setROI(self._label, *old)
            reason = f"not in whole steps of {scale} pixels" if inside else f"not within {full[2]} × {full[3]} pixels"
            raise SettingError(f"roi {roi} is {reason} of {self._label}")
        core.setROI(self._label, *(value // scale for value in roi))

    def _automatic(self, setting: str) -> bool | None:
        switch = self._switches.get(setting)
        return None if switch is None else str(self._core.getProperty(self._label, switch.name)) != switch.off


@contextmanager
def camera_errors(label: str, what: str) -> Iterator[None]:
    """Turn an error of the core into a `CameraError` that says which camera and what failed."""
    try:
        yield
    except CORE_ERRORS as error:
        raise CameraError(f"{label}: {what}: {error}") from error


def _leading_number(text: str) -> int:
    """Return 2 for ``2``, ``2x2`` and ``2.0``."""
    found = re.match(r"\s*(\d+)", text)
    if found is None:
        raise ValueError(f"binning {text!r} is no number")
    return int(found.group(1))


def _number(value: float) -> str:
    """Return a number as drivers like it: whole ones without a point."""
    return str(int(value)) if value == int(value) else repr(value)


__all__ = ["SettingsAccess", "camera_errors"]

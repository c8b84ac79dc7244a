"""Why a microscope could not be opened, in words, with what to do about it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pymmcore

from microscoped.drivers.errors import (
    AdapterLibraryError,
    ConnectionFailedError,
    DeviceInUseError,
    InterfaceMismatchError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymmcore_plus import CMMCorePlus

COMMANDS = {
    *("Device", "Property", "Label", "Config", "ConfigGroup", "ConfigPixelSize", "Equipment", "Delay", "Parent"),
    *("FocusDirection", "ImageSynchro", "PixelSize_um", "PixelSizeAffine", "PixelSizeAngle_dxdz"),
    *("PixelSizeAngle_dydz", "PixelSizeOptimalZ_um"),
}
"""First words of the lines that Micro-Manager obeys. It passes over all others without a word."""

_ADAPTER = re.compile(r'Failed to load device adapter "(?P<name>[^"]*)"(?: from "(?P<file>[^"]*)")?')
_INTERFACE = re.compile(r"Incompatible (?:device|module) interface version \(MMCore requires (\d+);[^)]* has (\d+)\)")
_DEVICE = re.compile(r'Device adapter "(?P<adapter>[^"]*)" failed to instantiate device "(?P<device>[^"]*)"')
_LINE = re.compile(r"^Line (?P<number>\d+): (?P<text>.*)\n(?P<reason>(?s:.*))")
_NOT_A_LIBRARY = re.compile(
    r"file too short|invalid ELF header|wrong ELF class|not a valid Win32|mach-o|slice is not valid|"
    r"incompatible architecture|Cannot find function",
    re.IGNORECASE,
)
_HELD = re.compile(
    r"in use|already open|exclusive|access (?:is |was )?denied|permission denied|resource busy|device (?:is )?busy|"
    r"sharing violation|another (?:process|program|application)|cannot connect|could not be opened|unable to open",
    re.IGNORECASE,
)
_LABEL_TWICE = re.compile(r"label.*already in use", re.IGNORECASE | re.DOTALL)


def explain(
    error: BaseException, config_file: Path | None, adapter_paths: Sequence[str], core: CMMCorePlus | None
) -> ConnectionFailedError:
    """Return the error that says what went wrong and what to do.

    Parameters
    ----------
    error
        What the core raised.
    config_file
        The configuration that was loaded.
    adapter_paths
        Where adapters were looked for.
    core
        The core, to be asked what there is.
    """
    text = str(error).strip()
    where, reason = _locate(text, config_file)
    if (found := _INTERFACE.search(text)) is not None:
        return _mismatch(where, required=found.group(1), found=found.group(2))
    if (found := _ADAPTER.search(text)) is not None:
        return _adapter(where, found.group("name"), text, adapter_paths)
    if (found := _DEVICE.search(text)) is not None:
        names = _devices(core, found.group("adapter"))
        return AdapterLibraryError(
            f"{where}the adapter {found.group('adapter')} has no device {found.group('device')!r}. "
            f"It has: {', '.join(names) or 'none that answers; is the hardware connected and switched on?'}"
        )
    if "uninitialized device" in reason:
        return ConnectionFailedError(
            f"{where}{reason}. The configuration lacks the line Property,Core,Initialize,1 after its Device lines"
        )
    if _HELD.search(reason) and not _LABEL_TWICE.search(reason):
        return DeviceInUseError(
            f"{where}{reason}. Most often another program holds the device: close Micro-Manager, the maker's own "
            "software and other daemons, then try again. For a serial port, check also its name and your right to "
            "open it (on Linux: the group dialout)"
        )
    return ConnectionFailedError(
        f"{where}{reason}. Check this line of the configuration, and that the device is switched on and connected; "
        "the hardware configuration wizard of Micro-Manager writes a configuration that fits"
    )


def unknown_lines(config_file: Path | None) -> str:
    """Return a sentence about lines of the configuration that Micro-Manager passes over, or nothing."""
    if config_file is None:
        return ""
    lines = enumerate(config_file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
    unknown = [
        f"line {number} ({line.strip()[:60]!r})"
        for number, line in lines
        if line.strip() and not line.lstrip().startswith("#") and line.split(",")[0].strip() not in COMMANDS
    ]
    return f" Micro-Manager passes over what it does not know: {', '.join(unknown[:5])}." if unknown else ""


def _locate(text: str, config_file: Path | None) -> tuple[str, str]:
    """Return where the error happened, as the beginning of a sentence, and its reason."""
    name = "" if config_file is None else str(config_file)
    found = _LINE.match(text)
    if found is None:
        return (f"{name}: " if name else ""), text.rstrip(". \n")
    reason = " ".join(found.group("reason").split()).rstrip(". ")
    return f"{name}, line {found.group('number')} ({found.group('text').strip()}): ", reason


def _mismatch(where: str, *, required: str, found: str) -> InterfaceMismatchError:
    pinned = pymmcore.__version__
    return InterfaceMismatchError(
        f"{where}the adapter speaks Micro-Manager device interface {found}, the installed pymmcore {pinned} speaks "
        f"{required}. Either install the Micro-Manager nightly of interface {required} (`mmcore install`), or the "
        f"pymmcore of your Micro-Manager: pip install 'pymmcore==*.*.*.{found}.*'"
    )


def _adapter(where: str, name: str, text: str, adapter_paths: Sequence[str]) -> AdapterLibraryError:
    searched = ", ".join(adapter_paths) or "no folder"
    present = _adapter_files(adapter_paths)
    if name not in present:
        near = difflib.get_close_matches(name, present, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        return AdapterLibraryError(
            f"{where}there is no device adapter {name} in {searched}.{meant} Give the folder of your Micro-Manager as "
            "adapter path or in MICROMANAGER_PATH, or install one with `mmcore install`; some adapters exist only "
            "on Windows"
        )
    if _NOT_A_LIBRARY.search(text):
        return AdapterLibraryError(
            f"{where}{present[name]} is no device adapter for this computer: it is damaged, made for another system "
            f"or processor, or something else. Install it again. ({_detail(text)})"
        )
    return AdapterLibraryError(
        f"{where}the device adapter {name} is there ({present[name]}), but a library that it needs is not, most often "
        "the driver of the camera's or stage's maker. Install that driver (its 64-bit version), and put its folder on "
        f"PATH or beside the adapter. ({_detail(text)})"
    )


def _detail(text: str) -> str:
    """Return the innermost reason: the system's own words."""
    return re.sub(r"[\[\]]", "", text.rsplit("[", 1)[-1]).strip()


def _adapter_files(adapter_paths: Sequence[str]) -> dict[str, Path]:
    """Return adapter name → file of all adapters in the folders."""
    pattern = re.compile(r"^(?:libmmgr_dal_(?P<unix>.+?)(?:\.so)?(?:\.0)?|mmgr_dal_(?P<windows>.+)\.dll)$")
    files: dict[str, Path] = {}
    for folder in map(Path, adapter_paths):
        for file in sorted(folder.iterdir()) if folder.is_dir() else []:
            found = pattern.match(file.name)
            if found is not None:
                files.setdefault(found.group("unix") or found.group("windows"), file)
    return files


def _devices(core: CMMCorePlus | None, adapter: str) -> list[str]:
    try:
        return [] if core is None else [str(name) for name in core.getAvailableDevices(adapter)]
    except RuntimeError:
        return []


__all__ = ["explain", "unknown_lines"]

"""Configurations of the microscopes that the benchmarks run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import mm_test_adapters  # type: ignore[import-untyped] # it says nothing of its types

PERIOD_MS = 10.0
DEMO_EXPOSURE_MS = 9.0
"""The demonstration camera adds its rendering to each period: with 9 ms it gives 100 frames/s or a little more."""


def simulated(exposure_ms: float = PERIOD_MS, *, speed_um_s: float = 500.0) -> dict[str, Any]:
    """Return the configuration of the simulated brightfield microscope, 512², 100 frames/s at most."""
    return {
        "microscope": {"kind": "simulated", "stage": {"speed_um_s": speed_um_s}},
        "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
        "camera": {"exposure_ms": exposure_ms},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample", "timeout_s": 60},
    }


def demo_lines() -> list[str]:
    """Return the packaged configuration of Micro-Manager's demonstration camera, found without importing anything."""
    found = importlib.util.find_spec("microscoped.drivers")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("microscoped is not installed here")
    path = Path(next(iter(found.submodule_search_locations))) / "micromanager" / "demo.cfg"
    return path.read_text(encoding="utf-8").splitlines()


def demo(folder: Path, exposure_ms: float = DEMO_EXPOSURE_MS) -> dict[str, Any]:
    """Return the demonstration camera (real C++ adapters) with beads at 512²."""
    path = folder / "demo.cfg"
    exposure = f"ConfigGroup,System,Startup,Camera,Exposure,{exposure_ms}"
    lines = [
        exposure if line.startswith("ConfigGroup,System,Startup,Camera,Exposure,") else line for line in demo_lines()
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return _micromanager(path, exposure_ms)


def slow_demo(folder: Path) -> dict[str, Any]:
    """Return the demonstration camera with a focus drive of another adapter that takes its time: 10 µm/s."""
    path = folder / "slow.cfg"
    lines = demo_lines()
    at = lines.index("Device,Z,DemoCamera,DStage")
    lines[at] = "Device,Z,NotificationTester,NTAsyncStage"
    lines.remove("Parent,Z,DHub")
    after = lines.index("Property,Core,Initialize,1") + 1
    # Steps of 0.1 µm, one each 10 ms; where it is, it tells every 5 ms.
    lines[after:after] = ["Property,Z,SlewTimePerStep_s,0.01", "Property,Z,UpdateInterval_s,0.005"]
    path.write_text("\n".join(lines), encoding="utf-8")
    return _micromanager(path, 5.0)


def _micromanager(path: Path, exposure_ms: float) -> dict[str, Any]:
    return {
        "microscope": {
            "kind": "micromanager",
            "config_file": path,
            "adapter_paths": [mm_test_adapters.device_adapter_path()],
        },
        "camera": {"exposure_ms": exposure_ms},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample", "timeout_s": 60},
    }

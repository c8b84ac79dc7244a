"""From a configuration to the settings that the rooms of the daemon work with."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from microscoped.daemon import __version__
from microscoped.daemon.core import FocusDefaults, Settings
from microscoped.daemon.protocol.strict_json import MAX_BYTES
from microscoped.daemon.runtime import CONTROL_BYTES, SUBSCRIBE_BYTES
from microscoped.drivers.protocols import CameraSettings
from microscoped.drivers.safety import MotionSettings, XYMotionSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.config import Config
    from microscoped.daemon.core import CellsDefaults, HologramDefaults, PairDefaults

UNKNOWN_DOF_UM = 1.0
"""Depth of field assumed for defaults where the optics are unknown: that of a 20× / 0.75."""


def motion_settings(config: Config) -> MotionSettings:
    """The rules of motion that a configuration means."""
    chosen = config.stage
    step_um = chosen.unknown_direction_step_um
    if step_um is None:
        step_um = 2 * (config.optics.dof_um or 0.0)
    return MotionSettings(
        limits_um=chosen.limits_um,
        max_step_um=chosen.max_step_um,
        focus_direction=chosen.focus_direction,
        approach=chosen.approach,
        overshoot_um=chosen.overshoot_um,
        unknown_direction_step_um=step_um,
        arrival_tolerance_um=chosen.arrival_tolerance_um,
        settle_ms=chosen.settle_ms,
        timeout_s=chosen.timeout_s,
    )


def xy_motion_settings(config: Config) -> XYMotionSettings:
    """The rules of motion in the plane that a configuration means."""
    chosen = config.stage
    return XYMotionSettings(chosen.limits_x_um, chosen.limits_y_um, settle_ms=chosen.settle_ms)


def camera_settings(config: Config) -> CameraSettings:
    """What the camera is told at the start."""
    names = [field.name for field in fields(CameraSettings)]
    return CameraSettings(**{name: getattr(config.camera, name) for name in names})


def core_settings(
    config: Config,
    endpoints: Mapping[str, str],
    expected_z_um: float | None = None,
    pair: PairDefaults | str = "no engine reads them",
    hologram: HologramDefaults | str = "no engine reads them",
    cells: CellsDefaults | str = "no engine reads them",
    record_folder: str = "",
) -> Settings:
    """The facts that the reducer works with (see `Settings`).

    Parameters
    ----------
    config
        The configuration.
    endpoints
        Where it listens.
    expected_z_um
        As in `Settings`.
    pair, hologram, cells
        What focus from pairs, holding by holograms, and the engine of cells work with; or why there is no such thing.
    record_folder
        Where recordings go.
    """
    dof_um = config.optics.dof_um or UNKNOWN_DOF_UM
    focus = config.focus
    offered = ["sharpness"] if config.engines.sharpness.enabled else []
    if not isinstance(hologram, str):
        offered.append("hologram")
    if not isinstance(cells, str):
        offered.append("cells")
    return Settings(
        software=__version__,
        endpoints=endpoints,
        size_limits={"control_bytes": CONTROL_BYTES, "json_bytes": MAX_BYTES, "subscription_bytes": SUBSCRIBE_BYTES},
        motion=motion_settings(config),
        xy=xy_motion_settings(config),
        optics=config.optics.known(),
        objective=config.optics.objective,
        focus=FocusDefaults(
            range_um=focus.range_um,
            tolerance_um=focus.tolerance_um or dof_um / 4,
            coarse_step_um=focus.coarse_step_um or 3 * dof_um,
            extremum=focus.extremum,
            metric=focus.metric,
            roi=focus.roi,
            max_images=focus.max_images,
            offsets_um=dict(focus.offsets_um),
            pair=None if isinstance(pair, str) else pair,
            no_pair=pair if isinstance(pair, str) else "",
            hold_per_min=focus.hold.max_per_min,
        ),
        hologram=None if isinstance(hologram, str) else hologram,
        no_hologram=hologram if isinstance(hologram, str) else "",
        cells=None if isinstance(cells, str) else cells,
        no_cells=cells if isinstance(cells, str) else "",
        engines=tuple(offered),
        engine_late_s=_late_s(config),
        frame_allowance_s=config.camera.frame_allowance_s,
        fps=config.camera.fps,
        stream_at_start=config.camera.stream_at_start,
        pixel_size_um=config.optics.pixel_size_um,
        record_folder=record_folder,
        record_pixels=config.record.pixels,
        expected_z_um=expected_z_um,
    )


def _late_s(config: Config) -> dict[str, float]:
    """How long frames may wait for engines that need long for one."""
    cells = config.engines.cells
    return {"cells": cells.lensfree.late_s} if cells.source == "lensfree" else {}


__all__ = ["UNKNOWN_DOF_UM", "camera_settings", "core_settings", "motion_settings", "xy_motion_settings"]

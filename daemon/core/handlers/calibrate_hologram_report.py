"""What a calibration of holograms needs, what its engine is told, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from microscoped.daemon.core.handlers.camera import pixel_size_um
from microscoped.daemon.core.state import CalibrateHologramWork
from microscoped.daemon.focus import StepPlan, light_sign
from microscoped.daemon.protocol import ErrorCode, RefusedError
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.handlers.calibrate_hologram import Action
    from microscoped.daemon.core.state import HologramDefaults
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.protocol.events import FrameData
    from microscoped.daemon.protocol.ops import CalibrateRunParams

RANGE_DOF = 4.0
"""Half of the range where none is given, in depths of field: distances then stay well within what is searched."""


def work_of(turn: Turn, params: CalibrateRunParams, start_um: float) -> CalibrateHologramWork:
    """Return a calibration that has not begun yet.

    Raises
    ------
    RefusedError
        Something is missing, by its name in the configuration; the limits leave no room; or the dose budget is too
        small.
    """
    settings = turn.state.settings
    known = settings.hologram
    if known is None:
        raise RefusedError(ErrorCode.NOT_READY, f"holograms are not read: {settings.no_hologram}")
    missing = _missing(turn, known)
    if missing:
        raise RefusedError(
            ErrorCode.NOT_READY,
            f"to calibrate, these must be known: {'; '.join(missing.values())}",
            {"missing": list(missing)},
        )
    camera, motion = turn.state.camera.settings, settings.motion
    if camera.auto_exposure or camera.auto_gain:
        raise RefusedError(
            ErrorCode.INVALID, "the camera changes its exposure by itself; switch that off with camera.set"
        )
    side = motion.approach_side
    unknown = motion.focus_direction is FocusDirection.UNKNOWN
    try:
        plan = StepPlan(
            start_um=start_um,
            range_um=params.range_um or RANGE_DOF * known.dof_um / _expected(turn, known),
            limits_um=motion.limits_um or (start_um, start_um),
            approach="decreasing" if side is not None and side.value == "decreasing" else "increasing",
            overshoot_um=motion.overshoot_um,
            steps=params.steps,
            visits=params.visits,
            longest_um=motion.unknown_direction_step_um - 2 * motion.arrival_tolerance_um if unknown else None,
            exposure_ms=camera.exposure_ms or 0.0,
        )
    except ValueError as error:
        raise RefusedError(ErrorCode.INVALID, str(error)) from None
    work = CalibrateHologramWork(
        plan=plan,
        began_ns=turn.now.mono_ns,
        pixel_size_um=pixel_size_um(turn, known.pixel_size_um) or 0.0,
        binning=camera.binning or 1,
        sign=light_sign(motion.focus_direction),
        background="taken" if params.background == "ask" or params.background_file is not None else params.background,
        background_file=params.background_file,
        legs=plan.legs(),
    )
    dose_ms = images_most(work) * plan.exposure_ms
    if params.dose_budget_ms is not None and dose_ms > params.dose_budget_ms:
        raise RefusedError(
            ErrorCode.INVALID,
            f"{images_most(work)} images of {plan.exposure_ms:g} ms are {dose_ms:g} ms of light, more than "
            f"dose_budget_ms {params.dose_budget_ms:g}; shorten the exposure, or take fewer steps",
            {"dose_ms_most": dose_ms},
        )
    return work


def _missing(turn: Turn, known: HologramDefaults) -> dict[str, str]:
    """What must be known and is not: the key of the configuration, and what to do."""
    motion = turn.state.settings.motion
    missing = {}
    if not known.scale_known:
        missing["optics.wavelength_nm"] = "optics.wavelength_nm (without it distances have no scale)"
    if pixel_size_um(turn, known.pixel_size_um) is None:
        missing["optics.pixel_size_um"] = "optics.pixel_size_um (camera pixel over magnification)"
    if motion.limits_um is None:
        missing["stage.limits_um"] = "stage.limits_um (without limits nothing moves)"
    if motion.focus_direction is FocusDirection.UNKNOWN and motion.approach is None:
        missing["stage.approach"] = (
            "stage.approach (increasing or decreasing), or better stage.focus_direction (toward_sample or away)"
        )
    return missing


def _expected(turn: Turn, known: HologramDefaults) -> float:
    """µm of focus per µm of stage that the indices of immersion and medium promise."""
    optics = turn.state.settings.optics
    return known.medium_index / (optics.immersion_index if optics else 1.0)


def images_most(work: CalibrateHologramWork) -> int:
    """Images in all, without a background that must be taken again."""
    return work.plan.images + (1 if work.background == "taken" else 0)


def plan_facts(turn: Turn, work: CalibrateHologramWork) -> dict[str, JsonValue]:
    """What will be done: shown before the first move."""
    plan, settings = work.plan, turn.state.settings
    known = settings.hologram
    optics = settings.optics
    low, high = plan.span_um
    return {
        "what": "hologram",
        "phase": work.phase,
        "objective": settings.objective,
        "na": optics.na if optics else None,
        "wavelength_nm": optics.wavelength_nm if optics else None,
        "immersion_index": optics.immersion_index if optics else None,
        "medium_index": known.medium_index if known else None,
        "pixel_size_um": work.pixel_size_um,
        "binning": work.binning,
        "dof_um": known.dof_um if known else None,
        "steps": plan.steps,
        "step_um": plan.step_um,
        "visits": plan.visits,
        "range_um": [low, high],
        "start_um": plan.start_um,
        "approach": plan.approach,
        "focus_direction": settings.motion.focus_direction.value,
        "background": work.background,
        "images_most": images_most(work),
        "exposure_ms": plan.exposure_ms,
        "dose_ms_most": images_most(work) * plan.exposure_ms,
    }


def progress(turn: Turn, work: CalibrateHologramWork) -> dict[str, JsonValue]:
    """How far it is."""
    return {
        "what": "hologram",
        "phase": work.phase,
        "field": work.field,
        "wanted": work.wanted,
        "done": work.done,
        "visits_total": work.plan.images,
        "images": work.images,
        "images_most": images_most(work),
        "dose_ms": work.images * work.plan.exposure_ms,
        "z_um": turn.state.stage.z_um,
        "distance_um": work.distance_um,
        "doing": work.doing,
    }


def options_of(
    turn: Turn, task: str, work: CalibrateHologramWork, action: Action, frame: FrameData
) -> dict[str, JsonValue]:
    """What the engine is told (see `HologramCalibrationEngine`)."""
    options: dict[str, JsonValue] = {"action": action}
    motion = turn.state.settings.motion
    match action:
        case "background":
            options |= {"taken": turn.now.utc, "pixel_size_um": work.pixel_size_um, "file": work.background_file}
        case "step":
            leg = work.legs[0]
            options |= {
                "run": task,
                "begin": not work.begun,
                "place": leg.place,
                "visit": leg.visit,
                "reverse": leg.use == "reverse",
                "z_um": frame.z_um,
                "t_s": frame.exposure_start_ns / 1e9,
                "pixel_size_um": work.pixel_size_um,
                "background": work.background,
            }
        case "finish":
            options |= {
                "reasons": list(work.reasons),
                "light_sign": work.sign,
                "overshoot_um": motion.overshoot_um,
                "conditions": {
                    "pixel_size_um": work.pixel_size_um / work.binning,
                    "binning": work.binning,
                    "focus_direction": motion.focus_direction.value,
                },
                "made": turn.now.utc,
                "images": work.images,
                "dose_ms": work.images * work.plan.exposure_ms,
            }
    return options


def costs(turn: Turn, work: CalibrateHologramWork) -> dict[str, JsonValue]:
    """What it has cost so far, and where the stage is."""
    return {
        "z_um": turn.state.stage.z_um,
        "start_um": work.plan.start_um,
        "images": work.images,
        "dose_ms": work.images * work.plan.exposure_ms,
        "moves": work.moves,
        "travel_um": work.travel_um,
        "duration_ms": (turn.now.mono_ns - work.began_ns) / 1e6,
    }


def verdict(turn: Turn, work: CalibrateHologramWork, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What is reported once the engine has judged."""
    known = turn.state.settings.hologram
    line = cast("dict[str, JsonValue]", values["line"] or {})
    slope, half = cast("float | None", line.get("slope")), cast("float | None", line.get("half_width"))
    scale = None if slope is None else abs(slope)
    return {
        "accepted": values["accepted"],
        "reasons": values["reasons"],
        "warnings": values["warnings"],
        "path": values["path"],
        "dof_um": known.dof_um if known else None,
        "side": "minus" if values["side"] == -1 else "plus",
        "side_known": values["side_known"],
        "side_changed": values["side_changed"],
        "sign": None if not slope else 1 if slope > 0 else -1,
        "focus_per_stage": scale,
        "focus_per_stage_interval": None if scale is None or half is None else [scale - half, scale + half],
        "focus_per_stage_expected": values["expected"],
        "stage_per_focus": 1.0 / scale if scale else None,
        "places": line.get("places", []),
        **{name: line.get(name) for name in _OF_THE_LINE},
        "visits": values["visits"],
        "lost": values["lost"],
        "background": values["background"],
        **costs(turn, work),
    }


_OF_THE_LINE = (
    "offset_um",
    "repeatability_um",
    "linearity_um",
    "worst_um",
    "drift_um_s",
    "play_um",
    "cells",
    "readings",
    "outliers",
)

__all__ = ["costs", "images_most", "options_of", "plan_facts", "progress", "verdict", "work_of"]

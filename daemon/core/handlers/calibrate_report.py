"""What a calibration needs, what its engine is told, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.core.state import CalibrateWork
from microscoped.daemon.focus import SWEEP_DOF, CalibrationPlan, light_sign
from microscoped.daemon.protocol import ErrorCode, RefusedError
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.state import PairDefaults
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.core.works import CalibrateAction
    from microscoped.daemon.protocol.events import FrameData
    from microscoped.daemon.protocol.ops import CalibrateRunParams

LEAST_SAMPLING = 1.0
"""Camera pixels per λ/NA below which pairs cannot be read."""


def work_of(turn: Turn, params: CalibrateRunParams, start_um: float) -> CalibrateWork:
    """Return a calibration that has not begun yet.

    Raises
    ------
    RefusedError
        Something is missing, by its name in the configuration; the limits leave no room; or the dose budget is too
        small.
    """
    settings = turn.state.settings
    pair = settings.focus.pair
    if pair is None:
        raise RefusedError(ErrorCode.NOT_READY, f"pairs cannot be read: {settings.focus.no_pair}")
    missing = _missing(turn, pair)
    if missing:
        raise RefusedError(
            ErrorCode.NOT_READY,
            f"to calibrate, these must be known: {'; '.join(missing.values())}",
            {"missing": list(missing)},
        )
    if params.deep and pair.no_deep:
        raise RefusedError(ErrorCode.NOT_READY, f"the network cannot be fine-tuned (deep): {pair.no_deep}")
    camera, motion = turn.state.camera.settings, settings.motion
    if camera.auto_exposure or camera.auto_gain:
        raise RefusedError(
            ErrorCode.INVALID, "the camera changes its exposure by itself; switch that off with camera.set"
        )
    pixel_um = _pixel_size_um(turn, pair) or 0.0
    optics = settings.optics
    binning = camera.binning or 1
    if optics is not None and optics.resolution_um / (pixel_um * binning) < LEAST_SAMPLING:
        raise RefusedError(
            ErrorCode.INVALID,
            f"{optics.resolution_um / (pixel_um * binning):.2g} camera pixels per λ/NA: focus from a pair needs at "
            f"least {LEAST_SAMPLING:g}; use less binning",
        )
    delta_um = pair.delta_um if params.delta_dof is None else params.delta_dof * pair.dof_um
    low_um, high_um = motion.limits_um or (start_um, start_um)
    side = motion.approach_side
    try:
        plan = CalibrationPlan(
            dof_um=pair.dof_um,
            delta_um=delta_um,
            low_um=low_um,
            high_um=high_um,
            approach="decreasing" if side is not None and side.value == "decreasing" else "increasing",
            fields=params.fields,
            search_images=settings.focus.max_images,
            exposure_ms=camera.exposure_ms or 0.0,
        )
    except ValueError as error:
        raise RefusedError(ErrorCode.INVALID, str(error)) from None
    if params.dose_budget_ms is not None and plan.dose_ms_most > params.dose_budget_ms:
        raise RefusedError(
            ErrorCode.INVALID,
            f"up to {plan.images_most} images of {plan.exposure_ms:g} ms are {plan.dose_ms_most:g} ms of light, more "
            f"than dose_budget_ms {params.dose_budget_ms:g}; shorten the exposure, or calibrate with fewer fields",
            {"dose_ms_most": plan.dose_ms_most},
        )
    return CalibrateWork(
        plan=plan,
        start_um=start_um,
        began_ns=turn.now.mono_ns,
        pixel_size_um=pixel_um,
        binning=binning,
        channel=params.channel,
        range_um=params.range_um,
        extremum=params.extremum,
        sign=light_sign(motion.focus_direction),
        own_delta=delta_um != pair.delta_um,
        deep=params.deep,
    )


def _missing(turn: Turn, pair: PairDefaults) -> dict[str, str]:
    """What must be known and is not: the key of the configuration, and what to do."""
    settings = turn.state.settings
    missing = {}
    if settings.objective is None:
        missing["optics.objective"] = "optics.objective (a name for the objective, such as '20x/0.5')"
    if _pixel_size_um(turn, pair) is None:
        missing["optics.pixel_size_um"] = "optics.pixel_size_um (camera pixel over magnification)"
    if settings.motion.focus_direction is FocusDirection.UNKNOWN:
        missing["stage.focus_direction"] = "stage.focus_direction (toward_sample or away)"
    if settings.motion.limits_um is None:
        missing["stage.limits_um"] = "stage.limits_um (without limits nothing moves)"
    return missing


def _pixel_size_um(turn: Turn, pair: PairDefaults) -> float | None:
    """Size of an unbinned pixel in the specimen."""
    camera = turn.state.camera
    if pair.pixel_size_um is not None:
        return pair.pixel_size_um
    known_um = camera.info.pixel_size_um if camera.info else None
    return None if known_um is None else known_um / camera.info_binning


def plan_facts(turn: Turn, work: CalibrateWork) -> dict[str, JsonValue]:
    """What will be done: shown before the first move."""
    plan, optics = work.plan, turn.state.settings.optics
    return {
        "phase": work.phase,
        "objective": turn.state.settings.objective,
        "na": optics.na if optics else None,
        "wavelength_nm": optics.wavelength_nm if optics else None,
        "immersion_index": optics.immersion_index if optics else None,
        "pixel_size_um": work.pixel_size_um,
        "binning": work.binning,
        "channel": work.channel,
        "dof_um": plan.dof_um,
        "delta_um": plan.delta_um,
        "fields": plan.fields,
        "fit_fields": plan.fit_fields,
        "images_most": plan.images_most,
        "exposure_ms": plan.exposure_ms,
        "dose_ms_most": plan.dose_ms_most,
        "sweep_um": SWEEP_DOF * plan.dof_um,
        "limits_um": [plan.low_um, plan.high_um],
        "start_um": work.start_um,
        "approach": plan.approach,
        "deep": work.deep,
    }


def progress(turn: Turn, work: CalibrateWork) -> dict[str, JsonValue]:
    """How far it is."""
    return {
        "phase": work.phase,
        "field": work.field,
        "fields": work.plan.fields,
        "accepted": work.accepted,
        "rejected": len(work.rejected),
        "images": work.images,
        "images_most": work.plan.images_most,
        "dose_ms": work.images * work.plan.exposure_ms,
        "z_um": turn.state.stage.z_um,
        "doing": work.doing,
    }


def options_of(
    turn: Turn, task: str, work: CalibrateWork, action: CalibrateAction, frame: FrameData
) -> dict[str, JsonValue]:
    """What the engine is told (see `CalibrationEngine`)."""
    t_s, options = frame.exposure_start_ns / 1e9, dict[str, "JsonValue"](action=action)
    match action:
        case "sweep":
            options |= {
                "run": task,
                "begin": not work.swept,
                "field": work.field,
                "first": work.legs[0].begins,
                "near_um": work.focus_um,
                "z_um": frame.z_um,
                "t_s": t_s,
                "apart": work.plan.apart,
                "pixel_size_um": work.pixel_size_um * work.binning,
                "sign": work.sign,
                "deep": work.plan.fit_fields if work.deep and work.accepted < work.plan.fit_fields else 0,
            }
        case "field":
            role = work.plan.role(work.accepted)
            options |= {"extremum": work.found, "near_um": work.focus_um, "role": role}
        case "visit":
            options |= {"kind": work.legs[0].use, "t_s": t_s}
        case "stage":
            overshoot_um = turn.state.settings.motion.overshoot_um
            options |= {"approach_sign": work.plan.side, "overshoot_um": overshoot_um}
        case "pair":
            first = turn.state.frame(work.frames[0])
            delta_um = frame.z_um - (first.z_um if first else frame.z_um - work.plan.side * work.plan.delta_um)
            options |= {"delta_um": delta_um, "bit_depth": frame.bit_depth}
        case "finish":
            options |= {
                "moves_um": list(work.residuals_um),
                "reasons": list(work.reasons),
                "unswept": [[number, why] for number, why in work.rejected if number not in work.known],
                "conditions": {
                    "pixel_size_um": work.pixel_size_um,
                    "binning": work.binning,
                    "channel": work.channel,
                    "delta_um": work.plan.delta_um,
                    "approach": work.plan.approach,
                },
                "made": turn.now.utc,
                "images": work.images,
                "dose_ms": work.images * work.plan.exposure_ms,
            }
        case _:
            pass
    return options


def costs(turn: Turn, work: CalibrateWork) -> dict[str, JsonValue]:
    """What it has cost so far, and where the stage is."""
    return {
        "z_um": turn.state.stage.z_um,
        "start_um": work.start_um,
        "images": work.images,
        "dose_ms": work.images * work.plan.exposure_ms,
        "moves": work.moves,
        "travel_um": work.travel_um,
        "duration_ms": (turn.now.mono_ns - work.began_ns) / 1e6,
    }


def verdict(turn: Turn, work: CalibrateWork, values: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What is reported once the engine has judged."""
    return {
        "accepted": values["accepted"],
        "reasons": values["reasons"],
        "path": values["path"],
        "dof_um": work.plan.dof_um,
        "delta_um": work.plan.delta_um,
        "rung": values["rung"],
        "deep": values["deep"],
        "tuned_sha256": values["tuned_sha256"],
        "sign": values["sign"],
        "slope": values["slope"],
        "offset_dof": values["offset_dof"],
        "interval_factor": values["interval_factor"],
        "stage": values["stage"],
        "fields": values["fields"],
        "before": values["before"],
        "fitted": values["fitted"],
        "after": values["after"],
        "long": values["long"],
        "closed_loop": values["moves"],
        "rejected": [f"field {number}: {why}" for number, why in work.rejected],
        "warnings": _warnings(work, values) if values["accepted"] else [],
        **costs(turn, work),
    }


def _warnings(work: CalibrateWork, values: dict[str, JsonValue]) -> list[JsonValue]:
    warnings: list[JsonValue] = []
    if work.sign and values["sign"] != work.sign:
        warnings.append(
            "pairs are read the other way round than stage.focus_direction says; look whether that is right: limits "
            "and approach depend on it"
        )
    if work.own_delta:
        warnings.append(
            f"set focus.pair.delta_dof to {work.plan.delta_um / work.plan.dof_um:g}: with another distance of the two "
            "images this calibration does not match at the next start"
        )
    return warnings


def rejected_unseen(turn: Turn, work: CalibrateWork) -> dict[str, JsonValue]:
    """What is reported where no field had a focus to sweep."""
    nothing = dict.fromkeys(("stage", "before", "fitted", "after", "long", "closed_loop", "path"))
    return {
        "accepted": False,
        "reasons": list(work.reasons),
        "dof_um": work.plan.dof_um,
        "delta_um": work.plan.delta_um,
        "rung": "nothing",
        "deep": "not tried: no field had a focus to sweep" if work.deep else None,
        "tuned_sha256": None,
        "sign": work.sign or 1,
        "slope": 1.0,
        "offset_dof": 0.0,
        "interval_factor": None,
        "fields": [],
        "rejected": [f"field {number}: {why}" for number, why in work.rejected],
        "warnings": [],
        **nothing,
        **costs(turn, work),
    }


__all__ = ["costs", "options_of", "plan_facts", "progress", "rejected_unseen", "verdict", "work_of"]

"""Pairs of images in a focus run: whether they may be used, what the engine is told and says, what is reported."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

from microscoped.daemon.core.handlers.camera import pixel_size_um
from microscoped.daemon.core.state import PairWatch, PairWork
from microscoped.daemon.focus import (
    WINDOW,
    PairPolicy,
    PairReading,
    PairResult,
    ReadPair,
    Shot,
    light_sign,
    mistrusted,
    propose_pair,
    watch_figures,
)
from microscoped.daemon.protocol import AlarmCode, ErrorCode, RefusedError
from microscoped.daemon.protocol.outcomes import PairData
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.state import PairDefaults
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.focus import PairCheck, SearchSettings

ENGINE = "focus_pair"


def choose(
    turn: Turn, method: str, channel: str | None, search: SearchSettings
) -> tuple[PairWork | None, str, tuple[str, ...]]:
    """Decide whether a focus run begins with pairs.

    Parameters
    ----------
    method, channel
        As in `FocusRunParams`.
    search
        What bounds the run.

    Returns
    -------
    pair, why, warnings
        ``None`` for a search; why it is this method; and what a reader of the report must know.

    Raises
    ------
    RefusedError
        Pairs were asked for by name, and cannot be read.
    """
    if method == "search":
        return None, "asked for", ()
    defaults = turn.state.settings.focus.pair
    obstacle = _obstacle(turn, search)
    unsuited = "" if defaults is None else _unsuited(turn, defaults, channel)
    if method == "auto":
        reason = obstacle[1] if obstacle else unsuited
        if reason:
            return None, f"auto: no pairs, because {reason}", ()
    elif obstacle:
        raise RefusedError(obstacle[0], f"pairs cannot be read: {obstacle[1]}")
    assert defaults is not None  # noqa: S101 - else there was an obstacle; narrows the type
    policy = PairPolicy(
        start_um=search.center_um,
        low_um=search.low_um,
        high_um=search.high_um,
        dof_um=defaults.dof_um,
        delta_um=defaults.delta_um,
        approach=search.approach,
    )
    sign = defaults.sign if defaults.calibrated else None
    options: dict[str, JsonValue] = {
        "sign": sign or light_sign(turn.state.settings.motion.focus_direction),
        "pixel_size_um": pixel_size_um(turn, defaults.pixel_size_um),
        "calibrated": defaults.calibrated and not _mismatch(turn, defaults, channel),
    }
    why = "asked for" if method == "pair" else "auto: there is an accepted calibration that holds here"
    return PairWork(policy, options), why, (f"not to be relied on: {unsuited}",) if unsuited else ()


def _obstacle(turn: Turn, search: SearchSettings) -> tuple[ErrorCode, str] | None:
    """What stands against reading pairs at all."""
    settings, camera = turn.state.settings, turn.state.camera.settings
    pair = settings.focus.pair
    if pair is None:
        return ErrorCode.NOT_READY, settings.focus.no_pair
    if settings.motion.focus_direction is FocusDirection.UNKNOWN:
        return (
            ErrorCode.LIMIT_DIRECTION_UNKNOWN,
            "the focus direction is unknown; declare stage.focus_direction (toward_sample or away)",
        )
    if pixel_size_um(turn, pair.pixel_size_um) is None:
        return ErrorCode.NOT_READY, "the size of a pixel is unknown; set optics.pixel_size_um"
    if camera.auto_exposure or camera.auto_gain:
        on = "auto_exposure" if camera.auto_exposure else "auto_gain"
        return (
            ErrorCode.INVALID,
            f"{on} is on and would change the light between the images; switch it off (camera.set)",
        )
    if search.high_um - search.low_um < pair.delta_um:
        return ErrorCode.INVALID, f"a pair needs a range of {pair.delta_um:g} µm at least (range_um)"
    return None


def _unsuited(turn: Turn, pair: PairDefaults, channel: str | None) -> str:
    """Why ``auto`` would not use pairs; empty where it would."""
    if not pair.calibrated:
        return pair.why_not
    return _mismatch(turn, pair, channel) or turn.state.pair_watch.suspended


def _mismatch(turn: Turn, pair: PairDefaults, channel: str | None) -> str:
    """In what the calibration differs from what is asked for; empty where it does not."""
    binning, side = turn.state.camera.settings.binning or 1, turn.state.settings.motion.approach_side
    if pair.channel is not None and channel != pair.channel:
        return f"the calibration is for channel {pair.channel!r}, not for {channel!r}"
    if pair.binning is not None and binning != pair.binning:
        return f"the calibration is for binning {pair.binning}, not for {binning}"
    if pair.approach is not None and (side is None or side.value != pair.approach):
        return f"the calibration is for an approach with z {pair.approach}"
    return ""


def ask(turn: Turn, task: str, pair: PairWork, step: ReadPair) -> None:
    """Have the engine read a pair."""
    shots = _shots(pair)
    delta_um = shots[step.second].z_um - shots[step.first].z_um
    first, second = pair.frames[step.first], pair.frames[step.second]
    kept = turn.state.frame(second)
    depth: dict[str, JsonValue] = {} if kept is None else {"bit_depth": kept.bit_depth}
    turn.measure(ENGINE, second, {**pair.options, **depth, "delta_um": delta_um}, task=task, earlier=(first,))


def with_shot(pair: PairWork, frame: str, z_um: float, exposure_ms: float) -> PairWork:
    """Add an image."""
    return replace(pair, history=(*pair.history, Shot(z_um, exposure_ms)), frames=(*pair.frames, frame))


def with_reading(pair: PairWork, values: Mapping[str, JsonValue]) -> PairWork:
    """Add what the engine says of the pair that it was asked for."""
    step = propose_pair(pair.policy, pair.history)
    assert isinstance(step, ReadPair)  # noqa: S101 - it was measured because of this step; narrows the type
    interval = cast("list[float] | None", values["interval_um"])
    reading = PairReading(
        first=step.first,
        second=step.second,
        defocus_um=cast("float | None", values["defocus_um"]),
        interval_um=None if interval is None else (interval[0], interval[1]),
        reason=str(values["reason"]),
        mean_ratio=cast("float", values["mean_ratio"]),
        modes_um=tuple(cast("list[float]", values["modes_um"])),
    )
    return replace(pair, history=(*pair.history, reading))


def note_checks(turn: Turn, checks: tuple[PairCheck, ...], dof_um: float) -> None:
    """Watch over the engine: where its checks go wrong too often, ``auto`` must not use it any more."""
    watch = turn.state.pair_watch
    kept, suspended = watch.checks, watch.suspended
    for check in checks:
        kept = (*kept, check)[-WINDOW:]
        if not suspended and (suspended := mistrusted(kept, dof_um)):
            turn.watch(AlarmCode.FOCUS_PAIR, broken=True, detail=suspended, data=asdict(watch_figures(kept)))
    turn.set(pair_watch=PairWatch(kept, suspended))


def report(pair: PairWork | None) -> dict[str, JsonValue]:
    """What pairs add to the report of a run."""
    if pair is None:
        return {"confirmation": None, "interval_um": None, "pairs": [], "retakes": 0, "planes_um": []}
    shots = _shots(pair)
    end = propose_pair(pair.policy, pair.history)
    pairs = [
        PairData(
            first_z_um=shots[reading.first].z_um,
            z_um=shots[reading.second].z_um,
            defocus_um=reading.defocus_um,
            interval_um=reading.interval_um,
            reason=reading.reason,
            mean_ratio=reading.mean_ratio,
            frames=(pair.frames[reading.first], pair.frames[reading.second]),
        ).model_dump(mode="json")
        for reading in pair.history
        if isinstance(reading, PairReading)
    ]
    found = end if isinstance(end, PairResult) else None
    return {
        "confirmation": found.confirmation if found else None,
        "interval_um": list(found.interval_um) if found and found.interval_um else None,
        "pairs": cast("list[JsonValue]", pairs),
        "retakes": found.retakes if found else 0,
        "planes_um": list(found.planes_um) if found else [],
    }


def _shots(pair: PairWork) -> list[Shot]:
    return [event for event in pair.history if isinstance(event, Shot)]


__all__ = ["ENGINE", "ask", "choose", "note_checks", "report", "with_reading", "with_shot"]

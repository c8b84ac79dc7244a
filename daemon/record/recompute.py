"""Measuring recorded frames again, and comparing: the same values within a tolerance, and the same decisions upon them.

Measurements are compared one by one, each from the recorded state: one that differs does not spoil those after it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from microscoped.daemon.core import step
from microscoped.daemon.core.effects import Measure, Offer
from microscoped.daemon.protocol import dumps
from microscoped.daemon.record.codec import parse_json, plain_json
from microscoped.daemon.record.errors import FrameDamagedError, FramesError
from microscoped.models import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.daemon.core import Effect, Now, State
    from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
    from microscoped.models import Engine

NOT_ASKED_HERE = "it was asked for before the recording began"
FAILED = "the engine failed when it was recorded"


class FrameSource(Protocol):
    """Where pixels come from (see `microscoped.daemon.record.Recorded`)."""

    def pixels(self, frame: str) -> NDArray[Any]:
        """Return the pixels of a frame."""
        ...


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number may lie off: absolute + relative × the greater of the two, in the number's own unit.

    The defaults leave room for the order of summation alone.
    """

    absolute: float = 1e-12
    relative: float = 1e-6

    def allows(self, was: float, found: float) -> bool:
        """Whether two numbers are the same."""
        if math.isnan(was) or math.isnan(found):
            return math.isnan(was) and math.isnan(found)
        return was == found or abs(found - was) <= self.allowed(was, found)

    def allowed(self, was: float, found: float) -> float:
        """How far these two may lie apart."""
        return self.absolute + self.relative * max(abs(was), abs(found))


@dataclass(frozen=True, slots=True)
class Deviation:
    """A value that is not what was recorded.

    Parameters
    ----------
    field
        Which one: ``score``, ``cells[3].dry_mass_pg``.
    was, found
        What was recorded, and what was measured now.
    allowed
        How far they may lie apart; ``None`` where they are no numbers.
    """

    field: str
    was: object
    found: object
    allowed: float | None = None

    def __str__(self) -> str:
        if self.allowed is None:
            return f"{self.field}: {self.was!r} → {self.found!r}"
        return f"{self.field}: {self.was!r} → {self.found!r} ({self.allowed:.3g} is allowed)"


@dataclass(slots=True)
class Recomputed:
    """What came of measuring again.

    Parameters
    ----------
    measured, differing, flipped
        Measurements that were made again, those of them that differ by more than the tolerance, and those upon which
        something else is decided.
    left_out
        Measurements that were not made again, by the reason.
    largest
        The largest difference of each number, by engine and field.
    """

    measured: int = 0
    differing: int = 0
    flipped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    largest: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A measurement that does not come out as it was recorded.

    Parameters
    ----------
    what
        ``measurement``, or ``decision flipped``.
    was, found
        The values, or what was decided; with the deviations beside it.
    """

    what: str
    was: str
    found: str


class Recomputation:
    """Follows a replay, and measures again what engines measured.

    Parameters
    ----------
    frames
        Where pixels come from.
    engines
        Those that measure again; measurements of others are left out. They must depend on nothing but their frames and
        options.
    tolerances
        By engine; the default is `Tolerance()`.
    """

    def __init__(
        self,
        frames: FrameSource,
        engines: Sequence[Engine],
        tolerances: Mapping[str, Tolerance] | None = None,
    ) -> None:
        self._frames = frames
        self._engines = {engine.name: engine for engine in engines}
        self._tolerances = dict(tolerances or {})
        self._asked: dict[tuple[str, str, str | None], Mapping[str, Any]] = {}
        self.result = Recomputed()

    def asked(self, effects: Sequence[Effect]) -> None:
        """Note what engines were asked for."""
        for effect in effects:
            match effect:
                case Offer():
                    self._asked[effect.engine, effect.frame, None] = effect.options
                case Measure():
                    self._asked[effect.engine, effect.frame, effect.request] = effect.options

    def skipped(self, heard: FrameSkipped) -> None:
        """Note that a frame was not measured."""
        self._asked.pop((heard.engine, heard.frame, None), None)

    def measured(self, state: State, heard: MeasureEnded, now: Now, effects: Sequence[Effect]) -> Finding | None:
        """Measure again what an input tells of, and compare.

        Parameters
        ----------
        state
            The one before the input.
        heard, now
            The input, and its moment.
        effects
            What was done about it.

        Returns
        -------
        finding
            What differs; ``None``: nothing, or it was left out.

        Raises
        ------
        FrameDamagedError
            The pixels are not those that were recorded.
        """
        result = self.result
        options = self._asked.pop((heard.engine, heard.frame, heard.request), None)
        values = self._measure(heard, options)
        if isinstance(values, str):
            result.left_out[values] = result.left_out.get(values, 0) + 1
            return None
        result.measured += 1
        tolerance = self._tolerances.get(heard.engine, Tolerance())
        deviations = list(self._compare(heard, values, tolerance))
        try:
            _, decided = step(state, replace(heard, values=values), now)
            was, found = ([_words(effect) for effect in done] for done in (effects, decided))
        except Exception as error:  # noqa: BLE001 - values of another shape: what they do to the reducer is the finding
            was, found = [], [("the reducer fails", f"{type(error).__name__}: {error}")]
        margin = "; ".join(map(str, deviations[:5])) or "all values are within their tolerances"
        if was != found:
            result.flipped += 1
            result.differing += bool(deviations)
            return Finding("decision flipped", _short(was, found), f"{_short(found, was)}\n  margin: {margin}")
        if deviations:
            result.differing += 1
            return Finding("measurement", plain_json(heard.values).decode(), f"{plain_json(values).decode()}: {margin}")
        return None

    def _measure(self, heard: MeasureEnded, options: Mapping[str, Any] | None) -> Mapping[str, Any] | str:
        """Return values, or why there are none."""
        engine = self._engines.get(heard.engine)
        if engine is None:
            return f"engine {heard.engine} does not run here"
        if heard.values is None:
            return FAILED
        if options is None:
            return NOT_ASKED_HERE
        try:
            pixels = [self._frames.pixels(frame) for frame in (*heard.earlier, heard.frame)]
        except FrameDamagedError:
            raise
        except FramesError as error:
            return _without_names(error.detail, (*heard.earlier, heard.frame))
        try:
            measured = engine.measure(pixels, options)
            values = measured.values if isinstance(measured, Measurement) else measured
            found: Mapping[str, Any] = json.loads(dumps(values))
        except Exception as error:  # noqa: BLE001 - an engine's fault is a result: it did not fail when it was recorded
            return {"error": f"{type(error).__name__}: {error}"}
        return found

    def _compare(self, heard: MeasureEnded, found: object, tolerance: Tolerance) -> Iterator[Deviation]:
        largest = self.result.largest.setdefault(heard.engine, {})
        for name, was, now in _pairs("", parse_json(plain_json(heard.values)), found):
            if _number(was) and _number(now):
                apart, allowed = abs(now - was), tolerance.allowed(was, now)
                plain = name.partition("[")[0] or name
                largest[plain] = max(largest.get(plain, 0.0), apart)
                if not tolerance.allows(was, now):
                    yield Deviation(name, was, now, allowed)
            elif was != now or isinstance(was, bool) != isinstance(now, bool):
                yield Deviation(name, was, now)


def _pairs(name: str, was: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - JSON
    """Yield the leaves of two values beside one another; where they have other shapes, the parts themselves."""
    if isinstance(was, dict) and isinstance(found, dict) and was.keys() == found.keys():
        for key in was:
            yield from _pairs(f"{name}.{key}" if name else key, was[key], found[key])
    elif isinstance(was, list) and isinstance(found, list) and len(was) == len(found):
        for at, (one, other) in enumerate(zip(was, found, strict=True)):
            yield from _pairs(f"{name}[{at}]", one, other)
    else:
        yield name, was, found


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(effect: Effect) -> tuple[str, object]:
    """What an effect is, but for its numbers with a fraction: those follow the measurement within its tolerance."""
    return type(effect).__name__, _without_fractions(parse_json(plain_json(effect)))


def _without_fractions(value: Any) -> object:  # noqa: ANN401 - JSON
    if isinstance(value, float):
        return "a number"
    if isinstance(value, dict):
        return {key: _without_fractions(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_fractions(part) for part in value]
    return value


def _short(these: Sequence[object], others: Sequence[object]) -> str:
    """Those effects alone that the other side has not."""
    return plain_json([one for one in these if one not in others] or "nothing of it").decode()


def _without_names(detail: str, frames: Sequence[str]) -> str:
    """A reason that many frames share."""
    for frame in frames:
        detail = detail.replace(frame, "a frame")
    return detail


__all__ = ["Deviation", "Finding", "Recomputation", "Recomputed", "Tolerance"]

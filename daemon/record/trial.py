"""Rules tried on a recording: what they would have decided upon what was measured then. Nothing is executed."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from microscoped.daemon.core import Now, State, step
from microscoped.daemon.core.effects import Publish
from microscoped.daemon.core.inputs import FrameAdmitted, MeasureEnded
from microscoped.daemon.protocol.events import frame_topic, measure_topic
from microscoped.daemon.record.codec import decode_input, decode_state
from microscoped.daemon.record.errors import JournalError
from microscoped.daemon.record.lines import Entry, Header
from microscoped.daemon.record.reader import read_journal
from microscoped.daemon.rules import LightGiven, Measurement, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from microscoped.daemon.core import Effect
    from microscoped.daemon.rules import Decision, Program, RulesInput

FRAME = "frame"
"""Under this name rules read the headers of frames."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A decision that rules would have made.

    Parameters
    ----------
    at_s, utc
        When: since the first input of the recording, and by the clock (ISO 8601).
    decision
        Which.
    """

    at_s: float
    utc: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying rules on a recording.

    Parameters
    ----------
    inputs, measurements
        How many inputs it has, and how many measurements and headers of frames the rules heard.
    duration_s
        From its first input to its last.
    decisions
        What they would have decided.
    """

    inputs: int
    measurements: int
    duration_s: float
    decisions: tuple[Tried, ...]

    def count(self, rule: str, kind: str) -> int:
        """How often a rule would have decided so."""
        return sum(one.decision.rule == rule and one.decision.kind == kind for one in self.decisions)


def try_rules(path: Path, program: Program, *, until: int | None = None) -> Trial:
    """Let rules hear what was measured while a recording was made.

    Open loop: what they would have done did not happen, so what was measured after it is not what would have been.
    Actions count as done at once, with all the light that is set aside for them; of other light the frames that came
    are counted.

    Parameters
    ----------
    path
        The folder of a recording or of a session's journal, or one of its files.
    program
        The rules.
    until
        Number of the last input; ``None``: to the end.

    Raises
    ------
    JournalError
        It cannot be read, is damaged before its end, or is of another version.
    """
    hearing = _Hearing(path, until)
    decisions = evaluate(program, hearing)
    tried: list[Tried] = []
    for decision in decisions:
        at_s = (decision.at_ns - hearing.first_ns) / 1e9
        utc = (hearing.began + datetime.timedelta(seconds=at_s)).isoformat(timespec="milliseconds")
        tried.append(Tried(at_s, utc, decision))
    duration_s = (hearing.last_ns - hearing.first_ns) / 1e9
    return Trial(hearing.inputs, hearing.measurements, duration_s, tuple(tried))


class _Hearing:
    """What rules would have heard: the reducer says it once more, for the ids of its events."""

    def __init__(self, path: Path, until: int | None) -> None:
        self.inputs = self.measurements = self.first_ns = self.last_ns = 0
        self.began = datetime.datetime.fromtimestamp(0, datetime.UTC)
        self._path = path
        self._until = until
        self._exposed: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[RulesInput, int]]:
        state: State | None = None
        for line in read_journal(self._path):
            match line:
                case Header() if state is None:
                    state = self._decoded(line)
                    for engine in state.engines.values():
                        self._exposed.update(engine.offered)
                case Entry() if state is not None:
                    if self._until is not None and line.n > self._until:
                        return
                    if not self.inputs:
                        self.first_ns, self.began = line.mono_ns, datetime.datetime.fromisoformat(line.utc)
                    self.inputs += 1
                    self.last_ns = line.mono_ns
                    state, heard = self._heard(state, line)
                    for one in heard:
                        yield one, line.mono_ns
                case _:
                    pass

    def _decoded(self, header: Header) -> State:
        try:
            return decode_state(header.state)
        except ValueError as error:
            told = str(error).splitlines()[0]
            raise JournalError(self._path, None, f"its first state is of version {header.software}: {told}") from None

    def _heard(self, state: State, line: Entry) -> tuple[State, list[RulesInput]]:
        try:
            what = decode_input(line.input, line.data)
        except ValueError as error:
            told = str(error).splitlines()[0]
            raise JournalError(self._path, None, f"input {line.n} is of another version: {told}") from None
        state, effects = step(state, what, Now(line.n, line.mono_ns, line.utc))
        heard: list[RulesInput] = []
        if isinstance(what, FrameAdmitted):
            frame = what.frame
            self._exposed[frame.frame] = frame.exposure_start_ns
            heard.append(LightGiven(frame.exposure_ms * (1 + frame.lost_before)))
            message = _published(effects, frame_topic(frame.camera))
            heard += self._measurement(FRAME, frame.frame, line.mono_ns, message)
        elif isinstance(what, MeasureEnded) and what.request is None and what.values is not None:
            message = _published(effects, measure_topic(what.engine))
            heard += self._measurement(what.engine, what.frame, line.mono_ns, message)
            self._exposed = dict(list(self._exposed.items())[-1_000:])
        return state, heard

    def _measurement(
        self, engine: str, frame: str, now_ns: int, message: Mapping[str, JsonValue] | None
    ) -> Sequence[Measurement]:
        data = None if message is None else message["data"]
        at_ns = self._exposed.get(frame)
        if message is None or not isinstance(data, dict) or at_ns is None:
            return ()
        values = data if engine == FRAME else data["values"]
        if not isinstance(values, dict):
            return ()
        self.measurements += 1
        return (Measurement(engine, str(message["id"]), frame, at_ns, now_ns, values),)


def _published(effects: Sequence[Effect], topic: str) -> Mapping[str, JsonValue] | None:
    return next((one.message for one in effects if isinstance(one, Publish) and one.topic == topic), None)


__all__ = ["Trial", "Tried", "try_rules"]

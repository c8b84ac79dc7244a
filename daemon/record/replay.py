"""Feeding a journal back into the reducer, and comparing what it decides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from microscoped.daemon.core import Now, State, step
from microscoped.daemon.core.inputs import FrameSkipped, MeasureEnded
from microscoped.daemon.record.codec import decisions, decode_input, decode_state, digest, encode_state, parse_json
from microscoped.daemon.record.codec import plain_json as to_json
from microscoped.daemon.record.errors import FrameDamagedError
from microscoped.daemon.record.lines import Ending, Entry, Header, TornTail
from microscoped.daemon.record.reader import read_journal

if TYPE_CHECKING:
    from pathlib import Path

    from microscoped.daemon.core import Effect, Input
    from microscoped.daemon.record.recompute import Recomputation, Recomputed

SHOWN = 2_000
"""Characters of a difference that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a replay does not do what was recorded.

    Parameters
    ----------
    number, input
        Number and type of the input.
    what
        What differs: ``decisions``, ``effects``, ``state``, or ``input`` where it cannot be read or handled here; where
        frames are measured again ``measurement``, ``decision flipped``, or ``pixels`` that are damaged.
    was, found
        What was recorded, and what the replay gave.
    """

    number: int
    input: str
    what: str
    was: str
    found: str

    def __str__(self) -> str:
        return (
            f"input {self.number} ({self.input}): {self.what} differ\n  recorded: {self.was}\n  replayed: {self.found}"
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Parameters
    ----------
    inputs, decisions
        How many were fed, and how many decisions were compared in full.
    software
        Version that wrote the journal.
    difference
        The first one; ``None``: all was the same.
    torn
        The torn end of the journal, if it has one.
    last
        Number of the last input that was fed; 0: none.
    recomputed
        What came of measuring again, where that was asked for.
    """

    inputs: int
    decisions: int
    software: str
    difference: Difference | None
    torn: TornTail | None
    last: int = 0
    recomputed: Recomputed | None = None


def replay_journal(path: Path, *, until: int | None = None, recompute: Recomputation | None = None) -> Replay:
    """Feed the inputs of a journal to the reducer by their numbers, and compare effects and decisions.

    Of all effects the digests are compared, of decisions every field. At the beginning of each further file the state
    itself is compared. Nothing is executed: no hardware, no sockets, no clock.

    Parameters
    ----------
    path
        The folder of a session or of a recording, or one of its files: every file can be replayed by itself.
    until
        Number of the last input to feed; ``None``: to the end.
    recompute
        Measures recorded frames again; its differences do not end the replay, the first one is told.

    Raises
    ------
    JournalError
        The journal cannot be read, or is damaged before its end.
    """
    state: State | None = None
    inputs = decided = last = 0
    software = ""
    difference: Difference | None = None
    measured: Difference | None = None
    torn: TornTail | None = None
    for line in read_journal(path):
        match line:
            case Header():
                software = line.software
                state, difference = _begin(line, state)
            case Entry() if state is not None:
                if until is not None and line.n > until:
                    break
                before = state
                state, difference, done = _replay(line, state)
                if recompute is not None and difference is None and done is not None:
                    again = _again(line, before, done, recompute)
                    measured = measured or again
                inputs += 1
                decided += len(line.decisions)
                last = line.n
            case TornTail():
                torn = line
            case Ending():
                continue
        if difference is not None:
            break
    result = None if recompute is None else recompute.result
    return Replay(inputs, decided, software, difference or measured, torn, last, result)


def _begin(header: Header, state: State | None) -> tuple[State | None, Difference | None]:
    try:
        recorded = decode_state(header.state)
    except ValueError as error:
        return None, Difference(header.first, "header", "state", _short(to_json(header.state)), str(error))
    if state is None:
        return recorded, None
    replayed = decode_state(parse_json(b"".join(encode_state(state))))
    if replayed == recorded:
        return state, None
    names = [one.name for one in fields(recorded) if getattr(recorded, one.name) != getattr(replayed, one.name)]
    was, found = ({name: getattr(one, name) for name in names} for one in (recorded, replayed))
    return state, Difference(header.first, "header", "state", _short(to_json(was)), _short(to_json(found)))


def _replay(entry: Entry, state: State) -> tuple[State, Difference | None, tuple[Input, tuple[Effect, ...]] | None]:
    """Feed one input; return the state after it, what differs, and the input with what was done about it."""
    try:
        heard = decode_input(entry.input, entry.data)
        state, effects = step(state, heard, _now(entry))
    except Exception as error:  # noqa: BLE001 - whatever another version's input does to the reducer is the difference
        recorded = _short(to_json(entry.data))
        return state, Difference(entry.n, entry.input, "input", recorded, f"{type(error).__name__}: {error}"), None
    difference: Difference | None = None
    replayed = parse_json(to_json(decisions(effects)))
    if replayed != entry.decisions:
        was, new = _short(to_json(entry.decisions)), _short(to_json(replayed))
        difference = Difference(entry.n, entry.input, "decisions", was, new)
    elif (found := digest(effects)) != entry.effects:
        names = [type(effect).__name__ for effect in effects]
        told = f"digest {found} of {_short(to_json(list(zip(names, effects, strict=True))))}"
        difference = Difference(entry.n, entry.input, "effects", f"digest {entry.effects}", told)
    return state, difference, (heard, effects)


def _again(
    entry: Entry, before: State, done: tuple[Input, tuple[Effect, ...]], recompute: Recomputation
) -> Difference | None:
    """Measure again what this input tells of."""
    heard, effects = done
    finding = None
    try:
        match heard:
            case MeasureEnded():
                finding = recompute.measured(before, heard, _now(entry), effects)
            case FrameSkipped():
                recompute.skipped(heard)
    except FrameDamagedError as error:
        return Difference(entry.n, entry.input, "pixels", "as their checksum says", str(error))
    recompute.asked(effects)
    if finding is None:
        return None
    return Difference(entry.n, entry.input, finding.what, finding.was[:SHOWN], finding.found[:SHOWN])


def _now(entry: Entry) -> Now:
    return Now(entry.n, entry.mono_ns, entry.utc)


def _short(text: bytes) -> str:
    told = text.decode("utf-8", "replace")
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


__all__ = ["Difference", "Replay", "replay_journal"]

"""Feeding a journal back into the reducer, and comparing what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from microscoped.daemon.core import Now, State, step
from microscoped.daemon.record.codec import decisions, decode_input, decode_state, digest, encode_state, parse_json
from microscoped.daemon.record.codec import plain_json as to_json
from microscoped.daemon.record.lines import Ending, Entry, Header, TornTail
from microscoped.daemon.record.reader import read_journal

if TYPE_CHECKING:
    from pathlib import Path

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
        What differs: ``decisions``, ``effects``, ``state``, or ``input`` where it cannot be read or handled here.
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
    """

    inputs: int
    decisions: int
    software: str
    difference: Difference | None
    torn: TornTail | None


def replay_journal(path: Path) -> Replay:
    """Feed the inputs of a journal to the reducer by their numbers, and compare effects and decisions.

    Of all effects the digests are compared, of decisions every field. At the beginning of each further file the state
    itself is compared. Nothing is executed: no hardware, no sockets, no clock.

    Parameters
    ----------
    path
        A session's folder, or one of its files: every file can be replayed by itself.

    Raises
    ------
    JournalError
        The journal cannot be read, or is damaged before its end.
    """
    state: State | None = None
    inputs = decided = 0
    software = ""
    difference: Difference | None = None
    torn: TornTail | None = None
    for line in read_journal(path):
        match line:
            case Header():
                software = line.software
                state, difference = _begin(line, state)
            case Entry() if state is not None:
                state, difference = _replay(line, state)
                inputs += 1
                decided += len(line.decisions)
            case TornTail():
                torn = line
            case Ending():
                continue
        if difference is not None:
            break
    return Replay(inputs, decided, software, difference, torn)


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
    names = [name for name in recorded.__slots__ if getattr(recorded, name) != getattr(replayed, name)]
    was, found = ({name: getattr(one, name) for name in names} for one in (recorded, replayed))
    return state, Difference(header.first, "header", "state", _short(to_json(was)), _short(to_json(found)))


def _replay(entry: Entry, state: State) -> tuple[State, Difference | None]:
    try:
        heard = decode_input(entry.input, entry.data)
        state, effects = step(state, heard, Now(entry.n, entry.mono_ns, entry.utc))
    except Exception as error:  # noqa: BLE001 - whatever another version's input does to the reducer is the difference
        recorded = _short(to_json(entry.data))
        return state, Difference(entry.n, entry.input, "input", recorded, f"{type(error).__name__}: {error}")
    replayed = parse_json(to_json(decisions(effects)))
    if replayed != entry.decisions:
        was, found = _short(to_json(entry.decisions)), _short(to_json(replayed))
        return state, Difference(entry.n, entry.input, "decisions", was, found)
    if (found := digest(effects)) != entry.effects:
        names = [type(effect).__name__ for effect in effects]
        told = f"digest {found} of {_short(to_json(list(zip(names, effects, strict=True))))}"
        return state, Difference(entry.n, entry.input, "effects", f"digest {entry.effects}", told)
    return state, None


def _short(text: bytes) -> str:
    told = text.decode("utf-8", "replace")
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


__all__ = ["Difference", "Replay", "replay_journal"]

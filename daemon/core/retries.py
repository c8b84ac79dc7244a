"""Retrying is safe: a request that was seen already is answered again, not done again.

Kept for ten minutes by user and request id, for all ops but those that only read. Answers after which a client may try
the same id again (``busy``, ``not_ready``, ``timeout``) are not kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import SendReply
from microscoped.daemon.core.state import Seen
from microscoped.daemon.protocol import ErrorCode, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import Peer
    from microscoped.daemon.core.turn import Turn
    from microscoped.daemon.protocol import Request

KEPT_NS = 600_000_000_000
MOST_KEPT = 1_024
NOT_KEPT = (ErrorCode.BUSY, ErrorCode.NOT_READY, ErrorCode.TIMEOUT)


def is_retry(turn: Turn, peer: Peer, request: Request) -> bool:
    """Whether a request was seen before; if so, it is answered here, now or together with the first.

    Raises
    ------
    RefusedError
        The id was used for another request.
    """
    key, body = _key(peer, str(request.id)), _digest(request)
    seen = turn.state.seen.get(key)
    if seen is None or turn.now.mono_ns - seen.at_ns > KEPT_NS:
        fresh = {name: old for name, old in turn.state.seen.items() if turn.now.mono_ns - old.at_ns <= KEPT_NS}
        for name in list(fresh)[: max(0, len(fresh) + 1 - MOST_KEPT)]:
            del fresh[name]
        turn.set(seen={**fresh, key: Seen(turn.now.mono_ns, body)})
        return False
    if seen.body != body:
        raise RefusedError(ErrorCode.INVALID, f"the id {request.id} was used for another request; make a fresh one")
    if seen.answer is not None:
        turn.do(SendReply(peer, seen.answer))
    else:
        _change(turn, key, replace(seen, also=(*seen.also, peer)))
    return True


def remember_answer(turn: Turn, peer: Peer, cause: str, message: Mapping[str, JsonValue]) -> tuple[Peer, ...]:
    """Keep the answer to a request, and return where else it has to go."""
    key = _key(peer, cause)
    seen = turn.state.seen.get(key)
    if seen is None or seen.answer is not None:
        return ()
    error = message.get("error")
    if isinstance(error, dict) and error["code"] in NOT_KEPT:
        turn.set(seen={name: other for name, other in turn.state.seen.items() if name != key})
    else:
        _change(turn, key, replace(seen, answer=message, also=()))
    return seen.also


def _key(peer: Peer, cause: str) -> str:
    return f"{peer.user}/{cause}"


def _digest(request: Request) -> str:
    text = request.model_dump_json(include={"op", "params", "dry_run", "lease"})
    return hashlib.sha256(text.encode()).hexdigest()


def _change(turn: Turn, key: str, seen: Seen) -> None:
    turn.set(seen={**turn.state.seen, key: seen})


__all__ = ["is_retry", "remember_answer"]

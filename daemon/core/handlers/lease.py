"""The lease: the stage kept for one client, by a token that expires."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import ClearTimer, SetTimer
from microscoped.daemon.core.state import Lease
from microscoped.daemon.protocol import AlarmCode, ErrorCode, RefusedError
from microscoped.daemon.protocol.ops import Empty, LeaseParams, LeaseResult, ReleaseParams

if TYPE_CHECKING:
    from microscoped.daemon.core.turn import Ask, Turn

LEASE_TIMER = "lease"


def take(turn: Turn, ask: Ask) -> None:
    """Take the lease, or renew it."""
    params: LeaseParams = ask.params
    held = turn.state.lease
    if params.token is not None and not (held and same(held.token, params.token)):
        raise RefusedError(ErrorCode.GONE, "that lease has expired or was given back; ask for a new one without token")
    if held is not None and params.token is None:
        raise _taken(turn, held)
    token = held.token if held else _new_token(turn)
    expires_ns = turn.now.mono_ns + int(params.ttl_s * 1e9)
    turn.set(lease=Lease(token, params.name, expires_ns, ask.to.peer.user))
    turn.do(SetTimer(LEASE_TIMER, expires_ns))
    turn.reply(ask.to, LeaseResult(token=token, ttl_s=params.ttl_s))
    if held is None or held.holder != params.name:
        turn.publish_state()


def release(turn: Turn, ask: Ask) -> None:
    """Give the lease back."""
    params: ReleaseParams = ask.params
    held = turn.state.lease
    if held is None or not same(held.token, params.token):
        raise RefusedError(ErrorCode.GONE, "that lease has expired or was given back already")
    turn.set(lease=None)
    turn.do(ClearTimer(LEASE_TIMER))
    turn.reply(ask.to, Empty())
    turn.publish_state()


def expire(turn: Turn) -> None:
    """The holder has not renewed: free the stage and raise an alarm. A move under way ends as it was asked for."""
    held = turn.state.lease
    if held is None or turn.now.mono_ns < held.expires_ns:
        return
    turn.set(lease=None)
    turn.alarm(
        AlarmCode.LEASE_EXPIRED,
        f"{held.holder} has not renewed its lease of the stage in time",
        {"holder": held.holder},
    )
    turn.publish_state()


def take_away(turn: Turn, user: str) -> bool:
    """Free the stage if a user's key took the lease; return whether it did."""
    held = turn.state.lease
    if held is None or held.user != user:
        return False
    turn.set(lease=None)
    turn.do(ClearTimer(LEASE_TIMER))
    turn.publish_state()
    return True


def check(turn: Turn, token: str | None) -> bool:
    """Whether a request that moves comes with the lease; where nobody holds one, none is needed.

    Raises
    ------
    RefusedError
        Somebody else holds the lease, or the token is not valid any more.
    """
    held = turn.state.lease
    if held is None:
        if token is not None:
            raise RefusedError(ErrorCode.GONE, "that lease has expired or was given back; ask for a new one")
        return False
    if token is None or not same(held.token, token):
        raise _taken(turn, held)
    return True


def same(one: str, other: str) -> bool:
    """Whether two tokens are equal, without telling by the time it takes where they differ."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))


def _taken(turn: Turn, held: Lease) -> RefusedError:
    left_s = max(0.0, (held.expires_ns - turn.now.mono_ns) / 1e9)
    return RefusedError(
        ErrorCode.BUSY,
        f"{held.holder} holds the lease of the stage for another {left_s:.1f} s",
        {"holder": held.holder, "expires_in_s": left_s},
    )


def _new_token(turn: Turn) -> str:
    """A token that nobody can guess: from the session's secret, so that a replay makes the same."""
    return hmac.new(turn.state.secret.encode(), turn.new_id().encode(), hashlib.sha256).hexdigest()

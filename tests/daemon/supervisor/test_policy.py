"""When a daemon is killed, restarted or left down: decisions at given times, without processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from microscoped.daemon.supervisor import BEAT, CLOSING, OPEN, End, Limits, Policy, Restart, limits_line
from microscoped.daemon.supervisor.policy import CLOSE_S, START_S, describe_exit, exit_status

UTC = "2026-01-01T00:00:00+00:00"
HEAVY = ("numpy", "zmq", "pydantic", "yaml", "pymmcore", "pymmcore_plus")


def ns(seconds: float) -> int:
    return round(seconds * 1e9)


def running(limits: Limits | None = None, *, at_s: float = 0, lines: tuple[str, ...] = (OPEN, BEAT)) -> Policy:
    policy = Policy(limits)
    policy.began(ns(at_s))
    for line in lines:
        policy.heard(line, ns(at_s))
    return policy


def look(policy: Policy, from_s: float, to_s: float) -> float | None:
    """Look twice a second, as the parent does; return when it was told to kill."""
    for half in range(round(2 * from_s), round(2 * to_s) + 1):
        if policy.overdue(ns(half / 2)):
            return half / 2
    return None


@pytest.mark.parametrize(
    ("lines", "killed_s", "why"),
    [
        ((), START_S + 0.5, "not begun"),
        ((OPEN, BEAT), 10.5, "silent for 10 s"),
        ((BEAT,), 10.5, "silent for 10 s"),
        ((OPEN,), 10.5, "silent for 10 s"),
        ((limits_line(Limits(silence_s=2)), BEAT), 2.5, "silent for 2 s"),
        ((OPEN, BEAT, CLOSING), CLOSE_S + 0.5, "after it was told to"),
        ((OPEN, BEAT, CLOSING, BEAT), CLOSE_S + 0.5, "after it was told to"),
        ((limits_line(Limits(enabled=False)), OPEN, BEAT), None, ""),
        ((limits_line(Limits(enabled=False)), OPEN, BEAT, CLOSING), CLOSE_S + 0.5, "after it was told to"),
    ],
)
def test_a_child_is_killed_when_it_is_late(lines: tuple[str, ...], killed_s: float | None, why: str) -> None:
    policy = running(lines=lines)
    assert look(policy, 0, START_S + 10) == killed_s
    if killed_s is not None:
        assert why in str(policy.overdue(ns(killed_s)))


def test_each_beat_buys_time() -> None:
    policy = running()
    for second in range(100):
        policy.heard(BEAT, ns(second))
        assert look(policy, second, second + 1) is None
    assert look(policy, 100, 200) == 109.5


def test_time_in_which_the_parent_itself_was_suspended_is_no_silence() -> None:
    policy = running()
    assert look(policy, 0, 5) is None
    assert policy.overdue(ns(3_605)) is None
    assert look(policy, 3_605, 3_700) == 3_610.5


@pytest.mark.parametrize("line", ["", "nonsense", "limits", "limits {", "limits [1]", 'limits {"colour": 1}', "é" * 9])
def test_what_a_child_should_not_say_changes_nothing(line: str) -> None:
    policy = running()
    policy.heard(line, ns(1))
    assert policy.limits == Limits()
    assert look(policy, 0, 60) == 10.5


@pytest.mark.parametrize(
    ("lines", "code", "ends_with"),
    [
        # it ends in order, whoever asked
        ((OPEN, BEAT, CLOSING), 0, 0),
        ((OPEN, BEAT), 0, 0),
        # it cannot begin, and has said why
        ((), 2, 2),
        ((), 1, 1),
        ((BEAT,), 1, 1),
        ((), 130, 130),
        ((OPEN, BEAT), 2, 2),
        # it fails while it ends: no second life
        ((OPEN, BEAT, CLOSING), 1, 1),
        ((OPEN, BEAT, CLOSING), -11, 139),
        ((OPEN, BEAT, CLOSING), 0xC0000005, 1),
        # nobody is to look after it
        ((limits_line(Limits(enabled=False)), OPEN, BEAT), -9, 137),
        ((limits_line(Limits(enabled=False)), OPEN, BEAT), 1, 1),
        # it crashes
        ((OPEN, BEAT), 1, None),
        ((OPEN, BEAT), -9, None),
        ((OPEN, BEAT), 0xC0000005, None),
        ((BEAT,), -11, None),
        ((), -8, None),
        ((), 0xC0000094, None),
    ],
)
def test_what_follows_an_end(lines: tuple[str, ...], code: int, ends_with: int | None) -> None:
    decision = running(lines=lines).ended(code, ns(1), UTC)
    if ends_with is None:
        assert isinstance(decision, Restart)
    else:
        assert isinstance(decision, End)
        assert decision.code == ends_with


def test_the_child_was_asked_by_its_parent_so_no_exit_is_a_crash() -> None:
    policy = running()
    policy.asked_to_end(ns(1))
    assert policy.ended(-9, ns(2), UTC, "it had not ended") == End(
        137, "the daemon was killed because it had not ended"
    )


@pytest.mark.parametrize(
    ("crashes_s", "limits", "stays_down"),
    [
        ((0, 1, 2), Limits(), False),
        ((0, 1, 2, 3), Limits(), True),
        ((0, 1, 2, 600), Limits(), True),
        ((0, 1, 2, 600.1), Limits(), False),
        ((0, 300, 600, 900, 1200, 1500), Limits(), False),
        ((0,), Limits(crashes=0), True),
        ((0, 1), Limits(crashes=1, window_s=0.5), False),
    ],
)
def test_too_many_crashes_within_the_window(crashes_s: tuple[float, ...], limits: Limits, stays_down: bool) -> None:
    policy = Policy(limits)
    decisions = []
    for at_s in crashes_s:
        policy.began(ns(at_s))
        policy.heard(OPEN, ns(at_s))
        policy.heard(BEAT, ns(at_s))
        decisions.append(policy.ended(-11, ns(at_s), UTC))
    assert [type(decision) for decision in decisions[:-1]] == [Restart] * (len(crashes_s) - 1)
    assert isinstance(decisions[-1], End) is stays_down
    if isinstance(decisions[-1], End):
        assert decisions[-1].code == 3
        assert "stays down" in decisions[-1].message


def test_a_microscope_that_was_open_once_is_worth_another_try() -> None:
    policy = running()
    assert isinstance(policy.ended(-9, ns(1), UTC), Restart)
    policy.began(ns(2))
    assert isinstance(policy.ended(1, ns(3), UTC), Restart)


@pytest.mark.parametrize(
    ("killed", "words"),
    [
        (None, [UTC, "crashed", "SIGSEGV", "crash 1 of 3 allowed within 10 min"]),
        ("its loop was silent for 10 s", [UTC, "hung", "silent for 10 s"]),
    ],
)
def test_the_reason_says_what_when_and_how_often(killed: str | None, words: list[str]) -> None:
    decision = running().ended(-11, ns(1), UTC, killed)
    assert isinstance(decision, Restart)
    assert [word for word in words if word not in decision.reason] == []


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        (1, "exit code 1", 1),
        (-9, "SIGKILL", 137),
        (-99, "signal 99", 227),
        (0xC0000005, "access violation (0xC0000005)", 1),
        (70_000, "exit code 70000", 1),
    ],
)
def test_exit_codes_in_words_and_as_our_own(code: int, words: str, status: int) -> None:
    assert words in describe_exit(code)
    assert exit_status(code) == status


def test_the_parent_loads_no_driver_no_socket_and_no_numbers() -> None:
    code = (
        "import sys, microscoped.daemon.cli._app, microscoped.daemon.supervisor as s, logging\n"
        "from microscoped.daemon.cli._run import _supervise\n"
        "s.Supervisor.run = lambda self: 0\n"
        "assert _supervise(None, verbose=False) == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout.splitlines()[-1] == "[]"

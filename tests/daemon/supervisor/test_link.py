"""The pipes between daemon and supervisor, from the daemon's side: real pipes, no processes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.supervisor import BEAT, ParentLink

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 20


class Ends:
    """The parent's ends of the pipes, and what the daemon was told."""

    def __init__(self, orphan_s: float) -> None:
        child_read, self.write = os.pipe()
        read, self._child_write = os.pipe()
        self.lines = os.fdopen(read, encoding="ascii")
        self.told: SimpleQueue[str] = SimpleQueue()
        self.left: SimpleQueue[int] = SimpleQueue()
        self.link = ParentLink(child_read, self._child_write, leave=self.left.put, orphan_s=orphan_s)

    def close(self) -> None:
        if self.write >= 0:
            os.close(self.write)
            self.write = -1


@contextmanager
def ends(orphan_s: float = 0.01) -> Iterator[Ends]:
    both = Ends(orphan_s)
    try:
        yield both
    finally:
        both.close()
        both.lines.close()


def test_a_daemon_that_is_told_to_stop_shuts_down_with_the_reason() -> None:
    with ends() as both:
        both.link.attach(both.told.put)
        os.write(both.write, b"nonsense\nstop SIGINT was received\n")
        assert both.told.get(timeout=LIMIT_S) == "SIGINT was received"
        assert both.left.empty()


def test_a_daemon_whose_parent_dies_shuts_down_and_if_it_cannot_ends() -> None:
    with ends() as both:
        both.link.attach(both.told.put)
        both.close()
        assert both.told.get(timeout=LIMIT_S) == "the supervisor is gone"
        assert both.left.get(timeout=LIMIT_S) == 1


@pytest.mark.parametrize("line", [b"stop now\n", b""])
def test_a_daemon_that_has_not_begun_just_ends(line: bytes) -> None:
    with ends() as both:
        os.write(both.write, line)
        if not line:
            both.close()
        assert both.left.get(timeout=LIMIT_S) == 130


def test_what_is_told_arrives_in_order() -> None:
    with ends() as both:
        words = ["limits {}", "open", "closing"]
        for word in words:
            both.link.tell(word)
        assert [both.lines.readline().rstrip() for _ in words] == words


def test_a_parent_that_does_not_read_holds_up_nothing_and_beats_do_not_pile_up() -> None:
    with ends() as both:
        for _ in range(300_000):
            both.link.tell(BEAT)
        assert both.link._lines.qsize() <= 1
        both.link.tell("closing")
        assert any(line == "closing\n" for line in both.lines)


@pytest.mark.parametrize("text", ["", "3", "a:b", "900:901"])
def test_pipes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises((ValueError, OSError)):
        ParentLink.from_text(text)

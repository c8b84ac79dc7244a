"""What the daemon warns of in its log is an event, too: bounded, counted, never begetting itself."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.protocol.events import LogData
from microscoped.daemon.record import Entry, read_journal, replay_journal
from microscoped.daemon.runtime.log_feed import MESSAGE_CHARS, MOST_PER_SECOND, MOST_WAITING, NOT_AGAIN, LogFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from microscoped.daemon.core.inputs import LogWritten
    from tests.conftest import Rig

SECOND_NS = 1_000_000_000
log = logging.getLogger("microscoped")


class Heard:
    """A feed, what it has posted, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.posted: list[LogWritten] = []
        self.prompt = True
        self.feed = LogFeed(self._post, lambda: self.now_ns)

    def _post(self, heard: LogWritten) -> None:
        self.posted.append(heard)
        if self.prompt:
            self.feed.taken()


@pytest.fixture
def heard() -> Iterator[Heard]:
    found = Heard()
    with found.feed:
        yield found


def fail() -> None:
    raise RuntimeError("the laser is on fire")


@contextmanager
def alone(feed: LogFeed) -> Iterator[None]:
    """Nobody else hears: other handlers complain of entries that have no text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "handlers", [feed])
        patch.setattr(log, "propagate", False)
        yield


class Talker:
    """An argument whose own text writes to the log."""

    def __str__(self) -> str:
        log.warning("I am being shown: %s", self)
        return "a talker"


class Broken:
    """An argument without a text."""

    def __str__(self) -> str:
        raise KeyError("no text")


ENTRIES: dict[str, tuple[Callable[[], Any], list[tuple[str, str]]]] = {
    "a warning": (lambda: log.warning("%d apples", 3), [("warning", "3 apples")]),
    "an error": (lambda: log.error("bad"), [("error", "bad")]),
    "the end": (lambda: log.critical("worst"), [("critical", "worst")]),
    "a level between": (lambda: log.log(35, "odd"), [("warning", "odd")]),
    "what is no warning": (lambda: log.info("fine"), []),
    "an alarm, which is an event already": (lambda: log.warning("alarm", extra=NOT_AGAIN), []),
    "arguments that do not fit": (lambda: log.warning("%d apples", "many"), []),
    "an argument without a text": (lambda: log.warning("%s", Broken()), []),
    "no Unicode": (lambda: log.warning("file \udc80"), [("warning", "file ?")]),
    "the longest": (lambda: log.warning("x" * MESSAGE_CHARS), [("warning", "x" * MESSAGE_CHARS)]),
    "too long": (lambda: log.warning("x" * 5_000), [("warning", "x" * (MESSAGE_CHARS - 1) + "…")]),
    "another program's": (lambda: logging.getLogger("other").error("not ours"), []),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_heard_of_an_entry(heard: Heard, name: str) -> None:
    write, expected = ENTRIES[name]
    with alone(heard.feed):
        write()
    assert [(entry.level, entry.message) for entry in heard.posted] == expected


def test_of_a_traceback_the_error_is_told_and_of_a_part_its_name(heard: Heard) -> None:
    try:
        fail()
    except RuntimeError:
        logging.getLogger("microscoped.part").exception("engine")
    (entry,) = heard.posted
    assert (entry.level, entry.logger) == ("error", "microscoped.part")
    assert entry.message == "engine: RuntimeError: the laser is on fire"


def test_an_entry_that_writes_entries_does_not_beget_itself(heard: Heard) -> None:
    with alone(heard.feed):
        log.warning("here is %s", Talker())
        log.warning("after")
    assert [(entry.message, entry.dropped) for entry in heard.posted] == [("here is a talker", 1), ("after", 0)]


def test_of_a_storm_so_many_a_second_are_heard_and_the_rest_is_counted(heard: Heard) -> None:
    for number in range(5 * MOST_PER_SECOND):
        heard.now_ns = number * SECOND_NS // (2 * MOST_PER_SECOND)  # twice as fast as may be, for 2.5 s
        log.warning("entry %d", number)
    times = [int(entry.message.split()[1]) * SECOND_NS // (2 * MOST_PER_SECOND) for entry in heard.posted]
    for first, last in zip(times, times[MOST_PER_SECOND:], strict=False):
        assert last - first >= SECOND_NS
    assert len(times) == 3 * MOST_PER_SECOND
    assert sum(entry.dropped for entry in heard.posted) == 2 * MOST_PER_SECOND
    assert [entry.dropped for entry in heard.posted if entry.dropped] == [MOST_PER_SECOND] * 2


def test_a_loop_that_takes_nothing_bounds_what_waits(heard: Heard) -> None:
    heard.prompt = False
    for number in range(MOST_WAITING + 10):
        heard.now_ns = number * SECOND_NS
        log.warning("entry %d", number)
    assert len(heard.posted) == MOST_WAITING
    heard.feed.taken()
    log.warning("after")
    assert (heard.posted[-1].message, heard.posted[-1].dropped) == ("after", 10)


def test_many_threads_lose_no_count(heard: Heard) -> None:
    def write() -> None:
        for _ in range(500):
            log.warning("entry")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard.now_ns = 2 * SECOND_NS
    log.warning("last")
    assert len(heard.posted) + sum(entry.dropped for entry in heard.posted) == 4 * 500 + 1


def test_an_entry_whose_text_takes_long_holds_up_nobody(heard: Heard) -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        def __str__(self) -> str:
            inside.set()
            assert go_on.wait(20)
            return "slow"

    def write() -> None:
        heard.feed.handle(logging.LogRecord("microscoped", logging.WARNING, "", 0, "%s", (Slow(),), None))

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(20)
    heard.feed.handle(logging.LogRecord("microscoped", logging.WARNING, "", 0, "quick", None, None))
    assert [entry.message for entry in heard.posted] == ["quick"]
    go_on.set()
    thread.join()
    assert [entry.message for entry in heard.posted] == ["quick", "slow"]


def test_afterwards_nothing_is_heard() -> None:
    found = Heard()
    with found.feed:
        pass
    log.warning("after the end")
    assert found.posted == []
    assert found.feed not in log.handlers


def test_a_warning_is_published_recorded_and_replayed(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    rig = start_rig({"journal": {"enabled": True, "folder": tmp_path}})
    with rig.scope.events("v1.log.", "v1.alarm.", timeout_s=10) as events:
        for _ in range(MOST_PER_SECOND + 3):
            log.warning("the lamp flickers")
        found = [next(events) for _ in range(MOST_PER_SECOND)]
        assert {event.topic for event in found} == {"v1.log."}
        assert [event.seq for event in found] == list(range(found[0].seq, found[0].seq + len(found)))
        assert LogData.model_validate(found[0].data).message == "the lamp flickers"
        topics = {topic["topic"]: topic for topic in rig.scope.request("snapshot", topics=["v1.log."])["topics"]}
        assert topics["v1.log."]["seq"] == found[-1].seq
    rig.end()
    (session,) = tmp_path.iterdir()
    written = [line for line in read_journal(session) if isinstance(line, Entry) and line.input == "LogWritten"]
    assert len(written) == MOST_PER_SECOND
    assert replay_journal(session).difference is None


def test_an_alarm_is_in_the_log_and_not_published_twice(
    start_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = start_rig({"stage": {"position_interval_s": 0.1}})
    with rig.scope.events("v1.", timeout_s=10) as events:
        rig.microscope.stage.move_to(6.0)
        topics = []
        for event in events:
            topics.append(event.topic)
            if topics.count("v1.heartbeat.") >= 2 and "v1.alarm." in topics:
                break
    assert "alarm stage.moved" in caplog.text
    assert "v1.log." not in topics

"""The log file: rotating, in UTC, and no trouble of the disk reaches whoever logs."""

from __future__ import annotations

import datetime
import logging
import re
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.cli import _logging
from microscoped.daemon.cli._logging import FileLog, log_folder, log_to_file, take_over_log
from microscoped.daemon.config import Config, load_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon.cli.conftest import Running

LINE = re.compile(r"(\S+) (DEBUG|INFO|WARNING|ERROR) (\S+): (.*)")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that tells nobody else."""
    logger = logging.Logger("microscoped.test", logging.DEBUG)
    yield logger
    for handler in logger.handlers:
        handler.close()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger; what a test adds to it is taken away again."""
    root = logging.getLogger()
    handlers, level, levels = list(root.handlers), root.level, [handler.level for handler in root.handlers]
    yield root
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    for handler, before in zip(handlers, levels, strict=True):
        handler.setLevel(before)


def texts(path: Path) -> list[str]:
    return [line[4] for line in map(LINE.fullmatch, path.read_text(encoding="utf-8").splitlines()) if line]


def test_a_line_says_when_in_utc_how_bad_and_who(logger: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    handler = FileLog(path, 10_000, 1)
    logger.addHandler(handler)
    before = datetime.datetime.now(datetime.UTC)
    logger.warning("z %s µm, 100 %%", 3.5)
    handler.close()
    found = LINE.fullmatch(path.read_text(encoding="utf-8").rstrip("\n"))
    assert found is not None
    when = datetime.datetime.fromisoformat(found[1])
    assert when.utcoffset() == datetime.timedelta()
    assert abs((when - before).total_seconds()) < 5
    assert found.groups()[1:] == ("WARNING", "microscoped.test", "z 3.5 µm, 100 %")


def test_a_traceback_is_kept(logger: logging.Logger, tmp_path: Path) -> None:
    handler = FileLog(tmp_path / "a.log", 10_000, 1)
    logger.addHandler(handler)
    try:
        raise RuntimeError("the laser is on fire")
    except RuntimeError:
        logger.exception("engine")
    handler.close()
    assert "RuntimeError: the laser is on fire" in (tmp_path / "a.log").read_text(encoding="utf-8")


def test_files_are_begun_anew_at_their_size_and_only_so_many_are_kept(logger: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    handler = FileLog(path, 2_000, 3)
    logger.addHandler(handler)
    for number in range(400):
        logger.info("line %d", number)
    handler.close()
    files = [path, *(tmp_path / f"a.log.{number}" for number in (1, 2, 3))]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 2_000 for file in files)
    kept = [text for file in reversed(files) for text in texts(file)]
    assert kept == [f"line {number}" for number in range(400 - len(kept), 400)]


def test_lines_that_a_full_disk_refuses_are_counted_and_told_when_it_takes_lines_again(
    logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    full, tried = threading.Event(), threading.Semaphore(0)
    write = RotatingFileHandler.shouldRollover

    def refusing(self: RotatingFileHandler, record: logging.LogRecord) -> bool:
        tried.release()
        if full.is_set():
            raise OSError(28, "No space left on device")
        return bool(write(self, record))

    monkeypatch.setattr(RotatingFileHandler, "shouldRollover", refusing)
    path = tmp_path / "a.log"
    handler = FileLog(path, 100_000, 1)
    logger.addHandler(handler)
    logger.info("before")
    assert tried.acquire(timeout=10)
    full.set()
    for number in range(3):
        logger.info("lost %d", number)
        assert tried.acquire(timeout=10)
    full.clear()
    logger.info("after")
    handler.close()
    note = "3 lines before this one were lost: the disk was full or slow"
    assert texts(path) == ["before", note, "after"]
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's own")
def test_a_disk_without_room_is_no_trouble(logger: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    handler = FileLog(Path("/dev/full"), 10**9, 1)
    logger.addHandler(handler)
    for number in range(100):
        logger.info("line %d", number)
    handler.close()
    assert capfd.readouterr().err == ""


def test_a_disk_that_hangs_holds_up_nobody(
    logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, inside = threading.Event(), threading.Event()

    def hanging(_self: RotatingFileHandler, _record: logging.LogRecord) -> bool:
        inside.set()
        hangs.wait(30)
        return False

    monkeypatch.setattr(RotatingFileHandler, "shouldRollover", hanging)
    monkeypatch.setattr(_logging, "MOST_WAITING", 10)
    path = tmp_path / "a.log"
    handler = FileLog(path, 100_000, 1)
    logger.addHandler(handler)
    logger.info("first")
    assert inside.wait(10)
    for number in range(1_000):  # each of these would wait for ever, if any did
        logger.info("line %d", number)
    hangs.set()
    handler.close()
    assert texts(path)[-1] == "line 9"
    assert "990 lines before this one were lost: the disk was full or slow" in texts(path)


def test_a_line_whose_arguments_do_not_fit_raises_nothing(logger: logging.Logger, tmp_path: Path) -> None:
    handler = FileLog(tmp_path / "a.log", 10_000, 1)
    logger.addHandler(handler)
    logger.info("%d apples", "many")
    logger.info("after")
    handler.close()
    assert texts(tmp_path / "a.log")[-1] == "after"


def config(folder: Path | None, level: str = "info", port: str = "5770") -> Config:
    network = {"control": f"tcp://127.0.0.1:{port}"}
    return Config.model_validate({"log": {"folder": folder, "level": level}, "network": network})


def test_the_file_has_its_own_level_and_standard_error_keeps_its(root: logging.Logger, tmp_path: Path) -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    root.addHandler(Ear())
    root.setLevel(logging.INFO)
    path = log_to_file(config(tmp_path, "debug"))
    assert path == tmp_path / "microscoped-5770.log"
    logging.getLogger("microscoped").debug("detail")
    root.handlers[-1].close()
    assert "detail" in texts(path)
    assert "detail" not in heard


def test_a_folder_that_cannot_be_made_is_told_and_is_no_error(
    root: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    before = list(root.handlers)
    assert log_to_file(config(tmp_path / "file" / "log")) is None
    assert "choose another folder under log" in caplog.text
    assert root.handlers == before


def test_the_default_folder_is_made_where_there_is_none(
    root: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSCOPED_DATA_HOME", str(tmp_path / "new"))
    path = log_to_file(config(None, port="7000"))
    assert path == tmp_path / "new" / "log" / "microscoped-7000.log"
    assert root.handlers


@pytest.mark.parametrize(
    ("platform", "variables", "parts"),
    [
        ("linux", {"XDG_STATE_HOME": "/s"}, ("/s", "microscoped")),
        ("linux", {"HOME": "/home/ada"}, ("/home/ada", ".local", "state", "microscoped")),
        ("darwin", {"HOME": "/Users/ada"}, ("/Users/ada", "Library", "Logs", "microscoped")),
        ("win32", {"LOCALAPPDATA": "/local"}, ("/local", "microscoped", "log")),
        ("linux", {"MICROSCOPED_DATA_HOME": "/d"}, ("/d", "log")),
    ],
)
def test_each_system_has_its_place_for_logs(
    platform: str, variables: dict[str, str], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA", "MICROSCOPED_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert log_folder() == Path(*parts)


def test_a_relative_folder_counts_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("log:\n  folder: logs\n", encoding="utf-8")
    assert load_config(tmp_path / "c.yaml").log.folder == tmp_path / "logs"


def test_run_writes_what_happens_into_its_log_file(daemon: Running, tmp_path: Path) -> None:
    from microscoped.daemon.client import Scope
    from tests.daemon.cli.conftest import SIMULATED

    with daemon(f"{SIMULATED}log: {{folder: logs}}\n") as (process, address), Scope(address, timeout_s=20) as scope:
        scope.stop()
        scope.request("shutdown")
        assert process.wait(60) == 0
    (path,) = (tmp_path / "logs").iterdir()
    states = [text.split(",")[0] for text in texts(path) if text.startswith("state ")]
    assert states[-2:] == ["state STOPPED", "state CLOSING"]


def test_what_a_library_warns_of_goes_where_our_words_go_and_nowhere_else(
    root: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[str] = []

    class Console(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())

    library = logging.getLogger("a-library")
    library.addHandler(Console())
    take_over_log("a-library")
    library.info("it works")
    library.warning("it hardly works")
    assert written == []
    assert [record.getMessage() for record in caplog.records if record.name == "a-library"] == ["it hardly works"]


def test_the_runner_of_acquisitions_writes_nothing_to_the_console(daemon: Running, tmp_path: Path) -> None:
    from microscoped.daemon.client import Scope
    from tests.daemon.cli.conftest import SIMULATED

    with daemon(f"{SIMULATED}log: {{folder: logs, level: debug}}\n") as (process, address):
        with Scope(address, timeout_s=20) as scope:
            while scope.status()["state"] == "STARTING":
                pass
            assert scope.acquire({"z_plan": {"relative": [0, 1]}}, timeout_s=60)["frames"] == 2
            scope.request("shutdown")
        assert process.wait(60) == 0
    (path,) = (tmp_path / "logs").iterdir()
    for text in ((tmp_path / "log.txt").read_text(encoding="utf-8"), path.read_text(encoding="utf-8")):
        assert "state CLOSING" in text
        assert "MDA" not in text
        assert "pymmcore" not in text

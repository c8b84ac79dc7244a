"""What stands in the files, and what a reader makes of damaged ones."""

from __future__ import annotations

import json
import os
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from microscoped.daemon.record import (
    Ending,
    Entry,
    Header,
    Journal,
    JournalError,
    TornTail,
    read_journal,
    replay_journal,
)
from tests.daemon.record.conftest import FACTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon.record.conftest import World

    Write = Callable[..., Journal]


def only_file(journal: Journal) -> Path:
    (path,) = journal.folder.iterdir()
    return path


def test_any_json_reader_understands_a_line_and_can_check_it(write: Write, world: World) -> None:
    lines = only_file(write()).read_bytes().splitlines(keepends=True)
    header, *entries, ending = map(json.loads, lines)
    assert header["journal"] == 1
    assert header["config"] == dict(FACTS.config)
    assert header["packages"]["pydantic"]
    assert [entry["n"] for entry in entries] == list(range(1, len(world.life) + 1))
    assert {event["topic"].split(".")[1] for entry in entries for event in entry.get("decisions", ())} == {
        "state",
        "task",
        "alarm",
    }
    assert (ending["end"], ending["last"]) == ("closed", len(world.life))
    for line, value in zip(lines, [header, *entries, ending], strict=True):
        assert zlib.crc32(line[: line.rindex(b',"crc"')]) == int(value["crc"], 16)


def test_a_journal_is_read_by_its_owner_alone(write: Write) -> None:
    if os.name == "nt":
        pytest.skip("Windows has other rights")
    assert only_file(write()).stat().st_mode & 0o077 == 0


def test_every_file_begins_with_the_state_from_which_it_replays(write: Write, world: World) -> None:
    journal = write(rotate_bytes=1)  # each input in a file of its own
    assert len(list(journal.folder.iterdir())) == len(world.life)
    replay = replay_journal(journal.folder)
    assert replay.difference is None, str(replay.difference)
    assert replay.inputs == len(world.life)
    for file in journal.folder.iterdir():
        alone = replay_journal(file)
        assert (alone.difference, alone.inputs) == (None, 1), str(alone.difference)


def test_files_are_kept_below_their_size_and_go_on_without_a_gap(write: Write, world: World) -> None:
    journal = write(rotate_bytes=12_000)
    files = sorted(journal.folder.iterdir())
    assert len(files) > 2
    for file in files:
        _, *lines, _ending = file.read_bytes().splitlines(keepends=True)
        assert 10_000 < sum(map(len, lines)) <= 12_000 or file == files[-1]
    entries = [line for line in read_journal(journal.folder) if isinstance(line, Entry)]
    assert [entry.n for entry in entries] == list(range(1, len(world.life) + 1))
    assert [name for line in read_journal(journal.folder) if isinstance(line, Ending) and (name := line.next)] == [
        file.name for file in files[1:]
    ]


def test_of_old_files_so_many_are_kept_and_replay_from_there(write: Write) -> None:
    journal = write(rotate_bytes=5_000, keep=2)
    assert len(list(journal.folder.iterdir())) == 2
    assert replay_journal(journal.folder).difference is None


def test_a_folder_that_exists_is_never_written_into(world: World, tmp_path: Path) -> None:
    journal = Journal(tmp_path, FACTS, world.start, rotate_bytes=10**9, keep=None)
    (tmp_path / "other").mkdir()
    for second in range(3):  # the same session in the same second
        try:
            Journal(tmp_path, FACTS, world.start, rotate_bytes=10**9, keep=None).end("closed")
        except FileExistsError:
            break
        assert second < 2
    journal.end("closed")
    assert [type(line) for line in read_journal(journal.folder)] == [Header, Ending]


def test_a_last_line_cut_anywhere_is_told_and_all_before_it_is_good(write: Write) -> None:
    path = only_file(write(ended=False, first=6))
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for left in range(last):
        path.write_bytes(whole[: len(whole) - last + left])
        *lines, tail = read_journal(path)
        if left == 0:
            assert isinstance(tail, Entry)
            continue
        assert isinstance(tail, TornTail), left
        assert (tail.line, tail.size) == (7, left)
        assert [line.n for line in lines if isinstance(line, Entry)] == [1, 2, 3, 4, 5]
    assert replay_journal(path).torn is not None
    assert replay_journal(path).inputs == 5


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"\xff\xfe{", b"{}\n", b'{"n":3,"crc":"00000000"}\n', b"\n"])
def test_a_last_line_of_garbage_is_told(write: Write, world: World, garbage: bytes) -> None:
    path = only_file(write(ended=False))
    with path.open("ab") as file:
        file.write(garbage)
    *lines, tail = read_journal(path)
    assert isinstance(tail, TornTail)
    assert len(lines) == len(world.life) + 1


def test_a_last_file_that_has_only_begun_is_told(write: Write) -> None:
    journal = write(rotate_bytes=12_000, ended=False)
    last = max(journal.folder.iterdir())
    whole = last.read_bytes()
    for left in (0, 1, 100, whole.index(b"\n")):
        last.write_bytes(whole[:left])
        *_, ending, tail = read_journal(journal.folder)
        assert isinstance(ending, Ending)
        assert isinstance(tail, TornTail)


def test_a_flipped_bit_is_found_at_its_line(write: Write) -> None:
    path = only_file(write())
    whole = path.read_bytes()
    starts = [0, *(at + 1 for at, byte in enumerate(whole) if byte == 0x0A)]
    for number, (start, end) in enumerate(pairwise(starts[:-1]), 1):  # all but the closing line
        for at in (start, (start + end) // 2, end - 6):
            damaged = bytearray(whole)
            damaged[at] ^= 0x04
            path.write_bytes(damaged)
            with pytest.raises(JournalError) as caught:
                list(read_journal(path))
            assert caught.value.line == number
            assert "checksum" in caught.value.detail


def changed(lines: list[bytes], how: str) -> list[bytes]:
    match how:
        case "a line is missing":
            return lines[:5] + lines[6:]
        case "a line stands twice":
            return [*lines[:6], lines[5], *lines[6:]]
        case "two lines are exchanged":
            return [*lines[:5], lines[6], lines[5], *lines[7:]]
        case "the header is missing":
            return lines[1:]
        case "a second header":
            return [*lines[:5], lines[0], *lines[5:]]
        case "a line after the end":
            return [*lines, lines[-2]]
    raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "line", "words"),
    [
        ("a line is missing", 6, "input 6 stands where 5 belongs"),
        ("a line stands twice", 7, "input 5 stands where 6 belongs"),
        ("two lines are exchanged", 6, "input 6 stands where 5 belongs"),
        ("the header is missing", 1, "begins with its header"),
        ("a second header", 6, "second header"),
        ("a line after the end", -1, "had ended before"),
    ],
)
def test_whole_lines_in_the_wrong_place_are_found(write: Write, how: str, line: int, words: str) -> None:
    path = only_file(write())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(changed(lines, how)))
    with pytest.raises(JournalError, match=words) as caught:
        list(read_journal(path))
    assert caught.value.line == (line if line > 0 else len(lines) + 1)


def test_a_missing_file_is_found(write: Write) -> None:
    journal = write(rotate_bytes=12_000)
    second = sorted(journal.folder.iterdir())[1]
    second.unlink()
    with pytest.raises(JournalError, match="file 2 of"):
        list(read_journal(journal.folder))


def test_damage_at_the_end_of_a_file_that_is_not_the_last_is_no_torn_end(write: Write) -> None:
    journal = write(rotate_bytes=12_000)
    first = min(journal.folder.iterdir())
    first.write_bytes(first.read_bytes()[:-3])
    with pytest.raises(JournalError, match="cut off"):
        list(read_journal(journal.folder))


def test_what_is_no_journal_is_told(tmp_path: Path, write: Write) -> None:
    with pytest.raises(JournalError, match="no such file"):
        list(read_journal(tmp_path / "none"))
    journal = write()
    with pytest.raises(JournalError, match=f"newest session here is {journal.folder.name}"):
        list(read_journal(tmp_path))
    other = tmp_path / "text"
    other.write_text("hello\n")
    with pytest.raises(JournalError, match="text:1: the checksum"):
        list(read_journal(other))


def test_a_replay_shows_the_first_difference(write: Write, world: World) -> None:
    path = only_file(write())
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(
        at for at, line in enumerate(lines) if b'"op":"stage.move"' in line and b'"input":"RequestReceived"' in line
    )
    forged = lines[number].replace(b'"z_um":3', b'"z_um":4')
    body = forged[: forged.rindex(b',"crc"')]
    lines[number] = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    path.write_bytes(b"".join(lines))
    replay = replay_journal(path)
    assert replay.difference is not None
    assert (replay.difference.number, replay.difference.input) == (number, "RequestReceived")
    assert replay.difference.what in ("decisions", "effects")
    assert "4" in replay.difference.found
    assert replay.inputs == number


def test_an_input_of_another_version_is_a_difference(write: Write) -> None:
    path = only_file(write())
    lines = path.read_bytes().splitlines(keepends=True)
    forged = lines[2].replace(b'"input":"HardwareOpened"', b'"input":"HardwareDreamt"')
    body = forged[: forged.rindex(b',"crc"')]
    lines[2] = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    path.write_bytes(b"".join(lines))
    difference = replay_journal(path).difference
    assert difference is not None
    assert "HardwareDreamt" in str(difference)

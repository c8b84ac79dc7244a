"""``journal show`` and ``journal verify`` on what a reducer lived through."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from microscoped.daemon.record import Journal
    from tests.daemon.record.conftest import World


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["journal", *map(str, words)])


@pytest.fixture
def folder(write: Callable[..., Journal]) -> Path:
    return write(rotate_bytes=12_000).folder


def test_show_prints_every_input_and_decision(folder: Path, world: World) -> None:
    shown = run("show", folder)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("file 1 of session 00000000")
    numbered = [line for line in shown.stdout.splitlines() if line[:8].strip().isdigit()]
    assert [int(line[:8]) for line in numbered] == list(range(1, len(world.life) + 1))
    assert "RequestReceived" in shown.stdout
    assert "→ v1.alarm. code=" in shown.stdout
    assert shown.stdout.splitlines()[-1].endswith("closed")


def test_show_chooses_by_type_and_number_and_prints_json(folder: Path, world: World) -> None:
    shown = run("show", folder, "--type", "RequestReceived", "--type", "StreamDied", "--from", 4, "--json")
    entries = [value for line in shown.stdout.splitlines() if "n" in (value := json.loads(line))]
    assert [entry["n"] for entry in entries] == [
        now.number
        for heard, now, *_ in world.life
        if now.number >= 4 and type(heard).__name__ in ("RequestReceived", "StreamDied")
    ]


def test_verify_says_what_is_good(folder: Path, world: World) -> None:
    checked = run("verify", folder)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout.startswith(f"good: {len(world.life)} inputs, ")
    replayed = run("verify", folder, "--replay")
    assert (replayed.exit_code, replayed.stderr) == (0, "")
    assert f"the same effects after all {len(world.life)} inputs" in replayed.stdout


def test_a_torn_end_is_told_and_is_no_error(write: Callable[..., Journal], world: World) -> None:
    (path,) = write(ended=False).folder.iterdir()
    assert "it has no closing line" in run("verify", path).stdout
    path.write_bytes(path.read_bytes()[:-7])
    checked = run("verify", path, "--replay")
    assert checked.exit_code == 0
    assert f"good: {len(world.life) - 1} inputs" in checked.stdout
    assert "torn end" in checked.stdout
    assert "cut off" in checked.stdout
    assert "torn end" in run("show", path).stderr


def test_damage_is_an_error_that_names_file_and_line(folder: Path) -> None:
    path = min(folder.iterdir())
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 40] ^= 1
    path.write_bytes(content)
    for command in ("verify", "show"):
        checked = run(command, folder)
        assert checked.exit_code == 1
        assert f"{path.name}:2: the checksum does not match" in checked.stderr


def test_another_decision_is_an_error_that_shows_both(write: Callable[..., Journal]) -> None:
    (path,) = write().folder.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"decisions"' in line)
    body = lines[at].replace(b'"moving":false', b'"moving":true')
    body = body[: body.rindex(b',"crc"')]
    lines[at] = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    path.write_bytes(b"".join(lines))
    assert run("verify", path).exit_code == 0
    checked = run("verify", path, "--replay")
    assert checked.exit_code == 1
    assert f"input {at} " in checked.stderr
    assert "decisions differ" in checked.stderr
    assert "recorded: " in checked.stderr
    assert "replayed: " in checked.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_is_not_there_is_told(command: str, tmp_path: Path) -> None:
    missing = run(command, tmp_path / "none")
    assert (missing.exit_code, "no such file or folder" in missing.stderr) == (1, True)
    assert run(command, tmp_path).exit_code == 1

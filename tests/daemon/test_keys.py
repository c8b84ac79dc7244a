"""Key files: made, read, refused where they cannot be trusted; and the commands that do it."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.keys import KeyFolder, KeysError, default_folder, read_client_key
from microscoped.daemon.protocol import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

needs_modes = pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such permissions")


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    """A folder with the key of Ada, whose file is ``ada.json`` beside it."""
    made = KeyFolder(tmp_path / "keys")
    made.new("Ada", Scope.ADMIN, tmp_path / "ada.json")
    return made


def change(path: Path, **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


def test_a_key_fits_its_folder_and_its_secret_stands_only_in_its_file(folder: KeyFolder, tmp_path: Path) -> None:
    key = read_client_key(tmp_path / "ada.json")
    (user,) = folder.users()[0]
    assert (user.name, user.scope, user.public) == ("Ada", Scope.ADMIN, key.public)
    assert folder.server().public == key.server
    written = "".join(path.read_text(encoding="utf-8") for path in folder.path.iterdir())
    assert key.secret not in written
    assert folder.server().secret not in (tmp_path / "ada.json").read_text(encoding="utf-8")


def test_a_second_key_keeps_the_daemon_the_same(folder: KeyFolder, tmp_path: Path) -> None:
    before = folder.server()
    other = folder.new("ben", Scope.READ, tmp_path / "ben.json")
    assert other.server == before.public
    assert folder.server() == before
    assert len({other.public, before.public, *(user.public for user in folder.users()[0])}) == 3


@needs_modes
def test_only_the_owner_can_read_what_is_written(folder: KeyFolder, tmp_path: Path) -> None:
    files = [tmp_path / "ada.json", *folder.path.iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_secrets_are_not_shown(folder: KeyFolder, tmp_path: Path) -> None:
    for key in (read_client_key(tmp_path / "ada.json"), folder.server()):
        assert key.secret not in repr(key) + str(key)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:80])


def other_secret(path: Path) -> None:
    change(path, secret=path.with_name("ben.json").read_text(encoding="utf-8").split('"secret": "')[1][:40])


BROKEN: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "absent": (lambda path: path.unlink(), ["no such file"]),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), ["cannot be read"]),
    "empty": (lambda path: path.write_text(""), ["not JSON"]),
    "cut off": (cut, ["not JSON"]),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe\x00"), ["not JSON"]),
    "a list": (lambda path: path.write_text("[]"), ["not a key file"]),
    "other JSON": (lambda path: path.write_text("{}"), ["not a key file"]),
    "a later format": (lambda path: change(path, microscoped_key=2), ["later version", "update"]),
    "of another kind": (lambda path: change(path, kind="user"), ["file of a user, not of a "]),
    "a field too many": (lambda path: change(path, extra=1), ["wrong extra"]),
    "a short key": (lambda path: change(path, public="abc"), ["wrong public"]),
    "a key of other signs": (lambda path: change(path, secret="~" * 40), ["wrong secret"]),
    "halves of two keys": (other_secret, ["was changed", "do not belong together"]),
}


@pytest.mark.parametrize("which", ["client", "server"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_trusted_is_refused_with_the_remedy(
    folder: KeyFolder, tmp_path: Path, name: str, which: str
) -> None:
    folder.new("ben", Scope.READ, tmp_path / "ben.json")
    (folder.path / "ben.json").write_bytes((tmp_path / "ben.json").read_bytes())
    path = tmp_path / "ada.json" if which == "client" else folder.path / "server.json"
    secret = json.loads(path.read_text(encoding="utf-8"))["secret"]
    spoil, words = BROKEN[name]
    spoil(path)
    with pytest.raises(KeysError) as caught:
        read_client_key(path) if which == "client" else folder.server()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert [word for word in [*words, "; "] if word not in message] == [], message
    assert secret not in message


@needs_modes
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_can_read_is_refused(folder: KeyFolder, tmp_path: Path, mode: int) -> None:
    for path in (tmp_path / "ada.json", folder.path / "server.json"):
        path.chmod(mode)
        with pytest.raises(KeysError, match=rf"others .* \(mode {mode:o}\); run 'chmod 600 .*revoke"):
            read_client_key(path) if path.name == "ada.json" else folder.server()


@needs_modes
def test_a_folder_that_others_can_change_is_refused(folder: KeyFolder) -> None:
    folder.path.chmod(0o770)
    with pytest.raises(KeysError, match=r"others on this computer may change it .* 'chmod 700 "):
        folder.users()


SPOILT_USERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut off": (cut, "not JSON"),
    "an unknown scope": (lambda path: change(path, scope="root"), "wrong scope"),
    "under another name": (lambda path: change(path, name="eve"), "holds the key of 'eve'"),
    "a copy of another": (
        lambda path: change(path, public=json.loads(path.with_name("user-ada.json").read_text())["public"]),
        "same key as Ada",
    ),
}


@pytest.mark.parametrize("name", SPOILT_USERS)
def test_one_damaged_user_is_named_and_the_others_stay(folder: KeyFolder, tmp_path: Path, name: str) -> None:
    folder.new("ben", Scope.READ, tmp_path / "ben.json")
    spoil, words = SPOILT_USERS[name]
    spoil(folder.path / "user-ben.json")
    users, (problem,) = folder.users()
    assert [user.name for user in users] == ["Ada"]
    assert str(folder.path / "user-ben.json") in problem
    assert words in problem
    assert "microscoped keys new ben" in problem


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 33, "-x", ".x", "x.", "a/b", "µ", "x\n"])
def test_a_name_is_also_a_part_of_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeysError, match="cannot be a name"):
        KeyFolder(tmp_path / "keys").new(name, Scope.READ, tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_a_name_and_a_file_are_taken_once(folder: KeyFolder, tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="a user ADA already; 'microscoped keys revoke ADA'"):
        folder.new("ADA", Scope.READ, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()
    before = (tmp_path / "ada.json").read_bytes()
    with pytest.raises(KeysError, match="exists already; name another file with --out"):
        folder.new("ben", Scope.READ, tmp_path / "ada.json")
    assert (tmp_path / "ada.json").read_bytes() == before
    assert [user.name for user in folder.users()[0]] == ["Ada"]


def test_the_commands_make_list_and_revoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICROSCOPED_CONFIG_HOME", str(tmp_path / "home"))
    run = CliRunner().invoke
    assert default_folder() == tmp_path / "home" / "keys"
    none = run(app, ["keys", "list"])
    assert (none.exit_code, "microscoped keys new NAME" in none.output) == (2, True)
    assert run(app, ["keys", "new", "ada", "--scope", "admin"]).exit_code == 0
    made = run(app, ["keys", "new", "ben", "--out", "b.json"])
    assert made.exit_code == 0
    secrets = [read_client_key(tmp_path / name).secret for name in ("ada.key.json", "b.json")]
    listed = run(app, ["keys", "list"])
    assert listed.exit_code == 0
    assert [line.split()[:2] for line in listed.output.splitlines()[1:]] == [["ada", "admin"], ["ben", "control"]]
    assert not any(secret in made.output + listed.output for secret in secrets)
    assert run(app, ["keys", "revoke", "ada"]).exit_code == 0
    again = run(app, ["keys", "revoke", "ada"])
    assert again.exit_code == 2
    assert "no user 'ada'; known here: ben" in again.output
    assert run(app, ["keys", "revoke", "../server"]).exit_code == 2
    assert run(app, ["keys", "new", "ben"]).exit_code == 2
    assert run(app, ["keys", "new", "carl", "--scope", "root"]).exit_code == 2
    elsewhere = run(app, ["keys", "new", "ben", "--folder", "other", "--out", "other.json"])
    assert elsewhere.exit_code == 0
    assert [user.name for user in KeyFolder(tmp_path / "other").users()[0]] == ["ben"]


@pytest.mark.parametrize("op", ["send", "watch"])
def test_a_key_file_that_is_not_there_is_told(tmp_path: Path, op: str) -> None:
    words = [op, "status", "--key", str(tmp_path / "none.json")]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert "microscoped keys new NAME" in ended.output

"""Revocation on the wire: real sockets, real keys. How soon it bites, and what it ends."""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import TYPE_CHECKING

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from microscoped.daemon.client import NoAnswerError, Scope
from microscoped.daemon.keys import read_client_key
from microscoped.daemon.protocol import Scope as Rights
from microscoped.daemon.record import Entry, read_journal, replay_journal
from tests.daemon.guarded_world import BITES_S, PATIENCE_S, Guarded, Plain, code_of, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Rig


def test_a_revoked_key_is_forbidden_on_its_next_message_though_the_connection_lives(guarded: Guarded) -> None:
    with guarded.client("carl") as scope:
        assert code_of(scope, "camera.snap") == "ok"
        guarded.folder.revoke("carl")
        took_s = eventually(lambda: code_of(scope, "stage.position") == "forbidden", BITES_S)
        assert took_s < BITES_S
        assert {op: code_of(scope, op) for op in ("ping", "hello", "stop", "stage.move")} == dict.fromkeys(
            ("ping", "hello", "stop", "stage.move"), "forbidden"
        )
    assert guarded.rig.scope.status()["state"] == "IDLE"


def test_a_revocation_halts_what_the_user_has_begun(guarded: Guarded) -> None:
    with guarded.client("carl") as scope, guarded.rig.scope.events("v1.alarm.", timeout_s=PATIENCE_S) as events:
        token = scope.request("stage.lease", name="Carl", ttl_s=3_000)["token"]
        task = scope.request("task.get", task=scope.request("camera.snap")["task"], wait_ms=5_000)["task"]
        assert task["state"] == "done"
        guarded.folder.revoke("carl")
        began = time.monotonic()
        alarm = next(event for event in events if event.data["code"] == "key.revoked")
        assert time.monotonic() - began < BITES_S
        assert alarm.data["data"] == {"user": "carl", "tasks": [], "lease": True}
        assert code_of(scope, "stage.release", token=token) == "forbidden"
    guarded.rig.scope.move(2.0)


def test_an_answer_from_memory_is_forbidden_too(guarded: Guarded) -> None:
    with guarded.client("carl") as scope:
        message = {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": "resume"}
        codes = []
        for revoked in (False, True):
            if revoked:
                guarded.folder.revoke("carl")
                eventually(lambda: code_of(scope, "ping") == "forbidden", BITES_S)
            scope._control.send(json.dumps(message).encode())
            assert scope._control.poll(int(1000 * PATIENCE_S))
            reply = json.loads(scope._control.recv())
            codes.append("ok" if reply["ok"] else reply["error"]["code"])
    assert codes == ["ok", "forbidden"]


@pytest.mark.parametrize("which", ["events", "frames"])
def test_a_revoked_subscriber_is_cut_off_within_a_second_and_others_come_back(
    guarded: Guarded, plain: Plain, which: str
) -> None:
    guarded.rig.scope.request("camera.start")
    sockets = {}
    for name in ("rea", "carl"):
        sockets[name] = socket = plain.socket(zmq.SUB, read_client_key(guarded.key(name)))
        socket.setsockopt(zmq.SUBSCRIBE, b"v1.")
        socket.connect(getattr(guarded.rig.daemon.endpoints, which))
        assert socket.poll(int(1000 * PATIENCE_S))
    monitor = plain.monitor(sockets["rea"])
    guarded.folder.revoke("rea")
    revoked = time.monotonic()
    assert monitor.poll(int(1000 * BITES_S))
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
    assert time.monotonic() - revoked < BITES_S
    while sockets["rea"].poll(0):
        sockets["rea"].recv_multipart()  # what had arrived before
    seen = set()
    while zmq.EVENT_HANDSHAKE_FAILED_AUTH not in seen:
        assert monitor.poll(int(1000 * PATIENCE_S))
        seen.add(recv_monitor_message(monitor)["event"])
    assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen

    def newest() -> int:
        message: list[bytes] = []
        while sockets["carl"].poll(0 if message else int(1000 * PATIENCE_S)):
            message = sockets["carl"].recv_multipart()
        event = json.loads(message[1])
        return int(event["mono_ns"])

    after = guarded.rig.daemon.state.began_ns
    after += int(1e9 * guarded.rig.scope.request("ping")["uptime_s"])
    eventually(lambda: newest() > after, PATIENCE_S)
    assert not sockets["rea"].poll(0)


def test_what_others_miss_while_one_is_sent_away_shows_and_can_be_had(guarded: Guarded) -> None:
    seqs: list[int] = []
    with (
        guarded.client("rea") as gone,
        guarded.client("carl") as stays,
        gone.events("v1.alarm."),
        stays.events("v1.state.", timeout_s=0.02) as events,
    ):
        seqs.append(stays.request("snapshot", topics=["v1.state."])["topics"][0]["seq"])
        first = seqs[0]
        guarded.folder.revoke("rea")
        eventually(lambda: code_of(gone, "ping") == "forbidden", BITES_S)
        while seqs[-1] < first + 20:
            guarded.rig.scope.request("stop")
            guarded.rig.scope.request("resume")
            for event in events:
                if event.seq > seqs[-1] + 1:
                    missed = stays.request("events.since", topic="v1.state.", seq=seqs[-1])["events"]
                    seqs += [one["seq"] for one in missed if one["seq"] < event.seq]
                if event.seq > seqs[-1]:
                    seqs.append(event.seq)
    assert seqs == list(range(first, seqs[-1] + 1))


def test_a_new_key_under_the_old_name_does_not_bring_the_old_key_back(guarded: Guarded) -> None:
    with guarded.client("carl") as thief:
        assert code_of(thief, "ping") == "ok"
        guarded.folder.revoke("carl")
        guarded.folder.new("carl", Rights.ADMIN, guarded.tmp_path / "carl-2.json")
        eventually(lambda: code_of(thief, "ping") == "forbidden", BITES_S)
        with Scope(guarded.address, 10, key=guarded.tmp_path / "carl-2.json") as owner:
            assert owner.hello()["scopes"] == list(Rights)
        assert code_of(thief, "ping") == "forbidden"


def test_a_scope_that_is_edited_holds_from_the_next_message_on(guarded: Guarded) -> None:
    path = guarded.folder.path / "user-carl.json"
    with guarded.client("carl") as scope:
        assert code_of(scope, "resume") == "ok"
        path.write_text(path.read_text().replace('"control"', '"read"'))
        eventually(lambda: code_of(scope, "resume") == "forbidden", BITES_S)
        assert code_of(scope, "stop") == "ok"
        path.write_text(path.read_text().replace('"read"', '"control"'))
        eventually(lambda: code_of(scope, "resume") == "ok", BITES_S)


def test_a_damaged_user_file_shuts_out_that_user_alone(guarded: Guarded) -> None:
    with guarded.client("carl") as scope, guarded.client("rea") as other:
        assert code_of(scope, "ping") == code_of(other, "ping") == "ok"
        (guarded.folder.path / "user-carl.json").write_text("{")
        eventually(lambda: code_of(scope, "ping") == "forbidden", BITES_S)
        assert code_of(other, "ping") == "ok"


def test_a_folder_that_vanishes_takes_the_stop_from_nobody(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "microscoped")
    with guarded.client("carl") as scope:
        guarded.folder.path.rename(guarded.tmp_path / "away")
        eventually(lambda: "stay in force" in caplog.text, PATIENCE_S)
        assert code_of(scope, "stop") == "ok"
        (guarded.tmp_path / "away").rename(guarded.folder.path)
        guarded.folder.revoke("carl")
        eventually(lambda: code_of(scope, "ping") == "forbidden", BITES_S)


def test_no_secret_is_logged_and_revocations_are(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with guarded.client("carl") as scope:
        guarded.folder.revoke("carl")
        eventually(lambda: code_of(scope, "ping") == "forbidden", BITES_S)
    with Scope(guarded.address, 0.2, key=guarded.key("carl")) as scope, pytest.raises(NoAnswerError):
        scope.request("ping")
    assert "the key of carl was revoked" in caplog.text
    assert "unknown or revoked keys were refused" in caplog.text
    secrets = [read_client_key(guarded.key(name)).secret for name in ("ada", "carl")]
    assert not any(secret in caplog.text for secret in [*secrets, guarded.folder.server().secret])


def test_who_asked_stands_in_the_journal_and_replays_equal(tmp_path: Path, start_rig: Callable[..., Rig]) -> None:
    guarded = Guarded(tmp_path, start_rig, {"journal": {"enabled": True, "folder": str(tmp_path / "journal")}})
    with guarded.client("carl") as scope:
        assert code_of(scope, "stage.move", z_um=1.0) == "ok"
        guarded.folder.revoke("carl")
        eventually(lambda: code_of(scope, "stage.move", z_um=2.0) == "forbidden", BITES_S)
    guarded.rig.end()
    (session,) = (tmp_path / "journal").iterdir()
    asked = [line.data for line in read_journal(session) if isinstance(line, Entry) and line.input == "RequestReceived"]
    peers = [(data["peer"].get("user"), data["peer"].get("scope")) for data in asked if isinstance(data, dict)]
    assert peers[-1] == ("carl", None)
    assert ("carl", "control") in peers
    replayed = replay_journal(session)
    assert replayed.difference is None
    text = "".join(path.read_text(encoding="utf-8") for path in session.iterdir())
    assert not any(read_client_key(guarded.key(name)).secret in text for name in ("ada", "carl"))

"""Keys on the wire: real sockets, real keys. Who comes in, what each may do, and how soon a revocation bites."""

from __future__ import annotations

import json
import logging
import shutil
import socket as plain_socket
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from microscoped.daemon.client import NoAnswerError, RequestFailedError, Scope
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.keys import ClientKey, KeyFolder, KeysError, read_client_key
from microscoped.daemon.protocol import OPS
from microscoped.daemon.protocol import Scope as Rights
from microscoped.daemon.record import Entry, read_journal, replay_journal
from microscoped.simulators import SimulatedMicroscope, StageModel
from tests.conftest import CONFIG
from tests.examples.test_javascript import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from microscoped.simulators.brightfield import BrightfieldScene
    from tests.conftest import Rig

SOCKETS = ("control", "events", "frames")
BITES_S = 1.0
PATIENCE_S = 20.0


class Guarded:
    """A running daemon that asks for keys, and the keys of Ada (admin), Carl (control) and Rea (read)."""

    def __init__(
        self, tmp_path: Path, start_rig: Callable[..., Rig], changes: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self.tmp_path = tmp_path
        self.folder = KeyFolder(tmp_path / "keys")
        for name, rights in (("ada", Rights.ADMIN), ("carl", Rights.CONTROL), ("rea", Rights.READ)):
            self.folder.new(name, rights, self.key(name))
        changes = {"network": {}, **(changes or {})}
        changes["network"] = {"curve": True, "keys_folder": str(self.folder.path), **changes["network"]}
        self.rig = start_rig(changes, key=self.key("ada"))
        self.address = self.rig.scope.address

    def key(self, name: str) -> Path:
        return self.tmp_path / f"{name}.json"

    def client(self, name: str) -> Scope:
        return Scope(self.address, 10, key=self.key(name))


@pytest.fixture
def guarded(tmp_path: Path, start_rig: Callable[..., Rig]) -> Guarded:
    return Guarded(tmp_path, start_rig)


@pytest.fixture(scope="module")
def guarded_module(tmp_path_factory: pytest.TempPathFactory, start_rig_module: Callable[..., Rig]) -> Guarded:
    """For tests that revoke nothing."""
    return Guarded(tmp_path_factory.mktemp("guarded"), start_rig_module)


class Plain:
    """Plain sockets, as any program makes them; all of them are closed at the end."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._made: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int, key: ClientKey | None = None) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        if key is not None:
            socket.curve_serverkey = key.server.encode()
            socket.curve_publickey, socket.curve_secretkey = key.public.encode(), key.secret.encode()
        self._made.append(socket)
        return socket

    def monitor(self, socket: zmq.Socket[bytes], events: int = zmq.EVENT_ALL) -> zmq.Socket[bytes]:
        self._made.append(socket.get_monitor_socket(events))
        return self._made[-1]

    def close(self) -> None:
        for socket in self._made:
            socket.close(linger=0)
        self._context.term()


@pytest.fixture
def plain() -> Iterator[Plain]:
    made = Plain()
    yield made
    made.close()


def code_of(scope: Scope, op: str, **params: Any) -> str:  # noqa: ANN401 - whatever an op takes
    """The error code of a request, or ``ok``."""
    try:
        scope.request(op, **params)
    except RequestFailedError as error:
        return str(error.error.code)
    return "ok"


def eventually(told: Callable[[], bool], within_s: float) -> float:
    """Ask again and again; return after how many seconds it was so."""
    began = time.monotonic()
    while not told():
        assert time.monotonic() - began < within_s
    return time.monotonic() - began


# --- who comes in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "carl", "rea"])
def test_with_its_key_a_client_hears_and_asks(guarded_module: Guarded, name: str) -> None:
    with guarded_module.client(name) as scope:
        assert scope.status()["state"] in ("IDLE", "ACTIVE")
        with scope.events("v1.heartbeat.", timeout_s=PATIENCE_S) as events:
            assert next(events).data["state"] in ("IDLE", "ACTIVE")
        with scope.frames(timeout_s=PATIENCE_S) as frames, guarded_module.client("carl") as operator:
            operator.run("camera.snap")
            assert next(frames)[1].shape == (128, 128)


def stranger_without_key(_socket: zmq.Socket[bytes], _right: ClientKey) -> None:
    """The mechanism NULL."""


def stranger_with_password(socket: zmq.Socket[bytes], _right: ClientKey) -> None:
    socket.plain_username = b"ada"
    socket.plain_password = b"secret"


def stranger_with_unknown_key(socket: zmq.Socket[bytes], right: ClientKey) -> None:
    socket.curve_serverkey = right.server.encode()
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()


def stranger_to_another_server(socket: zmq.Socket[bytes], right: ClientKey) -> None:
    socket.curve_serverkey = zmq.curve_keypair()[0]
    socket.curve_publickey, socket.curve_secretkey = right.public.encode(), right.secret.encode()


def stranger_with_a_stolen_public_key(socket: zmq.Socket[bytes], right: ClientKey) -> None:
    socket.curve_serverkey = right.server.encode()
    socket.curve_publickey, socket.curve_secretkey = right.public.encode(), zmq.curve_keypair()[1]


STRANGERS = (
    stranger_without_key,
    stranger_with_password,
    stranger_with_unknown_key,
    stranger_to_another_server,
    stranger_with_a_stolen_public_key,
)
FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_DISCONNECTED,
)


@pytest.mark.parametrize("which", SOCKETS)
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_hung_up_on_and_nobody_notices(
    guarded_module: Guarded,
    plain: Plain,
    which: str,
    stranger: Callable[[zmq.Socket[bytes], ClientKey], None],
) -> None:
    socket = plain.socket(zmq.DEALER if which == "control" else zmq.SUB)
    stranger(socket, read_client_key(guarded_module.key("ada")))
    monitor = plain.monitor(socket)
    if which != "control":
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(getattr(guarded_module.rig.daemon.endpoints, which))
    if which == "control":
        message = {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": "stop"}
        socket.send(json.dumps(message).encode(), zmq.NOBLOCK)
    assert monitor.poll(int(1000 * PATIENCE_S))
    seen = None
    while seen not in FAILED:
        assert monitor.poll(int(1000 * PATIENCE_S))
        seen = recv_monitor_message(monitor)["event"]
        assert seen != zmq.EVENT_HANDSHAKE_SUCCEEDED
    assert guarded_module.rig.scope.status()["state"] in ("IDLE", "ACTIVE")
    assert not socket.poll(0)


@pytest.mark.parametrize("which", SOCKETS)
@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE" + b"\xff" * 400]
)
def test_bytes_that_are_no_handshake_disturb_nobody(guarded_module: Guarded, which: str, sent: bytes) -> None:
    host, _, port = getattr(guarded_module.rig.daemon.endpoints, which).removeprefix("tcp://").rpartition(":")
    with plain_socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(sent)
        assert guarded_module.rig.scope.status()["state"] in ("IDLE", "ACTIVE")


def test_a_crowd_of_strangers_is_refused_while_one_works(guarded: Guarded, plain: Plain) -> None:
    right = read_client_key(guarded.key("ada"))
    for _ in range(100):
        socket = plain.socket(zmq.DEALER)
        stranger_with_unknown_key(socket, right)
        socket.connect(guarded.address)
    assert [guarded.rig.scope.request("ping")["state"] for _ in range(100)] == ["IDLE"] * 100
    assert guarded.rig.scope.move(3.0)["z_um"] == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no key", "asks for a key"),
        ("revoked key", "does not know this key"),
        ("key of another daemon", "for another daemon"),
        ("key for a daemon without keys", "uses no keys"),
        ("no daemon", "microscoped run"),
    ],
)
def test_a_client_is_told_why_it_is_not_answered(
    guarded_module: Guarded, tmp_path: Path, start_rig: Callable[..., Rig], case: str, words: str
) -> None:
    address, key = guarded_module.address, None
    if case == "revoked key":
        key = tmp_path / "old.json"
        guarded_module.folder.new("old", Rights.READ, key)
        guarded_module.folder.revoke("old")
    elif case == "key of another daemon":
        key = tmp_path / "other.json"
        KeyFolder(tmp_path / "others").new("ada", Rights.READ, key)
    elif case == "key for a daemon without keys":
        address, key = start_rig().scope.address, guarded_module.key("ada")
    elif case == "no daemon":
        address = "tcp://127.0.0.1:9"
    with Scope(address, 0.2, key=key) as scope, pytest.raises(NoAnswerError, match=words):
        scope.request("ping")


def test_a_client_with_a_key_does_not_disturb_a_daemon_without(
    start_rig: Callable[..., Rig], guarded_module: Guarded
) -> None:
    rig = start_rig()
    with Scope(rig.scope.address, 0.2, key=guarded_module.key("ada")) as scope, pytest.raises(NoAnswerError):
        scope.request("stop")
    assert rig.scope.status()["state"] == "IDLE"
    assert rig.scope.hello()["scopes"] == ["read", "control"]


# --- what each may do ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rights"), [("rea", Rights.READ), ("carl", Rights.CONTROL), ("ada", Rights.ADMIN)])
def test_each_op_asks_for_its_scope_on_the_wire(guarded: Guarded, name: str, rights: Rights) -> None:
    with guarded.client(name) as scope:
        assert scope.hello()["scopes"] == [one for one in Rights if rights.includes(one)]
        for op in sorted(OPS, key=lambda op: op == "shutdown"):
            forbidden = code_of(scope, op) == "forbidden"
            assert forbidden == (not rights.includes(OPS[op].scope_with_keys)), op
        if not rights.includes(Rights.ADMIN):
            assert guarded.rig.scope.status()["state"] != "CLOSING"


def test_two_users_may_use_the_same_id(guarded: Guarded, plain: Plain) -> None:
    guarded.folder.new("dora", Rights.CONTROL, guarded.key("dora"))
    eventually(lambda: _answered(guarded, "dora"), PATIENCE_S)
    message = {"v": "1.0", "id": str(uuid.uuid4()), "type": "request", "op": "stage.move"}
    payload = json.dumps({**message, "params": {"z_um": 1.0, "relative": True}}).encode()
    tasks = []
    for name in ("carl", "dora", "carl", "dora"):
        socket = plain.socket(zmq.DEALER, read_client_key(guarded.key(name)))
        socket.connect(guarded.address)
        socket.send(payload)
        assert socket.poll(int(1000 * PATIENCE_S))
        tasks.append(json.loads(socket.recv())["result"]["task"])
        guarded.rig.scope.wait(tasks[-1])
    assert tasks[0] != tasks[1]
    assert tasks[:2] == tasks[2:]
    assert guarded.rig.scope.position() == pytest.approx(6.0, abs=0.1)


def _answered(guarded: Guarded, name: str) -> bool:
    with Scope(guarded.address, 0.3, key=guarded.key(name)) as scope:
        try:
            scope.request("ping")
        except NoAnswerError:
            return False
        return True


def test_the_identity_of_a_request_is_the_key_whatever_it_claims(guarded_module: Guarded) -> None:
    with guarded_module.client("rea") as scope:
        scope._control.setsockopt(zmq.IDENTITY, b"ada")  # for connections from now on: to be sure, a fresh one
        scope._control.connect(guarded_module.address)
        assert {code_of(scope, "stage.move", z_um=1.0) for _ in range(4)} == {"forbidden"}


# --- revocation ------------------------------------------------------------------------------------------------------


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


# --- starting --------------------------------------------------------------------------------------------------------


def config(**network: object) -> Config:
    return Config.model_validate({**CONFIG, "network": {**CONFIG["network"], **network}})


def test_without_usable_keys_the_daemon_does_not_start(tmp_path: Path, scene: BrightfieldScene) -> None:
    microscope = SimulatedMicroscope(scene, StageModel())
    folder = KeyFolder(tmp_path / "keys")
    wanted = config(curve=True, keys_folder=str(folder.path))
    with pytest.raises(KeysError, match="no such file; 'microscoped keys new"):
        Daemon(wanted, microscope=microscope)
    folder.new("ada", Rights.READ, tmp_path / "ada.json")
    folder.revoke("ada")
    with pytest.raises(KeysError, match="holds no user's key; 'microscoped keys new"):
        Daemon(wanted, microscope=microscope)
    (folder.path / "user-eve.json").write_text("{")
    with pytest.raises(KeysError, match="user-eve"):
        Daemon(wanted, microscope=microscope)


def test_nobody_comes_in_while_nobody_answers_at_the_gate(
    tmp_path: Path, scene: BrightfieldScene, plain: Plain
) -> None:
    KeyFolder(tmp_path / "keys").new("ada", Rights.READ, tmp_path / "ada.json")
    microscope = SimulatedMicroscope(scene, StageModel())
    daemon = Daemon(config(curve=True, keys_folder=str(tmp_path / "keys")), microscope=microscope)
    socket = plain.socket(zmq.DEALER, read_client_key(tmp_path / "ada.json"))
    monitor = plain.monitor(socket, zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.connect(daemon.endpoints.control)
    assert not monitor.poll(300)
    daemon._loop.shut_down("the test is over")
    assert daemon.run() == 0


def test_with_keys_it_may_listen_on_all_addresses(tmp_path: Path, start_rig: Callable[..., Rig]) -> None:
    everywhere = dict.fromkeys(SOCKETS, "tcp://0.0.0.0:*")
    guarded = Guarded(tmp_path, start_rig, {"network": everywhere})
    assert guarded.rig.scope.hello()["endpoints"]["events"].startswith("tcp://0.0.0.0:")
    with guarded.rig.scope.events("v1.heartbeat.", timeout_s=PATIENCE_S) as events:
        assert next(events).data["state"] == "IDLE"


# --- other programs --------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from microscoped.daemon.client import Scope
with Scope(sys.argv[1], 10, key=sys.argv[2]) as scope:
    with scope.events("v1.task.", timeout_s=10) as events:
        report = scope.focus()
        print(report["focused"], next(events).topic.startswith("v1.task."), scope.hello()["scopes"])
"""


def test_another_python_process_works_with_a_key(guarded: Guarded) -> None:
    command = [sys.executable, "-c", SCRIPT, guarded.address, str(guarded.key("carl"))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=guarded.tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "True True ['read', 'control']"


def test_the_javascript_example_works_with_a_key(guarded: Guarded) -> None:
    node = shutil.which("node")
    if node is None or not (EXAMPLE / "node_modules" / "zeromq").is_dir():
        pytest.skip("needs Node.js, and 'npm install' run in examples/javascript")
    command = [node, "focus.mjs", guarded.address, str(guarded.key("carl"))]
    ran = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=50, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    assert "in focus at" in ran.stdout
    assert "sharpness" in ran.stdout

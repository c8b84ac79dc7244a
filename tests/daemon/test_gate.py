"""Keys on the wire: real sockets, real keys. Who comes in, and what each may do."""

from __future__ import annotations

import json
import shutil
import socket as plain_socket
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from microscoped.daemon.client import NoAnswerError, Scope
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.keys import ClientKey, KeyFolder, KeysError, read_client_key
from microscoped.daemon.protocol import OPS
from microscoped.daemon.protocol import Scope as Rights
from microscoped.simulators import SimulatedMicroscope, StageModel
from tests.conftest import CONFIG
from tests.daemon.guarded_world import PATIENCE_S, Guarded, Plain, code_of, eventually
from tests.examples.test_javascript import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microscoped.simulators.brightfield import BrightfieldScene
    from tests.conftest import Rig

SOCKETS = ("control", "events", "frames")


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

"""The documents: their made parts are up to date, their examples are valid, their figures and links are true."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.config import Config
from microscoped.daemon.core import retries, turn
from microscoped.daemon.core.handlers import session
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.protocol import OPS, AlarmCode, ErrorCode, Event, Reply, read_request
from microscoped.daemon.protocol.events import LogData, TaskData
from microscoped.daemon.protocol.schema.build import TOPICS
from microscoped.daemon.protocol.strict_json import MAX_BYTES, MAX_DEPTH
from microscoped.daemon.runtime import log_feed
from microscoped.daemon.runtime.sockets import CONTROL_BYTES, SUBSCRIBE_BYTES
from microscoped.daemon.supervisor import policy

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[3]
DOCS = REPOSITORY / "docs"
EXAMPLE = re.compile(r"^```json (?P<what>.+?)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")
DOCUMENTS = ("docs/protocol.md", "docs/operations.md", "README.md", "CONTRIBUTING.md")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["protocol.md", "operations.md"])
def test_the_made_parts_are_up_to_date(generator: ModuleType, name: str) -> None:
    text = read(f"docs/{name}")
    assert generator.filled(text) == text, "run `python docs/generate.py`"


def test_every_made_part_is_used_and_every_op_has_its_place(generator: ModuleType) -> None:
    used = {found["name"] for name in generator.DOCUMENTS for found in generator.PART.finditer(read(f"docs/{name}"))}
    assert used == set(generator.parts())
    assert {name for names in generator.GROUPS.values() for name in names} == set(OPS)


def test_codes_topics_and_states_are_all_explained() -> None:
    protocol, operations = read("docs/protocol.md"), read("docs/operations.md")
    assert [code for code in ErrorCode if f"| `{code}` |" not in protocol] == []
    assert [topic for topic in TOPICS if f"### `{topic}`" not in protocol] == []
    assert [code for code in AlarmCode if f"| `{code}` |" not in operations] == []
    for mode in Mode:
        assert len(re.findall(rf"^\| {mode} \|", operations, re.MULTILINE)) == 2, mode


EXAMPLES = [(found["what"], found["text"]) for found in EXAMPLE.finditer(read("docs/protocol.md"))]


def test_each_kind_of_message_has_an_example() -> None:
    assert {what.partition(" ")[0] for what, _ in EXAMPLES} == {"request", "reply", "event"}


@pytest.mark.parametrize(("what", "text"), EXAMPLES)
def test_an_example_is_valid(what: str, text: str) -> None:
    kind, _, op = what.partition(" to ")
    if kind == "request":
        request = read_request([text.encode()])
        OPS[request.op].params.model_validate(request.params)
    elif kind == "reply":
        reply = Reply.model_validate_json(text)
        assert reply.ok == (reply.error is None)
        if reply.ok:
            OPS[op].result.model_validate(reply.result)
    else:
        event = Event.model_validate_json(text)
        data = TaskData.model_validate(event.data)
        outcome = OPS[data.op].outcome
        assert outcome is not None
        outcome.model_validate(data.result)


def test_the_figures_in_the_prose_are_those_of_the_code() -> None:
    protocol, operations = read("docs/protocol.md"), read("docs/operations.md")
    network = Config().network
    for name in ("control", "events", "frames"):
        port = getattr(network, name).rpartition(":")[2]
        most = CONTROL_BYTES if name == "control" else SUBSCRIBE_BYTES
        (row,) = (line for line in protocol.splitlines() if line.startswith(f"| `{name}` | {port} |"))
        assert row.endswith(f"| {most:,} bytes |".replace(",", " ") if most > 10_000 else f"| {most} bytes |")
    said = " ".join(protocol.split())
    assert f"deeper than {MAX_DEPTH} are" in said
    assert f"longer than {MAX_BYTES:,} bytes".replace(",", " ") in said
    assert f"The last {turn.KEPT_EVENTS:,} events of".replace(",", " ") in said
    assert all(f"`{topic}`" in said for topic in turn.KEPT_TOPICS)
    assert retries.KEPT_NS == 10 * 60 * 10**9
    assert "within ten minutes" in said
    assert all(f"`{code}`" in said for code in retries.NOT_KEPT)
    assert f"within {session.STOP_REPLY_NS // 10**6} ms the reply says `stopping`" in said
    assert f"an alarm follows after {session.STOP_ALARM_NS // 10**9} s" in said
    assert f"{log_feed.MOST_PER_SECOND} entries within any second at most" in said
    assert f"each of {log_feed.MESSAGE_CHARS} characters at most" in said
    assert f"At most {log_feed.MOST_PER_SECOND} within a second" in str(LogData.__doc__)
    assert f"{log_feed.MESSAGE_CHARS} characters at most" in str(LogData.__doc__)
    assert f"| {policy.CRASHED_TOO_OFTEN} | it crashed too often |" in operations


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    here = (REPOSITORY / name).parent
    text = re.sub(r"```.*?```", "", read(name), flags=re.DOTALL)
    broken = [target for target, _ in LINK.findall(text) if target and not (here / target).exists()]
    assert broken == []
    for target, anchor in LINK.findall(text):
        if anchor and target.endswith(".md"):
            titles = re.findall(r"^#+ (.+)$", (here / target).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_schema_file_is_one_document() -> None:
    document: dict[str, Any] = json.loads(read("daemon/protocol/schema/v1.json"))
    assert document["$schema"].endswith("2020-12/schema")

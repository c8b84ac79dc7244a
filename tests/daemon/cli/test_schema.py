"""``microscoped schema``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from microscoped.daemon.protocol.schema import shipped

if TYPE_CHECKING:
    from tests.daemon.cli.conftest import Cli


def test_the_whole_protocol_is_printed_as_it_was_shipped(cli: Cli) -> None:
    found = cli("schema")
    assert found.returncode == 0
    assert found.stdout == shipped()


def test_one_op_is_printed_with_all_that_it_needs(cli: Cli) -> None:
    found = cli("schema", "--op", "task.get")
    document = json.loads(found.stdout)
    assert document["params"] == {"$ref": "#/$defs/TaskGetParams"}
    assert set(document["$defs"]) == {"TaskGetParams", "TaskResult", "TaskData", "ErrorBody"}


def test_an_op_that_does_not_exist_is_a_wrong_use(cli: Cli) -> None:
    found = cli("schema", "--op", "task.gte")
    assert found.returncode == 2
    assert "did you mean task.get?" in found.stderr

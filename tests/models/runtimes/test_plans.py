"""The plan cache: what is kept, what is built anew, and what two processes do to each other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.models.runtimes._compile import key_of
from microscoped.models.runtimes._cuda import Gpu
from microscoped.models.runtimes._provider import Provider
from microscoped.models.runtimes.plans import PlanCache, PlanKey, read_sealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from microscoped.models.runtimes import Artefact

KEY = PlanKey(
    onnx_sha256="a" * 64,
    library="tensorrt_rtx",
    version="1.7.1.116",
    targets=("portable",),
    system="",
    shapes={"x": ((1, 2), (4, 2), (16, 2))},
    flags=("strongly_typed",),
)


class Builder:
    """Counts how often it built."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self) -> bytes:
        self.built += 1
        return b"plan %d" % self.built


@pytest.fixture
def build() -> Builder:
    return Builder()


def test_a_plan_is_built_once(tmp_path: Path, build: Builder) -> None:
    first = PlanCache(tmp_path / "new").get_or_build(KEY, build)
    again = PlanCache(tmp_path / "new").get_or_build(KEY, build)
    assert (first.content, again.content, build.built) == (b"plan 1", b"plan 1", 1)
    assert first.built_s is not None
    assert again.built_s is None
    assert first.path == again.path == tmp_path / "new" / f"{KEY.digest}.plan"
    card = json.loads((tmp_path / "new" / f"{KEY.digest}.json").read_bytes())
    assert PlanKey.model_validate(card["key"]) == KEY


def test_it_can_be_built_anew(tmp_path: Path, build: Builder) -> None:
    cache = PlanCache(tmp_path)
    cache.get_or_build(KEY, build)
    assert cache.get_or_build(KEY, build, anew=True).content == b"plan 2"
    assert cache.get_or_build(KEY, build).content == b"plan 2"


@pytest.mark.parametrize(
    "change",
    [
        {"onnx_sha256": "b" * 64},
        {"library": "tensorrt"},
        {"version": "1.7.1.117"},
        {"targets": ("SM89",)},
        {"system": "Linux-x86_64"},
        {"shapes": {"x": ((1, 2), (4, 2), (32, 2))}},
        {"flags": ()},
    ],
)
def test_whatever_made_it_makes_another_key(tmp_path: Path, build: Builder, change: dict[str, Any]) -> None:
    cache = PlanCache(tmp_path)
    cache.get_or_build(KEY, build)
    other = PlanKey.model_validate({**KEY.model_dump(), **change})
    assert cache.get_or_build(other, build).content == b"plan 2"
    assert cache.get_or_build(KEY, build).content == b"plan 1"


def _cut(plan: Path, _card: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def _of_another(_plan: Path, card: Path) -> None:
    content = json.loads(card.read_bytes())
    content["key"]["version"] = "1.6"
    card.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_cut, "is damaged"),
        (lambda plan, _: plan.write_bytes(b""), "is damaged"),
        (lambda _, card: card.write_bytes(b"\x80\x04N."), "cannot be used"),
        (lambda _, card: card.write_text("{}", encoding="utf-8"), "cannot be used"),
        (_of_another, "was made from something else"),
        (lambda plan, _: plan.unlink(), None),
        (lambda _, card: card.unlink(), None),
    ],
)
def test_what_does_not_fit_is_said_and_built_anew(
    tmp_path: Path,
    build: Builder,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path, Path], object],
    said: str | None,
) -> None:
    cache = PlanCache(tmp_path)
    path = cache.get_or_build(KEY, build).path
    assert path is not None
    harm(path, path.with_suffix(".json"))
    assert cache.get_or_build(KEY, build).content == b"plan 2"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]
    assert cache.get_or_build(KEY, build).content == b"plan 2"


def test_a_folder_that_cannot_be_written_costs_no_more_than_time(
    tmp_path: Path, build: Builder, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    plan = PlanCache(tmp_path / "file").get_or_build(KEY, build)
    assert (plan.content, plan.path) == (b"plan 1", None)
    assert "cannot be kept" in caplog.text


def test_no_folder_keeps_nothing(build: Builder) -> None:
    assert PlanCache(None).get_or_build(KEY, build).path is None
    assert PlanCache(None).get_or_build(KEY, build).content == b"plan 2"


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        PlanCache(tmp_path).get_or_build(KEY, fail)
    assert list(tmp_path.iterdir()) == []


WORKER = """
import logging, sys
from pathlib import Path
from microscoped.models.runtimes.plans import PlanCache, PlanKey

class Loud(logging.Handler):
    def emit(self, record):
        print(record.getMessage())

logging.getLogger("microscoped.models").addHandler(Loud(logging.WARNING))
key = PlanKey.model_validate_json(sys.argv[2])
content = bytes(range(256)) * 4000
for turn in range(60):
    plan = PlanCache(Path(sys.argv[1])).get_or_build(key, lambda: content, anew=turn % 3 == 0)
    assert plan.content == content
"""


def test_two_processes_at_once_always_read_whole_plans(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), KEY.model_dump_json()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") for _ in range(2)]
    assert [(process.communicate(timeout=50)[0], process.returncode) for process in both] == [("", 0)] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{KEY.digest}.json", f"{KEY.digest}.plan"]


def test_keys_hold_what_each_provider_depends_on(toy: Artefact) -> None:
    rtx = key_of(toy, Provider("tensorrt_rtx", None, "1.7.1.116"), (), Gpu(0, "A", (8, 9)))
    assert (rtx.targets, rtx.system) == (("portable",), "")
    assert rtx.shapes == {"frames": ((1, 2, 16, 16), (4, 2, 16, 16), (16, 2, 16, 16))}
    classic = key_of(toy, Provider("tensorrt", None, "10.9.0"), (), Gpu(0, "B", (9, 0)))
    assert classic.targets == ("SM90",)
    assert classic.system


def test_sealed_files_are_read_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "sub" / "kernels"
    assert read_sealed(path) is None
    write_sealed(path, b"compiled")
    assert read_sealed(path) == b"compiled"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_sealed(path) is None
    assert "is damaged" in caplog.text

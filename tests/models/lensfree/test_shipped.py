"""Which networks a reconstruction has, by name and by what lies among the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from microscoped.models import registry
from microscoped.models.lensfree import NetworkError, SettingsError
from microscoped.models.lensfree.shipped import between_iterations, open_accelerator, open_unwrapper
from microscoped.models.runtimes import ModelError
from tests.models.lensfree.networks import write_network

if TYPE_CHECKING:
    from pathlib import Path

TASKS = {
    "lensfree_accelerate_light": "accelerate",
    "lensfree_accelerate": "accelerate",
    "lensfree_unwrap": "unwrap",
}
LIGHT, FULL, UNWRAP = TASKS

CASES: list[tuple[tuple[str, ...], str, str, bool, tuple[str | None, str | None]]] = [
    ((), "auto", "auto", False, (None, None)),
    ((), "none", "none", True, (None, None)),
    ((UNWRAP,), "auto", "auto", False, (None, UNWRAP)),
    ((FULL, UNWRAP), "auto", "auto", False, (FULL, UNWRAP)),
    ((LIGHT, FULL, UNWRAP), "auto", "auto", False, (LIGHT, UNWRAP)),
    ((LIGHT, FULL, UNWRAP), FULL, "none", False, (FULL, None)),
    ((LIGHT, FULL, UNWRAP), "none", "auto", False, (None, UNWRAP)),
    ((LIGHT, FULL, UNWRAP), "none", "none", False, (None, None)),
    ((LIGHT, FULL, UNWRAP), "auto", "auto", True, (None, UNWRAP)),
]


@pytest.mark.parametrize(("there", "accelerator", "unwrapper", "reference", "wanted"), CASES)
def test_a_network_is_taken_by_name_or_where_it_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    there: tuple[str, ...],
    accelerator: str,
    unwrapper: str,
    reference: bool,
    wanted: tuple[str | None, str | None],
) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    for name in there:
        write_network(tmp_path, name, TASKS[name])
    found = between_iterations(accelerator, unwrapper, reference=reference)
    assert tuple(None if one is None else one.name for one in found) == wanted


def test_a_network_that_was_named_and_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="lensfree_accelerate"):
        between_iterations(FULL, "auto", reference=False)


def test_the_reference_with_an_accelerator_is_refused() -> None:
    words = "accelerator lensfree_accelerate: the reference reconstruction has none"
    with pytest.raises(SettingsError, match=words):
        between_iterations(FULL, "auto", reference=True)


def test_a_network_of_another_task_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    artefact = write_network(tmp_path, LIGHT, "accelerate")
    with open_accelerator(artefact, "onnxruntime")._model:
        pass
    with pytest.raises(NetworkError, match=r"preprocessing\.task is accelerate, unwrap is needed"):
        open_unwrapper(artefact, "onnxruntime")

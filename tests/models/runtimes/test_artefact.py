"""The two files of a network: what is accepted, what is refused, and what is said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.models.runtimes import Artefact, Sidecar, load_artefact, open_model, sha256_of, write_artefact
from microscoped.models.runtimes.errors import ArtefactAlteredError, ArtefactMissingError, SidecarError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_was_written_is_read_again(toy: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "new" / "copy.onnx"
    write_artefact(path, toy.onnx, toy.sidecar)
    assert load_artefact(path) == Artefact(path, toy.sidecar, toy.onnx)
    assert sorted(file.name for file in path.parent.iterdir()) == ["copy.json", "copy.onnx"]


def test_the_fixture_is_what_its_script_says(toy: Artefact, make_toy: Any) -> None:
    assert toy.sidecar == make_toy.sidecar(toy.onnx)
    assert len(toy.onnx) < 10_000


@pytest.mark.parametrize("name", ["toy.onnx", "toy.json"])
def test_a_missing_file_is_named(toy_copy: Path, name: str) -> None:
    toy_copy.with_name(name).unlink()
    with pytest.raises(ArtefactMissingError, match=rf"{name} is missing"):
        load_artefact(toy_copy)


def test_one_flipped_bit_is_seen(toy_copy: Path) -> None:
    content = bytearray(toy_copy.read_bytes())
    content[500] ^= 1
    toy_copy.write_bytes(content)
    with pytest.raises(ArtefactAlteredError, match="changed or copied alone"):
        load_artefact(toy_copy)


def test_content_of_another_sidecar_is_not_written(toy: Artefact, tmp_path: Path) -> None:
    with pytest.raises(ArtefactAlteredError, match="sha256_of"):
        write_artefact(tmp_path / "a.onnx", toy.onnx + b"!", toy.sidecar)
    with pytest.raises(ValueError, match=r"must end with \.onnx"):
        write_artefact(tmp_path / "a.bin", toy.onnx, toy.sidecar)
    assert list(tmp_path.iterdir()) == []


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.pop(name)


def _with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.update(changes)


def _input(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card["inputs"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("licence"), "licence: Field required"),
        (_with(colour="red"), "colour: Extra inputs are not permitted"),
        (_with(sha256="abc"), "sha256: "),
        (_with(inputs=[]), "inputs: "),
        (_with(batch={"min": 4, "opt": 2, "max": 8}), "batch: .* min 4, opt 2, max 8"),
        (_with(batch={"min": 0, "opt": 2, "max": 8}), "batch.min: "),
        (_with(tolerance={"defocus": 1e-3}), r"tolerance is of \['defocus'\]"),
        (_with(tolerance={"defocus": 1e-3, "class": 0}), "tolerance.class"),
        (_input(shape=[1, 2, 16, 16]), "the first axis must be null"),
        (_input(shape=[None, 2, None, 16]), "the first axis must be null"),
        (_input(dtype="float31"), "inputs.0.dtype"),
        (_with(sidecar=2), "sidecar: "),
    ],
)
def test_a_wrong_sidecar_names_its_field(toy_copy: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    path = toy_copy.with_suffix(".json")
    card = json.loads(path.read_bytes())
    change(card)
    path.write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(SidecarError, match=said):
        load_artefact(toy_copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_a_sidecar_that_is_none_is_refused(toy_copy: Path, text: str) -> None:
    toy_copy.with_suffix(".json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SidecarError, match="export the model again"):
        load_artefact(toy_copy)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("inputs", {"shape": [None, 2, 16, 32]}),
        ("inputs", {"name": "pictures"}),
        ("inputs", {"dtype": "float16"}),
        ("outputs", {"shape": [None, 2]}),
    ],
)
def test_a_sidecar_that_tells_other_tensors_than_the_network_has_is_seen_on_opening(
    toy: Artefact, field: str, values: dict[str, Any]
) -> None:
    card = toy.sidecar.model_dump(mode="json")
    card[field][0].update(values)
    lying = Artefact(toy.path, Sidecar.model_validate(card), toy.onnx)
    with pytest.raises(ArtefactAlteredError, match=rf"the sidecar says the {field} are"):
        open_model(lying, "onnxruntime")


def test_the_hash_is_sha256() -> None:
    assert sha256_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

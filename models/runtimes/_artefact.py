"""A trained network as two files: the ONNX file, and the sidecar that says what it is."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from microscoped.models.runtimes.errors import ArtefactAlteredError, ArtefactMissingError, SidecarError

Dtype = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]
Size = Annotated[int, Field(ge=1)]


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(_Card):
    """One input or output of a network.

    Parameters
    ----------
    name
        Its name in the ONNX file.
    shape
        The batch axis comes first and is free: None. All other axes are fixed.
    dtype
        Element type.
    meaning
        What it is, in one sentence.
    unit
        Unit of its values, such as ``um``; ``1`` where they have none.
    """

    name: Annotated[str, Field(min_length=1)]
    shape: tuple[Size | None, ...]
    dtype: Dtype
    meaning: str
    unit: str

    @model_validator(mode="after")
    def _only_the_batch_is_free(self) -> Self:
        if not self.shape or self.shape[0] is not None or None in self.shape[1:]:
            raise ValueError(f"shape {list(self.shape)}: the first axis must be null (the batch), all others numbers")
        return self

    def at(self, batch: int) -> tuple[int, ...]:
        """Return the shape for a batch of this size."""
        return (batch, *(size for size in self.shape[1:] if size is not None))

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The dtype as numpy has it."""
        return np.dtype(self.dtype)


class BatchProfile(_Card):
    """The batch sizes that a plan is made for: smallest, the one it is made fastest for, largest."""

    min: Size
    opt: Size
    max: Size

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"min {self.min}, opt {self.opt}, max {self.max}: must not decrease")
        return self


class Sidecar(_Card):
    """What an ONNX file is: ``NAME.json`` beside ``NAME.onnx``.

    Parameters
    ----------
    name, version, title
        Which network it is.
    inputs, outputs
        Its tensors, in the order of the ONNX file.
    batch
        Batch sizes that it takes.
    preprocessing
        Settings of the numpy function that makes the inputs from frames; the model's own code reads them.
    sha256
        Hash of the ONNX file, in hexadecimal.
    training
        Recipe: data, seeds, versions.
    scores
        What was measured, and on what.
    tolerance
        By output: the largest absolute difference, in the output's unit, that two backends may show.
    licence
        SPDX name of the weights' licence.
    """

    sidecar: Literal[1] = 1
    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    title: str
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1)]
    batch: BatchProfile
    preprocessing: dict[str, JsonValue]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    tolerance: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    licence: str

    @model_validator(mode="after")
    def _every_output_has_a_tolerance(self) -> Self:
        names = {tensor.name for tensor in self.outputs}
        if set(self.tolerance) != names:
            raise ValueError(f"tolerance is of {sorted(self.tolerance)}: must be of every output, {sorted(names)}")
        return self


@dataclass(frozen=True)
class Artefact:
    """A network whose files were read and belong together.

    Parameters
    ----------
    path
        The ONNX file.
    sidecar
        What it is.
    onnx
        Its content, whose hash is the sidecar's: backends load this, not the file, which could change meanwhile.
    """

    path: Path
    sidecar: Sidecar
    onnx: bytes

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.sidecar.name


def sha256_of(content: bytes) -> str:
    """Return the hash that a sidecar holds of its ONNX file."""
    return hashlib.sha256(content).hexdigest()


def load_artefact(path: Path) -> Artefact:
    """Read an ONNX file and its sidecar, and check that they belong together.

    Parameters
    ----------
    path
        The ONNX file; the sidecar is beside it, with the ending ``.json``.

    Raises
    ------
    ArtefactMissingError
        One of both files is missing.
    SidecarError
        The sidecar is not valid; the message names the field.
    ArtefactAlteredError
        The ONNX file's hash is not the sidecar's.
    """
    card = path.with_suffix(".json")
    onnx, text = (_read(file) for file in (path, card))
    try:
        sidecar = Sidecar.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SidecarError(f"{card}: {problems}; export the model again, or reinstall the package") from None
    found = sha256_of(onnx)
    if found != sidecar.sha256:
        raise ArtefactAlteredError(
            f"{path} has the SHA-256 {found[:12]}…, but its sidecar says {sidecar.sha256[:12]}…: one of both was"
            " changed or copied alone; export the model again, or reinstall the package"
        )
    return Artefact(path, sidecar, onnx)


def write_artefact(path: Path, onnx: bytes, sidecar: Sidecar) -> Artefact:
    """Write an ONNX file and its sidecar.

    Each file appears whole or not at all. If it is interrupted between both, `load_artefact` refuses the pair.

    Parameters
    ----------
    path
        The ONNX file to write, with the ending ``.onnx``; its folder is made if absent.
    onnx
        Its content.
    sidecar
        What it is; ``sha256`` must be `sha256_of` of the content.

    Raises
    ------
    ArtefactAlteredError
        The sidecar belongs to another content.
    OSError
        It cannot be written.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: an artefact's file must end with .onnx")
    if sidecar.sha256 != sha256_of(onnx):
        raise ArtefactAlteredError(f"{path}: the sidecar's sha256 is not of this content; set it with sha256_of")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, onnx)
    replace_file(path.with_suffix(".json"), (sidecar.model_dump_json(indent=2) + "\n").encode())
    return Artefact(path, sidecar, onnx)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whoever else writes or reads it."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ArtefactMissingError(f"{path} is missing: export the model, or reinstall the package") from None
    except OSError as error:
        raise ArtefactMissingError(f"{path} cannot be read: {error}") from error


__all__ = [
    "Artefact",
    "BatchProfile",
    "Dtype",
    "Sidecar",
    "Tensor",
    "load_artefact",
    "replace_file",
    "sha256_of",
    "write_artefact",
]

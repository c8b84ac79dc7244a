"""Rendered stacks on disk: rendering is slow and done once; noise, place and defocus are fresh at every draw."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.focus_pair.training.fields import character_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.optics import Character
    from microscoped.models.focus_pair.training.fields import Field
    from microscoped.simulators.optics import FloatArray

BRIGHTEST = 3.0
"""Relative intensity that the largest code stands for."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A rendered stack and where it comes from.

    Parameters
    ----------
    codes
        Shape (colours, planes, height, width), to be decoded by `decode`.
    planes_dof
        Defocus of the planes.
    family, image_formation, na, dof_um, character
        From its field.
    key
        Which field: the same for all tiles and draws of one specimen.
    """

    codes: NDArray[np.uint8]
    planes_dof: NDArray[np.float64]
    family: str
    image_formation: str
    na: float
    dof_um: float
    character: Character
    key: str


def encode(images: FloatArray) -> NDArray[np.uint8]:
    """Return the codes of intensities: proportional to square roots, so that their steps follow the shot noise."""
    roots = np.sqrt(np.clip(images, 0.0, BRIGHTEST)) * np.float32(255.0 / np.sqrt(BRIGHTEST))
    return np.asarray(np.rint(roots), np.uint8)


def decode(codes: NDArray[np.uint8]) -> FloatArray:
    """Return the intensities of codes."""
    roots = codes.astype(np.float32)
    roots *= np.float32(np.sqrt(BRIGHTEST) / 255.0)
    np.square(roots, out=roots)
    return roots


def render_shard(folder: Path, name: str, make: Callable[[], Field]) -> Path:
    """Render a field unless it is there already; return where it is.

    Two files: ``NAME.npy`` with the codes and ``NAME.json`` with the field; the second one is written last.
    """
    description = folder / f"{name}.json"
    if not description.exists():
        field = make()
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.part.npy"
        np.save(part, encode(field.stack()))
        os.replace(part, folder / f"{name}.npy")
        text = folder / f"{name}.part.json"
        text.write_text(json.dumps({**asdict(field), "planes_dof": list(field.planes_dof())}), encoding="utf-8")
        os.replace(text, description)
    return description


def read_shard(description: Path) -> Stack:
    """Return a rendered stack, mapped into memory."""
    data: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
    wavelengths = data["wavelengths_um"]
    return Stack(
        codes=np.load(description.with_suffix(".npy"), mmap_mode="r"),
        planes_dof=np.array(data["planes_dof"]),
        family=data["family"],
        image_formation=data["image_formation"],
        na=data["na"],
        dof_um=wavelengths[len(wavelengths) // 2] / data["na"] ** 2,
        character=character_of(data["image_formation"], data["coherence"], data["spherical_waves"]),
        key=description.stem,
    )


__all__ = ["Stack", "decode", "encode", "read_shard", "render_shard"]

"""Images of cells as a fast lens-free reconstruction gives them, with the table that a perfect measurement would give.

Dishes and microscopes are drawn as for the training of the reconstruction's own networks, from seeds of their own. An
image is a file in a folder, written at once: making them can be interrupted and gone on with.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.quantities import Quantity
from microscoped.models.lensfree import NetworkAccelerator, NetworkUnwrapper, SolveSettings, solve_accelerated
from microscoped.models.lensfree.training.pairs import PairRecipe, believed_um, draw_scene, known_optics
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import open_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.training import Progress

NETWORKS: Final = ("lensfree_accelerate_light", "lensfree_unwrap")
SIDE_PX: Final = 512
SETTINGS: Final = SolveSettings(focus_range_um=0.0)


def reconstructed_images(
    folder: Path, seed: int, indices: Iterable[int], progress: Progress
) -> Iterator[tuple[NDArray[np.float32], CellTable]]:
    """Yield images and tables, made where the folder does not hold them yet.

    Parameters
    ----------
    folder
        Holds folders of images; made if absent.
    seed
        Of dishes, microscopes and noise.
    indices
        Which of them.
    progress
        Told after every image.
    """
    accelerating, unwrapping = (model_spec("lensfree").load(name) for name in NETWORKS)
    recipe = PairRecipe(side_px=SIDE_PX, seed=seed)
    networks = [one.sidecar.sha256 for one in (accelerating, unwrapping)]
    told = asdict(recipe) | {"networks": networks, "settings": asdict(SETTINGS)}
    place = folder / f"reconstructed-{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    wanted = list(indices)
    with (
        open_model(accelerating, "onnxruntime", threads=1) as first,
        open_model(unwrapping, "onnxruntime", threads=1) as last,
    ):
        accelerator, unwrapper = NetworkAccelerator(first, accelerating), NetworkUnwrapper(last, unwrapping)
        for done, index in enumerate(wanted, 1):
            path = place / f"{index:06d}.npz"
            if not path.exists():
                _make(recipe, index, accelerator, unwrapper, path)
            yield _read(path)
            progress.update(done, len(wanted))


def _make(
    recipe: PairRecipe, index: int, accelerator: NetworkAccelerator, unwrapper: NetworkUnwrapper, path: Path
) -> None:
    scene = draw_scene(recipe, index)
    optics = known_optics(scene, believed_um(recipe, index, scene))
    found = solve_accelerated(scene.expose().intensity(), optics, accelerator, SETTINGS, unwrapper=unwrapper)
    truth = CellTable.of_truths(scene.truths, (SIDE_PX, SIDE_PX), optics.pitch_um)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(
            file,
            opd_nm=found.opd_nm.astype(np.float16),
            pixel_um=optics.pitch_um,
            places_px=truth.places_px,
            border=truth.border,
            quantities=np.stack([truth.column(quantity) for quantity in Quantity]),
        )
    os.replace(part, path)


def _read(path: Path) -> tuple[NDArray[np.float32], CellTable]:
    with np.load(path) as held:
        image = held["opd_nm"].astype(np.float32)
        columns = {quantity.value: values for quantity, values in zip(Quantity, held["quantities"], strict=True)}
        columns["border"] = held["border"]
        shape = image.shape[0], image.shape[1]
        return image, CellTable.of_columns(held["places_px"], columns, shape, float(held["pixel_um"]))


__all__ = ["SIDE_PX", "reconstructed_images"]

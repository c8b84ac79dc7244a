"""Pairs to learn from: maps in the midst of a reconstruction, those at its end, and what is true.

Each comes from one reconstruction of one simulated frame and is one file in a folder, written at once: making them can
be interrupted and gone on with, by several processes. Frame ``k`` of a seed is the same in every folder.

The reconstruction is unwrapped on its way by who knows the truth. So no network that learns from pairs has to wait for
another, and none learns another's faults.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from microscoped.models.lensfree.network import UNITS
from microscoped.models.lensfree.optics import InlineOptics
from microscoped.models.lensfree.settings import REFERENCE_ITERATIONS, SolveSettings
from microscoped.models.lensfree.solve import solve
from microscoped.simulators.cells import CellLibrary, PopulationParameters
from microscoped.simulators.lensfree import LensFreeOptics, LensFreeScene, LensFreeSetup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.lensfree.solve import Progress
    from microscoped.models.lensfree.unwrap import Maps
    from microscoped.models.training import Progress as Watcher

VERSION: Final = 2
"""Of what a file holds and of how frames are drawn."""
CELLS: Final = 300
"""Rendered of each population in each process, of which frames are laid out."""
DENSITIES: Final = (20.0, 600.0)
NOMINAL_SHARE: Final = 0.5
"""Part of the frames with the paper's distance and usual LEDs; the others have any."""
Z_ERROR_UM: Final = 2.0
"""Standard deviation of the distance that autofocus leaves."""
TALL_TURNS: Final = 0.3
"""Wavelengths from which on a reconstruction may end a wavelength too low."""
SHARES: Final = {"matched": 0.3, "wide": 0.3, "tall": 0.4}
"""Of the frames, by their population."""
TALL_SHARE: Final = 0.2
"""Part of the tall population's cells that are round; the wide one's others."""


@dataclass(frozen=True, slots=True)
class PairRecipe:
    """Which pairs.

    Parameters
    ----------
    side_px
        Of a frame.
    early
        The maps after these iterations are what networks see.
    iterations
        The reconstruction's.
    seed
        Which frames.
    """

    side_px: int = 256
    early: tuple[int, ...] = SolveSettings().unwrap_at
    iterations: int = REFERENCE_ITERATIONS
    seed: int = 0

    @property
    def name(self) -> str:
        """Of the folder of these pairs: another for whatever changes them."""
        told = asdict(self) | {"version": VERSION, "settings": asdict(SolveSettings())}
        return "pairs-" + hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def make_pairs(
    recipe: PairRecipe, folder: Path, indices: Sequence[int], processes: int, progress: Watcher
) -> list[Path]:
    """Make those pairs that a folder does not hold yet.

    Parameters
    ----------
    recipe
        Which pairs.
    folder
        Holds folders of pairs; made if absent.
    indices
        Of the frames.
    processes
        That make them; one is this process.
    progress
        Told after every pair.

    Returns
    -------
    The files, in the order of the indices.
    """
    place = folder / recipe.name
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{index:06d}.npz" for index in indices]
    missing = [(recipe, index, path) for index, path in zip(indices, files, strict=True) if not path.exists()]
    with ExitStack() as stack:
        if processes > 1 and len(missing) > 1:
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(processes))
            made = pool.imap_unordered(_make, missing)
        else:
            made = map(_make, missing)  # type: ignore[assignment] # both are iterated over
        for done, _ in enumerate(made, len(files) - len(missing) + 1):
            progress.update(done, len(files))
    return files


def read_pair(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return early maps, last ones and true ones, in the units of the networks.

    Returns
    -------
    early
        Shape (iterations looked at, 2, rows, columns).
    late, true
        Shape (2, rows, columns).
    """
    with np.load(path) as held:
        early, late, true = (held[name].astype(np.float32) for name in ("early", "late", "true"))
    return early, late, true


def draw_scene(recipe: PairRecipe, index: int) -> LensFreeScene:
    """Return the dish and microscope of a frame."""
    rng = np.random.default_rng((recipe.seed, 51, index))
    library = _library(str(rng.choice(list(SHARES), p=list(SHARES.values()))), recipe.seed)
    density = float(rng.uniform(*DENSITIES))
    setup = LensFreeSetup(
        optics=LensFreeOptics() if rng.uniform() < NOMINAL_SHARE else LensFreeOptics.draw(rng),
        cells=replace(library.parameters, density_per_mm2=(density, density)),
        shape_px=(recipe.side_px, recipe.side_px),
        seed=int(rng.integers(1 << 31)),
        cell_absorption=float(rng.uniform(0.0, 0.03)),
    )
    return LensFreeScene(setup, source=library)


def known_optics(scene: LensFreeScene, z_um: float) -> InlineOptics:
    """Return what a user knows of a scene's microscope.

    Parameters
    ----------
    scene
        The scene.
    z_um
        The distance that is believed.
    """
    optics = scene.setup.optics
    return InlineOptics(
        wavelengths_um=optics.wavelengths_um,
        z_um=z_um,
        pitch_um=optics.pitch_um,
        led_um=optics.led_um,
        led_distance_um=optics.led_distance_um,
        bandwidths_nm=optics.bandwidth_nm,
        shifts_um=optics.shifts_um,
    )


class TruthUnwrapper:
    """Sets the tall places of a map to the truth: the best that an unwrapper can do.

    Parameters
    ----------
    true_nm
        Of the frame, in the middle of the maps.
    turn_nm
        The wavelength by which maps are ambiguous.
    misses
        So many calls change nothing at first, so that later maps are seen wrapped, too.
    """

    def __init__(self, true_nm: NDArray[np.float32], turn_nm: float, misses: int = 0) -> None:
        self._true_nm, self._tall, self._misses = true_nm, true_nm > TALL_TURNS * turn_nm, misses

    def __call__(self, opd_nm: NDArray[np.float32], absorption: NDArray[np.float32]) -> Maps:
        """Return the path difference set right on the frame, and the absorption as it was."""
        if self._misses:
            self._misses -= 1
            return opd_nm, absorption
        first = [(whole - size) // 2 for whole, size in zip(opd_nm.shape, self._true_nm.shape, strict=True)]
        frame = tuple(slice(at, at + size) for at, size in zip(first, self._true_nm.shape, strict=True))
        right = opd_nm.copy()
        right[frame][self._tall] = self._true_nm[self._tall]
        return right, absorption


def believed_um(recipe: PairRecipe, index: int, scene: LensFreeScene) -> float:
    """Return the distance that is believed of a frame, off the true one as autofocus leaves it."""
    return scene.z_um + Z_ERROR_UM * float(np.random.default_rng((recipe.seed, 52, index)).standard_normal())


def _make(task: tuple[PairRecipe, int, Path]) -> None:
    recipe, index, path = task
    scene = draw_scene(recipe, index)
    early: list[NDArray[np.float32]] = []

    def look(progress: Progress) -> None:
        if progress.iteration in recipe.early:
            early.append(np.stack(progress.maps()))

    optics = known_optics(scene, believed_um(recipe, index, scene))
    misses = int(np.random.default_rng((recipe.seed, 53, index)).integers(2))
    found = solve(
        scene.expose().intensity(),
        optics,
        SolveSettings(focus_range_um=0.0),
        iterations=recipe.iterations,
        unwrapper=TruthUnwrapper(scene.opd_nm, 1e3 * optics.reference_um, misses),
        callback=look,
    )
    late, true = np.stack([found.opd_nm, found.absorption]), np.stack([scene.opd_nm, scene.absorption])
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(
            file,
            early=(np.stack(early) / UNITS).astype(np.float16),
            late=(late / UNITS).astype(np.float16),
            true=(true / UNITS).astype(np.float16),
        )
    os.replace(part, path)


@lru_cache(maxsize=len(SHARES))
def _library(name: str, seed: int) -> CellLibrary:
    population = PopulationParameters.matched() if name == "matched" else PopulationParameters.wide()
    if name == "tall":
        population = replace(population, round_share=TALL_SHARE)
    return CellLibrary(population, count=CELLS, seed=seed)


__all__ = ["PairRecipe", "TruthUnwrapper", "believed_um", "draw_scene", "known_optics", "make_pairs", "read_pair"]

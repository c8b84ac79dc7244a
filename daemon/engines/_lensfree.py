"""Lens-free frames: from the configuration to what reads them.

What reads them is imported only where it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.engines._holograms import transforms
from microscoped.daemon.engines._shared import engine_threads, plans_folder

if TYPE_CHECKING:
    from microscoped.daemon.config import CellsEngineConfig
    from microscoped.models.cells.lensfree import LensFreeOpd
    from microscoped.models.lensfree import InlineOptics
    from microscoped.models.runtimes import Artefact


def networks_between(chosen: CellsEngineConfig) -> tuple[Artefact | None, Artefact | None]:
    """Return the accelerator and the unwrapper that are used.

    Raises
    ------
    ModelError
        One was asked for by name, and is not there or damaged.
    """
    from microscoped.models.lensfree.shipped import between_iterations

    reading = chosen.lensfree
    return between_iterations(reading.accelerator, reading.unwrapper, reference=reading.method == "reference")


def lensfree_source(chosen: CellsEngineConfig) -> LensFreeOpd:
    """Build what makes maps of lens-free frames.

    Raises
    ------
    ModelError, NetworkError
        A network cannot be used.
    """
    from microscoped.models.cells.lensfree import LensFreeOpd, LensFreeSettings
    from microscoped.models.hologram.arrays import SCIPY, ScipyArrays
    from microscoped.models.lensfree import FAST_ITERATIONS, REFERENCE_ITERATIONS, SolveSettings
    from microscoped.models.lensfree.shipped import open_accelerator, open_unwrapper

    reading, threads, arrays = chosen.lensfree, engine_threads(), transforms(chosen.backend)
    accelerator, unwrapper = networks_between(chosen)
    usual = REFERENCE_ITERATIONS if reading.method == "reference" else sum(FAST_ITERATIONS)
    settings = LensFreeSettings(
        iterations=reading.iterations or usual,
        dark_count=reading.dark_count,
        solve=SolveSettings(focus_range_um=reading.focus_range_um),
    )
    return LensFreeOpd(
        _optics(chosen),
        settings,
        accelerator=None
        if accelerator is None
        else open_accelerator(accelerator, chosen.backend, threads=threads, cache_folder=plans_folder()),
        unwrapper=None
        if unwrapper is None
        else open_unwrapper(unwrapper, chosen.backend, threads=threads, cache_folder=plans_folder()),
        pixel_um=chosen.pixel_size_um,
        arrays=ScipyArrays(threads) if arrays is SCIPY else arrays,
    )


def _optics(chosen: CellsEngineConfig) -> InlineOptics:
    """Return the microscope; the size of a pixel comes with each frame."""
    from microscoped.models.lensfree import InlineOptics

    reading = chosen.lensfree
    if reading.z_um is None:
        raise ValueError("engines.cells.lensfree.z_um is not configured")
    return InlineOptics(
        wavelengths_um=tuple(one / 1000 for one in reading.wavelengths_nm),
        z_um=reading.z_um,
        led_um=reading.led_um,
        led_distance_um=reading.led_distance_um,
        bandwidths_nm=reading.bandwidths_nm,
        shifts_um=reading.shifts_um,
    )


__all__ = ["lensfree_source", "networks_between"]

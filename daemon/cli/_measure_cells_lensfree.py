"""Lens-free frames in files, as the command line describes them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from microscoped.daemon.cli._console import console
from microscoped.daemon.heap import keep_pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.status import Status

    from microscoped.models.cells.lensfree import LensFreeOpd
    from microscoped.models.lensfree import Progress

WAVELENGTHS_NM = (630.0, 530.0, 450.0)
FOCUS_RANGE_UM = 40.0
TOLD_EVERY = 10
"""Into a file or a pipe, each how manieth iteration is told."""

Three = tuple[float, float, float]


class OptionError(ValueError):
    """An option is missing, or does not suit the others; the message names it."""


@dataclass(frozen=True, slots=True)
class LensFreeOptions:
    """What is said of a lens-free microscope and of the reconstruction; ``None`` where nothing is."""

    distance_um: float | None = None
    focus_range_um: float | None = None
    wavelengths_nm: Three | None = None
    bandwidths_nm: Three | None = None
    shifts_um: tuple[float, float, float, float, float, float] | None = None
    led_um: float | None = None
    led_distance_um: float | None = None
    dark_count: float | None = None
    reconstruction: Literal["fast", "reference"] | None = None
    iterations: int | None = None
    accelerator: str | None = None
    unwrapper: str | None = None


def lensfree_source(
    given: LensFreeOptions, pixel_um: float, follow: Callable[[Progress], None] | None = None
) -> LensFreeOpd:
    """Return what makes maps of lens-free frames.

    Raises
    ------
    OptionError, LensFreeError
        An option is missing or impossible.
    ModelError
        A network that was named cannot be used.
    """
    from microscoped.models.cells.lensfree import LensFreeOpd, LensFreeSettings
    from microscoped.models.hologram.arrays import ScipyArrays
    from microscoped.models.lensfree import FAST_ITERATIONS, REFERENCE_ITERATIONS, InlineOptics, SolveSettings
    from microscoped.models.lensfree.shipped import (
        ACCELERATORS,
        AUTO,
        UNWRAPPERS,
        between_iterations,
        open_accelerator,
        open_unwrapper,
    )
    from microscoped.models.runtimes import REFERENCE

    if given.distance_um is None:
        raise OptionError("--lensfree: --distance-um is required, from the cells to the sensor, as far as it is known")
    shifts = given.shifts_um
    optics = InlineOptics(
        wavelengths_um=tuple(one / 1000 for one in given.wavelengths_nm or WAVELENGTHS_NM),
        z_um=given.distance_um,
        pitch_um=pixel_um,
        led_um=given.led_um,
        led_distance_um=given.led_distance_um,
        bandwidths_nm=given.bandwidths_nm,
        shifts_um=None if shifts is None else ((shifts[0], shifts[1]), (shifts[2], shifts[3]), (shifts[4], shifts[5])),
    )
    range_um = FOCUS_RANGE_UM if given.focus_range_um is None else given.focus_range_um
    if range_um >= given.distance_um:
        raise OptionError(f"--focus-range-um {range_um:g}: must be below --distance-um {given.distance_um:g}")
    named = (("accelerator", given.accelerator, ACCELERATORS), ("unwrapper", given.unwrapper, UNWRAPPERS))
    for option, name, names in named:
        if name not in (None, AUTO, "none", *names):
            raise OptionError(f"--{option} {name}: must be one of {', '.join((AUTO, *names, 'none'))}")
    keep_pages()
    full = given.reconstruction == "reference"
    accelerator, unwrapper = between_iterations(given.accelerator or AUTO, given.unwrapper or AUTO, reference=full)
    usual = REFERENCE_ITERATIONS if full else sum(FAST_ITERATIONS)
    return LensFreeOpd(
        optics,
        LensFreeSettings(
            iterations=given.iterations or usual,
            dark_count=given.dark_count or 0.0,
            solve=SolveSettings(focus_range_um=range_um),
        ),
        accelerator=None if accelerator is None else open_accelerator(accelerator, REFERENCE),
        unwrapper=None if unwrapper is None else open_unwrapper(unwrapper, REFERENCE),
        pixel_um=pixel_um,
        arrays=ScipyArrays(os.cpu_count() or 1),
        follow=follow,
    )


class IterationsTold:
    """Tells on standard error how far a reconstruction is: one line that changes, or some lines into a file.

    A context round each image; to be called after each iteration.
    """

    def __init__(self) -> None:
        self._screen = console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> None:
        if self._screen.is_terminal:
            self._status = self._screen.status("reconstruction: shifts and distance")
            self._status.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __call__(self, progress: Progress) -> None:
        """Hear of an iteration."""
        words = f"reconstruction: iteration {progress.iteration}, residual {progress.residual:.4f}"
        if self._status is not None:
            self._status.update(words)
        elif progress.iteration % TOLD_EVERY == 0:
            self._screen.print(words)


__all__ = ["IterationsTold", "LensFreeOptions", "OptionError", "lensfree_source"]

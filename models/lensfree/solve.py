"""From lens-free holograms of several colours to optical path difference and absorption (Allier 2022, §2.2)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.lensfree._descent import Descent
from microscoped.models.lensfree.autofocus import find_distance
from microscoped.models.lensfree.errors import SettingsError, StartError
from microscoped.models.lensfree.forward import ForwardModel
from microscoped.models.lensfree.frames import even_light
from microscoped.models.lensfree.objective import Objective
from microscoped.models.lensfree.register import estimate_shifts_um
from microscoped.models.lensfree.settings import FAST_ITERATIONS, REFERENCE_ITERATIONS, SolveSettings
from microscoped.models.lensfree.start import linear_start
from microscoped.models.maps import common_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.lensfree.optics import InlineOptics
    from microscoped.models.lensfree.unwrap import Accelerator, Maps, Unwrapper


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What a reconstruction found. Arrays are never written to.

    Parameters
    ----------
    opd_nm
        Optical path difference against the medium, shape (rows, columns).
    absorption
        Of the amplitude, 0 or more, shape (rows, columns).
    residuals
        Root mean square of |A U| − √I at each iteration, the clear field being 1.
    z_um
        Distance from specimen to sensor.
    shifts_um
        Of each colour, (row, column).
    timings_s
        Wall time of each stage: light, registration, focus, start, iterations, and network where there is one.
    """

    opd_nm: NDArray[np.float32]
    absorption: NDArray[np.float32]
    residuals: tuple[float, ...]
    z_um: float
    shifts_um: tuple[tuple[float, float], ...]
    timings_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reconstruction stands.

    Parameters
    ----------
    iteration
        From 1.
    residual
        As in `Reconstruction`.
    maps
        Returns the maps of the best place so far, of the frame's shape.
    """

    iteration: int
    residual: float
    maps: Callable[[], Maps]


@dataclass(slots=True)
class _Run:
    """One frame's reconstruction while it goes on."""

    model: ForwardModel
    objective: Objective
    memory: int
    timings_s: dict[str, float]
    shifts_um: tuple[tuple[float, float], ...]
    values: int
    callback: Callable[[Progress], None] | None
    residuals: list[float] = field(default_factory=list)

    def iterate(self, state: Any, count: int) -> Any:  # noqa: ANN401 - an array of the backend
        """Return the state after so many evaluations, the one of the start included."""
        clock = time.perf_counter()
        descent = Descent(self.objective, state, self.memory)
        self._note(descent)
        for _ in range(count - 1):
            descent.step()
            self._note(descent)
        _add(self.timings_s, "iterations", clock)
        return descent.place

    def through(self, state: Any, change: Callable[..., Maps], name: str) -> Any:  # noqa: ANN401
        """Return a state whose maps were changed by a network or the like."""
        clock = time.perf_counter()
        opd_nm, absorption = self.model.maps(state)
        opd_nm -= self._level(opd_nm)
        after = tuple(np.asarray(values, np.float32) for values in change(opd_nm, absorption))
        for kind, values in zip(("opd_nm", "absorption"), after, strict=True):
            if values.shape != opd_nm.shape or not np.isfinite(values).all():
                raise StartError(
                    f"{name} returned {kind} of shape {values.shape} for {opd_nm.shape}, finite: "
                    f"{bool(np.isfinite(values).all())}; give maps of the shape that was asked"
                )
        changed = self.model.state(*after)
        _add(self.timings_s, "network", clock)
        return changed

    def cut(self, state: Any) -> Maps:  # noqa: ANN401
        """Return a state's maps on the frame, the background's path difference being 0."""
        opd_nm, absorption = (np.ascontiguousarray(values[self.model.frame]) for values in self.model.maps(state))
        opd_nm -= self._level(opd_nm)
        return opd_nm, absorption

    def finish(self, state: Any) -> Reconstruction:  # noqa: ANN401
        """Return the reconstruction that a state is."""
        opd_nm, absorption = self.cut(state)
        return Reconstruction(
            opd_nm, absorption, tuple(self.residuals), self.model.z_um, self.shifts_um, dict(self.timings_s)
        )

    def _level(self, opd_nm: NDArray[np.float32]) -> np.float32:
        """Return the background's path difference, of a map of the frame or the padded grid."""
        return np.float32(common_level(opd_nm[self.model.frame] if opd_nm.shape != self.model.shape_px else opd_nm))

    def _note(self, descent: Descent) -> None:
        self.residuals.append(math.sqrt(self.objective.data / self.values))
        if self.callback is not None:
            self.callback(Progress(len(self.residuals), self.residuals[-1], lambda: self.cut(descent.place)))


def solve(
    frames: NDArray[np.generic],
    optics: InlineOptics,
    settings: SolveSettings | None = None,
    *,
    start: Maps | None = None,
    iterations: int = REFERENCE_ITERATIONS,
    unwrapper: Unwrapper | None = None,
    callback: Callable[[Progress], None] | None = None,
    arrays: ArrayBackend = SCIPY,
) -> Reconstruction:
    """Return the specimen whose holograms are the frames: the reference reconstruction.

    Parameters
    ----------
    frames
        Shape (colours, rows, columns) in the order of the optics' wavelengths, the camera's offset taken off.
    optics
        The microscope. Its distance is refined and its shifts are estimated where the settings and it leave it open.
    settings
        The defaults where left out.
    start
        Maps of the frame's shape to start from, instead of the linear reconstruction.
    iterations
        Evaluations of loss and gradient, one propagation and its adjoint for each colour.
    unwrapper
        Called after the iterations that the settings name.
    callback
        Called after each iteration; what it raises ends the reconstruction.
    arrays
        Where it is computed.

    Raises
    ------
    FramesError, SettingsError, StartError
        The message names what is wrong.
    """
    settings = settings if settings is not None else SolveSettings()
    _check_count("iterations", iterations)
    run, state = _begin(frames, optics, settings, start, callback, arrays)
    done = 0
    if unwrapper is not None:
        for stop in sorted({after for after in settings.unwrap_at if after < iterations}):
            state = run.through(run.iterate(state, stop - done), unwrapper, "unwrapper")
            done = stop
    return run.finish(run.iterate(state, iterations - done))


def solve_accelerated(
    frames: NDArray[np.generic],
    optics: InlineOptics,
    accelerator: Accelerator,
    settings: SolveSettings | None = None,
    *,
    unwrapper: Unwrapper | None = None,
    iterations: tuple[int, int] = FAST_ITERATIONS,
    callback: Callable[[Progress], None] | None = None,
    arrays: ArrayBackend = SCIPY,
) -> Reconstruction:
    """Return the specimen by few iterations, a network, and few iterations more that make it true to the data.

    Parameters
    ----------
    frames, optics, settings, callback, arrays
        As in `solve`.
    accelerator
        Called once, with the maps of the padded grid.
    unwrapper
        Called with the last maps: what the accelerator has left a wavelength too low, it sets right.
    iterations
        Before the accelerator and after it.

    Raises
    ------
    FramesError, SettingsError, StartError
        The message names what is wrong.
    """
    settings = settings if settings is not None else SolveSettings()
    for count in iterations:
        _check_count("iterations", count)
    run, state = _begin(frames, optics, settings, None, callback, arrays)
    state = run.through(run.iterate(state, iterations[0]), accelerator, "accelerator")
    state = run.iterate(state, iterations[1])
    if unwrapper is not None:
        state = run.through(state, unwrapper, "unwrapper")
    return run.finish(state)


def _begin(
    frames: NDArray[np.generic],
    optics: InlineOptics,
    settings: SolveSettings,
    start: Maps | None,
    callback: Callable[[Progress], None] | None,
    arrays: ArrayBackend,
) -> tuple[_Run, Any]:
    """Return a run, with distance and shifts found, and the state that it starts from."""
    timings: dict[str, float] = {}
    clock = time.perf_counter()
    light = even_light(frames, optics)
    shape = light.shape[1], light.shape[2]
    clock = _add(timings, "light", clock)
    shifts = optics.shifts_um if optics.shifts_um is not None else estimate_shifts_um(light, optics, optics.z_um)
    clock = _add(timings, "registration", clock)
    z_um = optics.z_um
    if settings.focus_range_um:
        z_um = find_distance(light, optics, shifts, settings, arrays).z_um
        clock = _add(timings, "focus", clock)
        if optics.shifts_um is None:
            shifts = estimate_shifts_um(light, optics, z_um)
            clock = _add(timings, "registration", clock)
    model = ForwardModel(shape, replace(optics, shifts_um=shifts), z_um, shifts, arrays)
    state = model.state(*(linear_start(light, model, shifts) if start is None else _checked(start, shape)))
    moduli = [arrays.asarray(modulus) for modulus in np.sqrt(light, out=light)]
    _add(timings, "start", clock)
    return _Run(
        model, Objective(model, moduli, settings), settings.memory, timings, shifts, light.size, callback
    ), state


def _checked(start: Maps, shape: tuple[int, int]) -> Maps:
    for name, values in zip(("opd_nm", "absorption"), start, strict=True):
        if values.shape != shape or not np.isfinite(values).all():
            raise StartError(
                f"start {name}: shape {values.shape}, finite: {bool(np.isfinite(values).all())}; finite maps of the "
                f"frames' shape {shape} are needed"
            )
    return start


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise SettingsError(f"{name} {count}: at least 1 is needed")


def _add(timings: dict[str, float], stage: str, since: float) -> float:
    """Add the time since a moment to a stage, and return the present one."""
    now = time.perf_counter()
    timings[stage] = timings.get(stage, 0.0) + now - since
    return now


__all__ = ["Progress", "Reconstruction", "solve", "solve_accelerated"]

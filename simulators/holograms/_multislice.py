"""Light through a map of the refractive index, slice by slice: for evaluation, and for what is not thin.

Shares no step with the thin elements: own grid and slices, double precision, own propagator with decaying evanescent
waves, absorbing borders instead of periodic ones, and Fourier integrals instead of a common grid. A reconstruction
that does well on both did not learn the simulator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from microscoped.simulators.holograms._bodies import filled
from microscoped.simulators.holograms._field import ObjectField, band_size, frame_period
from microscoped.simulators.holograms._specimen import PlacedBody
from microscoped.simulators.holograms._thin import MARGIN_UM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.simulators.holograms._bodies import Body
    from microscoped.simulators.holograms._optics import OffAxisOptics

Complex: TypeAlias = NDArray[np.complex128]

ABSORBED_PER_UM = 1.0
"""Decay of the scattered wave's amplitude at the outermost border, per micrometre travelled."""
GAP_UM = 1.0
"""Longest step through free space between bodies, so that the border can absorb."""


@dataclass(frozen=True, slots=True)
class Slicing:
    """The grid of the index map.

    Parameters
    ----------
    step_um
        Size of a voxel sideways.
    slice_um
        Its height.
    margin_um
        Width of the map round its bodies.
    border_um
        Part of the margin that absorbs.
    """

    step_um: float = 0.1
    slice_um: float = 0.1
    margin_um: float = 9.0
    border_um: float = 3.0

    def __post_init__(self) -> None:
        if min(self.step_um, self.slice_um, self.border_um) <= 0 or self.margin_um <= self.border_um:
            raise ValueError("step, slice and border must be positive, and the margin wider than the border")


def multislice_field(
    bodies: Sequence[PlacedBody],
    optics: OffAxisOptics,
    shape_px: tuple[int, int],
    margin_um: float = MARGIN_UM,
    slicing: Slicing | None = None,
) -> ObjectField:
    """Return the field of a frame, its bodies taken as solids.

    Bodies whose light can meet stand in one map and scatter on each other's light; groups that cannot are computed
    alone, and their scattered waves are added. Slow: about a second for a body, more for a group.

    Parameters
    ----------
    bodies
        What lies in the field.
    optics
        The microscope.
    shape_px
        Of the frame.
    margin_um
        Round the frame.
    slicing
        The grid of the index map.
    """
    slicing = slicing if slicing is not None else Slicing()
    pixels, margin = frame_period(shape_px, optics, margin_um)
    period = pixels[0] * optics.pixel_um, pixels[1] * optics.pixel_um
    origin = -margin * optics.pixel_um, -margin * optics.pixel_um
    field = ObjectField(np.zeros(band_size(period, optics), np.complex64), period, origin, optics)
    for group in _groups(bodies, optics):
        field = replace(field, scattered=field.scattered + _behind(group, field, slicing).scattered)
    return field


def multislice_body_field(
    body: Body, optics: OffAxisOptics, period_um: float, slicing: Slicing | None = None
) -> ObjectField:
    """Return the field of one body alone, a solid, at z = 0 in the middle of a square period.

    Parameters
    ----------
    body
        What it is of; its middle is at (0, 0).
    optics
        The microscope.
    period_um
        Side of the square.
    slicing
        The grid of the index map.
    """
    period, origin = (period_um, period_um), (-period_um / 2.0, -period_um / 2.0)
    like = ObjectField(np.zeros(band_size(period, optics), np.complex64), period, origin, optics)
    return _behind([PlacedBody(body, 0.0, 0.0, 0.0)], like, slicing if slicing is not None else Slicing())


def _groups(bodies: Sequence[PlacedBody], optics: OffAxisOptics) -> list[list[PlacedBody]]:
    """Return bodies whose cones of light inside the pupil touch, together."""
    slope = optics.na / math.sqrt(optics.medium_index**2 - optics.na**2)
    groups: list[list[PlacedBody]] = []
    for placed in bodies:
        near: list[list[PlacedBody]] = []
        for group in groups:
            for other in group:
                apart = math.hypot(placed.x_um - other.x_um, placed.y_um - other.y_um)
                meet = placed.body.radius_um + other.body.radius_um + slope * abs(placed.z_um - other.z_um)
                if apart < meet:
                    near.append(group)
                    break
        merged = [placed, *(other for group in near for other in group)]
        groups = [group for group in groups if not any(group is one for one in near)]
        groups.append(merged)
    return groups


def _behind(bodies: Sequence[PlacedBody], like: ObjectField, slicing: Slicing) -> ObjectField:
    """Return the field of bodies in one map, brought to the recording plane, on the grid of another field."""
    optics = like.optics
    reach = [placed.body.radius_um + slicing.margin_um for placed in bodies]
    first_y, first_x = (
        min(getattr(placed, name) - r for placed, r in zip(bodies, reach, strict=True)) for name in ("y_um", "x_um")
    )
    last_y, last_x = (
        max(getattr(placed, name) + r for placed, r in zip(bodies, reach, strict=True)) for name in ("y_um", "x_um")
    )
    rows = fft.next_fast_len(math.ceil((last_y - first_y) / slicing.step_um))
    columns = fft.next_fast_len(math.ceil((last_x - first_x) / slicing.step_um))
    y = first_y + slicing.step_um * np.arange(rows)
    x = first_x + slicing.step_um * np.arange(columns)
    scattered, z = _march(bodies, y, x, optics, slicing)
    scattered *= np.outer(_inner(rows, slicing), _inner(columns, slicing))
    # Fourier integrals over the map, at the frequencies of the frame.
    fx, fy = (f.astype(np.float64).reshape(-1) for f in like.frequencies())
    area = like.period_um[0] * like.period_um[1]
    down = np.exp(-2j * np.pi * np.outer(fy, y - like.origin_um[0]))
    across = np.exp(-2j * np.pi * np.outer(x - like.origin_um[1], fx))
    spectrum = down @ scattered @ across * (slicing.step_um**2 / area)
    f2 = fy[:, None] ** 2 + fx[None, :] ** 2
    spectrum *= f2 <= optics.cutoff_per_um**2
    spectrum *= _propagator(f2, optics, -z)
    return replace(like, scattered=spectrum.astype(np.complex64))


def _march(
    bodies: Sequence[PlacedBody],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    optics: OffAxisOptics,
    slicing: Slicing,
) -> tuple[Complex, float]:
    """Return the scattered wave behind the last body, and where that is.

    Each slice turns the phase by 2π/λ·(n − n_medium)·dz between two half steps through the medium (split-step beam
    propagation: M. D. Feit and J. A. Fleck, Applied Optics 17, 3990 (1978), with the exact angular spectrum).
    """
    frequencies = [np.fft.fftfreq(axis.size, slicing.step_um) for axis in (y, x)]
    f2 = frequencies[0][:, None] ** 2 + frequencies[1][None, :] ** 2
    scattered: Complex = np.zeros((y.size, x.size), np.complex128)
    slabs = _slabs(bodies)
    here = slabs[0][0]
    edge = np.minimum.outer(_inner(y.size, slicing), _inner(x.size, slicing))
    for low, high in slabs:
        pieces = math.ceil((low - here) / GAP_UM)
        for _ in range(pieces):
            scattered = _stepped(scattered, _propagator(f2, optics, (low - here) / pieces))
            scattered *= np.exp(-ABSORBED_PER_UM * (low - here) / pieces * (1.0 - edge))
        count = max(1, math.ceil((high - low) / slicing.slice_um))
        height = (high - low) / count
        half, whole = _propagator(f2, optics, height / 2.0), _propagator(f2, optics, height)
        absorbed = np.exp(-ABSORBED_PER_UM * height * (1.0 - edge))
        scattered = _stepped(scattered, half)
        for k in range(count):
            z = low + (k + 0.5) * height
            turn = _contrast(bodies, y, x, z, height, optics, slicing) * (2j * np.pi * height / optics.wavelength_um)
            screen = np.exp(turn) - 1.0
            scattered += screen * (1.0 + scattered)
            scattered *= absorbed
            scattered = _stepped(scattered, whole if k < count - 1 else half)
        here = high
    return scattered, here


def _slabs(bodies: Sequence[PlacedBody]) -> list[tuple[float, float]]:
    """Return the ranges of z that hold matter."""
    spans = sorted((p.z_um - p.body.half_height_um, p.z_um + p.body.half_height_um) for p in bodies)
    slabs = [spans[0]]
    for low, high in spans[1:]:
        if low <= slabs[-1][1]:
            slabs[-1] = slabs[-1][0], max(high, slabs[-1][1])
        else:
            slabs.append((low, high))
    return slabs


def _contrast(
    bodies: Sequence[PlacedBody],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    z: float,
    height_um: float,
    optics: OffAxisOptics,
    slicing: Slicing,
) -> NDArray[np.float64]:
    """Return n − n_medium of a slice about the plane z; where bodies overlap the last one counts."""
    contrast = np.zeros((y.size, x.size))
    for placed in bodies:
        body = placed.body
        if abs(z - placed.z_um) > body.half_height_um + slicing.slice_um:
            continue
        rows = np.flatnonzero(np.abs(y - placed.y_um) <= body.radius_um + slicing.step_um)
        columns = np.flatnonzero(np.abs(x - placed.x_um) <= body.radius_um + slicing.step_um)
        # A voxel counts as far as it is filled: along z by its height, sideways by four points.
        part = np.zeros((rows.size, columns.size))
        for dy, dx in ((-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)):
            level = body.level(
                (x[columns] + dx * slicing.step_um - placed.x_um).astype(np.float32)[None, :],
                (y[rows] + dy * slicing.step_um - placed.y_um).astype(np.float32)[:, None],
                np.full((1, 1), z - placed.z_um, np.float32),
            )
            part += 0.25 * filled(level, height_um)
        window = np.ix_(rows, columns)
        contrast[window] = contrast[window] * (1.0 - part) + (body.index - optics.medium_index) * part
    return contrast


def _propagator(f2: NDArray[np.float64], optics: OffAxisOptics, distance_um: float) -> Complex:
    """Return exp(2πi·z·(√(k² − f²) − k)); evanescent waves decay both ways, so that none can grow."""
    k = optics.medium_index / optics.wavelength_um
    axial = np.sqrt((k * k - f2).astype(np.complex128))
    phase = np.exp(2j * np.pi * distance_um * (axial.real - k))
    return np.asarray(phase * np.exp(-2.0 * np.pi * abs(distance_um) * axial.imag))


def _stepped(wave: Complex, propagator: Complex) -> Complex:
    return np.asarray(fft.ifft2(fft.fft2(wave, overwrite_x=True) * propagator, overwrite_x=True))


def _inner(size: int, slicing: Slicing) -> NDArray[np.float64]:
    """Return a window that is 1 inside and falls to 0 over the absorbing border as a raised cosine."""
    from_edge = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5) * slicing.step_um
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(from_edge / slicing.border_um, 1.0)))


__all__ = ["Slicing", "multislice_body_field", "multislice_field"]

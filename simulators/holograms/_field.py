"""The light behind a specimen as a band-limited field: propagated, moved and sampled from its few frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.simulators.optics import ComplexArray, FloatArray, axial_frequency, unit_phasor

if TYPE_CHECKING:
    from microscoped.simulators.holograms._optics import OffAxisOptics


@dataclass(frozen=True, eq=False)
class ObjectField:
    """The object wave O = 1 + s at the recording plane, inside the pupil, relative to the clear field.

    Time dependence exp(−iωt): a wave gains phase along its way, and a denser body has the larger phase. The phase of
    the axial wave is left out, so that the clear field stays 1. Immutable; any thread.

    Parameters
    ----------
    scattered
        Spectrum of s: the amplitude of the plane wave with k cycles per period, in the order of an FFT, shape
        (rows, columns), both odd.
    period_um
        Height and width after which the field repeats.
    origin_um
        Where the period begins (y, x), from the middle of the camera's pixel in row 0, column 0.
    optics
        The microscope.
    """

    scattered: ComplexArray
    period_um: tuple[float, float]
    origin_um: tuple[float, float]
    optics: OffAxisOptics

    @classmethod
    def of_samples(
        cls,
        contrast: ComplexArray,
        period_um: tuple[float, float],
        origin_um: tuple[float, float],
        optics: OffAxisOptics,
    ) -> ObjectField:
        """Return the field that a plane of samples leaves inside the pupil.

        Parameters
        ----------
        contrast
            O − 1 on a grid over one period; the first sample is at the origin.
        """
        rows, columns = band_size(period_um, optics)
        spectrum = fft.fft2(contrast, norm="forward")
        spectrum = spectrum[np.ix_(_wrapped(rows) % contrast.shape[0], _wrapped(columns) % contrast.shape[1])]
        field = cls(np.asarray(spectrum, np.complex64), period_um, origin_um, optics)
        fx, fy = field.frequencies()
        return replace(field, scattered=field.scattered * optics.pupil.transmission(fx, fy))

    def frequencies(self) -> tuple[FloatArray, FloatArray]:
        """Return (fx, fy) in cycles per micrometre, shapes (1, columns) and (rows, 1)."""
        rows, columns = self.scattered.shape
        fy = (_wrapped(rows) / self.period_um[0]).astype(np.float32)[:, None]
        fx = (_wrapped(columns) / self.period_um[1]).astype(np.float32)[None, :]
        return fx, fy

    def downstream(self, distance_um: float) -> ObjectField:
        """Return the field in a plane further along the light, by the exact angular spectrum.

        J. W. Goodman, Introduction to Fourier Optics, §3.10: times exp(2πi·z·(√((n/λ)² − f²) − n/λ)).
        """
        fx, fy = self.frequencies()
        axial = axial_frequency(self.optics.medium_index, self.optics.wavelength_um, fx, fy)
        return replace(self, scattered=self.scattered * unit_phasor(axial * np.float32(distance_um)))

    def on_grid(self, shape: tuple[int, int], pixel_um: float, first_um: tuple[float, float]) -> ComplexArray:
        """Return O on any grid, from the sum over its plane waves.

        Parameters
        ----------
        shape, pixel_um
            Of the grid.
        first_um
            Where its first sample is (y, x), from the middle of the camera's pixel in row 0, column 0.
        """
        waves = []
        for axis in range(2):
            frequency = _wrapped(self.scattered.shape[axis]) / self.period_um[axis]
            place = first_um[axis] - self.origin_um[axis] + pixel_um * np.arange(shape[axis])
            waves.append(np.exp(2j * np.pi * np.outer(place, frequency)).astype(np.complex64))
        return np.asarray(waves[0] @ self.scattered @ waves[1].T + np.float32(1.0), np.complex64)

    def on_camera(self, shape_px: tuple[int, int], shift_um: tuple[float, float] = (0.0, 0.0)) -> ComplexArray:
        """Return O at the middles of the camera's pixels, by a pruned FFT.

        The period must be a whole number of pixels, and so must the origin, as in the fields of whole frames.

        Parameters
        ----------
        shape_px
            Of the frame.
        shift_um
            Moves all places (y, x).

        Raises
        ------
        ValueError
            The period or the origin is no whole number of pixels, or the frame is larger than the period.
        """
        pixel = self.optics.pixel_um
        sizes = [round(length / pixel) for length in self.period_um]
        starts = [round(-origin / pixel) for origin in self.origin_um]
        whole = (*zip(sizes, self.period_um, strict=True), *zip(starts, (-o for o in self.origin_um), strict=True))
        if any(abs(count * pixel - length) > 1e-3 * pixel for count, length in whole):
            raise ValueError(
                f"period_um {self.period_um} and origin_um {self.origin_um} must be multiples of the pixel, {pixel} µm"
            )
        if any(start < 0 or start + n > size for start, n, size in zip(starts, shape_px, sizes, strict=True)):
            raise ValueError(f"a frame of {shape_px} pixels does not fit a field of {tuple(sizes)} from {starts}")
        spectrum = self.scattered
        if shift_um != (0.0, 0.0):
            fx, fy = self.frequencies()
            spectrum = spectrum * unit_phasor(fy * np.float32(shift_um[0]) + fx * np.float32(shift_um[1]))
        values = pruned_inverse(spectrum, (sizes[0], sizes[1]), (starts[0], starts[1]), shape_px)
        values += np.float32(1.0)
        return values


def pruned_inverse(
    spectrum: ComplexArray, sizes: tuple[int, int], starts: tuple[int, int], shape: tuple[int, int]
) -> ComplexArray:
    """Return part of the inverse transform of a narrow band: only what is not zero, and only what is wanted.

    Parameters
    ----------
    spectrum
        In the order of an FFT, shape (rows, columns), both odd.
    sizes
        Samples per period.
    starts, shape
        First sample that is wanted, and how many.
    """
    rows, columns = spectrum.shape
    wide = np.zeros((rows, sizes[1]), np.complex64)
    half = columns // 2
    wide[:, : half + 1] = spectrum[:, : half + 1]
    wide[:, sizes[1] - half :] = spectrum[:, half + 1 :]
    wide = fft.ifft(wide, axis=1, norm="forward", overwrite_x=True)[:, starts[1] : starts[1] + shape[1]]
    tall = np.zeros((sizes[0], shape[1]), np.complex64)
    half = rows // 2
    tall[: half + 1] = wide[: half + 1]
    tall[sizes[0] - half :] = wide[half + 1 :]
    values = fft.ifft(tall, axis=0, norm="forward", overwrite_x=True)
    return np.ascontiguousarray(values[starts[0] : starts[0] + shape[0]], np.complex64)


def band_size(period_um: tuple[float, float], optics: OffAxisOptics) -> tuple[int, int]:
    """Return how many frequencies along each axis hold the pupil."""
    rows, columns = (2 * math.ceil(optics.cutoff_per_um * length) + 1 for length in period_um)
    return rows, columns


def frame_period(shape_px: tuple[int, int], optics: OffAxisOptics, margin_um: float) -> tuple[tuple[int, int], int]:
    """Return pixels per period of a field with a margin round a frame, good for FFTs, and pixels of the margin."""
    margin = math.ceil(margin_um / optics.pixel_um)
    height, width = (fft.next_fast_len(size + 2 * margin) for size in shape_px)
    return (height, width), margin


def _wrapped(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return 0, 1 … k, −k … −1 for an odd count."""
    return np.fft.ifftshift(np.arange(count) - count // 2)


__all__ = ["ObjectField", "band_size", "frame_period", "pruned_inverse"]

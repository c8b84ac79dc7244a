"""Crops for training: each body rendered once, then refocused, shifted, given neighbours and noise at every draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.holograms._field import pruned_inverse
from microscoped.simulators.holograms._recording import Interferometer, Reference
from microscoped.simulators.holograms._render import body_field
from microscoped.simulators.optics import ComplexArray, FloatArray, axial_frequency, unit_phasor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from microscoped.simulators.holograms._bodies import Body
    from microscoped.simulators.holograms._field import ObjectField
    from microscoped.simulators.holograms._optics import OffAxisOptics
    from microscoped.simulators.sensor import SensorModel


@dataclass(frozen=True, slots=True)
class CropParameters:
    """What crops are drawn from; pairs are least and greatest, drawn evenly.

    Parameters
    ----------
    z_um
        Distance of the body in the middle.
    off_centre_um
        So far its middle lies beside the crop's middle, at most, along each axis.
    neighbours
        Probability of each of two further bodies.
    neighbour_um
        Their distance from the one in the middle, sideways.
    neighbour_z_um
        Their depths lie so far from its depth, at most.
    noise
        Root mean square of the sensor's noise in the filtered field, relative to the clear field; see `field_noise`.
    speckle, speckle_na
        Root mean square of what the background hologram does not remove, and the aperture that it fills.
    parasitic, parasitic_per_um
        Amplitude of a second reflection left over, and its tilt in cycles per micrometre.
    gain
        Amplitude of the clear field.
    tilt_per_um
        Tilt of the phase left over, at most, along each axis, in cycles per micrometre; the constant phase is random.
    """

    z_um: tuple[float, float] = (-15.0, 15.0)
    off_centre_um: float = 1.0
    neighbours: float = 0.3
    neighbour_um: tuple[float, float] = (10.0, 25.0)
    neighbour_z_um: float = 6.0
    noise: tuple[float, float] = (0.004, 0.04)
    speckle: tuple[float, float] = (0.0, 0.05)
    speckle_na: tuple[float, float] = (0.25, 0.75)
    parasitic: tuple[float, float] = (0.0, 0.02)
    parasitic_per_um: tuple[float, float] = (0.02, 0.5)
    gain: tuple[float, float] = (0.95, 1.05)
    tilt_per_um: float = 0.002

    def __post_init__(self) -> None:
        if not 0 <= self.neighbours <= 1:
            raise ValueError(f"neighbours {self.neighbours} is outside 0 … 1")


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops and what is true of them.

    Parameters
    ----------
    values
        Complex fields at the recording plane, or holograms; shape (count, size, size).
    z_um
        Distance of the body in the middle, positive downstream of the recording plane; shape (count,).
    body
        Which of the source's bodies it is.
    neighbour_um
        Distance of the nearest neighbour, sideways; infinite where there is none.
    speckle, noise
        As drawn.
    shift_um
        Where its middle is from the crop's middle, (y, x); shape (count, 2).
    """

    values: NDArray[np.complex64] | NDArray[np.float32]
    z_um: FloatArray
    body: NDArray[np.intp]
    neighbour_um: FloatArray
    speckle: FloatArray
    noise: FloatArray
    shift_um: FloatArray


class CropSource:
    """Draws crops of holograms: of filtered fields, and of raw holograms.

    The bodies are rendered when the source is made. Light that bodies scatter on each other twice is left out. Draws
    are independent and may come from any thread, each with its own ``rng``.

    Parameters
    ----------
    bodies
        Rendered once each, one after the other.
    optics
        The microscope.
    pixel_um
        Sample of a filtered crop; at most λ/(2 NA), so that the pupil's band fits.
    size_px
        Samples along each side of a filtered crop.
    period_px
        Samples after which the computed field repeats; what lies beyond the crop keeps defocused light from
        entering on the other side.
    render
        Makes the field of one body at z = 0 in the middle of a period; `multislice_body_field` to evaluate.

    Raises
    ------
    ValueError
        There is no body, the samples are too coarse for the pupil, or the period is smaller than the crop.
    """

    def __init__(
        self,
        bodies: Sequence[Body],
        optics: OffAxisOptics,
        *,
        pixel_um: float = 0.4166,
        size_px: int = 64,
        period_px: int = 128,
        render: Callable[[Body, OffAxisOptics, float], ObjectField] = body_field,
    ) -> None:
        if not bodies:
            raise ValueError("a source of crops needs at least one body")
        if pixel_um > 0.5 / optics.cutoff_per_um:
            raise ValueError(
                f"pixel_um {pixel_um} is too coarse for NA {optics.na}: at most {0.5 / optics.cutoff_per_um:.4f} µm"
            )
        if period_px < size_px:
            raise ValueError(f"period_px {period_px} is smaller than size_px {size_px}")
        self.bodies = tuple(bodies)
        self.optics = optics
        self.pixel_um = pixel_um
        self.size_px = size_px
        self._period_px = period_px
        fields = [render(body, optics, period_px * pixel_um) for body in self.bodies]
        self._like = fields[0]
        self._waves = np.stack([field.scattered for field in fields])
        fx, fy = self._like.frequencies()
        self._fx, self._fy = fx, fy
        self._f2 = fx * fx + fy * fy
        self._axial = axial_frequency(optics.medium_index, optics.wavelength_um, fx, fy)
        self._inside = self._f2 <= np.float32(optics.cutoff_per_um**2)
        self._n_inside = int(self._inside.sum())

    def still(self, body: int) -> ComplexArray:
        """Return the crop of one of the bodies alone, in the middle, at z = 0, without disturbances and noise.

        Returns
        -------
        Shape (size_px, size_px), complex64.
        """
        start = (self._period_px - self.size_px) // 2
        shift = -0.5 * (self.size_px - 1) * self.pixel_um - (self._like.origin_um[0] + start * self.pixel_um)
        shape = self.size_px, self.size_px
        wave = self._waves[body] * self._moved(shift, shift)
        crop = pruned_inverse(wave, (self._period_px, self._period_px), (start, start), shape)
        return np.asarray(crop + np.float32(1.0), np.complex64)

    def draw(self, rng: np.random.Generator, count: int, parameters: CropParameters | None = None) -> Crops:
        """Return crops of filtered fields, as a sideband filter and a background hologram leave them.

        The body's middle lies at sample ``(size_px − 1)/2`` plus its shift, along each axis.

        Returns
        -------
        Values complex64, about 1 in amplitude in the clear field, shape (count, size_px, size_px).
        """
        drawn = _Drawn(count)
        values = np.empty((count, self.size_px, self.size_px), np.complex64)
        parameters = parameters if parameters is not None else CropParameters()
        interferometer = Interferometer(self.optics, Reference.draw(rng), (1, 1))
        weights = interferometer.pixel_weights(self._like)
        start = (self._period_px - self.size_px) // 2
        place = ((np.arange(self.size_px) - 0.5 * (self.size_px - 1)) * self.pixel_um).astype(np.float32)
        # The samples of the period and those of the crop differ by a part of a sample.
        first = self._like.origin_um[0] + start * self.pixel_um
        for k in range(count):
            wave = self._wave(rng, parameters, drawn, k)
            wave += self._noise(rng, float(drawn.noise[k]))
            wave *= weights
            wave *= self._moved(float(place[0]) - first, float(place[0]) - first)
            shape = self.size_px, self.size_px
            crop = pruned_inverse(wave, (self._period_px, self._period_px), (start, start), shape)
            crop += np.float32(1.0)
            self._add_parasitic(crop, rng, parameters, place)
            tilt = rng.uniform(-parameters.tilt_per_um, parameters.tilt_per_um, 2).astype(np.float32)
            turn = np.float32(rng.uniform())
            crop *= unit_phasor(turn + tilt[0] * place[:, None]) * unit_phasor(tilt[1] * place[None, :])
            crop *= np.float32(rng.uniform(*parameters.gain))
            values[k] = crop
        return drawn.crops(values)

    def draw_holograms(
        self,
        rng: np.random.Generator,
        count: int,
        size_px: int = 192,
        parameters: CropParameters | None = None,
        sensor: SensorModel | None = None,
    ) -> Crops:
        """Return crops of raw holograms on the camera's own pixels, each with its own reference.

        The body's middle lies at pixel ``(size_px − 1)/2`` plus its shift, along each axis.

        Parameters
        ----------
        rng
            Source of all that is drawn.
        count
            How many.
        size_px
            Camera pixels along each side.
        parameters
            What they are drawn from; of the disturbances only noise and speckle.
        sensor
            Adds its noise instead of that of ``parameters``.

        Returns
        -------
        Values float32, 1 in the brightest fringe of the clear field, shape (count, size_px, size_px).
        """
        drawn = _Drawn(count)
        parameters = parameters if parameters is not None else CropParameters()
        values = np.empty((count, size_px, size_px), np.float32)
        shape = size_px, size_px
        first = -0.5 * (size_px - 1) * self.optics.pixel_um
        columns = _waves(self._like, size_px, self.optics.pixel_um, first)
        for k in range(count):
            interferometer = Interferometer(self.optics, Reference.draw(rng), shape)
            wave = self._wave(rng, parameters, drawn, k) * interferometer.pixel_weights(self._like)
            light = interferometer.light(np.asarray(columns @ wave @ columns.T + np.float32(1.0), np.complex64))
            if sensor is None:
                # The noise of the field, brought back to the pixels.
                amplitude = interferometer.reference.amplitude * interferometer.carrier_gain
                per_pixel = float(drawn.noise[k]) * amplitude / math.sqrt(band_share(self.optics))
                light += rng.standard_normal(shape, dtype=np.float32) * np.float32(per_pixel / interferometer.brightest)
            else:
                clear = sensor.clear_electrons(sensor.nominal_exposure_ms)
                light = sensor.noisy_electrons(light * np.float32(clear), rng) / np.float32(clear)
            values[k] = light
        return drawn.crops(values)

    def _wave(self, rng: np.random.Generator, parameters: CropParameters, drawn: _Drawn, k: int) -> ComplexArray:
        """Return the spectrum of a body, its neighbours and speckle; note what was drawn."""
        chosen = int(rng.integers(len(self.bodies)))
        z = float(rng.uniform(*parameters.z_um))
        off = rng.uniform(-parameters.off_centre_um, parameters.off_centre_um, 2)
        drawn.body[k], drawn.z_um[k], drawn.shift_um[k] = chosen, z, off
        wave = self._placed(chosen, z, float(off[0]), float(off[1]))
        nearest = math.inf
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        for _ in range(2):
            # At least a sixth of a turn apart, neighbours are no nearer to each other than to the middle.
            angle += float(rng.uniform(np.pi / 3.0, 5.0 * np.pi / 3.0))
            if rng.uniform() >= parameters.neighbours:
                continue
            apart = float(rng.uniform(*parameters.neighbour_um))
            depth = z + float(rng.uniform(-parameters.neighbour_z_um, parameters.neighbour_z_um))
            y, x = float(off[0]) + apart * math.sin(angle), float(off[1]) + apart * math.cos(angle)
            wave += self._placed(int(rng.integers(len(self.bodies))), depth, y, x)
            nearest = min(nearest, apart)
        drawn.neighbour_um[k] = nearest
        drawn.speckle[k] = speckle = float(rng.uniform(*parameters.speckle))
        drawn.noise[k] = float(rng.uniform(*parameters.noise))
        na = min(float(rng.uniform(*parameters.speckle_na)), self.optics.na)
        speckled = self._f2 <= np.float32((na / self.optics.wavelength_um) ** 2)
        if speckle > 0:
            share = np.float32(speckle / math.sqrt(2.0 * int(speckled.sum())))
            wave += _complex_normal(rng, wave.shape, share) * speckled
        return wave

    def _placed(self, body: int, z_um: float, y_um: float, x_um: float) -> ComplexArray:
        wave: ComplexArray = self._waves[body] * unit_phasor(self._axial * np.float32(-z_um))
        wave *= self._moved(-y_um, -x_um)
        return wave

    def _moved(self, y_um: float, x_um: float) -> ComplexArray:
        """Return what moves the places at which a field is read by (y, x)."""
        return unit_phasor(self._fy * np.float32(y_um)) * unit_phasor(self._fx * np.float32(x_um))

    def _noise(self, rng: np.random.Generator, noise: float) -> ComplexArray:
        share = np.float32(noise / math.sqrt(2.0 * self._n_inside))
        return _complex_normal(rng, self._inside.shape, share) * self._inside

    def _add_parasitic(
        self, crop: ComplexArray, rng: np.random.Generator, parameters: CropParameters, place: FloatArray
    ) -> None:
        strength = float(rng.uniform(*parameters.parasitic))
        tilt, angle = float(rng.uniform(*parameters.parasitic_per_um)), float(rng.uniform(0.0, 2.0 * np.pi))
        y = unit_phasor(np.float32(tilt * math.sin(angle)) * place + np.float32(rng.uniform()))
        x = unit_phasor(np.float32(tilt * math.cos(angle)) * place)
        crop += np.float32(strength) * y[:, None] * x[None, :]


class _Drawn:
    """What was drawn for each crop."""

    def __init__(self, count: int) -> None:
        self.z_um = np.zeros(count, np.float32)
        self.body = np.zeros(count, np.intp)
        self.neighbour_um = np.zeros(count, np.float32)
        self.speckle = np.zeros(count, np.float32)
        self.noise = np.zeros(count, np.float32)
        self.shift_um = np.zeros((count, 2), np.float32)

    def crops(self, values: NDArray[np.complex64] | NDArray[np.float32]) -> Crops:
        return Crops(values, self.z_um, self.body, self.neighbour_um, self.speckle, self.noise, self.shift_um)


def band_share(optics: OffAxisOptics) -> float:
    """Return what part of the camera's band the pupil fills: π·(NA·pixel/λ)²."""
    return math.pi * (optics.cutoff_per_um * optics.pixel_um) ** 2


def field_noise(
    optics: OffAxisOptics, reference: Reference, sensor: SensorModel, exposure_ms: float | None = None
) -> float:
    """Return the root mean square of the noise in a filtered field, relative to the clear field's amplitude.

    White noise of variance σ² per pixel leaves σ²·π(NA·pixel/λ)² in the pupil's band; the sideband's amplitude is A·g
    with g the fringes' loss over a pixel. Shot noise of the mean light, read noise and rounding count.

    Parameters
    ----------
    optics, reference, sensor
        The instrument.
    exposure_ms
        The sensor's nominal one where left out.
    """
    interferometer = Interferometer(optics, reference, (1, 1))
    exposure = sensor.nominal_exposure_ms if exposure_ms is None else exposure_ms
    clear = sensor.clear_electrons(exposure) / interferometer.brightest
    mean = clear * (1.0 + reference.amplitude**2)
    variance = mean + sensor.read_noise_e**2 + sensor.electrons_per_digit**2 / 12.0
    return math.sqrt(variance * band_share(optics)) / (clear * reference.amplitude * interferometer.carrier_gain)


def _complex_normal(rng: np.random.Generator, shape: tuple[int, ...], spread: np.float32) -> ComplexArray:
    drawn = rng.standard_normal((*shape, 2), dtype=np.float32)
    drawn *= spread
    waves: ComplexArray = drawn.view(np.complex64).reshape(shape)
    return waves


def _waves(like: ObjectField, size: int, pixel_um: float, first_um: float) -> ComplexArray:
    """Return plane waves at places along one axis, shape (size, frequencies)."""
    frequency = like.frequencies()[0].reshape(-1)
    place = (first_um + pixel_um * np.arange(size) - like.origin_um[1]).astype(np.float32)
    return unit_phasor(np.outer(place, frequency).astype(np.float32))


__all__ = ["CropParameters", "CropSource", "Crops", "band_share", "field_noise"]

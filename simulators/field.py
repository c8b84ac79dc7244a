"""A measured complex field as a scene: a real specimen at an exactly known z, because it is refocused numerically."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from microscoped.simulators.optics import AbbeImager, Pupil, Source, axial_frequency, frequencies, unit_phasor
from microscoped.simulators.sensor import SensorModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.measured_field import MeasuredField
    from microscoped.simulators.optics import ComplexArray, FloatArray

PLANES_PER_DOF = 8
DEFAULT_SENSOR = SensorModel(full_well_e=30_000.0, level=0.3, vignetting=0.0)
"""Far from focus a cell gathers light to three times the clear field's; the measured field has its own unevenness."""


class FieldScene:
    """Shows a measured field through a partially coherent brightfield microscope at any z; satisfies ``Scene``.

    The field is brought to the specimen's plane by an exact angular spectrum, and from there to the focal plane by one
    for each point of the condenser's aperture; their intensities are added (Abbe's sum). Signs: a rising optical
    position moves the focal plane downstream, along the light; the specimen is in focus at `focus_z_um`.

    A cell is a phase object: its contrast is least in focus. In nearly coherent light (S up to 0.3) the variance of
    image or amplitude has one clear minimum there; as S grows the minimum becomes shallow and wanders upstream, and at
    0.7 it no longer marks the focus of a thick cell.

    Assumptions. The field was measured in one illumination, along the axis. For a tilted source point its spectrum is
    taken to be shifted and otherwise the same, which holds for a specimen that is thin for tilts up to the condenser's
    aperture. The measurement has already cut the spectrum at its own aperture, so the light that tilted illumination
    would bring from beyond is missing; keep the aperture here, times 1 + coherence, near the measured band.

    Planes are computed when they are first needed, on a z grid of an eighth of the depth of field, and interpolated
    linearly; call `prepare` to have them all at once. Frames are cropped to, or filled with clear field up to,
    ``frame_shape``. Any thread may call; a plane asked for twice at once is computed twice.

    Parameters
    ----------
    field
        What was measured.
    na
        Aperture of the objective.
    coherence
        Aperture of the condenser over that of the objective; 0 is fully coherent light.
    n_points
        Points of the condenser's aperture: 13, 19 or 37 (ignored where ``coherence`` is 0).
    focus_z_um
        Optical position at which the specimen is in focus.
    reach_um
        Planes are computed so far to each side of focus; beyond, the last one is shown.
    frame_shape
        Height and width of a frame, in pixels of the field.
    sensor
        The camera's sensor, with its noise.
    seed
        Which sensor and which noise.

    Raises
    ------
    ValueError
        A figure is out of range, or the field's pixels are too coarse for these apertures.
    """

    def __init__(
        self,
        field: MeasuredField,
        *,
        na: float = 0.5,
        coherence: float = 0.2,
        n_points: int = 19,
        focus_z_um: float = 0.0,
        reach_um: float = 15.0,
        frame_shape: tuple[int, int] = (256, 256),
        sensor: SensorModel = DEFAULT_SENSOR,
        seed: int = 0,
    ) -> None:
        if not 0 < na < field.medium_index:
            raise ValueError(f"na {na} must be above 0 and below the medium's index {field.medium_index}")
        if not 0 <= coherence <= 1:
            raise ValueError(f"coherence {coherence} is outside 0 … 1")
        if not reach_um > 0 or min(frame_shape) < 1:
            raise ValueError("reach_um and both sides of frame_shape must be positive")
        self._field = field
        self._na = na
        self._coherence = coherence
        self._focus_z_um = focus_z_um
        self._reach_um = reach_um
        self._frame_shape = frame_shape
        self._sensor = sensor
        self._pattern = sensor.fixed_pattern(frame_shape, seed)
        self._seed = seed
        # Light leaves the specimen at angles up to the aperture's, so its defocused image stays inside this guard.
        spread = na / math.sqrt(field.medium_index**2 - na**2)
        guard_um = spread * (reach_um + abs(field.focus_um))
        # Tilts belong to the specimen, so they are applied where it is, not where the field was measured.
        self._specimen = _propagated(field, field.in_surround(guard_um))
        self._imager = AbbeImager(
            Pupil(na=na, wavelength_um=field.wavelength_um, index=field.medium_index),
            Source.disc(coherence, n_points) if coherence > 0 else Source(np.zeros((1, 2))),
            (self._specimen.shape[0], self._specimen.shape[1]),
            field.pixel_um,
        )
        self._last = math.ceil(reach_um * PLANES_PER_DOF / self.dof_um)
        self._step_um = reach_um / self._last
        self._planes: dict[int, FloatArray] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an image: (height, width)."""
        return self._frame_shape

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel."""
        return self._sensor.bit_depth

    @property
    def focus_z_um(self) -> float:
        """The truth: the optical position at which the specimen is in focus, as documented for the field."""
        return self._focus_z_um

    @property
    def dof_um(self) -> float:
        """Depth of field nλ/NA² in micrometres."""
        return self._field.medium_index * self._field.wavelength_um / self._na**2

    @property
    def z_step_um(self) -> float:
        """Spacing of the planes between which images are interpolated."""
        return self._step_um

    def full_model(self, z_um: float) -> FloatArray:
        """Return the image at ``z_um`` by the full model: no interpolation, no noise, 1 in the clear field.

        Returns
        -------
        Shape `shape`.
        """
        return self._framed(self._image(self._defocus_um(z_um)))

    def light(self, z_um: float) -> FloatArray:
        """Return the image at ``z_um`` as it is played: interpolated between planes, without noise.

        Returns
        -------
        Shape `shape`.
        """
        place = self._defocus_um(z_um) / self._step_um
        below = min(math.floor(place), self._last - 1)
        part = np.float32(place - below)
        return np.asarray((1 - part) * self._plane(below) + part * self._plane(below + 1), np.float32)

    def prepare(self) -> None:
        """Compute all planes now instead of when they are first needed."""
        for index in range(-self._last, self._last + 1):
            self._plane(index)

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh digital image; see ``Scene``.

        Parameters
        ----------
        z_um
            Optical position.
        exposure_ms
            Exposure time; light is proportional to it.
        shot
            Seeds the noise.
        """
        rng = np.random.default_rng((self._seed, 3, shot))
        flicker, gain = self._sensor.wander(rng)
        clear = np.float32(self._sensor.clear_electrons(exposure_ms) * flicker)
        return self._sensor.digits(self._sensor.noisy_electrons(self.light(z_um) * self._pattern * clear, rng), gain)

    def describe(self) -> Mapping[str, str]:
        """Return what is shown, through which optics, and where its focus is."""
        field = self._field
        low, high = self._focus_z_um - self._reach_um, self._focus_z_um + self._reach_um
        return {
            "scene": "measured field, refocused numerically",
            "source": field.name,
            "optics": f"NA {self._na:g} in index {field.medium_index:g}, {field.wavelength_nm:g} nm",
            "pixel": f"{field.pixel_um:g} µm",
            "light": f"coherence S = {self._coherence:g}, {len(self._imager.source.points)} source points",
            "focus": f"{self._focus_z_um:g} µm, the minimum of amplitude contrast",
            "range": f"{low:g} … {high:g} µm; beyond it the last plane is shown",
        }

    def _defocus_um(self, z_um: float) -> float:
        return min(max(z_um - self._focus_z_um, -self._reach_um), self._reach_um)

    def _image(self, defocus_um: float) -> FloatArray:
        return np.asarray(self._imager.images(self._specimen[np.newaxis], 0.0, defocus_um)[0], np.float32)

    def _plane(self, index: int) -> FloatArray:
        plane = self._planes.get(index)
        if plane is None:
            plane = self._planes[index] = self._framed(self._image(index * self._step_um))
        return plane

    def _framed(self, image: FloatArray) -> FloatArray:
        """Crop the middle, or fill up with clear field."""
        frame = np.ones(self._frame_shape, np.float32)
        source: list[slice] = []
        target: list[slice] = []
        for have, want in zip(image.shape, self._frame_shape, strict=True):
            size = min(have, want)
            source.append(slice((have - size) // 2, (have - size) // 2 + size))
            target.append(slice((want - size) // 2, (want - size) // 2 + size))
        frame[tuple(target)] = image[tuple(source)]
        return frame


def _propagated(field: MeasuredField, surround: ComplexArray) -> ComplexArray:
    """Return the field in the specimen's plane, by the exact angular spectrum along the axis."""
    fx, fy = frequencies((surround.shape[0], surround.shape[1]), field.pixel_um)
    axial = axial_frequency(field.medium_index, field.wavelength_um, fx, fy)
    travelling = fx * fx + fy * fy < (field.medium_index / field.wavelength_um) ** 2
    spectrum = fft.fft2(surround) * (unit_phasor(axial * np.float32(field.focus_um)) * travelling)
    return np.asarray(fft.ifft2(spectrum), np.complex64)


__all__ = ["FieldScene"]

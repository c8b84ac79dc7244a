"""A brightfield microscope's view of a procedural specimen: rendered once into a stack, then played at camera speed.

Intensities are band-limited along z, so planes are computed just inside the axial Nyquist spacing, brought to a fine
spacing by a windowed sinc, and blended linearly when exposed.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import fft

from microscoped.drivers.optics import Optics
from microscoped.simulators.cache import cache_folder, load_or_make
from microscoped.simulators.optics import (
    AbbeImager,
    Pupil,
    Source,
    axial_nyquist_um,
    axial_weights,
    resample_periodic,
    to_camera,
)
from microscoped.simulators.sensor import GAUSSIAN_FROM_E, NoiseBank, SensorModel
from microscoped.simulators.specimens import (
    CellParameters,
    Specimen,
    TissueParameters,
    tissue_section,
    unstained_cells,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.optics import FloatArray

OVERSAMPLING = 2
"""Specimen samples per camera pixel along each axis, at least."""
FULL_SCALE = 4.0
"""The relative intensity that the largest number of a stored plane stands for."""
AXIAL_FILL = 0.73
"""Spacing of computed planes as a part of the axial Nyquist spacing."""
HALF_WIDTH = 5
GREEN = 1
RGB_WAVELENGTHS_UM = (0.610, 0.540, 0.465)


@dataclass(frozen=True, slots=True)
class BrightfieldSetup:
    """Everything that determines the light on the camera.

    Parameters
    ----------
    specimen
        What the specimen looks like.
    specimen_seed
        Which of all such specimens.
    optics
        The objective. Its wavelength is used for monochrome images; colour images have their own.
    shape_px
        Camera pixels (height, width).
    colour
        Red, green and blue instead of monochrome (dyes then absorb as in green).
    coherence, n_source_points
        NA of the condenser over NA of the objective, and points that stand for its aperture (7, 13, 19 or 37).
    spherical_waves, coma_waves, coma_angle_rad
        Aberrations, as in ``Pupil``.
    chromatic_shift_um
        Where red and blue are in focus, relative to green.
    z_range_um
        Optical positions that are rendered.
    plane_spacing_um
        Spacing of the played planes; 0 chooses a ninth of the depth of field.
    """

    specimen: TissueParameters | CellParameters = field(default_factory=TissueParameters)
    specimen_seed: int = 1
    optics: Optics = field(default_factory=lambda: Optics(0.5, 550.0, 1.0, 0.325))
    shape_px: tuple[int, int] = (512, 512)
    colour: bool = False
    coherence: float = 0.6
    n_source_points: int = 19
    spherical_waves: float = 0.0
    coma_waves: float = 0.0
    coma_angle_rad: float = 0.0
    chromatic_shift_um: tuple[float, float] = (0.3, -0.2)
    z_range_um: tuple[float, float] = (-12.0, 12.0)
    plane_spacing_um: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.z_range_um
        if not low < high or self.plane_spacing_um < 0:
            raise ValueError(f"z range {self.z_range_um} must rise and the plane spacing not be negative")
        if self.plane_spacing_um > self.optics.dof_um / 4:
            raise ValueError(
                f"plane spacing {self.plane_spacing_um} µm is above a quarter of the depth of field "
                f"({self.optics.dof_um / 4:.3g} µm)"
            )

    def channels(self) -> tuple[tuple[int, float, float], ...]:
        """Return (dye channel, wavelength in µm, focus in µm) of each colour of the image."""
        if not self.colour:
            return ((GREEN, self.optics.wavelength_um, 0.0),)
        shifts = (self.chromatic_shift_um[0], 0.0, self.chromatic_shift_um[1])
        return tuple((k, RGB_WAVELENGTHS_UM[k], shifts[k]) for k in range(3))

    def planes_um(self) -> NDArray[np.float64]:
        """Return the positions of the played planes."""
        low, high = self.z_range_um
        spacing = self.plane_spacing_um or self.optics.dof_um / 9.0
        return np.linspace(low, high, int(np.ceil((high - low) / spacing)) + 1)

    def make_specimen(self) -> Specimen:
        """Return the specimen, sampled at least twice as finely as by the camera."""
        factor = self._oversampling()
        shape = (self.shape_px[0] * factor, self.shape_px[1] * factor)
        pixel = self.optics.pixel_size_um / factor
        if isinstance(self.specimen, TissueParameters):
            return tissue_section(self.specimen, shape, pixel, self.specimen_seed)
        return unstained_cells(self.specimen, shape, pixel, self.specimen_seed)

    def _imager(self, wavelength_um: float, shape: tuple[int, int], medium_index: float) -> AbbeImager:
        pupil = Pupil(
            self.optics.na,
            wavelength_um,
            self.optics.immersion_index,
            self.spherical_waves,
            self.coma_waves,
            self.coma_angle_rad,
        )
        pixel = self.optics.pixel_size_um * self.shape_px[0] / shape[0]
        return AbbeImager(pupil, Source.disc(self.coherence, self.n_source_points), shape, pixel, medium_index)

    def light(self, z_um: ArrayLike, specimen: Specimen | None = None) -> FloatArray:
        """Return images from the full model: 1 for a clear field, at any optical positions.

        Computed on the specimen's own grid, without interpolation; slow.

        Returns
        -------
        Shape (Z, height, width) or (Z, height, width, 3).
        """
        specimen = self.make_specimen() if specimen is None else specimen
        shape = (specimen.opd_um.shape[-2], specimen.opd_um.shape[-1])
        z = np.asarray(z_um, float).reshape(-1)
        colours = []
        for channel, wavelength, focus in self.channels():
            imager = self._imager(wavelength, shape, specimen.medium_index)
            layers = specimen.transmittance(channel, wavelength)
            colours.append(to_camera(imager.images(layers, specimen.depth_um, z - focus), self.shape_px))
        return np.stack(colours, axis=-1) if self.colour else colours[0]

    def stack(self) -> FloatArray:
        """Render all played planes: on the coarsest grid that holds the optical band, just inside axial Nyquist.

        Returns
        -------
        Shape (planes, height, width) or (planes, height, width, 3).
        """
        specimen = self.make_specimen()
        planes = self.planes_um()
        colours = []
        for channel, wavelength, focus in self.channels():
            shape = self._optical_shape(wavelength)
            imager = self._imager(wavelength, shape, specimen.medium_index)
            spacing = AXIAL_FILL * axial_nyquist_um(imager.pupil)
            reach = (HALF_WIDTH - 1) * spacing
            count = int(np.ceil((planes[-1] - planes[0]) / spacing)) + 2 * HALF_WIDTH - 1
            known = planes[0] - reach + spacing * np.arange(count)
            layers = resample_periodic(specimen.transmittance(channel, wavelength), shape)
            images = to_camera(imager.images(layers, specimen.depth_um, known - focus), self.shape_px)
            weights = axial_weights(planes, known, HALF_WIDTH)
            colours.append((weights @ images.reshape(count, -1)).reshape(planes.size, *self.shape_px))
        return np.stack(colours, axis=-1) if self.colour else colours[0]

    def _oversampling(self) -> int:
        """Return specimen samples per camera pixel: enough for the band 2·NA/λ of an intensity."""
        shortest = min(wavelength for _, wavelength, _ in self.channels())
        return max(OVERSAMPLING, int(np.ceil(4.0 * self.optics.pixel_size_um * self.optics.na / shortest)))

    def _optical_shape(self, wavelength_um: float) -> tuple[int, int]:
        """Return the smallest fast FFT grid with Nyquist above NA/λ·(1 + S), and near 2·NA/λ.

        Of an intensity's band the outermost 5 % are left to alias: the transfer function is below 1 % there.
        """
        cutoff = self.optics.na / wavelength_um
        nyquist = cutoff * max(1.0 + self.coherence, 1.9)
        length = [size * self.optics.pixel_size_um for size in self.shape_px]
        height, width = (
            min(fft.next_fast_len(int(np.ceil(2.0 * nyquist * side)) + 2), size * self._oversampling())
            for side, size in zip(length, self.shape_px, strict=True)
        )
        if self.shape_px[0] == self.shape_px[1]:
            return height, height
        # Pixels must stay square on the optical grid.
        scale = max(height / self.shape_px[0], width / self.shape_px[1])
        steps = np.gcd(self.shape_px[0], self.shape_px[1])
        blocks = int(np.ceil(steps * scale))
        return self.shape_px[0] // steps * blocks, self.shape_px[1] // steps * blocks


class BrightfieldScene:
    """A rendered field before a noisy camera; satisfies ``Scene``. `expose` may be called from any thread.

    Between the planes images are blended linearly; the deviation from the full model is tested to stay far below the
    shot noise. Beyond the rendered range the outer plane fades towards its mean as 1/z: an extrapolation, good enough
    to see that one is out of focus.

    Parameters
    ----------
    setup
        The light.
    sensor
        The camera's sensor.
    seed
        Which sensor and which noise.
    cache
        Folder for rendered stacks; ``None`` for none, left out for the user's cache folder.
    """

    def __init__(
        self,
        setup: BrightfieldSetup | None = None,
        sensor: SensorModel | None = None,
        *,
        seed: int = 0,
        cache: Path | str | None = "user",
    ) -> None:
        self.setup = setup if setup is not None else BrightfieldSetup()
        self.sensor = sensor if sensor is not None else SensorModel()
        self._seed = seed
        self._planes = self.setup.planes_um()
        self._pattern = self.sensor.fixed_pattern(self.shape, seed)
        folder = cache_folder() if cache == "user" else cast("Path | None", cache)
        made_of = f"{_code_version()} {self.setup!r}"
        self._stack = load_or_make(folder, made_of, self._render)
        self._minima = self._stack.reshape(len(self._planes), -1).min(axis=1) * self._pattern.min()
        n_pixels = self._pattern.size
        self._bank = NoiseBank(n_pixels, seed)
        self._buffers = tuple(np.empty(n_pixels, np.float32) for _ in range(3))
        self._lock = threading.Lock()

    def _render(self) -> NDArray[np.uint16]:
        light = self.setup.stack()
        light *= np.float32(65535.0 / FULL_SCALE)
        light += np.float32(0.5)
        return np.clip(light, 0, 65535, out=light).astype(np.uint16)

    @property
    def shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of an image."""
        height, width = self.setup.shape_px
        return (height, width, 3) if self.setup.colour else (height, width)

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel."""
        return self.sensor.bit_depth

    def full_model(self, z_um: float) -> FloatArray:
        """Return the light on the camera from the full model, relative to a clear field; slow."""
        return np.asarray(self.setup.light([z_um])[0] * self._pattern, np.float32)

    def light(self, z_um: float) -> FloatArray:
        """Return the light on the camera as it is played, without noise, relative to a clear field."""
        out = np.empty(self._stack[0].size, np.float32)
        self._blend(z_um, 1.0, out, np.empty_like(out))
        return out.reshape(self.shape)

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh digital image; see ``Scene``."""
        rng = np.random.default_rng((self._seed, 3, shot))
        flicker, gain = self.sensor.wander(rng)
        clear = self.sensor.clear_electrons(exposure_ms) * flicker
        with self._lock:
            electrons, spread, noise = self._buffers
            darkest = self._blend(z_um, clear, electrons, spread)
            if darkest < GAUSSIAN_FROM_E:
                noisy = self.sensor.noisy_electrons(electrons, rng)
            else:
                self._bank.draw(rng, noise)
                np.add(electrons, np.float32(self.sensor.read_noise_e**2), out=spread)
                np.sqrt(spread, out=spread)
                spread *= noise
                electrons += spread
                noisy = electrons
            return cast("Pixels", self.sensor.digits(noisy, gain).reshape(self.shape))

    def _blend(self, z_um: float, scale: float, out: FloatArray, scratch: FloatArray) -> float:
        """Fill ``out`` with ``scale`` times the light at ``z_um``; return a lower bound of it."""
        low, high = float(self._planes[0]), float(self._planes[-1])
        place = (min(max(z_um, low), high) - low) / (high - low) * (len(self._planes) - 1)
        k = min(int(place), len(self._planes) - 2)
        part = place - k
        unit = scale * FULL_SCALE / 65535.0
        below, above = self._stack[k].reshape(-1), self._stack[k + 1].reshape(-1)
        np.multiply(below, np.float32(unit * (1.0 - part)), out=out, dtype=np.float32, casting="unsafe")
        np.multiply(above, np.float32(unit * part), out=scratch, dtype=np.float32, casting="unsafe")
        out += scratch
        if low < 0 < high and not low <= z_um <= high:
            fade = np.float32((low if z_um < low else high) / z_um)
            mean = out.reshape(-1, 3 if self.setup.colour else 1).mean(axis=0, keepdims=True)
            out *= fade
            out.reshape(-1, mean.size)[...] += mean * (np.float32(1.0) - fade)
        out *= self._pattern.reshape(-1)
        return float(min(self._minima[k], self._minima[k + 1])) * unit

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people."""
        optics, low, high = self.setup.optics, *self.setup.z_range_um
        kind = "stained tissue section" if isinstance(self.setup.specimen, TissueParameters) else "unstained cells"
        return {
            "scene": "simulated brightfield",
            "specimen": f"{kind} (seed {self.setup.specimen_seed})",
            "optics": (
                f"NA {optics.na:g}, {optics.wavelength_nm:g} nm, n {optics.immersion_index:g}, "
                f"{optics.pixel_size_um:g} µm/pixel, condenser {self.setup.coherence:g} of the aperture"
            ),
            "rendered_z_um": f"{low:g} … {high:g}",
        }


def _code_version() -> str:
    """Return a hash of the code that renders stacks, so that new code never plays an old stack."""
    package = resources.files("microscoped.simulators")
    digest = hashlib.sha256()
    for folder in (package / "optics", package / "specimens"):
        for module in sorted(folder.iterdir(), key=lambda found: found.name):
            if module.name.endswith(".py"):
                digest.update(module.read_bytes())
    digest.update((package / "brightfield.py").read_bytes())
    return digest.hexdigest()


__all__ = ["BrightfieldScene", "BrightfieldSetup"]

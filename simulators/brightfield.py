"""A brightfield microscope's view of a procedural specimen: rendered once into a stack, then played at camera speed.

Intensities are band-limited along z, so planes are computed just inside the axial Nyquist spacing, brought to a fine
spacing by a windowed sinc, and blended linearly when exposed.
"""

from __future__ import annotations

import hashlib
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from microscoped.simulators.cache import cache_folder, load_or_make
from microscoped.simulators.rendering import BrightfieldSetup
from microscoped.simulators.sensor import GAUSSIAN_FROM_E, NoiseBank, SensorModel
from microscoped.simulators.specimens import TissueParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.optics import FloatArray

FULL_SCALE = 4.0
"""The relative intensity that the largest number of a stored plane stands for."""


class BrightfieldScene:
    """A rendered field before a noisy camera; satisfies ``Scene``. `expose` may be called from any thread.

    Optical positions are micrometres in the immersion medium, which for a dry objective is the travel of the stage;
    0 is the middle of the specimen.

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
        folder = cache_folder() if cache == "user" else None if cache is None else Path(cache)
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
    for name in ("brightfield.py", "rendering.py"):
        digest.update((package / name).read_bytes())
    return digest.hexdigest()


__all__ = ["BrightfieldScene", "BrightfieldSetup"]

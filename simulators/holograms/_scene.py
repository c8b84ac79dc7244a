"""A live off-axis holographic microscope: bodies at their own depths, refocused exactly for every frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.holograms._optics import OffAxisOptics
from microscoped.simulators.holograms._recording import Disturbances, Interferometer, Reference
from microscoped.simulators.holograms._render import specimen_field
from microscoped.simulators.holograms._specimen import (
    BodiesParameters,
    HologramTruth,
    PlacedBody,
    place_bodies,
    truths,
)
from microscoped.simulators.holograms._thin import MARGIN_UM
from microscoped.simulators.sensor import GAUSSIAN_FROM_E, NoiseBank, SensorModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.drivers.protocols import Pixels
    from microscoped.simulators.holograms._field import ObjectField
    from microscoped.simulators.optics import FloatArray

DEFAULT_SENSOR = SensorModel(full_well_e=20_000.0, level=0.7, offset=4.0, bit_depth=8, vignetting=0.1)


@dataclass(frozen=True, slots=True)
class HologramSetup:
    """Everything that determines the light on the camera.

    Parameters
    ----------
    optics
        The microscope.
    bodies
        Which bodies lie in the field.
    seed
        Which of all such fields, and of all such instruments' flaws.
    shape_px
        Camera pixels (height, width).
    reference
        The reference wave.
    disturbances
        What else coherent light shows.
    margin_um
        The field is computed so far beyond the frame.
    """

    optics: OffAxisOptics = field(default_factory=OffAxisOptics)
    bodies: BodiesParameters = field(default_factory=BodiesParameters)
    seed: int = 1
    shape_px: tuple[int, int] = (1024, 1024)
    reference: Reference = field(default_factory=Reference)
    disturbances: Disturbances = field(default_factory=Disturbances)
    margin_um: float = MARGIN_UM

    @classmethod
    def draw(cls, rng: np.random.Generator, bodies: BodiesParameters | None = None) -> HologramSetup:
        """Return a random field before a random instrument, with the default optics.

        Parameters
        ----------
        rng
            Source of all that is drawn.
        bodies
            Which bodies; drawn too where left out.
        """
        return cls(
            bodies=bodies if bodies is not None else BodiesParameters.draw(rng),
            seed=int(rng.integers(2**31)),
            reference=Reference.draw(rng),
            disturbances=Disturbances.draw(rng),
        )

    def place(self) -> tuple[PlacedBody, ...]:
        """Return the bodies and where they are."""
        return place_bodies(self.bodies, self.shape_px, self.optics, self.seed)

    def field(self) -> ObjectField:
        """Return the object wave at the recording plane, without disturbances."""
        return specimen_field(self.place(), self.optics, self.shape_px, self.margin_um)


class HologramScene:
    """A field of bodies before an off-axis holographic camera; satisfies ``Scene``. Any thread may call.

    Optical positions are micrometres in the medium; a rising position moves the recording plane downstream, so that
    every body's distance falls by the same amount. Before a dry objective, let ``StageModel.focus_per_stage`` be
    `OffAxisOptics.focus_per_stage`. What belongs to the instrument (fixed speckle, parasitic wave, dust, reference)
    does not move with the stage.

    The field behind the bodies is computed once. For each frame it is propagated exactly, as the few frequencies that
    the pupil lets through; nothing is interpolated.

    Parameters
    ----------
    setup
        The light.
    sensor
        The camera's sensor; an 8-bit one by default.
    bodies
        What lies in the field, instead of what the setup draws.
    scattered
        Field behind the bodies, instead of that of `specimen_field`: of `multislice_field`, to evaluate.
    seed
        Which sensor and which noise.
    """

    def __init__(
        self,
        setup: HologramSetup | None = None,
        sensor: SensorModel | None = None,
        *,
        bodies: Sequence[PlacedBody] | None = None,
        scattered: ObjectField | None = None,
        seed: int = 0,
    ) -> None:
        self.setup = setup if setup is not None else HologramSetup()
        self.sensor = sensor if sensor is not None else DEFAULT_SENSOR
        self.bodies = tuple(bodies) if bodies is not None else self.setup.place()
        optics, shape = self.setup.optics, self.setup.shape_px
        behind = specimen_field(self.bodies, optics, shape, self.setup.margin_um) if scattered is None else scattered
        self.interferometer = Interferometer(optics, self.setup.reference, shape)
        disturbances = self.setup.disturbances
        self._moving = replace(behind, scattered=behind.scattered + disturbances.moving(behind, self.setup.seed))
        self._fixed = replace(behind, scattered=disturbances.fixed(behind, shape, self.setup.seed))
        self._weights = self.interferometer.pixel_weights(behind)
        self._pattern = self.sensor.fixed_pattern(shape, seed)
        self._seed = seed
        self._bank = NoiseBank(shape[0] * shape[1], seed)
        self._lock = threading.Lock()
        self._last: tuple[float | None, FloatArray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an image: (height, width)."""
        return self.setup.shape_px

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel."""
        return self.sensor.bit_depth

    def object_field(self, z_um: float = 0.0) -> ObjectField:
        """Return the object wave in the plane at an optical position, with all disturbances, before the camera."""
        moved = self._moving.downstream(z_um)
        return replace(moved, scattered=moved.scattered + self._fixed.scattered)

    def background_field(self) -> ObjectField:
        """Return the object wave of the instrument alone: no bodies, and no speckle that belongs to the field."""
        return self._fixed

    def full_model(self, z_um: float = 0.0) -> FloatArray:
        """Return the light on the camera from the full model, relative to the brightest clear fringe; slow."""
        return self.interferometer.full_model(self.object_field(z_um)) * self._pattern

    def light(self, z_um: float = 0.0) -> FloatArray:
        """Return the light on the camera as it is played, without noise, relative to the brightest clear fringe."""
        return self._light_of(self.object_field(z_um))

    def background_light(self) -> FloatArray:
        """Return the light of the instrument alone, without noise, relative to the brightest clear fringe."""
        return self._light_of(self._fixed)

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh hologram; see ``Scene``."""
        return self._digital(z_um, exposure_ms, np.random.default_rng((self._seed, 3, shot)))

    def background(self, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh hologram of the same instrument without bodies, for calibration.

        Parameters
        ----------
        exposure_ms
            Exposure time.
        shot
            Seeds the noise, other than that of `expose`.
        """
        return self._digital(None, exposure_ms, np.random.default_rng((self._seed, 4, shot)))

    def truths(self, z_um: float = 0.0) -> tuple[HologramTruth, ...]:
        """Return what is true of each body in a hologram exposed at an optical position."""
        return truths(self.bodies, self.setup.optics.medium_index, z_um)

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people."""
        optics, reference = self.setup.optics, self.setup.reference
        kinds = ", ".join(sorted({placed.body.kind.replace("_", " ") for placed in self.bodies})) or "nothing"
        depths = [placed.z_um for placed in self.bodies] or [0.0]
        carrier = float(np.hypot(*reference.carrier_per_um))
        return {
            "scene": "simulated off-axis hologram",
            "specimen": f"{len(self.bodies)} bodies ({kinds}), {min(depths):.1f} … {max(depths):.1f} µm (seed "
            f"{self.setup.seed})",
            "optics": (
                f"NA {optics.na:g}, {optics.wavelength_nm:g} nm, medium {optics.medium_index:g}, "
                f"{optics.pixel_um:g} µm/pixel, carrier {carrier:.3f} cycles/µm"
            ),
        }

    def _light_of(self, wave: ObjectField) -> FloatArray:
        weighted = replace(wave, scattered=wave.scattered * self._weights)
        light = self.interferometer.light(weighted.on_camera(self.shape))
        light *= self._pattern
        return light

    def _digital(self, z_um: float | None, exposure_ms: float, rng: np.random.Generator) -> Pixels:
        flicker, gain = self.sensor.wander(rng)
        clear = np.float32(self.sensor.clear_electrons(exposure_ms) * flicker)
        electrons = self._remembered(z_um) * clear
        if float(electrons.min()) < GAUSSIAN_FROM_E:
            noisy = self.sensor.noisy_electrons(electrons, rng)
        else:
            noise = np.empty(electrons.size, np.float32)
            self._bank.draw(rng, noise)
            spread = electrons + np.float32(self.sensor.read_noise_e**2)
            np.sqrt(spread, out=spread)
            spread *= noise.reshape(self.shape)
            electrons += spread
            noisy = electrons
        return self.sensor.digits(noisy, gain)

    def _remembered(self, z_um: float | None) -> FloatArray:
        """Return the light at a position, or of the background; the last one is kept while the stage stands."""
        with self._lock:
            last = self._last
        if last is not None and last[0] == z_um:
            return last[1]
        light = self.background_light() if z_um is None else self.light(z_um)
        with self._lock:
            self._last = z_um, light
        return light


__all__ = ["DEFAULT_SENSOR", "HologramScene", "HologramSetup"]

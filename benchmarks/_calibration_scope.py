"""A simulated microscope in simulated time, before one field of a slide after the other.

All moves go through the daemon's own driver layer. The truth is the optical position, which the daemon is not told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from microscoped.daemon.focus import Probe, Sample, SearchResult, SearchSettings, propose
from microscoped.drivers.motion import move
from microscoped.drivers.protocols import FocusDirection
from microscoped.drivers.safety import Approach, MotionSettings, Origin
from microscoped.models.sharpness import SharpnessEngine
from microscoped.simulators.clock import ManualClock
from microscoped.simulators.sensor import NoiseBank, SensorModel
from microscoped.simulators.stage import SimulatedStage, StageModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from _calibration_scenes import Bench
    from numpy.typing import NDArray

    from microscoped.simulators.optics import FloatArray

T = TypeVar("T")

EXPOSURE_MS, READOUT_MS, SETTLE_MS = 10.0, 10.0, 50.0
ANSWER_MS = 60.0
"""Charged for every answer of an engine."""
CHANGE_S = 10.0
"""How long somebody takes to move the slide."""
SPEED_UM_S = 500.0
LIMIT_DOF = 3000.0
"""Far: what drifts must not end at a limit."""
OVERSHOOT_UM = 1.0
SEARCH_DOF = 8.0
"""Searches look so far to either side."""
TOLERANCE_DOF, COARSE_DOF, MOST_IMAGES = 0.25, 3.0, 40
"""The daemon's defaults for a search."""


class Seen(Protocol):
    """What stands before the camera."""

    @property
    def offset_um(self) -> float:
        """Where the specimen lies."""
        ...

    def light(self, z_um: float) -> FloatArray:
        """Return relative intensities at an optical position."""
        ...


@dataclass(frozen=True)
class Still:
    """An image, and what the daemon knows of it."""

    frame: NDArray[Any]
    z_um: float
    t_s: float


def search_settings(centre_um: float, dof_um: float, limits_um: tuple[float, float] | None) -> SearchSettings:
    """Return how the focus of a field is searched from where the stage is, as the daemon does."""
    low_um, high_um = limits_um or (centre_um, centre_um)
    return SearchSettings(
        center_um=centre_um,
        low_um=max(low_um, centre_um - SEARCH_DOF * dof_um),
        high_um=min(high_um, centre_um + SEARCH_DOF * dof_um),
        tolerance_um=TOLERANCE_DOF * dof_um,
        coarse_step_um=COARSE_DOF * dof_um,
        max_images=MOST_IMAGES,
    )


class Scope:
    """One microscope.

    Parameters
    ----------
    bench
        Its optics, stage and camera.
    seed
        Of the sensor, its noise, and the stage's errors.
    sensor
        The camera's sensor.
    """

    def __init__(self, bench: Bench, seed: int, sensor: SensorModel | None = None) -> None:
        self.bench = bench
        self.optics = bench.optics
        dof_um = self.optics.dof_um
        self._clock = ManualClock()
        self._sensor = sensor if sensor is not None else SensorModel()
        limit_um = LIMIT_DOF * dof_um
        self._stage = SimulatedStage(
            StageModel(
                speed_um_s=SPEED_UM_S,
                jitter_um=bench.jitter_um,
                backlash_um=bench.backlash_um,
                drift_um_s=bench.drift_um_s,
                low_um=-limit_um - 2 * OVERSHOOT_UM,
                high_um=limit_um + 2 * OVERSHOOT_UM,
                focus_per_stage=bench.per_stage,
                focus_direction=FocusDirection.AWAY,
            ),
            clock=self._clock,
            seed=seed,
        )
        self.motion = MotionSettings(
            limits_um=(-limit_um, limit_um),
            focus_direction=FocusDirection.AWAY,
            approach=Approach.INCREASING,
            overshoot_um=OVERSHOOT_UM,
            settle_ms=SETTLE_MS,
        )
        shape = (bench.side_px, bench.side_px) if bench.camera == "mono" else (bench.side_px, bench.side_px, 3)
        self._pattern = self._sensor.fixed_pattern(shape, seed)
        self._bank = NoiseBank(self._pattern.size, seed)
        self._rng = np.random.default_rng((seed, 4))
        self._seen: Seen | None = None
        self.images = 0

    @property
    def objective(self) -> str:
        """Its name in the configuration."""
        return self.bench.objective

    @property
    def exposure_ms(self) -> float:
        """Exposure of each image."""
        return EXPOSURE_MS

    @property
    def bit_depth(self) -> int:
        """Of the camera."""
        return self._sensor.bit_depth

    @property
    def z_um(self) -> float:
        """What the stage reads back."""
        return self._stage.position_um()

    @property
    def t_s(self) -> float:
        """Now."""
        return self._clock() / 1e9

    def show(self, seen: Seen) -> None:
        """Move the slide to another field."""
        self._clock.sleep(CHANGE_S)
        self._seen = seen

    def optical_um(self) -> float:
        """Return the truth: the optical position now."""
        return self._stage.optical_z_um(self._clock())

    def focus_on(self, optical_um: float) -> None:
        """Bring the stage near an optical position, as somebody at the knob does."""
        for _ in range(3):
            self.go(self.z_um + (optical_um - self.optical_um()) / self.bench.per_stage)

    def go(self, z_um: float, *, direct: bool = False) -> None:
        """Move and settle; a `direct` move arrives as it comes."""
        motion = replace(self.motion, overshoot_um=0.0) if direct else self.motion
        for wait_ns in move(self._stage, motion, z_um, Origin.AUTOMATIC, clock=self._clock, stopped=lambda: False):
            self._clock.sleep(wait_ns / 1e9)

    def inside(self, z_um: float) -> bool:
        """Whether a move may go there."""
        low_um, high_um = self.motion.limits_um or (z_um, z_um)
        return low_um <= z_um <= high_um

    def snap(self) -> Still:
        """Take an image; its light is that in the middle of the exposure."""
        if self._seen is None:
            raise ValueError("there is no slide: show one first")
        t_s = self.t_s
        self._clock.advance_ms(EXPOSURE_MS / 2)
        light = self._seen.light(self.optical_um())
        self._clock.advance_ms(EXPOSURE_MS / 2 + READOUT_MS)
        self.images += 1
        return Still(self._exposed(light), self.z_um, t_s)

    def think(self) -> None:
        """Let the time of an engine's answer pass."""
        self._clock.advance_ms(ANSWER_MS)

    def compute(self, work: Callable[[], T]) -> T:
        """Have an engine do its work, and let the time of its answer pass."""
        answer = work()
        self.think()
        return answer

    def _exposed(self, light: FloatArray) -> NDArray[Any]:
        flicker, gain = self._sensor.wander(self._rng)
        electrons = light * self._pattern * np.float32(self._sensor.clear_electrons(EXPOSURE_MS) * flicker)
        noise = np.empty(electrons.size, np.float32)
        self._bank.draw(self._rng, noise)
        noise *= np.sqrt(electrons.reshape(-1) + np.float32(self._sensor.read_noise_e**2))
        digits = self._sensor.digits(electrons + noise.reshape(electrons.shape), gain)
        return np.ascontiguousarray(digits[..., ::-1]) if self.bench.camera == "bgr" else np.asarray(digits)

    def search(self) -> SearchResult:
        """Search the focus of a field from where the stage is, as the daemon does."""
        settings = search_settings(self.z_um, self.optics.dof_um, self.motion.limits_um)
        settings = replace(settings, extremum=self.bench.extremum)
        engine, options = SharpnessEngine(), {"metric": "band", "bit_depth": self.bit_depth}
        samples: list[Sample] = []
        while isinstance(step := propose(settings, samples), Probe):
            self.go(step.z_um)
            still = self.snap()
            values = engine.measure([still.frame], options)
            self.think()
            samples.append(Sample(still.z_um, float(values["score"]), float(values["error"])))
        return step

"""A simulated microscope that charges every method of focusing alike: for light, readout, motion and computing.

Time is simulated: exposure, readout, travel and settling advance a clock that is turned by hand, and so does the wall
time that a method really spends on its computing. All moves go through the daemon's own driver layer. The truth is the
optical position, which no method is told.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from microscoped.drivers.motion import move
from microscoped.drivers.protocols import FocusDirection
from microscoped.drivers.safety import Approach, MotionSettings, Origin
from microscoped.simulators.clock import ManualClock
from microscoped.simulators.stage import SimulatedStage, StageModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from microscoped.simulators.brightfield import BrightfieldScene

T = TypeVar("T")

NOMINAL_MS = 10.0
"""Exposure for which the light is set; a longer one gets as much less light, so that all images are equally bright."""
READOUT_MS = 10.0
SPEED_UM_S = 500.0
LIMIT_UM = 80.0
RUN_UP_UM = 3.0
"""Every run begins after a move of this length to its start, on the side of the approach; it is not charged."""
OVERSHOOT_UM = 1.0
"""How far a move from the wrong side goes beyond its target where a method arrives from one side: twice the play."""


def camera_of(*, colour: bool) -> str:
    """Return what a camera is called."""
    return "colour" if colour else "monochrome"


@dataclass(frozen=True)
class Costs:
    """What an image and a move cost beside travel and readout."""

    name: str
    exposure_ms: float
    settle_ms: float


@dataclass(frozen=True)
class Stage:
    """How badly a stage moves."""

    name: str
    backlash_um: float = 0.0
    jitter_um: float = 0.0
    drift_um_s: float = 0.0


@dataclass(frozen=True)
class Start:
    """Where a run begins: the same for all methods.

    Parameters
    ----------
    number
        Seeds the stage's errors and the noise.
    specimen
        Number of the specimen.
    z_um
        Distance from the focus.
    """

    number: int
    specimen: int
    z_um: float


class Scope:
    """One microscope at the start of one run.

    Parameters
    ----------
    scene
        What the camera sees.
    stage, costs, start
        How it moves, what things cost, where it is.
    one_sided
        Whether every move ends rising, with an overshoot where it has to come back.
    """

    def __init__(self, scene: BrightfieldScene, stage: Stage, costs: Costs, start: Start, *, one_sided: bool) -> None:
        self._scene, self._costs, self._start = scene, costs, start
        self._clock = ManualClock()
        model = StageModel(
            speed_um_s=SPEED_UM_S,
            jitter_um=stage.jitter_um,
            backlash_um=stage.backlash_um,
            # The specimen sinks in every other run.
            drift_um_s=stage.drift_um_s * (1 if start.number % 2 else -1),
            low_um=-LIMIT_UM,
            high_um=LIMIT_UM,
            start_um=start.z_um - RUN_UP_UM,
            focus_direction=FocusDirection.AWAY,
        )
        self._stage = SimulatedStage(model, clock=self._clock, seed=start.number)
        self._motion = MotionSettings(
            limits_um=(-LIMIT_UM, LIMIT_UM),
            focus_direction=FocusDirection.AWAY,
            approach=Approach.INCREASING,
            overshoot_um=OVERSHOOT_UM if one_sided else 0.0,
            settle_ms=costs.settle_ms,
        )
        self._visits: dict[int, int] = {}
        self._offset_um = 0.0
        self.images = self.moves = self.rests = 0
        self.travel_um = self.compute_ms = 0.0
        self.go(start.z_um)
        self.images = self.moves = self.rests = 0
        self.travel_um = 0.0
        self._began_ns = self._clock()
        self.start_um = self.z_um

    @property
    def camera(self) -> str:
        """``monochrome`` or ``colour``."""
        return camera_of(colour=self._scene.setup.colour)

    @property
    def motion(self) -> MotionSettings:
        """How the stage is moved."""
        return self._motion

    @property
    def z_um(self) -> float:
        """What the stage reads back."""
        return self._stage.position_um()

    @property
    def exposure_ms(self) -> float:
        """Exposure of each image."""
        return self._costs.exposure_ms

    @property
    def bit_depth(self) -> int:
        """Of the camera."""
        return self._scene.bit_depth

    @property
    def pixel_size_um(self) -> float:
        """Of the camera, in the specimen."""
        return self._scene.setup.optics.pixel_size_um

    @property
    def elapsed_ms(self) -> float:
        """Simulated time since the start of the run."""
        return (self._clock() - self._began_ns) / 1e6

    @property
    def defocus_um(self) -> float:
        """The truth: how far the optical position now lies above the middle of the specimen."""
        return self._stage.optical_z_um(self._clock()) - self._offset_um

    def show(self, scene: BrightfieldScene, offset_um: float) -> None:
        """Put another field before the camera, whose middle lies at the optical position `offset_um`."""
        self._scene, self._offset_um = scene, offset_um

    def go(self, z_um: float, *, always: bool = False, direct: bool = False) -> None:
        """Move and settle.

        Where the stage is there already, nothing is done, unless a command is sent ``always``; a `direct` move arrives
        as it comes.
        """
        if not always and abs(self.z_um - z_um) <= self._motion.arrival_tolerance_um:
            return
        motion = replace(self._motion, overshoot_um=0.0) if direct else self._motion
        steps = move(self._stage, motion, z_um, Origin.AUTOMATIC, clock=self._clock, stopped=lambda: False)
        while True:
            try:
                wait_ns = next(steps)
            except StopIteration as end:
                self.moves += end.value.moves
                self.travel_um += end.value.travel_um
                self.rests += 1
                return
            self._clock.sleep(wait_ns / 1e9)

    def snap(self) -> NDArray[Any]:
        """Take an image: light at the middle of the exposure, noise by the run, the place, and how often it was seen.

        Methods that come to one place of one run see the same noise there.
        """
        self._clock.advance_ms(self._costs.exposure_ms / 2)
        place = round(self.z_um * 100)
        visit = self._visits[place] = self._visits.get(place, 0) + 1
        shot = zlib.crc32(f"{self._start.number} {place} {visit}".encode())
        pixels = self._scene.expose(self.defocus_um, NOMINAL_MS, shot)
        self._clock.advance_ms(self._costs.exposure_ms / 2 + READOUT_MS)
        self.images += 1
        return pixels

    def wait(self, milliseconds: float) -> None:
        """Wait, as a method asks for it."""
        self._clock.advance_ms(milliseconds)

    def compute(self, work: Callable[[], T]) -> T:
        """Do some computing, and charge the wall time that it takes."""
        began = time.perf_counter()
        result = work()
        spent_ms = (time.perf_counter() - began) * 1e3
        self._clock.advance_ms(spent_ms)
        self.compute_ms += spent_ms
        return result

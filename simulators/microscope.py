"""A simulated microscope: a scene, a stage and a camera on one clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from microscoped.drivers.errors import ConnectionFailedError
from microscoped.simulators.camera import SimulatedCamera
from microscoped.simulators.faults import Faults
from microscoped.simulators.stage import SimulatedStage, StageModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from microscoped.drivers.protocols import Clock
    from microscoped.simulators.protocols import Scene


class SimulatedMicroscope:
    """A camera and a focus stage before a scene; satisfies ``Microscope`` and ``FieldStepper``.

    The devices outlive a closing, as real ones do: after re-opening the stage is where it was, plus its drift.

    Parameters
    ----------
    scene
        What stands before the camera.
    stage_model
        What the stage can do; the default is a good stage.
    more_scenes
        Other fields of the specimen, with images of the same shape, that `step_field` shows in turn.
    clock, sleep
        Time; give a ``ManualClock`` and its ``sleep`` to wait for nothing.
    faults
        Faults to obey, shared by both devices; kept as the attribute ``faults``.
    seed
        Seeds the stage's positioning errors.
    pixel_size_um
        Micrometres in the specimen per camera pixel, where the driver shall know it.
    max_fps, exposure_ms, readout_ms, buffer_frames
        As in `SimulatedCamera`.
    """

    def __init__(
        self,
        scene: Scene,
        stage_model: StageModel | None = None,
        *,
        more_scenes: Sequence[Scene] = (),
        clock: Clock = time.perf_counter_ns,
        sleep: Callable[[float], None] = time.sleep,
        faults: Faults | None = None,
        seed: int = 0,
        pixel_size_um: float | None = None,
        exposure_ms: float = 10.0,
        max_fps: float = 100.0,
        readout_ms: float = 1.0,
        buffer_frames: int = 64,
    ) -> None:
        self.faults = faults if faults is not None else Faults()
        self._scenes = (scene, *more_scenes)
        self._field = 0
        self._stage = SimulatedStage(stage_model, clock=clock, seed=seed, faults=self.faults)
        self._camera = SimulatedCamera(
            scene,
            self._stage,
            clock=clock,
            sleep=sleep,
            faults=self.faults,
            pixel_size_um=pixel_size_um,
            exposure_ms=exposure_ms,
            max_fps=max_fps,
            readout_ms=readout_ms,
            buffer_frames=buffer_frames,
        )
        self._open = False

    @property
    def camera(self) -> SimulatedCamera:
        """The camera; only while open."""
        self._require_open()
        return self._camera

    @property
    def stage(self) -> SimulatedStage:
        """The focus stage; only while open."""
        self._require_open()
        return self._stage

    def step_field(self) -> bool:
        """Show the next field; see ``FieldStepper``."""
        self._require_open()
        self._field = (self._field + 1) % len(self._scenes)
        self._camera.look_at(self._scenes[self._field])
        return len(self._scenes) > 1

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people; only while open."""
        self._require_open()
        model = self._stage.model
        return {
            "driver": "simulated",
            "stage": (
                f"{model.speed_um_s:g} µm/s, range {model.low_um:g} … {model.high_um:g} µm, "
                f"backlash {model.backlash_um:g} µm, jitter {model.jitter_um:g} µm"
            ),
            **self._scenes[self._field].describe(),
        }

    def __enter__(self) -> Self:
        if self._open:
            raise ConnectionFailedError("this simulated microscope is open already: close it first")
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._camera.stop()
        self._stage.stop()
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise ConnectionFailedError("the simulated microscope is not open: use it in a with statement")


__all__ = ["SimulatedMicroscope"]

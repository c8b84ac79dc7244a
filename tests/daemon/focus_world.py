"""The reducer before a stage, a camera and engines that do at once what they are told."""

from __future__ import annotations

import math
import uuid
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from microscoped.daemon.config import Config
from microscoped.daemon.core import Now, Peer, State, step
from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.engines import hologram_defaults, pair_defaults
from microscoped.daemon.protocol import Request
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.settings import core_settings
from microscoped.drivers import CameraInfo, CameraSettings, FocusDirection
from microscoped.drivers.commands import MoveTo, Snap
from microscoped.drivers.motion import Arrival
from microscoped.drivers.safety import way_points

if TYPE_CHECKING:
    from collections.abc import Callable

    from microscoped.daemon.core import Effect, Input
    from microscoped.daemon.protocol import ErrorBody
    from microscoped.daemon.protocol.events import AcquiredData

    Says = Callable[["FocusWorld", float, float], dict[str, Any]]

CONFIG: dict[str, Any] = {
    "optics": {"na": 0.5, "wavelength_nm": 500, "pixel_size_um": 0.325},  # depth of field 2 µm
    "stage": {"limits_um": [-40, 40], "focus_direction": "toward_sample", "overshoot_um": 1},
    "focus": {"range_um": 20},
}
SECOND = 1_000_000_000


def exact(_world: FocusWorld, _first_um: float, second_um: float) -> dict[str, Any]:
    """What an engine says that is right."""
    return {"defocus_um": second_um, "interval_um": [second_um - 1.0, second_um + 1.0]}


class FocusWorld:
    """A reducer and its surroundings; `run` lets them work until nothing is left to do.

    Parameters
    ----------
    focus_um
        Where the specimen is.
    says
        What the engine says of a pair, from the true defocus of both frames; see `exact`.
    pair
        Changes to the pair's defaults; ``None`` for a daemon without that engine.
    hologram
        Changes to what is known of holograms; ``None`` for a daemon without that engine. Distances are
        `distance_per_stage` times how far the stage is above the specimen; `reads` may change what the engine says.
    """

    def __init__(
        self,
        focus_um: float = 8.0,
        *,
        says: Says = exact,
        config: dict[str, Any] | None = None,
        pair: dict[str, Any] | None = {},  # noqa: B006 - not changed
        hologram: dict[str, Any] | None = None,
        camera: CameraSettings | None = None,
    ) -> None:
        chosen = {section: {**values, **(config or {}).get(section, {})} for section, values in CONFIG.items()}
        parsed = Config.model_validate({**(config or {}), **chosen})
        known = pair_defaults(parsed, "0" * 64)
        defaults = "no engine reads them" if pair is None else replace(known, **pair)
        holograms = "no engine reads them" if hologram is None else replace(hologram_defaults(parsed), **hologram)
        settings = core_settings(parsed, {}, pair=defaults, hologram=holograms)
        self.start = self.state = State(settings=settings, session=str(uuid.UUID(int=1)), began_ns=0)
        self.distance_per_stage = -1.25
        self.reads: Callable[[float], dict[str, Any]] = lambda distance_um: {"z_min_contrast_um": distance_um}
        self.focus_um = focus_um
        self.says = says
        self.z_um = 0.0
        self.now_ns = 0
        self.numbers = 0
        self.pairs = 0
        self.frames: dict[str, FrameData] = {}
        self.forgotten: set[str] = set()
        self.moves: list[float] = []
        self.measures: list[to_do.Measure] = []
        self.events: list[dict[str, Any]] = []
        self.replies: list[dict[str, Any]] = []
        self.timers: dict[str, int] = {}
        self.snap_error: ErrorBody | None = None
        self.life: list[tuple[Input, Now, tuple[Effect, ...]]] = []
        self._queue: deque[to_do.Submit | to_do.Measure] = deque()
        direction = parsed.stage.focus_direction
        info = CameraInfo("Camera", 64, 64, 1, "uint16", 12)
        chosen_camera = camera or CameraSettings(exposure_ms=10.0, auto_exposure=False)
        self.hear(heard_of.HardwareOpened(info, chosen_camera, "Z", 0.0, FocusDirection(direction), {}))

    # --- what it hears ------------------------------------------------------------------------------------------------

    def hear(self, heard: Input, after_ns: int = 1_000_000) -> tuple[Effect, ...]:
        self.now_ns += after_ns
        now = Now(len(self.life) + 1, self.now_ns, "2026-01-01T00:00:00.000000+00:00")
        self.state, effects = step(self.state, heard, now)
        self.life.append((heard, now, effects))
        for effect in effects:
            match effect:
                case to_do.Submit() | to_do.Measure():
                    self._queue.append(effect)
                case to_do.Publish():
                    self.events.append(dict(effect.message))
                case to_do.SendReply():
                    self.replies.append(dict(effect.message))
                case to_do.SetTimer():
                    self.timers[effect.timer] = effect.due_ns
                case to_do.ClearTimer():
                    self.timers.pop(effect.timer, None)
                case to_do.Forget():
                    self.forgotten.add(effect.frame)
        return effects

    def ask(self, op: str, lease: str | None = None, **params: Any) -> dict[str, Any]:  # noqa: ANN401 - any op's
        """Send a request; return its reply, if it comes at once."""
        request = Request.model_validate(
            {"v": "1.0", "id": uuid.UUID(int=len(self.life)), "type": "request", "op": op, "params": params}
            | ({"lease": lease} if lease else {})
        )
        before = len(self.replies)
        self.hear(heard_of.RequestReceived(Peer(b"client"), request))
        return self.replies[before] if len(self.replies) > before else {}

    def begin(self, op: str, **params: Any) -> str:  # noqa: ANN401 - any op's
        answer = self.ask(op, **params)
        assert answer["ok"], answer
        task: str = answer["result"]["task"]
        return task

    def wait(self, seconds: float) -> None:
        """Let time pass: timers that are due fire, and what follows is done."""
        end_ns = self.now_ns + int(seconds * SECOND)
        while self.timers and min(self.timers.values()) <= end_ns:
            timer = min(self.timers, key=lambda name: self.timers[name])
            due_ns = self.timers.pop(timer)
            self.hear(heard_of.TimerFired(timer), max(0, due_ns - self.now_ns))
            self.run()
        self.now_ns = max(self.now_ns, end_ns)

    def stream(self, count: int = 1, z_um: float | None = None, *, moving: bool = False, score: float = 1.0) -> str:
        """Let the camera stream frames, each of which is scored; return the last one's id."""
        name = ""
        for _ in range(count):
            name = self._admit(None, streamed=True, z_um=z_um, moving=moving)
            values = {"score": score, "error": 0.0, "mean": 10.0, "saturated_fraction": 0.0}
            self.hear(heard_of.MeasureEnded("sharpness", name, None, values, 1.0))
            if "hologram" in self.state.settings.engines:
                told = self._hologram(self.frames[name].z_um)
                self.hear(heard_of.MeasureEnded("hologram", name, None, told, 1.0))
        return name

    def run(self, steps: int = 10_000) -> None:
        """Do what was asked for, at most so many commands."""
        while self._queue and steps > 0:
            steps -= 1
            effect = self._queue.popleft()
            if isinstance(effect, to_do.Measure):
                self._measure(effect)
            elif effect.command.id not in self.state.pending:
                continue  # it was cancelled
            elif isinstance(effect.command, MoveTo):
                self._move(effect.command)
            elif isinstance(effect.command, Snap):
                self._snap(effect.command)

    # --- what it does -------------------------------------------------------------------------------------------------

    def _move(self, command: MoveTo) -> None:
        legs = way_points(self.state.settings.motion, self.z_um, command.z_um)
        travel_um = sum(abs(b - a) for a, b in zip((self.z_um, *legs), legs, strict=False))
        self.z_um = command.z_um
        self.moves.append(command.z_um)
        arrival = Arrival(command.z_um, self.z_um, True, len(legs), travel_um, 20.0, self.now_ns)
        self.hear(heard_of.CommandEnded(command.id, arrival))

    def _snap(self, command: Snap) -> None:
        if self.snap_error is not None:
            error, self.snap_error = self.snap_error, None
            self.hear(heard_of.CommandEnded(command.id, error=error))
            return
        name = self._admit(command.id, streamed=False)
        self.hear(heard_of.CommandEnded(command.id, name))

    def _admit(
        self,
        command: str | None,
        *,
        streamed: bool,
        z_um: float | None = None,
        moving: bool = False,
        acquired: AcquiredData | None = None,
    ) -> str:
        self.numbers += 1
        frame = FrameData(
            frame=f"frame-{self.numbers}",
            camera="Camera",
            shape=[64, 64],
            dtype="uint16",
            bit_depth=12,
            exposure_start_ns=self.now_ns,
            exposure_start_error_ns=0,
            exposure_ms=self.state.camera.settings.exposure_ms or 0.0,
            z_um=self.z_um if z_um is None else z_um,
            z_source="readback",
            moving=moving,
            number=self.numbers,
            lost_before=0,
            streamed=streamed,
            acquired=acquired,
        )
        self.frames[frame.frame] = frame
        self.hear(heard_of.FrameAdmitted(frame, command))
        return frame.frame

    def _measure(self, effect: to_do.Measure) -> None:
        if effect.request not in self.state.pending:
            return
        self.measures.append(effect)
        # The loop takes the pixels of all frames: none may have been dropped.
        assert not self.forgotten & {effect.frame, *effect.earlier}
        z_um = self.frames[effect.frame].z_um
        values: dict[str, Any]
        if effect.engine == "sharpness":
            off = (z_um - self.focus_um) / 2.0
            values = {"score": math.exp(-(off**2)) + 0.01, "error": 1e-4, "mean": 10.0, "saturated_fraction": 0.0}
        elif effect.engine == "hologram":
            values = self._hologram(z_um)
        else:
            self.pairs += 1
            first_um = self.frames[effect.earlier[0]].z_um
            assert effect.options["delta_um"] == z_um - first_um
            told = self.says(self, first_um - self.focus_um, z_um - self.focus_um)
            if "error" in told:
                self.hear(
                    heard_of.MeasureEnded(
                        effect.engine, effect.frame, effect.request, None, 5.0, told["error"], effect.earlier
                    )
                )
                return
            values = {
                "defocus_um": None,
                "interval_um": None,
                "reason": "",
                "modes_um": [],
                "mean_ratio": 1.0,
                **told,
            }
            values["abstained"] = values["defocus_um"] is None
        self.hear(
            heard_of.MeasureEnded(effect.engine, effect.frame, effect.request, values, 5.0, earlier=effect.earlier)
        )

    def _hologram(self, z_um: float) -> dict[str, Any]:
        """What the engine says of a hologram."""
        distance_um = (z_um - self.focus_um) * self.distance_per_stage
        background = {"kind": "hologram", "stale": False, "why": ""}
        return {"z_min_contrast_um": None, "reason": "", "background": background, **self.reads(distance_um)}

    # --- what it says -------------------------------------------------------------------------------------------------

    def result(self, task: str) -> dict[str, Any]:
        found = self.state.tasks[task].result
        assert found is not None
        return dict(found)

    def alarms(self) -> list[tuple[str, bool]]:
        return [
            (event["data"]["code"], event["data"]["cleared"]) for event in self.events if event["topic"] == "v1.alarm."
        ]

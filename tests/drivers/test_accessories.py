"""A stage in the plane and presets by way of the hardware thread: the demonstration, and fakes with faults."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import mm_test_adapters
import pytest

from microscoped.drivers import CameraSettings, FocusDirection
from microscoped.drivers import commands as c
from microscoped.drivers.errors import StageError
from microscoped.drivers.hardware import HardwareSettings, HardwareThread
from microscoped.drivers.micromanager import MicroManagerMicroscope
from microscoped.drivers.motion import XYArrival
from microscoped.drivers.safety import MotionSettings, XYMotionSettings
from microscoped.simulators import SimulatedMicroscope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from microscoped.drivers.commands import HardwareEvent
    from microscoped.drivers.protocols import Microscope
    from microscoped.simulators.brightfield import BrightfieldScene

E = TypeVar("E")
XY = XYMotionSettings((-1000.0, 1000.0), (-500.0, 500.0), settle_ms=1.0, timeout_s=5.0)
MORE_PRESETS = """
ConfigGroup,Bad,Stage,Z,Position,5
ConfigGroup,Bad,Plane,XY,TransposeMirrorX,0
ConfigGroup,Bad,Role,Core,Focus,Z
"""


class FakeXY:
    """A stage in the plane that goes where it is told unless it sticks."""

    name = "fake"

    def __init__(self) -> None:
        self.at = (0.0, 0.0)
        self.sticks = False
        self.stops = 0

    def position_um(self) -> tuple[float, float]:
        return self.at

    def move_to(self, x_um: float, y_um: float) -> None:
        if not self.sticks:
            self.at = (x_um, y_um)

    def is_busy(self) -> bool:
        return self.sticks

    def stop(self) -> None:
        self.stops += 1
        self.sticks = False


class FakePresets:
    """Presets that are selected at once, or never, or not at all."""

    def __init__(self) -> None:
        self.selected: list[str] = []
        self.busy = False

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        return {"Channel": ("DAPI", "FITC")}

    def select(self, group: str, preset: str) -> None:
        assert group == "Channel"
        self.selected.append(preset)

    def is_busy(self, group: str, preset: str) -> bool:
        assert group == "Channel"
        assert preset
        return self.busy


class Furnished(SimulatedMicroscope):
    """A simulated microscope with a stage in the plane and presets."""

    def __init__(self, scene: BrightfieldScene) -> None:
        super().__init__(scene, exposure_ms=2.0, max_fps=200.0)
        self.plane = FakeXY()
        self.named = FakePresets()

    def xy_stage(self) -> FakeXY:
        return self.plane

    def presets(self) -> FakePresets:
        return self.named


class Bench:
    """A hardware thread and what it says."""

    def __init__(self, microscope: Microscope, **settings: object) -> None:
        self.heard: queue.Queue[HardwareEvent] = queue.Queue()
        motion = MotionSettings((-100.0, 100.0), focus_direction=FocusDirection.TOWARD_SAMPLE)
        hardware = HardwareSettings(motion, **{"xy": XY, "preset_timeout_s": 0.2, **settings})  # type: ignore[arg-type]
        self.thread = HardwareThread(microscope, hardware, self.heard.put)
        self.thread.start()
        self.opened = self.next(c.Opened)

    def next(self, kind: type[E]) -> E:
        while not isinstance(event := self.heard.get(timeout=20), kind):
            pass
        return event

    def do(self, command: c.Command) -> c.Result:
        self.thread.submit(command)
        while (result := self.next(c.Result)).command is not command:
            pass
        return result

    def to(self, x_um: float, y_um: float) -> c.Result:
        return self.do(c.MoveXY(id="move", x_um=x_um, y_um=y_um))

    def select(self, group: str, preset: str) -> c.Result:
        return self.do(c.SelectPreset(id="select", group=group, preset=preset))

    def close(self) -> None:
        self.thread.close()
        assert self.thread.join(20)


@pytest.fixture
def start() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def build(microscope: Microscope, **settings: object) -> Bench:
        benches.append(Bench(microscope, **settings))
        return benches[-1]

    yield build
    for bench in benches:
        bench.close()


@pytest.fixture
def demo(tmp_path: Path) -> MicroManagerMicroscope:
    """Micro-Manager's own demonstration, with presets that must not be selected."""
    adapters = mm_test_adapters.device_adapter_path()
    config = tmp_path / "demo.cfg"
    config.write_text((Path(adapters) / "MMConfig_demo.cfg").read_text() + MORE_PRESETS)
    return MicroManagerMicroscope(config, adapter_paths=[adapters], buffer_mb=16)


def code(result: c.Result) -> str:
    assert result.error is not None
    return result.error.code


def test_the_demonstration_moves_in_the_plane_and_selects_presets(
    start: Callable[..., Bench], demo: MicroManagerMicroscope
) -> None:
    bench = start(demo, preset_timeout_s=5.0)
    assert bench.opened.xy_um is not None
    assert set(bench.opened.presets["Channel"]) == {"DAPI", "FITC", "Cy5", "Rhodamine"}
    arrival = bench.to(40.0, -30.0).value
    assert isinstance(arrival, XYArrival)
    assert arrival.xy_um == pytest.approx((40.0, -30.0), abs=1.0)
    assert bench.select("Channel", "FITC").error is None
    refused = [
        bench.select("Channel", "Cy9"),
        bench.select("Colour", "DAPI"),
        bench.select("Bad", "Stage"),
        bench.select("Bad", "Plane"),
        bench.select("Bad", "Role"),
        bench.to(0.0, 600.0),
    ]
    assert [code(result) for result in refused] == ["invalid"] * 5 + ["limit"]
    words = ["Cy5", "there is no group 'Colour'", "'Z'", "'XY'", "another Focus", "-500 to 500 µm (stage.limits_y_um)"]
    for result, word in zip(refused, words, strict=True):
        assert word in str(result.error)
    assert bench.do(c.ReadPosition(id="z")).value == 0.0


@pytest.mark.parametrize(("x_um", "y_um"), [(1001.0, 0.0), (0.0, -501.0), (float("nan"), 0.0), (0.0, float("inf"))])
def test_nothing_moves_beyond_the_limits(
    start: Callable[..., Bench], small_scene: BrightfieldScene, x_um: float, y_um: float
) -> None:
    microscope = Furnished(small_scene)
    assert code(start(microscope).to(x_um, y_um)) == "limit"
    assert microscope.plane.at == (0.0, 0.0)


def test_nothing_moves_in_the_plane_without_limits(start: Callable[..., Bench], small_scene: BrightfieldScene) -> None:
    microscope = Furnished(small_scene)
    assert code(start(microscope, xy=XYMotionSettings()).to(1.0, 1.0)) == "limit.unset"
    assert microscope.plane.at == (0.0, 0.0)


def test_a_stage_that_does_not_arrive_is_told(start: Callable[..., Bench], small_scene: BrightfieldScene) -> None:
    microscope = Furnished(small_scene)
    microscope.plane.sticks = True
    bench = start(microscope, xy=XYMotionSettings((-9, 9), (-9, 9), timeout_s=0.05))
    assert code(bench.to(1.0, 1.0)) == "fault.stage_not_arrived"


def test_stop_halts_both_stages_and_keeps_them_still_until_resume(
    start: Callable[..., Bench], small_scene: BrightfieldScene
) -> None:
    microscope = Furnished(small_scene)
    microscope.plane.sticks = True
    bench = start(microscope)
    command = c.MoveXY(id="move", x_um=1.0, y_um=1.0)
    bench.thread.submit(command)
    bench.thread.stop()
    heard: list[HardwareEvent] = [bench.heard.get(timeout=20), bench.heard.get(timeout=20)]
    assert {type(event) for event in heard} <= {c.Result, c.StopDone, c.PositionRead}
    while not any(isinstance(event, c.Result) for event in heard):
        heard.append(bench.heard.get(timeout=20))
    assert microscope.plane.stops >= 1
    assert microscope.plane.at == (0.0, 0.0)
    assert code(bench.to(2.0, 2.0)) == "stopped"
    bench.thread.resume()
    assert bench.to(2.0, 2.0).error is None
    assert microscope.plane.at == (2.0, 2.0)


def test_one_stage_that_cannot_stop_does_not_keep_the_other_from_it(
    start: Callable[..., Bench], small_scene: BrightfieldScene
) -> None:
    microscope = Furnished(small_scene)
    bench = start(microscope)
    microscope.faults.stage_failures = 1_000
    bench.thread.stop()
    done = bench.next(c.StopDone)
    microscope.faults.stage_failures = 0
    assert microscope.plane.stops == 1
    assert done.error is None or isinstance(done.error, StageError)


def test_a_preset_whose_devices_stay_busy_is_told(start: Callable[..., Bench], small_scene: BrightfieldScene) -> None:
    microscope = Furnished(small_scene)
    microscope.named.busy = True
    result = start(microscope).select("Channel", "DAPI")
    assert code(result) == "fault"
    assert "still busy 0.2 s after it was selected" in str(result.error)


def test_a_stream_pauses_for_a_preset_and_goes_on(start: Callable[..., Bench], small_scene: BrightfieldScene) -> None:
    microscope = Furnished(small_scene)
    bench = start(microscope)
    bench.do(c.StartStream(id="stream"))
    bench.next(c.FrameTaken)
    assert bench.select("Channel", "FITC").error is None
    assert microscope.named.selected == ["FITC"]
    for _ in range(3):
        assert bench.next(c.FrameTaken).frame.streamed
    assert bench.do(c.Configure(id="set", change=CameraSettings(exposure_ms=3.0))).error is None


@pytest.mark.parametrize(
    "command", [c.MoveXY(id="a", x_um=0.0, y_um=0.0), c.SelectPreset(id="b", group="Channel", preset="DAPI")]
)
def test_a_microscope_without_them_says_so(
    start: Callable[..., Bench], small_scene: BrightfieldScene, command: c.Command
) -> None:
    bench = start(SimulatedMicroscope(small_scene))
    assert (bench.opened.xy_um, bench.opened.presets) == (None, {})
    result = bench.do(command)
    assert code(result) == "invalid"
    assert "this microscope has no" in str(result.error)

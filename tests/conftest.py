"""Fixtures that every room of the tests shares: measured images, small scenes, running daemons."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.client import Scope
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.drivers import Optics
from microscoped.drivers.micromanager.testing import watch_core_threads
from microscoped.simulators import Faults, SimulatedMicroscope, StageModel
from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from microscoped.daemon.runtime.loop import Watcher
    from microscoped.drivers import Clock
    from microscoped.models import Engine

REPOSITORY = Path(__file__).resolve().parent.parent


def find_data_dir() -> Path | None:
    """Return the folder of measured images, or None where there is none."""
    configured = os.environ.get("MICROSCOPED_DATA")
    folder = Path(configured) if configured else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def data_dir() -> Path:
    folder = find_data_dir()
    if folder is None:
        pytest.skip("measured images are absent: set MICROSCOPED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def small_scene() -> BrightfieldScene:
    """A stained section that is rendered in a moment; focus at optical 0."""
    optics = Optics(na=0.5, wavelength_nm=550, immersion_index=1.0, pixel_size_um=0.325)
    return BrightfieldScene(BrightfieldSetup(optics=optics, shape_px=(64, 64), z_range_um=(-8.0, 8.0)), cache=None)


@pytest.fixture(scope="session", autouse=True)
def journals_go_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test writes where the user's own journals and keys are."""
    folder = tmp_path_factory.mktemp("data-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROSCOPED_DATA_HOME", str(folder))
        patch.setenv("MICROSCOPED_CONFIG_HOME", str(folder / "settings"))
        yield folder


@pytest.fixture(autouse=True)
def core_belongs_to_one_thread() -> Iterator[None]:
    """No test, whatever it is about, may call a Micro-Manager core from a thread that does not own it."""
    with watch_core_threads() as calls:
        yield
    calls.check()


@pytest.fixture(scope="session")
def scene() -> BrightfieldScene:
    """A stained section, small enough to be rendered in a moment."""
    optics = Optics(na=0.5, wavelength_nm=550, immersion_index=1.0, pixel_size_um=0.325)
    return BrightfieldScene(BrightfieldSetup(optics=optics, shape_px=(128, 128), z_range_um=(-12.0, 12.0)), cache=None)


CONFIG: dict[str, dict[str, Any]] = {
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": 0.325},
    "stage": {
        "limits_um": [-20, 20],
        "max_step_um": 15,
        "focus_direction": "toward_sample",
        "overshoot_um": 1,
        "settle_ms": 5,
        "timeout_s": 2,
    },
    "camera": {"frame_allowance_s": 0.5},
    "focus": {"range_um": 8},
    "journal": {"enabled": False},
    "record": {},
    "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
}


class Rig:
    """A running daemon, and the simulated microscope behind it."""

    def __init__(self, daemon: Daemon, microscope: SimulatedMicroscope, key: Path | None = None) -> None:
        self.daemon = daemon
        self.microscope = microscope
        self.faults = microscope.faults
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._run, name="loop")
        self._thread.start()
        self.scope = Scope(daemon.endpoints.control.replace("0.0.0.0", "127.0.0.1"), timeout_s=10, key=key)  # noqa: S104

    def _run(self) -> None:
        self.exit_code = self.daemon.run()

    def end(self) -> None:
        if self._thread.is_alive():
            self.daemon.shut_down("the test is over")
        self._thread.join(20)
        self.scope.close()
        assert not self._thread.is_alive()


def _rigs(scene: BrightfieldScene) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def start(
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        stage: StageModel | None = None,
        watch: Watcher | None = None,
        engines: Sequence[Engine] | None = None,
        clock: Clock = time.perf_counter_ns,
        ready: bool = True,
        key: Path | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
    ) -> Rig:
        microscope = SimulatedMicroscope(scene, stage or StageModel(start_um=4.0), faults=Faults())
        content = {section: {**values, **(changes or {}).get(section, {})} for section, values in CONFIG.items()}
        rig = Rig(
            Daemon(
                Config.model_validate({**content, "rules": rules}),
                microscope=microscope,
                watch=watch,
                engines=engines,
                clock=clock,
            ),
            microscope,
            key,
        )
        rigs.append(rig)
        while ready and rig.scope.status()["state"] == "STARTING":
            pass
        return rig

    yield start
    for rig in rigs:
        rig.end()
        assert rig.exit_code == 0


@pytest.fixture
def start_rig(scene: BrightfieldScene) -> Iterator[Callable[..., Rig]]:
    """Start daemons; all of them are ended, and must have ended cleanly."""
    yield from _rigs(scene)


@pytest.fixture(scope="module")
def start_rig_module(scene: BrightfieldScene) -> Iterator[Callable[..., Rig]]:
    """The same, for a whole module."""
    yield from _rigs(scene)


@pytest.fixture
def rig(start_rig: Callable[..., Rig]) -> Rig:
    return start_rig()

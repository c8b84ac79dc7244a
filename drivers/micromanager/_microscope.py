"""Any microscope that Micro-Manager can drive, as far as it has a camera and a focus drive."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pymmcore_plus import CMMCorePlus, DeviceInitializationState, DeviceType

from microscoped.drivers.errors import CameraError, ConnectionFailedError, DriverError
from microscoped.drivers.micromanager._camera import MicroManagerCamera
from microscoped.drivers.micromanager._core import (
    CORE_ERRORS,
    close_core,
    default_adapter_paths,
    new_core,
    register,
    wrapped,
)
from microscoped.drivers.micromanager._explain import explain, unknown_lines
from microscoped.drivers.micromanager._presets import MicroManagerPresets
from microscoped.drivers.micromanager._stage import MicroManagerStage
from microscoped.drivers.micromanager._xy import MicroManagerXYStage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from microscoped.drivers.protocols import Clock


class MicroManagerMicroscope:
    """Camera and focus drive of a Micro-Manager configuration; satisfies ``Microscope``.

    Its XY stage and its configuration groups are offered beside (``HasXYStage``, ``HasPresets``).

    Opens on entering, on the thread that then owns the core: every later call comes from it, but for the stage's
    ``stop``. Closes on leaving, so that the process can end with exit code 0.

    Parameters
    ----------
    config_file
        A Micro-Manager configuration (``.cfg``).
    adapter_paths
        Folders with device adapters; by default the user's Micro-Manager, else the demonstration adapters.
    camera, stage
        Labels of camera and focus drive; by default those that the configuration gives these roles.
    core
        Instead of a new core: one that is built already, which is left open on leaving and must be closed with
        `close_core`; or a function that builds one, called on entering, which is closed on leaving. It may come with
        devices loaded and without ``config_file``.
    buffer_mb
        Size of the circular buffer, in megabytes; by default Micro-Manager's (250).
    clock
        Monotonic nanoseconds.

    Raises
    ------
    ValueError
        Neither a configuration nor a core is given.
    """

    def __init__(
        self,
        config_file: str | Path | None = None,
        *,
        adapter_paths: Sequence[str | Path] | None = None,
        camera: str | None = None,
        stage: str | None = None,
        core: CMMCorePlus | Callable[[], CMMCorePlus] | None = None,
        buffer_mb: int | None = None,
        clock: Clock = time.perf_counter_ns,
    ) -> None:
        if config_file is None and core is None:
            raise ValueError("give a configuration file or a core")
        self._config_file = None if config_file is None else Path(config_file).expanduser()
        self._adapter_paths = None if adapter_paths is None else [str(path) for path in adapter_paths]
        self._camera_label = camera
        self._stage_label = stage
        self._given = core
        self._buffer_mb = buffer_mb
        self._clock = clock
        self._core: CMMCorePlus | None = None
        self._camera: MicroManagerCamera | None = None
        self._stage: MicroManagerStage | None = None

    @property
    def camera(self) -> MicroManagerCamera:
        """The camera; only while open."""
        if self._camera is None:
            raise ConnectionFailedError("the microscope is not open: use it in a with statement")
        return self._camera

    @property
    def stage(self) -> MicroManagerStage:
        """The focus stage; only while open."""
        if self._stage is None:
            raise ConnectionFailedError("the microscope is not open: use it in a with statement")
        return self._stage

    def xy_stage(self) -> MicroManagerXYStage | None:
        """Return the device that has the core's role of the XY stage; only while open."""
        core = self._opened_core()
        label = str(core.getXYStageDevice())
        return MicroManagerXYStage(core, label) if label else None

    def presets(self) -> MicroManagerPresets:
        """Return the configuration groups; only while open."""
        return MicroManagerPresets(self._opened_core())

    def describe(self) -> Mapping[str, str]:
        """Return versions, configuration and devices, for people; only while open."""
        camera, stage, core = self.camera.name, self.stage.name, self._opened_core()
        return {
            "driver": "Micro-Manager",
            "core": core.getVersionInfo(),
            "interface": core.getAPIVersionInfo(),
            "config": "" if self._config_file is None else str(self._config_file),
            "camera": f"{camera} ({core.getDeviceLibrary(camera)}/{core.getDeviceName(camera)})",
            "stage": f"{stage} ({core.getDeviceLibrary(stage)}/{core.getDeviceName(stage)})",
        }

    def __enter__(self) -> Self:
        """Load the configuration and find camera and focus drive.

        Raises
        ------
        ConnectionFailedError
            With the cause and the remedy.
        """
        if self._core is not None:
            raise ConnectionFailedError("this microscope is open already: close it first")
        if self._config_file is not None and not self._config_file.is_file():
            raise ConnectionFailedError(
                f"there is no configuration file {self._config_file}: give the path of the .cfg that the hardware "
                "configuration wizard of Micro-Manager wrote"
            )
        paths = self._adapter_paths if self._adapter_paths is not None else default_adapter_paths(self._config_file)
        core: CMMCorePlus | None = None
        try:
            core = self._obtain(paths)
            self._open(core)
        except CORE_ERRORS as error:
            self._abandon(core)
            raise explain(error, self._config_file, paths, core) from error
        except DriverError as error:
            self._abandon(core)
            if isinstance(error, ConnectionFailedError):
                raise
            raise ConnectionFailedError(str(error)) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Stop the sequence and close the core; never raises for a device that is already gone."""
        core, camera = self._core, self._camera
        self._core = self._camera = self._stage = None
        if core is None or camera is None:
            return
        with suppress(CameraError):  # a camera that is gone: the core is closed all the same
            camera.stop()
        if self._owns():
            close_core(_unwrapped(core))

    def _opened_core(self) -> CMMCorePlus:
        if self._core is None:
            raise ConnectionFailedError("the microscope is not open: use it in a with statement")
        return self._core

    def _owns(self) -> bool:
        return not isinstance(self._given, CMMCorePlus)

    def _obtain(self, paths: Sequence[str]) -> CMMCorePlus:
        if self._given is None:
            return new_core(paths)
        core = self._given if isinstance(self._given, CMMCorePlus) else self._given()
        register(core)
        return core

    def _open(self, bare: CMMCorePlus) -> None:
        core = wrapped(bare)
        if self._config_file is not None:
            core.loadSystemConfiguration(str(self._config_file))
        camera = self._choose(core, "camera", self._camera_label, core.getCameraDevice(), DeviceType.Camera)
        stage = self._choose(core, "focus drive", self._stage_label, core.getFocusDevice(), DeviceType.Stage)
        for label in (camera, stage):
            if core.getDeviceInitializationState(label) != DeviceInitializationState.InitializedSuccessfully:
                raise ConnectionFailedError(f"{label} is loaded, but was not initialised: the log says why")
        if core.getCameraDevice() != camera:
            core.setCameraDevice(camera)
        if core.getFocusDevice() != stage:
            core.setFocusDevice(stage)
        # Allocated now, or the first sequence would begin some 100 ms late.
        core.setCircularBufferMemoryFootprint(self._buffer_mb or core.getCircularBufferMemoryFootprint())
        if core.getNumberOfCameraChannels() > 1:
            raise ConnectionFailedError(
                f"the camera {camera} joins several cameras: give the label of one of them as camera"
            )
        self._camera = MicroManagerCamera(core, camera, self._clock)
        self._stage = MicroManagerStage(core, stage)
        self._core = core

    def _choose(self, core: CMMCorePlus, what: str, given: str | None, role: str, kind: DeviceType) -> str:
        candidates = [str(label) for label in core.getLoadedDevicesOfType(kind)]
        label = given if given is not None else str(role)
        if label and label in candidates:
            return label
        argument = "camera" if kind == DeviceType.Camera else "stage"
        source = "the core" if self._config_file is None else str(self._config_file)
        listed = ", ".join(candidates)
        if given is not None:
            problem = f"there is no {what} {given!r} in {source}"
        else:
            problem = f"{source} gives no device the role of the {what}"
        remedy = f"Choose one of these as {argument}: {listed}." if candidates else f"No {what} is loaded at all."
        role_line = f"Property,Core,{'Camera' if kind == DeviceType.Camera else 'Focus'},LABEL"
        raise ConnectionFailedError(
            f"{problem}. {remedy} The configuration names it in the line {role_line}.{unknown_lines(self._config_file)}"
        )

    def _abandon(self, core: CMMCorePlus | None) -> None:
        self._core = self._camera = self._stage = None
        if core is not None and self._owns():
            close_core(core)


def _unwrapped(core: CMMCorePlus) -> CMMCorePlus:
    """Return the core behind a test's wrapper."""
    inner: CMMCorePlus = getattr(core, "watched_core", core)
    return inner


__all__ = ["MicroManagerMicroscope"]

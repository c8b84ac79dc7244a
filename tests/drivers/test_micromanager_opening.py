from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mm_test_adapters
import pytest
from pymmcore_plus.experimental.unicore import StageDevice, UniMMCore

from microscoped.drivers.errors import (
    AdapterLibraryError,
    CameraError,
    ConnectionFailedError,
    DeviceInUseError,
    InterfaceMismatchError,
)
from microscoped.drivers.micromanager import MicroManagerMicroscope, default_adapter_paths, demo_config_path
from microscoped.drivers.micromanager._explain import explain
from microscoped.drivers.protocols import FocusDirection
from microscoped.simulators import SimulatedMicroscope
from microscoped.simulators.micromanager import build_core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymmcore_plus import CMMCorePlus

    from microscoped.drivers.protocols import Pixels

ADAPTERS = Path(mm_test_adapters.device_adapter_path())
DEMO_LIBRARY = ADAPTERS / "libmmgr_dal_DemoCamera.so.0"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="library file names and messages of Linux")

CAMERA = "Device,Camera,DemoCamera,DCam\n"
STAGE = "Device,Z,DemoCamera,DStage\n"
READY = "Property,Core,Initialize,1\n"
ROLES = "Property,Core,Camera,Camera\nProperty,Core,Focus,Z\n"
GOOD = CAMERA + STAGE + READY + ROLES


def write(folder: Path, text: str) -> Path:
    config = folder / "rig.cfg"
    config.write_text(text)
    return config


def failure(
    folder: Path, text: str, *, adapter_paths: list[Path] | None = None, **labels: str
) -> ConnectionFailedError:
    paths = [ADAPTERS] if adapter_paths is None else adapter_paths
    microscope = MicroManagerMicroscope(write(folder, text), adapter_paths=paths, **labels)
    with pytest.raises(ConnectionFailedError) as raised, microscope:
        pass
    with pytest.raises(ConnectionFailedError, match="not open"):
        _ = microscope.camera
    return raised.value


def test_the_demonstration_opens_as_documented() -> None:
    with MicroManagerMicroscope(demo_config_path()) as microscope:
        info = microscope.camera.info()
        assert (info.height_px, info.width_px, info.channels, info.dtype, info.bit_depth) == (512, 512, 1, "uint16", 16)
        assert info.pixel_size_um == 1.0
        assert microscope.stage.focus_direction() is FocusDirection.TOWARD_SAMPLE
        told = microscope.describe()
        assert "75" in told["interface"]
        assert told["camera"] == "Camera (DemoCamera/DCam)"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConnectionFailedError, match=r"no configuration file .*nowhere\.cfg"):
        MicroManagerMicroscope("nowhere.cfg").__enter__()


def test_neither_configuration_nor_core_is_refused() -> None:
    with pytest.raises(ValueError, match="configuration file or a core"):
        MicroManagerMicroscope()


WRONG_CONFIGS: dict[str, tuple[str, type[ConnectionFailedError], list[str]]] = {
    "adapter that is not there": (
        "Device,Camera,DemoCamra,DCam\n",
        AdapterLibraryError,
        ["no device adapter DemoCamra", "Did you mean DemoCamera?", "MICROMANAGER_PATH", "line 1"],
    ),
    "device that the adapter lacks": (
        "Device,Camera,DemoCamera,DCamera9\n",
        AdapterLibraryError,
        ["no device 'DCamera9'", "DCam", "line 1"],
    ),
    "line that is cut off": (CAMERA + "Device,Z\n", ConnectionFailedError, ["line 2", "Wrong number of tokens"]),
    "property that is not there": (
        GOOD + "Property,Camera,Colour,blue\n",
        ConnectionFailedError,
        ["line 6", "Property,Camera,Colour,blue", "Invalid property name"],
    ),
    "value that is not allowed": (
        GOOD + "Property,Camera,Binning,3\n",
        ConnectionFailedError,
        ["line 6", 'Cannot set property "Binning" to "3"'],
    ),
    "role for no device": (
        CAMERA + READY + "Property,Core,Focus,Z\n",
        ConnectionFailedError,
        ["line 3", "Focus", '"Z"'],
    ),
    "label given twice": (CAMERA + CAMERA, ConnectionFailedError, ["line 2", "already in use"]),
    "no camera at all": (
        STAGE + READY + "Property,Core,Focus,Z\n",
        ConnectionFailedError,
        ["the role of the camera", "No camera is loaded at all", "Property,Core,Camera,LABEL"],
    ),
    "stage without the role": (
        CAMERA + STAGE + READY + "Property,Core,Camera,Camera\n",
        ConnectionFailedError,
        ["the role of the focus drive", "Choose one of these as stage: Z", "Property,Core,Focus,LABEL"],
    ),
    "misspelt command": (
        CAMERA + "Devize,Z,DemoCamera,DStage\n" + READY + "Property,Core,Camera,Camera\n",
        ConnectionFailedError,
        ["focus drive", "passes over what it does not know: line 2 ('Devize,Z,DemoCamera,DStage')"],
    ),
    "not a configuration": ("\x00\x01\x02\x7f", ConnectionFailedError, ["the camera", "line 1"]),
    "empty file": ("", ConnectionFailedError, ["No camera is loaded at all"]),
}


@pytest.mark.parametrize(("text", "kind", "words"), WRONG_CONFIGS.values(), ids=WRONG_CONFIGS)
def test_a_wrong_configuration_is_explained(
    tmp_path: Path, text: str, kind: type[ConnectionFailedError], words: list[str]
) -> None:
    error = failure(tmp_path, text)
    assert type(error) is kind
    assert "rig.cfg" in str(error)
    assert not [word for word in words if word not in str(error)], str(error)


def test_labels_given_by_hand_replace_the_roles(tmp_path: Path) -> None:
    config = write(tmp_path, CAMERA + STAGE + READY)
    with MicroManagerMicroscope(config, camera="Camera", stage="Z") as microscope:
        assert (microscope.camera.name, microscope.stage.name) == ("Camera", "Z")


@pytest.mark.parametrize(
    ("labels", "words"),
    [({"camera": "Cam"}, "no camera 'Cam' in"), ({"stage": "Camera"}, "no focus drive 'Camera' in")],
)
def test_a_label_that_fits_no_device_is_explained(tmp_path: Path, labels: dict[str, str], words: str) -> None:
    assert words in str(failure(tmp_path, GOOD, **labels))


def test_a_camera_with_strange_pixels_opens_and_says_so(tmp_path: Path) -> None:
    config = write(tmp_path, GOOD + "Property,Camera,PixelType,32bit\n")
    with MicroManagerMicroscope(config, adapter_paths=[ADAPTERS]) as microscope:
        for call in (microscope.camera.info, microscope.camera.snap):
            with pytest.raises(CameraError, match="16 bit"):
                call()


def changed_library(folder: Path, old: bytes, new: bytes) -> Path:
    """Write a copy of the demonstration adapter with one change of equal length."""
    content = DEMO_LIBRARY.read_bytes()
    if content.count(old) != 1 or len(old) != len(new):
        pytest.skip("this build of the demonstration adapter has another layout")
    copy = folder / DEMO_LIBRARY.name
    copy.write_bytes(content.replace(old, new))
    return folder


@on_linux
def test_an_adapter_of_another_interface_is_explained(tmp_path: Path) -> None:
    # x86-64: mov eax, 75; ret, which is the whole of GetDeviceInterfaceVersion
    adapters = changed_library(tmp_path, b"\xb8\x4b\x00\x00\x00\xc3", b"\xb8\x4a\x00\x00\x00\xc3")
    error = failure(tmp_path, GOOD, adapter_paths=[adapters])
    assert type(error) is InterfaceMismatchError
    for words in ("interface 74", "speaks 75", "mmcore install", "pymmcore==*.*.*.74.*"):
        assert words in str(error)


@on_linux
def test_a_missing_vendor_library_is_explained(tmp_path: Path) -> None:
    adapters = changed_library(tmp_path, b"libstdc++.so.6\x00", b"libvendor.so.6\x00")
    error = failure(tmp_path, GOOD, adapter_paths=[adapters])
    assert type(error) is AdapterLibraryError
    for words in ("DemoCamera is there", "libvendor.so.6", "Install that driver", "PATH"):
        assert words in str(error)


@on_linux
def test_a_file_that_is_no_library_is_explained(tmp_path: Path) -> None:
    (tmp_path / DEMO_LIBRARY.name).write_text("this is not a library")
    error = failure(tmp_path, GOOD, adapter_paths=[tmp_path])
    assert type(error) is AdapterLibraryError
    assert "no device adapter for this computer" in str(error)


HELD = [
    "Camera is already in use by another application",
    "Device is currently opened exclusively by another application",
    "Cannot open COM3: Access is denied.",
    "open /dev/ttyUSB0: Permission denied",
    "Device or resource busy",
    "Cannot connect to camera",
]


@pytest.mark.parametrize("message", HELD)
def test_a_device_held_by_another_program_is_explained(message: str) -> None:
    error = explain(RuntimeError(f'Error in device "Cam": {message} (10001)'), None, [], None)
    assert type(error) is DeviceInUseError
    assert "close Micro-Manager" in str(error)
    assert message in str(error)


class DarkScene:
    shape = (8, 8)
    bit_depth = 8

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        raise NotImplementedError

    def describe(self) -> Mapping[str, str]:
        return {}


class HeldMicroscope(SimulatedMicroscope):
    def __enter__(self) -> HeldMicroscope:
        raise ConnectionRefusedError("the camera is in use by another program")


def test_a_core_that_cannot_be_built_is_explained_and_leaves_nothing_open() -> None:
    microscope = MicroManagerMicroscope(core=lambda: build_core(HeldMicroscope(DarkScene())))
    for _ in range(2):
        with pytest.raises(DeviceInUseError, match="another program"), microscope:
            pass


def test_a_configuration_that_initialises_nothing_is_explained(tmp_path: Path) -> None:
    text = "Property,Core,Initialize,0\n" + CAMERA + STAGE + ROLES
    assert "lacks the line Property,Core,Initialize,1" in str(failure(tmp_path, text))


class DeadStage(StageDevice):
    """Its errors while it is initialised are only logged by UniMMCore."""

    def initialize(self) -> None:
        raise RuntimeError("the controller does not answer")

    def set_position_um(self, val: float) -> None:
        raise NotImplementedError

    def get_position_um(self) -> float:
        raise NotImplementedError

    home = stop = set_origin = lambda self: None


def core_with_dead_stage() -> UniMMCore:
    core = UniMMCore(adapter_paths=[str(ADAPTERS)])
    core.loadDevice("Camera", "DemoCamera", "DCam")
    core.loadPyDevice("Z", DeadStage())
    core.initializeAllDevices()
    core.setFocusDevice("Z")
    return core


def test_a_device_that_was_not_initialised_is_named() -> None:
    microscope = MicroManagerMicroscope(core=core_with_dead_stage)
    with pytest.raises(ConnectionFailedError, match="Z is loaded, but was not initialised"), microscope:
        pass


def test_adapters_are_looked_for_where_the_user_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROMANAGER_PATH", str(tmp_path))
    assert default_adapter_paths("rig.cfg") == [str(tmp_path), str(ADAPTERS)]
    assert default_adapter_paths(demo_config_path()) == [str(ADAPTERS)]


def test_a_core_that_was_given_stays_open(core: CMMCorePlus) -> None:
    core.loadSystemConfiguration(str(demo_config_path()))
    for _ in range(2):
        with MicroManagerMicroscope(core=core) as microscope:
            microscope.camera.start()
        assert not core.isSequenceRunning()
        assert "Camera" in core.getLoadedDevices()

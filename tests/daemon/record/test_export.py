"""The frames of acquisitions as images of their plans, read by a reader that knows nothing of us."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaozarrs
import zarr
from typer.testing import CliRunner

from microscoped.daemon.cli._app import app
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.protocol.events import AcquiredData
from microscoped.daemon.record import LayoutError, Recorded, StoreWriteError, export_acquisitions
from tests.daemon.record.recording_world import Scene, frame_of, pixels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Rig

STEP_NS = 20_000_000


class Acquired:
    """A recording of what acquisitions took; each frame has other pixels."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder)
        self.scene.recording.start()
        self.folder = folder
        self.number = 0

    def take(self, index: dict[str, int], z_um: float = 0.0, *, store: bool = True, **more: Any) -> int:  # noqa: ANN401 - of the place
        """Take a frame; return the number of its pixels."""
        self.number += 1
        acquired = AcquiredData(**{"task": "task", "batch": "plan", "number": self.number, "index": index} | more)
        pixels = pixels_of(self.number)
        frame = frame_of(self.number, pixels, z_um).model_copy(update={"acquired": acquired})
        self.scene.hear(heard_of.FrameAdmitted(frame), pixels if store else None)
        return self.number

    def end(self) -> Recorded:
        self.scene.close()
        return Recorded(self.folder)


@pytest.fixture
def acquired(tmp_path: Path) -> Acquired:
    return Acquired(tmp_path / "run 1")


def opened(path: Path) -> tuple[Any, dict[str, Any]]:
    """An image as others read it: its array, and its axes' sizes by name."""
    group = zarr.open_group(path, mode="r")
    yaozarrs.validate_zarr_store(path)
    ome: Any = group.attrs["ome"]
    (image,) = ome["multiscales"]
    (dataset,) = image["datasets"]
    sizes = {one["type"]: one[one["type"]] for one in dataset["coordinateTransformations"]}
    return group["0"], {
        "axes": [axis["name"] for axis in image["axes"]],
        "channels": [channel["label"] for channel in ome["omero"]["channels"]],
        **sizes,
    }


def places(array: Any, numbers: dict[tuple[int, ...], int]) -> None:  # noqa: ANN401 - zarr's
    """Each place has the pixels of its frame, and every other one none."""
    for place in np.ndindex(array.shape[:3]):
        expected = pixels_of(numbers[place]) if place in numbers else np.zeros((48, 64), np.uint16)
        np.testing.assert_array_equal(array[place], expected, err_msg=str(place))


def test_times_channels_and_planes_lie_where_the_plan_has_them(acquired: Acquired, tmp_path: Path) -> None:
    numbers = {}
    for p in range(2):
        for t in range(2):
            for c, name in enumerate(("DAPI", "FITC")):
                for z in range(3):
                    at_um = 5 * p + 0.7 * z + 0.02 * (-1) ** (t + c)  # as read back
                    number = acquired.take({"t": t, "p": p, "c": c, "z": z}, at_um, channel=name, position=f"nest {p}")
                    if p == 1:
                        numbers[t, c, z] = number
    acquired.scene.frame(99)  # a frame that belongs to none
    first, second = export_acquisitions(acquired.end(), tmp_path / "images")
    assert first.path.name == "acquisition-1.plan.p0.nest_0.ome.zarr"
    assert (second.task, second.batch, second.position) == ("task", "plan", "nest 1")
    assert (second.shape, second.frames, second.missing, second.in_order) == ((2, 2, 3), 12, 0, False)
    array, sizes = opened(second.path)
    assert sizes["axes"] == ["t", "c", "z", "y", "x"]
    assert sizes["channels"] == ["DAPI", "FITC"]
    assert sizes["scale"] == pytest.approx([6 * STEP_NS / 1e9, 1, 0.7, 0.325, 0.325], abs=1e-6)
    assert sizes["translation"] == pytest.approx([0, 0, 5, 0, 0], abs=0.03)
    places(array, numbers)
    table: Any = zarr.open_group(second.path, mode="r").attrs["microscoped"]
    assert [row["index"]["z"] for row in table["frames"]["acquired"]][:4] == [0, 1, 2, 0]
    assert table["frames"]["z"][:4] == [0, 1, 2, 0]


def test_planes_from_above_and_places_without_a_frame(acquired: Acquired, tmp_path: Path) -> None:
    numbers = {}
    for t, z in ((0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (1, 3)):
        number = acquired.take({"t": t, "z": z}, 4.0 - z, store=(t, z) != (1, 1))
        if (t, z) != (1, 1):
            numbers[t, 0, 3 - z] = number
    (image,) = export_acquisitions(acquired.end(), tmp_path / "images")
    assert (image.shape, image.frames, image.missing) == ((2, 1, 4), 5, 3)
    array, sizes = opened(image.path)
    assert (sizes["scale"][2], sizes["translation"][2]) == (1.0, 1.0)
    places(array, numbers)


def test_injections_are_images_of_their_own_and_what_has_one_place_lies_along_t(
    acquired: Acquired, tmp_path: Path
) -> None:
    planned = [acquired.take({"t": 0})]
    burst = [acquired.take({}, batch="injection-1") for _ in range(3)]
    planned.append(acquired.take({"t": 1}))
    other = acquired.take({}, task="another")
    images = export_acquisitions(acquired.end(), tmp_path / "images")
    assert [image.path.name for image in images] == [
        "acquisition-1.plan.ome.zarr",
        "acquisition-1.injection-1.ome.zarr",
        "acquisition-2.plan.ome.zarr",
    ]
    assert [image.in_order for image in images] == [False, True, False]
    for image, numbers in zip(images, (planned, burst, [other]), strict=True):
        places(opened(image.path)[0], {(t, 0, 0): number for t, number in enumerate(numbers)})
    (only,) = export_acquisitions(Recorded(acquired.folder), tmp_path / "one", "another")
    assert only.path.name == "acquisition-2.plan.ome.zarr"


def test_what_cannot_be_an_image_is_refused_and_nothing_is_written_over(acquired: Acquired, tmp_path: Path) -> None:
    for z, z_um in enumerate((0.0, 1.0, 3.0)):
        acquired.take({"z": z}, z_um)
    recorded = acquired.end()
    with pytest.raises(LayoutError, match=r"plan.ome.zarr: planes at 0, 1, 3 µm are not evenly spaced"):
        export_acquisitions(recorded, tmp_path / "images")
    other = Acquired(tmp_path / "run 2")
    other.take({"z": 0})
    whole = other.end()
    export_acquisitions(whole, tmp_path / "images")
    with pytest.raises(StoreWriteError, match="exists"):
        export_acquisitions(whole, tmp_path / "images")


# --- the command ------------------------------------------------------------------------------------------------------


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["recording", *map(str, words)])
    return result.exit_code, result.output


def test_the_command_shows_checks_finishes_and_exports(acquired: Acquired, tmp_path: Path) -> None:
    for z in range(3):
        acquired.take({"z": z}, float(z), store=z != 1)
    acquired.end()
    code, text = run("show", acquired.folder)
    assert code == 0
    assert "2 frames, 1 left out" in text
    assert "left out: the pixels were gone" in text
    assert "acquisition task: 2 frames" in text
    told = json.loads(run("show", acquired.folder, "--json")[1])
    assert (told["frames"], told["left_out"], told["acquisitions"]) == (2, 1, {"task": 2})
    assert run("verify", acquired.folder) == (0, "2 frames are good, 1 were left out\n")
    assert run("repair", acquired.folder)[0] == 0
    code, text = run("export", acquired.folder, tmp_path / "images")
    assert code == 0
    assert "1 × 1 × 3 (t, c, z), 2 frames, 1 places empty" in text
    assert run("export", acquired.folder, tmp_path / "images")[0] == 1
    assert run("export", acquired.folder, tmp_path / "more", "--task", "none")[0] == 2
    (image,) = json.loads(run("export", acquired.folder, tmp_path / "more", "--json")[1])
    assert image["shape"] == [1, 1, 3]
    chunk = next(path for path in (acquired.folder / "frames.ome.zarr/0/c").rglob("*") if path.is_file())
    chunk.write_bytes(b"no pixels")
    code, text = run("verify", acquired.folder)
    assert code == 1
    assert "cannot be read" in text


@pytest.mark.parametrize("command", ["show", "verify", "repair", "export"])
def test_what_is_no_recording_is_told(command: str, tmp_path: Path) -> None:
    code, text = run(command, tmp_path, *([tmp_path / "images"] if command == "export" else []))
    assert code == 1
    assert str(tmp_path) in text


def test_an_acquisition_of_the_daemon_becomes_an_image(start_rig: Callable[..., Rig], tmp_path: Path) -> None:
    rig = start_rig({"record": {"folder": tmp_path, "reserve_mb": 0}})
    sequence = {
        "stage_positions": [{"z": -2, "name": "low"}, {"z": 3, "name": "high"}],
        "time_plan": {"interval": 0, "loops": 2},
        "z_plan": {"relative": [-1, 0, 1]},
    }
    with rig.scope.recording() as begun:
        task = rig.scope.begin_acquisition(sequence)
        assert rig.scope.wait(task)["frames"] == 12
    recorded = Recorded(type(tmp_path)(begun["folder"]))
    images = export_acquisitions(recorded, tmp_path / "images", task)
    assert [(image.position, image.shape, image.missing) for image in images] == [
        ("low", (2, 1, 3), 0),
        ("high", (2, 1, 3), 0),
    ]
    array, sizes = opened(images[1].path)
    assert sizes["scale"][2] == pytest.approx(1.0, abs=0.05)
    assert sizes["translation"][2] == pytest.approx(2.0, abs=0.1)
    frames: Sequence[Any] = [one.frame for one in recorded.frames.values() if one.frame.acquired is not None]
    for frame in frames:
        index = frame.acquired.index
        if index["p"] == 1:
            np.testing.assert_array_equal(array[index["t"], 0, index["z"]], recorded.pixels(frame.frame))

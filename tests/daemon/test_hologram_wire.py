"""Holograms through the wire, on a simulated holographic microscope whose stage changes the distance."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config, HologramConfig
from microscoped.daemon.engines import hologram_engine, hologram_settings
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.protocol.events import MeasureData
from microscoped.daemon.protocol.outcomes import HoldOutcome
from microscoped.models.hologram import ArraysMissingError, HologramOptics, Side, torch_arrays
from microscoped.models.hologram.calibration import (
    BackgroundRecord,
    Conditions,
    HologramRecord,
    LineRecord,
    save,
)
from microscoped.models.hologram.engine import HologramEngine
from microscoped.models.hologram.stored import StoredBackground, keep_background
from microscoped.models.registry import ModelSpec
from microscoped.models.runtimes import ArtefactError
from microscoped.simulators import SimulatedMicroscope
from microscoped.simulators.holograms import (
    BodiesParameters,
    HologramScene,
    HologramSetup,
    OffAxisOptics,
    Reference,
)
from tests.conftest import CONFIG, Rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from microscoped.models.runtimes import Artefact

INDEX = 1.3345
PIXEL_UM = 0.1465
SHAPE = (384, 384)
HOLOGRAPHIC: dict[str, Any] = {
    **CONFIG,
    "microscope": {
        "kind": "hologram",
        "count": 4,
        "depth_um": [-0.5, 0.5],
        "seed": 3,
        "shape_px": SHAPE,
        "max_fps": 25,
        "stage": {"start_um": 2.0, "focus_direction": "toward_sample"},
    },
    "optics": {"na": 0.75, "wavelength_nm": 666, "pixel_size_um": PIXEL_UM},
    "engines": {"sharpness": {"enabled": False}, "hologram": {"enabled": True, "network": "none", "most_cells": 8}},
}
# A rising coordinate brings objective and sample together, so the plane in focus goes against the light.
STAGE_PER_FOCUS = -1 / INDEX


def configured(**hologram: Any) -> Config:  # noqa: ANN401 - whatever the section takes
    engines = HOLOGRAPHIC["engines"]
    chosen = {**engines, "hologram": {**engines["hologram"], **hologram}}
    return Config.model_validate({**HOLOGRAPHIC, "engines": chosen})


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(config: Config, microscope: SimulatedMicroscope | None = None, **given: Any) -> Rig:  # noqa: ANN401
        if microscope is None:
            built = build_microscope(config)
            assert isinstance(built, SimulatedMicroscope)
            microscope = built
        rig = Rig(Daemon(config, microscope=microscope, **given), microscope)
        rigs.append(rig)
        while rig.scope.status()["state"] == "STARTING":
            pass
        return rig

    yield begin
    for rig in rigs:
        rig.end()
        assert rig.exit_code == 0


def measured(rig: Rig, count: int) -> list[dict[str, Any]]:
    """The next measurements of holograms."""
    found: list[dict[str, Any]] = []
    with rig.scope.events("v1.measure.hologram.", timeout_s=20) as events:
        for event in events:
            MeasureData.model_validate(event.data)
            if not event.data["skipped"]:
                found.append(event.data)
            if len(found) == count:
                break
    return found


def test_every_hologram_is_measured_and_its_distance_follows_the_stage(start: Callable[..., Rig]) -> None:
    rig = start(configured())
    rig.scope.request("camera.start")
    medians = {}
    for z_um in (2.0, -1.0):
        rig.scope.run("stage.move", z_um=z_um)
        found = [one["values"] for one in measured(rig, 6) if one["z_um"] == pytest.approx(z_um, abs=0.1)]
        assert len(found) >= 3
        assert all(values["count"] >= 2 and values["reason"] == "" for values in found)
        inner = [cell for values in found for cell in values["cells"] if not cell["border"] and not cell["reason"]]
        assert inner
        assert all(cell["peak_opd_nm"] > 20 and cell["dry_mass_pg"] > 5 for cell in inner)
        assert all(values["background"]["kind"] == "fitted" for values in found)
        medians[z_um] = median(values["z_min_contrast_um"] for values in found)
    # The stage is 3 µm lower, the plane in focus n times as far downstream.
    assert medians[2.0] - medians[-1.0] == pytest.approx(3.0 * INDEX, abs=0.2)
    # At 2 µm it lies 2·n against the light from the middle of the cells.
    assert medians[2.0] == pytest.approx(2.0 * INDEX, abs=0.6)
    status = rig.scope.status()["engines"]["hologram"]
    assert status["measured"] >= 12
    known = rig.scope.request("describe")["hologram"]
    assert (known["side"], known["stage_per_focus"]) == ("plus", None)


def hold_until(rig: Rig, task: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the hold says so; return what it says."""
    for _ in range(600):
        # Answered when the task ends, or after 50 ms.
        found = rig.scope.request("task.get", task=task, wait_ms=50)["task"]
        progress: dict[str, Any] = found["progress"]
        assert found["state"] == "running"
        if progress and done(progress):
            return progress
    raise AssertionError(f"it never did: {progress}")


@pytest.mark.slow
def test_a_hold_brings_a_moved_stage_back(start: Callable[..., Rig]) -> None:
    rig = start(configured(stage_per_focus=STAGE_PER_FOCUS))
    rig.scope.request("camera.start")
    task = rig.scope.request("focus.hold", source="hologram")["task"]
    hold_until(rig, task, lambda progress: progress["rounds"] == 1)
    assert rig.scope.position() == pytest.approx(2.0, abs=0.02)
    for away_um in (5.0, -3.0):
        rounds = rig.scope.request("task.get", task=task)["task"]["progress"]["rounds"]
        rig.scope.run("stage.move", z_um=away_um)
        progress = hold_until(rig, task, lambda told, before=rounds: told["rounds"] > before)  # type: ignore[misc]
        assert progress["failed"] == 0, progress["last"]
        assert rig.scope.position() == pytest.approx(2.0, abs=0.3)
    rig.scope.request("focus.release")
    outcome = HoldOutcome.model_validate(rig.scope.wait(task))
    assert outcome.last_hologram is not None
    assert outcome.last_hologram.held
    assert outcome.moves >= 2


def test_a_hold_brings_the_specimen_into_focus(start: Callable[..., Rig]) -> None:
    rig = start(configured(stage_per_focus=STAGE_PER_FOCUS))
    task = rig.scope.request("focus.hold", source="hologram", distance_um=0)["task"]
    hold_until(rig, task, lambda progress: progress["rounds"] == 1)
    assert rig.scope.position() == pytest.approx(0.0, abs=0.6)  # the cells lie within 0.5 µm of it


def test_without_the_stages_scale_nothing_is_moved(start: Callable[..., Rig]) -> None:
    rig = start(configured())
    with pytest.raises(Exception, match="stage_per_focus"):
        rig.scope.request("focus.hold", source="hologram")
    assert rig.scope.position() == pytest.approx(2.0, abs=0.02)


def calibrated(folder: Path, config: Config, **conditions: Any) -> StoredBackground:  # noqa: ANN401 - of `Conditions`
    """Keep an accepted calibration with a background; return that."""
    optics = config.optics
    assert optics.wavelength_nm is not None
    told = HologramOptics(optics.wavelength_nm / 1000, optics.pixel_size_um, optics.na, INDEX)
    frame = np.arange(64, dtype=np.uint8).reshape(8, 8)
    background = StoredBackground(frame, "2026-01-01T00:00:00+00:00", told, Side.MINUS)
    keep_background(background, folder)
    figures = {"drift_um_s": 0.0, "linearity_um": 0.02, "worst_um": 0.03, "play_um": None}
    line = LineRecord(
        slope=-INDEX,
        half_width=0.01,
        offset_um=0.4,
        repeatability_um=0.03,
        cells=3,
        readings=60,
        outliers=0,
        places=(),
        **figures,
    )
    present = {
        "na": optics.na,
        "wavelength_nm": optics.wavelength_nm,
        "immersion_index": 1.0,
        "medium_index": INDEX,
        "pixel_size_um": PIXEL_UM,
        "binning": 1,
        "focus_direction": "toward_sample",
    }
    record = HologramRecord(
        made="2026-01-01",
        software="0",
        conditions=Conditions.model_validate({**present, **conditions}),
        accepted=True,
        side=-1,
        side_known=True,
        expected=INDEX,
        line=line,
        background=BackgroundRecord(taken=background.taken, sha256=background.sha256),
    )
    save(record, folder)
    return background


def test_an_accepted_calibration_is_found_and_used(tmp_path: Path) -> None:
    config = configured(calibration=tmp_path)
    background = calibrated(tmp_path, config)
    opened = hologram_engine(config)
    assert not isinstance(opened, str)
    engine, calibration, knows = opened
    assert (engine.name, calibration.name) == ("hologram", "hologram_calibration")
    assert (knows.calibrated, knows.why_not, knows.sign, knows.side, knows.binning) == (True, "", -1, -1, 1)
    assert knows.stage_per_focus == pytest.approx(1 / INDEX)
    assert knows.offset_um == 0.4
    assert engine.settings.reconstruction.side is Side.MINUS
    with pytest.raises(ValueError, match=r"background shape \(8, 8\)"):
        engine.measure([np.zeros((64, 64), np.uint8)], {})
    assert background.frame.shape == (8, 8)


def test_a_calibration_of_another_microscope_is_not_used_and_it_is_said_why(tmp_path: Path) -> None:
    config = configured(calibration=tmp_path)
    calibrated(tmp_path, config, pixel_size_um=0.2)
    opened = hologram_engine(config)
    assert not isinstance(opened, str)
    assert (opened[2].calibrated, opened[2].stage_per_focus) == (False, None)
    assert "pixel size" in opened[2].why_not


def test_what_was_configured_counts_where_there_is_no_calibration(tmp_path: Path) -> None:
    opened = hologram_engine(configured(calibration=tmp_path, stage_per_focus=-0.7))
    assert not isinstance(opened, str)
    # Rising, the stage takes the plane in focus against the light: distances rise.
    assert (opened[2].calibrated, opened[2].sign, opened[2].stage_per_focus) == (False, 1, 0.7)


def test_the_shipped_network_reads_the_frames_of_the_daemon() -> None:
    config = configured(network="auto")
    opened = hologram_engine(config)
    assert not isinstance(opened, str)
    microscope = build_microscope(config)
    with microscope:
        frame = microscope.camera.snap().pixels
    values = opened[0].measure([frame], {"pixel_size_um": PIXEL_UM})
    methods = [cell["method"] for cell in values["cells"] if not cell["border"] and not cell["reason"]]
    assert "network_refined" in methods
    # The stage starts at 2 µm.
    assert values["z_um"] == pytest.approx(2.0 * INDEX, abs=0.8)


def test_a_network_that_is_not_there_is_an_obstacle_only_where_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_spec: ModelSpec, artefact: str | None = None) -> Artefact:
        raise ArtefactError(f"{artefact or 'the usual one'} is not there")

    monkeypatch.setattr(ModelSpec, "load", missing)
    named = hologram_engine(configured(network="hologram_beads"))
    assert isinstance(named, str)
    assert "hologram_beads is not there" in named
    assert not isinstance(hologram_engine(configured(network="auto")), str)


def test_numerical_refocusing_says_in_which_distance(start: Callable[..., Rig]) -> None:
    rig = start(configured(refocus="numerical"))
    rig.scope.request("camera.start")
    task = rig.scope.request("focus.hold", source="hologram")["task"]
    first = hold_until(rig, task, lambda progress: progress["rounds"] == 1)["distance_um"]
    rig.scope.run("stage.move", z_um=5.0)
    second = hold_until(rig, task, lambda progress: progress["distance_um"] - first > 3.0)["distance_um"]
    assert second - first == pytest.approx(3.0 * INDEX, abs=0.5)
    assert rig.scope.position() == pytest.approx(5.0, abs=0.02)


@pytest.mark.parametrize(("moved_per_um", "stale"), [(0.0, False), (0.03, True)])
def test_a_background_that_no_longer_fits_is_an_alarm(
    start: Callable[..., Rig], moved_per_um: float, stale: bool
) -> None:
    optics = OffAxisOptics()
    bodies = BodiesParameters(count=3, z_um=(-0.5, 0.5))

    def scene(carrier_x: float) -> HologramScene:
        reference = Reference(carrier_per_um=(carrier_x, 2.2157))
        return HologramScene(HologramSetup(optics=optics, bodies=bodies, shape_px=SHAPE, reference=reference))

    frame = scene(2.2371).background(10.0, shot=1)
    told = HologramOptics(optics.wavelength_um, optics.pixel_um, optics.na, optics.medium_index)
    background = StoredBackground(frame, "2026-01-01T00:00:00+00:00", told)
    config = configured()
    engine = HologramEngine(hologram_settings(config, Side.PLUS), None, background)
    microscope = SimulatedMicroscope(scene(2.2371 + moved_per_um), pixel_size_um=optics.pixel_um, max_fps=25)
    rig = start(config, microscope, engines=[engine])
    rig.scope.request("camera.start")
    values = [one["values"]["background"] for one in measured(rig, 4)]
    assert all(one["kind"] == "hologram" and one["stale"] is stale for one in values)
    assert {one["sha256"] for one in values} == {background.sha256}
    alarms = [
        event["data"]
        for event in rig.scope.request("events.since", topic="v1.alarm.", seq=0)["events"]
        if event["data"]["code"] == "hologram.background_stale"
    ]
    assert [alarm["cleared"] for alarm in alarms] == ([False] if stale else [])
    if stale:
        assert "carrier" in alarms[0]["detail"]


def test_a_simulated_holographic_microscope_shows_its_fields_and_an_empty_one() -> None:
    small = {"kind": "hologram", "shape_px": [128, 128], "count": 2, "fields": 2, "bit_depth": 12, "specimen": "mixed"}
    config = Config.model_validate({"microscope": small, "optics": HOLOGRAPHIC["optics"]})
    assert isinstance(config.microscope, HologramConfig)
    microscope = build_microscope(config)
    assert isinstance(microscope, SimulatedMicroscope)
    with microscope:
        said = []
        for _ in range(4):
            said.append(microscope.describe()["specimen"])
            assert microscope.step_field()
        model = microscope.stage.model
        assert model.focus_per_stage == -INDEX
    assert said[0] == said[3] != said[1]
    assert said[2].startswith("0 bodies")


@pytest.mark.parametrize(
    ("optics", "says"),
    [
        ({"pixel_size_um": 0.3}, "pixel_size_um 0.3"),
        ({"wavelength_nm": 400}, "pixel_size_um 0.1465"),
    ],
)
def test_optics_whose_fringes_the_camera_cannot_see_are_refused(optics: dict[str, Any], says: str) -> None:
    config = Config.model_validate({**HOLOGRAPHIC, "optics": {**HOLOGRAPHIC["optics"], **optics}})
    with pytest.raises(ValueError, match=says):
        build_microscope(config)


def test_where_no_gpu_is_found_fields_are_transformed_on_the_processor(caplog: pytest.LogCaptureFixture) -> None:
    try:
        torch_arrays()
    except ArraysMissingError:
        with caplog.at_level("INFO", "microscoped"):
            assert not isinstance(hologram_engine(configured(backend="auto")), str)
        assert "transformed on the processor" in caplog.text
    else:
        pytest.skip("there is a GPU")

"""Cells through the wire, on a simulated camera of optical path differences before living cells."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zmq

from microscoped.daemon.client.tables import read_tables
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.engines import cells_engine
from microscoped.daemon.microscopes import build_microscope
from microscoped.daemon.protocol.events import MeasureData
from microscoped.daemon.record import Entry, read_journal, replay_journal
from microscoped.models import Measurement, Part
from microscoped.models.cells import from_arrow
from microscoped.models.registry import MODELS, ModelSpec, model_spec
from microscoped.models.runtimes import ArtefactError, compile_lower
from microscoped.simulators import SimulatedMicroscope
from tests.conftest import CONFIG, Rig
from tests.models.runtimes.openvinos import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from microscoped.daemon.client import Tables
    from microscoped.models.runtimes import Artefact

PIXEL_UM = 1.67
SHAPE = (192, 224)
CELLS: dict[str, Any] = {"enabled": True, "nm_per_count": 0.1, "network": "none"}
NETWORK = model_spec("cells").artefact_path("cells_b").exists()


def configured(cells: dict[str, Any] | None = None, microscope: dict[str, Any] | None = None, **more: Any) -> Config:  # noqa: ANN401 - sections
    return Config.model_validate(
        {
            **CONFIG,
            "microscope": {"kind": "opd", "shape_px": SHAPE, "seed": 2, "max_fps": 10, **(microscope or {})},
            "optics": {"pixel_size_um": PIXEL_UM},
            "engines": {"sharpness": {"enabled": False}, "cells": {**CELLS, **(cells or {})}},
            **more,
        }
    )


@pytest.fixture
def start() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(config: Config, **given: Any) -> Rig:  # noqa: ANN401 - of `Daemon`
        microscope = build_microscope(config)
        assert isinstance(microscope, SimulatedMicroscope)
        rig = Rig(Daemon(config, microscope=microscope, **given), microscope)
        rigs.append(rig)
        while rig.scope.status()["state"] == "STARTING":
            pass
        return rig

    yield begin
    for rig in rigs:
        rig.end()
        assert rig.exit_code == 0


def tables(rig: Rig, count: int) -> list[Tables]:
    """The next measurements with their tables."""
    found = []
    with rig.scope.tables(timeout_s=30) as heard:
        rig.scope.request("camera.start")
        for one in heard:
            found.append(one)
            if len(found) == count:
                break
    rig.scope.request("camera.stop")
    return found


def test_every_frame_is_measured_with_a_table_of_its_cells(start: Callable[..., Rig]) -> None:
    rig = start(configured({"zero_count": 2000}))
    field_mm2 = SHAPE[0] * SHAPE[1] * (PIXEL_UM / 1000) ** 2
    for one in tables(rig, 3):
        MeasureData.model_validate(one.event.data)
        values = one.values
        assert values["field_mm2"] == pytest.approx(field_mm2)
        assert 15 <= values["count"] <= 50
        assert values["density_per_mm2"] == pytest.approx(values["count"] / field_mm2)
        assert 100 < values["dry_mass_pg"]["p50"] < 300
        assert 400 < values["area_um2"]["p50"] < 900
        assert values["source"]["kind"] == "opd"
        assert [part["name"] for part in one.event.data["parts"]] == ["cells", "motions"]
        assert [part["size_bytes"] for part in one.event.data["parts"]] == [len(part) for part in one.parts.values()]
        table = from_arrow(one.parts["cells"])
        assert (len(table), table.shape_px, table.pixel_um) == (values["count"], SHAPE, PIXEL_UM)
        assert table.values()["dry_mass_pg"] == pytest.approx(values["dry_mass_pg"])
        columns = one.columns()
        np.testing.assert_array_equal(columns["dry_mass_pg"], table.dry_mass_pg)
        np.testing.assert_array_equal(columns["track"], table.track)
        np.testing.assert_array_equal(columns["border"], table.border)
        assert np.isnan(columns["length_um_half_width"]).all()
        assert "cells" not in values
        assert one.frame in one.event.causes
        with pytest.raises(KeyError, match="'depths'; there are: cells, motions"):
            one.columns("depths")
    told = rig.scope.request("describe")
    assert (told["cells"]["source"], told["cells"]["network"], told["no_cells"]) == ("opd", "watershed", "")


def test_the_event_is_the_same_on_both_sockets_and_is_plain_json_on_events(start: Callable[..., Rig]) -> None:
    rig = start(configured())
    plain = rig.scope._subscribe("events", ("v1.measure.cells.",))
    found = tables(rig, 2)
    measured = {}
    while len(measured) < 2 and plain.poll(5000):
        message = plain.recv_multipart()
        assert len(message) == 2
        event = json.loads(message[1])
        if not event["data"]["skipped"]:
            measured[event["seq"]] = event
    plain.close()
    for one in found:
        assert measured[one.event.seq] == json.loads(one.event.model_dump_json())
    (topic,) = rig.scope.request("snapshot", topics=["v1.measure.cells."])["topics"]
    assert "parts" in topic["data"]  # what there was; the tables themselves are not kept


def test_who_does_not_ask_for_tables_gets_none(start: Callable[..., Rig]) -> None:
    """Pictures and tables have their own topics on the one socket."""
    rig = start(configured())
    pictures = rig.scope._subscribe("frames", ("v1.frame.",))
    assert len(tables(rig, 2)) == 2
    topics = set()
    while pictures.poll(300):
        topics.add(pictures.recv_multipart()[0])
    pictures.close()
    assert topics == {b"v1.frame.Camera."}


def test_living_cells_are_followed_grow_and_move(start: Callable[..., Rig]) -> None:
    # So fast that it is seen within seconds.
    rig = start(configured(microscope={"speed_um_per_h": 3000.0, "growth_per_h": 60.0}))
    last = tables(rig, 12)[-1]
    tracks = last.values["tracks"]
    assert (tracks["series"], tracks["linked"] > 0.8 * last.values["count"]) == (1, True)
    motions = last.columns("motions")
    long = motions["points"] >= 8
    assert long.sum() >= 8
    assert float(np.median(motions["speed_um_per_h"][long])) == pytest.approx(3000, rel=0.25)
    assert float(np.median(motions["growth_per_h"][long])) == pytest.approx(60, rel=0.4)
    assert {*motions["track"][long]} & {*last.columns()["track"]}


def test_of_a_stream_every_so_manieth_frame_is_measured_and_each_single_one(start: Callable[..., Rig]) -> None:
    rig = start(configured({"every": 4}, {"max_fps": 40}))
    numbers = []
    with rig.scope.events("v1.frame.", "v1.measure.cells.", timeout_s=10) as events:
        rig.scope.request("camera.start")
        known: dict[str, int] = {}
        for event in events:
            if event.topic.startswith("v1.frame."):
                known[str(event.data["frame"])] = event.data["number"]  # type: ignore[assignment] # it is one
            elif event.data["frame"] in known:
                numbers.append(known[str(event.data["frame"])])
            if len(numbers) == 4:
                break
        rig.scope.request("camera.stop")
    assert all(number % 4 == 0 for number in numbers)
    # What waited when the stream ended is measured yet; then come the single frames, each of them.
    for _ in range(2):
        with rig.scope.tables(timeout_s=20) as heard:
            snapped = rig.scope.snap()[0]["frame"]
            assert any(one.frame == snapped for one in heard)


@pytest.mark.parametrize("network", ["cells_b", "cells_a"])
@pytest.mark.skipif(not NETWORK, reason="the networks of cells are not among the weights")
def test_the_shipped_networks_measure_with_intervals(start: Callable[..., Rig], network: str) -> None:
    rig = start(configured({"network": network}, {"shape_px": [257, 301]}))
    one = tables(rig, 1)[0]
    assert one.values["read_by"] == network
    table = from_arrow(one.parts["cells"])
    assert 0.6 < one.values["density_per_mm2"] / 255 < 1.5
    assert np.isfinite(table.dry_mass_pg_half_width).all()
    assert 120 < float(np.median(table.dry_mass_pg)) < 280
    assert rig.scope.request("describe")["cells"]["network_sha256"] == model_spec("cells").load(network).sidecar.sha256


def test_a_network_that_is_not_there_is_told_and_the_daemon_runs_without(
    start: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_spec: ModelSpec, artefact: str | None = None) -> Artefact:
        raise ArtefactError(f"{artefact} is not there")

    monkeypatch.setattr(ModelSpec, "load", missing)
    assert cells_engine(configured({"network": "cells_a"})) == "the network cannot be used: cells_a is not there"
    rig = start(configured({"network": "cells_b"}, focus={"pair": {"enabled": False}}))
    told = rig.scope.request("describe")
    assert (told["cells"], told["no_cells"]) == (None, "the network cannot be used: cells_b is not there")
    assert "cells" not in rig.scope.status()["engines"]


@pytest.mark.skipif(not NETWORK, reason="its weights are not shipped")
def test_bf16_runs_once_it_was_made_and_until_then_single_precision_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    require("bf16")
    monkeypatch.setenv("MICROSCOPED_DATA_HOME", str(tmp_path))
    spec = model_spec("cells")
    lower = replace(spec.lower[0], judged_by=3)
    monkeypatch.setitem(MODELS, "cells", replace(spec, lower=(lower,)))
    config = configured({"network": "cells_b", "backend": "openvino", "precision": "bf16"})

    def told() -> str:
        caplog.clear()
        with caplog.at_level("INFO", "microscoped.models"):
            assert not isinstance(cells_engine(config), str)
        return next(f"{r.levelname} {r.message}" for r in caplog.records if r.message.startswith("cells_b runs on "))

    before = told()
    assert before.startswith("WARNING cells_b runs on openvino, CPU")
    assert "openvino bf16 cannot be used: there is no bf16 version of cells_b" in before
    compile_lower(spec.load("cells_b"), lower, tmp_path / "plans")
    assert told().startswith("INFO cells_b runs on openvino bf16, CPU")


def test_holograms_are_read_by_the_engine_of_holograms_where_there_is_one() -> None:
    optics = {"na": 0.75, "wavelength_nm": 666, "pixel_size_um": 0.1465}
    for hologram in ({"enabled": False}, {"enabled": True, "network": "none"}):
        engines = {"hologram": hologram, "cells": {"enabled": True, "source": "hologram", "network": "none"}}
        config = Config.model_validate(
            {
                **CONFIG,
                "microscope": {"kind": "hologram", "shape_px": [256, 288], "count": 2},
                "optics": optics,
                "engines": engines,
            }
        )
        built = cells_engine(config)
        assert not isinstance(built, str)
        with build_microscope(config) as microscope:
            found = built[0].measure(
                [microscope.camera.snap().pixels], {"pixel_size_um": 0.1465, "exposure_start_ns": 5}
            )
        assert found.values["source"]["kind"] == "hologram"
        assert found.values["source"]["background"]["kind"] == "fitted"
        assert found.values["field_mm2"] == pytest.approx(256 * 288 * (0.1465e-3) ** 2, rel=0.02)


def test_an_unsuitable_frame_is_an_alarm_and_ends_nothing(start: Callable[..., Rig]) -> None:
    rig = start(
        Config.model_validate(
            {**CONFIG, "microscope": {"kind": "simulated", "shape_px": [64, 64], "colour": True}}
            | {"engines": {"cells": CELLS, "sharpness": {"enabled": False}}, "focus": {"pair": {"enabled": False}}}
        )
    )
    with rig.scope.events("v1.alarm.", timeout_s=20) as events:
        rig.scope.snap()
        alarm = next(events).data
    assert (alarm["code"], alarm["cleared"]) == ("fault.engine", False)
    assert "cells: frame: shape (64, 64, 3)" in str(alarm["detail"])
    rig.scope.snap()


def test_the_journal_has_what_was_measured_and_replays_equal(start: Callable[..., Rig], tmp_path: Path) -> None:
    rig = start(configured(journal={"enabled": True, "folder": tmp_path}))
    found = tables(rig, 3)
    rig.end()
    (session,) = tmp_path.iterdir()
    entries = [line for line in read_journal(session) if isinstance(line, Entry) and line.input == "MeasureEnded"]
    told: dict[str, Any] = {entry.data["frame"]: entry.data for entry in entries}  # type: ignore[index, call-overload] # JSON
    for one in found:
        assert told[one.frame]["values"] == one.values
        assert told[one.frame]["parts"] == one.event.data["parts"]
    assert replay_journal(session).difference is None


class Tall:
    """An engine with parts of its own."""

    name = "cells"
    frames = 1

    def measure(self, frames: Any, options: Any) -> Measurement:  # noqa: ANN401 - an Engine's
        data = bytes(range(256)) * 4096
        return Measurement(
            {"count": 3}, (Part("raw", "application/octet-stream", data), Part("none", "text/plain", b""))
        )


def test_parts_of_any_size_go_as_they_are(start: Callable[..., Rig]) -> None:
    rig = start(configured(), engines=[Tall()])
    one = tables(rig, 1)[0]
    assert one.parts == {"raw": bytes(range(256)) * 4096, "none": b""}
    assert one.values == {"count": 3}


def test_who_reads_tables_slowly_loses_some_and_sees_it(start: Callable[..., Rig]) -> None:
    rig = start(configured(microscope={"max_fps": 100}), engines=[Tall()])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.setsockopt(zmq.RCVBUF, 65_536)
    socket.subscribe("v1.measure.cells.")
    socket.connect(rig.daemon.endpoints.frames)
    rig.scope.request("camera.start")
    with rig.scope.events("v1.measure.cells.", timeout_s=20) as events:
        for event in events:
            if event.seq >= 150:
                break
    rig.scope.request("camera.stop")
    seqs = []
    while socket.poll(500):
        seqs.append(read_tables(socket.recv_multipart()).event.seq)
    context.destroy(linger=0)
    assert 1 <= len(seqs) < 100
    assert seqs == sorted(seqs)

"""Where the stage was left, from one life of the daemon to the next, with a real Micro-Manager stage."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.client import RequestFailedError, Scope
from microscoped.daemon.compose import Daemon
from microscoped.daemon.config import Config
from microscoped.daemon.core import State
from microscoped.daemon.record import Place
from microscoped.daemon.settings import core_settings
from microscoped.drivers.micromanager import demo_config_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def life(config: dict[str, Any]) -> Iterator[Scope]:
    daemon = Daemon(Config.model_validate(config))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    with Scope(daemon.endpoints.control, timeout_s=10) as scope:
        while scope.status()["state"] == "STARTING":
            pass
        yield scope
        scope.request("shutdown")
    thread.join(20)


def test_a_stage_that_is_elsewhere_than_it_was_left_waits_for_a_person(tmp_path: Path) -> None:
    cfg = tmp_path / "mine.cfg"
    shutil.copy(demo_config_path(), cfg)
    config = {
        "microscope": {"kind": "micromanager", "config_file": str(cfg), "buffer_mb": 16},
        "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
        "journal": {"folder": str(tmp_path / "journal")},
        "network": dict.fromkeys(("control", "events", "frames"), "tcp://127.0.0.1:*"),
    }
    with life(config) as scope:
        assert scope.status()["state"] == "IDLE"
        scope.move(7.0)
    # The demonstration stage begins at 0 again: as if somebody had turned the knob in between.
    with life(config) as scope:
        status = scope.status()
        assert status["state"] == "SAFE"
        assert "left at 7" in status["reason"]
        with pytest.raises(RequestFailedError):
            scope.move(1.0)
        assert scope.position() == 0.0
        scope.resume()
        scope.move(0.0)
    with life(config) as scope:
        assert scope.status()["state"] == "IDLE"


def test_places_of_several_microscopes_do_not_mix_and_a_broken_file_knows_nothing(tmp_path: Path) -> None:
    settings = core_settings(Config(), {})
    state = State(settings=settings, session=str(uuid.UUID(int=1)), began_ns=0)

    def resting(z_um: float) -> State:
        return dataclasses.replace(
            state, hardware_open=True, stage=dataclasses.replace(state.stage, z_um=z_um, moving=False)
        )

    one, other = Place(tmp_path, "one.cfg"), Place(tmp_path, "other.cfg")
    assert one.z_um() is None
    one.keep(resting(1.0))
    other.keep(resting(2.0))
    one.keep(dataclasses.replace(resting(9.0), hardware_open=False))
    assert (one.z_um(), other.z_um()) == (1.0, 2.0)
    (tmp_path / "last-position.json").write_text("{")
    assert one.z_um() is None

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from microscoped.drivers.errors import ConnectionFailedError

if TYPE_CHECKING:
    from microscoped.drivers.protocols import Microscope


def test_opens_and_closes_twice(closed: Microscope) -> None:
    for _ in range(2):
        with closed:
            assert closed.camera.snap().pixels.size > 0
            closed.stage.position_um()


def test_closes_while_a_sequence_runs_and_opens_again_at_rest(closed: Microscope) -> None:
    with closed:
        closed.camera.start()
        assert closed.camera.is_running()
    with closed:
        assert not closed.camera.is_running()


def test_devices_exist_only_while_open(closed: Microscope) -> None:
    for touch in (lambda: closed.camera, lambda: closed.stage, closed.describe):
        with pytest.raises(ConnectionFailedError, match="not open"):
            touch()
    with closed:
        pass
    with pytest.raises(ConnectionFailedError, match="not open"):
        _ = closed.camera


def test_refuses_to_open_while_open(microscope: Microscope) -> None:
    with pytest.raises(ConnectionFailedError, match="open already"):
        microscope.__enter__()
    assert microscope.camera.snap().number == 0


def test_closes_after_an_error_inside(closed: Microscope) -> None:
    with pytest.raises(ZeroDivisionError), closed:
        raise ZeroDivisionError
    with closed:
        assert closed.camera.snap().number == 0


def test_describes_itself_in_words(microscope: Microscope) -> None:
    told = microscope.describe()
    assert told["driver"]
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in told.items())

from __future__ import annotations

import pytest

from microscoped.drivers.errors import StageError
from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
from microscoped.drivers.protocols import FocusDirection


@pytest.mark.parametrize(
    ("sign", "expected"),
    [(1, FocusDirection.TOWARD_SAMPLE), (-1, FocusDirection.AWAY), (0, FocusDirection.UNKNOWN)],
)
def test_the_direction_is_that_of_the_configuration(tmp_path, sign: int, expected: FocusDirection) -> None:  # noqa: ANN001
    config = tmp_path / "rig.cfg"
    config.write_text(demo_config_path().read_text().replace("FocusDirection,Z,1", f"FocusDirection,Z,{sign}"))
    with MicroManagerMicroscope(config, buffer_mb=4) as microscope:
        assert microscope.stage.focus_direction() is expected


def test_a_refusal_names_stage_target_and_reason(demo: MicroManagerMicroscope) -> None:
    demo.stage.move_to(3.0)
    with pytest.raises(StageError, match=r"Z: the move to 500\.0 µm failed: .*out of range"):
        demo.stage.move_to(500.0)
    assert demo.stage.position_um() == 3.0


def test_small_steps_are_read_back(demo: MicroManagerMicroscope) -> None:
    demo.stage.move_to(0.0123)
    assert demo.stage.position_um() == pytest.approx(0.0123)

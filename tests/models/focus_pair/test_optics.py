"""What is known of a microscope's imaging, as the network reads it."""

from __future__ import annotations

import pytest

from microscoped.models.focus_pair.optics import INCOHERENT, Character


def test_nothing_known_is_told_apart_from_a_value_of_nothing() -> None:
    assert Character().numbers().tolist() == [0.0, 0.0, 0.0, 0.0]
    assert Character(coherence=0.7).numbers().tolist() == [1.0, 0.0, 0.0, 0.0]
    assert Character(spherical_waves=0.0).numbers().tolist() == [0.0, 0.0, 1.0, 0.0]
    assert Character(spherical_waves=-0.5).numbers().tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize(("name", "value"), [("coherence", 0.2), ("coherence", 1.3), ("spherical_waves", -1.1)])
def test_a_character_beyond_the_training_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} {value}: the network knows"):
        Character(**{name: value})


@pytest.mark.parametrize(
    ("condenser_na", "coherence"), [(None, None), (0.45, 0.6), (0.1, 0.3), (1.4, INCOHERENT)], ids=str
)
def test_the_condenser_tells_the_coherence(condenser_na: float | None, coherence: float | None) -> None:
    told = Character.of_condenser(0.75, condenser_na)
    assert told.coherence == (None if coherence is None else pytest.approx(coherence))
    assert told.spherical_waves is None

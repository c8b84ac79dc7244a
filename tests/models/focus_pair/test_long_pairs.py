"""Long pairs in a calibration: which ones a sweep gives, what is fitted to them, and how they are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.focus_pair import EstimateSettings
from microscoped.models.focus_pair.calibration import Bars, Field, Fit, PairReading
from microscoped.models.focus_pair.calibration.long import LongVerdict, fit_long, judge_long, long_of
from microscoped.models.focus_pair.calibration.pairs import SweepPairs, SweptPair
from microscoped.models.focus_pair.correction import LONG_DOF

if TYPE_CHECKING:
    from collections.abc import Sequence


DOF_UM, TILES, FEATURES = 2.0, 9, 6
SETTINGS = EstimateSettings()


# --- which pairs a sweep gives ----------------------------------------------------------------------------------------


def swept(step_dof: float, apart: int, *, side: int = 1, off_dof: float = 0.0) -> tuple[list[SweptPair], int]:
    """Sweep ±10 DoF; return its pairs, and the most frames that were kept at once."""
    near_um = 50.0
    pairs = SweepPairs(apart, near_um + off_dof * DOF_UM, DOF_UM)
    found: list[SweptPair] = []
    most = 0
    half = round(10.0 / step_dof)
    for k in range(-half, half + 1):
        z_um = near_um + side * k * step_dof * DOF_UM
        found += pairs.add(z_um, np.zeros(1))
        kept = {id(one) for one in (*pairs._recent, *pairs._near.values(), *pairs._far.values())}
        most = max(most, len(kept))
    return found, most


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("step_dof", "apart"), [(0.5, 4), (0.5, 1), (0.6, 1), (0.74, 1), (0.42, 2), (0.475, 8)])
def test_a_sweep_gives_all_short_pairs_and_a_bounded_number_of_long_ones(
    step_dof: float, apart: int, side: int
) -> None:
    pairs, kept = swept(step_dof, apart, side=side)
    short = [side * (pair.second.z_um - pair.first.z_um) / DOF_UM for pair in pairs if not pair.long]
    long = [pair for pair in pairs if pair.long]
    frames = 2 * round(10.0 / step_dof) + 1
    assert sum(away == pytest.approx(apart * step_dof) for away in short) >= frames - apart
    assert len(short) == frames - apart + 16  # those with which a check ends near the focus
    assert np.abs(short).max() <= max(LONG_DOF, apart * step_dof)
    distances = np.array([(pair.second.z_um - pair.first.z_um) / DOF_UM for pair in long])
    usable = np.abs(distances) <= 12.5
    assert usable.all()
    assert distances.size == 20
    assert np.abs(distances).min() > LONG_DOF
    assert (distances > 0).sum() == (distances < 0).sum() == 10  # from either side, as focus runs arrive
    assert kept <= apart + 1 + 15


def test_the_second_image_of_a_long_pair_is_the_one_near_the_focus() -> None:
    for side in (1, -1):
        pairs, _ = swept(0.5, 4, side=side)
        away = {round((pair.second.z_um - 50.0) / DOF_UM, 2) for pair in pairs if pair.long}
        assert away == {-3.0, -1.0, 1.0, 3.0}


def test_the_distance_of_a_check_does_not_tell_where_its_near_image_lies() -> None:
    pairs, _ = swept(0.5, 4)
    places: dict[float, list[float]] = {}
    for pair in pairs:
        distance = round((pair.second.z_um - pair.first.z_um) / DOF_UM, 2)
        if distance != 2.0:  # of all those pairs the network learns at any place
            places.setdefault(distance, []).append(round((pair.second.z_um - 50.0) / DOF_UM, 2))
    assert sorted(places) == [-9.0, -7.0, -5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 7.0, 9.0]
    for near in places.values():
        assert sorted(near) == sorted(-place for place in near)
        assert len(set(near)) >= 2


# --- what is fitted to them -------------------------------------------------------------------------------------------


def field_of(number: int, shrunk: float, offset: float, *, noise: float = 0.1, told_by_feature: float = 0.0) -> Field:
    """A field whose network shrinks what it says of the second image of long pairs towards 0, and lies by a feature."""
    rng = np.random.default_rng(number)
    readings = []
    for near in (-3.0, -1.5, 0.0, 1.5, 3.0):
        for far in (-10.0, -7.5, 7.5, 10.0):
            delta = near - far
            features = rng.normal(0.0, 1.0, (TILES, FEATURES)).astype(np.float32)
            features[:, 0] = rng.normal()
            said = shrunk * near + offset + told_by_feature * features[:, 0] + rng.normal(0.0, noise, TILES)
            readings.append(
                PairReading(
                    z_um=near * DOF_UM,
                    delta_dof=delta,
                    defocus_dof=np.asarray(said, np.float32),
                    expected_error_dof=np.full(TILES, 0.2, np.float32),
                    features=features,
                    contents=np.ones(TILES),
                    centres=tuple((0.1 * k, 0.0) for k in range(TILES)),
                )
            )
    return Field(number, 0.0, DOF_UM, {1: (), -1: ()}, {1: tuple(readings), -1: tuple(readings)})


def fitted(fields: Sequence[Field]) -> Fit | None:
    climbing = fit_long(fields, 1, SETTINGS)
    while True:
        try:
            assert next(climbing).startswith("long pairs, ")
        except StopIteration as end:
            found: Fit | None = end.value
            return found


def judged(make: Sequence[Field]) -> LongVerdict:
    found = fitted(make[:4])
    assert found is not None
    verdict = judge_long(found, make[4:], SETTINGS, Bars())
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("changes", "rung"),
    [
        ({"shrunk": 1.0, "offset": 0.0}, "nothing"),
        ({"shrunk": 1.0, "offset": 2.5}, "line"),
        ({"shrunk": 1.0, "offset": 1.0, "told_by_feature": 2.5}, "head"),
    ],
)
def test_long_pairs_climb_a_ladder_of_their_own(changes: dict[str, float], rung: str) -> None:
    verdict = judged([field_of(k, **changes) for k in range(6)])
    assert verdict.fit.rung == rung
    assert verdict.fit.passed
    assert verdict.reasons == ()
    after, before = verdict.after.mean_dof, verdict.before.mean_dof
    assert after is not None
    assert before is not None
    assert after < 0.3
    assert rung == "nothing" or after < before / 3
    assert verdict.correction.interval_factor == verdict.fit.interval_factor
    assert (verdict.after.coverage or 0.0) >= 0.7


def test_a_network_that_answers_alike_wherever_the_near_image_lies_is_rejected() -> None:
    verdict = judged([field_of(k, shrunk=0.0, offset=0.0) for k in range(6)])
    assert any(reason.startswith("long pairs: mean error") for reason in verdict.reasons), verdict.reasons


def test_pairs_whose_second_image_is_far_from_the_focus_are_left_out() -> None:
    one = field_of(1, 1.0, 0.0)
    moved = replace(one, focus_um=-1.0 * DOF_UM)  # the search had missed it by one depth of field
    kept = long_of([moved])[0].readings[1]
    assert {reading.z_um / DOF_UM for reading in kept} == {-3.0, -1.5, 0.0, 1.5}


@pytest.mark.parametrize("fields", [0, 1])
def test_too_few_fields_with_long_pairs_teach_nothing(fields: int) -> None:
    bare = [replace(field_of(k, 1.0, 0.0), long={1: (), -1: ()}) for k in range(4)]
    assert fitted([*bare, *(field_of(9 + k, 1.0, 0.0) for k in range(fields))]) is None
    taught = fitted([field_of(k, 1.0, 0.0) for k in range(2)])
    assert taught is not None
    assert judge_long(taught, bare, SETTINGS, Bars()) is None


def test_bars_of_long_pairs_are_those_of_a_check() -> None:
    bars = Bars().of_long
    assert (bars.mean_dof, bars.p95_dof, bars.coverage) == (1.0, 2.0, (0.7, 1.0))
    assert bars.moves == Bars().moves

"""What a calibration concludes from fields whose focus is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from microscoped.models.focus_pair import EstimateSettings
from microscoped.models.focus_pair.calibration import (
    Bars,
    Field,
    Figures,
    Fit,
    Moves,
    PairReading,
    figures_of,
    fit,
    focus_of,
    move_shortfalls,
    moves_of,
    shortfalls,
    told_of,
)
from microscoped.models.focus_pair.calibration.stage import VISITS, Seen, flank_of, stage_faults, stage_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DOF_UM, DELTA_DOF, TILES, FEATURES = 2.0, 2.0, 9, 12
CENTRES = tuple((0.1 * k, 0.0) for k in range(TILES))
SETTINGS = EstimateSettings()


@dataclass(frozen=True)
class Reader:
    """A network that says of each tile: slope · truth + offset + noise, and what its features tell it wrongly.

    `sign` is the direction of the stage with which this holds; read with the other one it answers noise.
    """

    slope: float = 1.0
    offset: float = 0.0
    noise: float = 0.1
    sign: int = 1
    wrong: float = 0.0
    useless: bool = False

    def tiles(self, truth: float, delta: float, rng: np.random.Generator, *, right: bool) -> PairReading:
        behind = min(delta, 0.0)
        features = rng.normal(0.0, 1.0, (TILES, FEATURES)).astype(np.float32)
        # What is wrong is the same for all tiles of a pair, so that a median cannot mend it.
        features[:, 0] = rng.normal()
        said = (truth - behind - self.offset) / self.slope + rng.normal(0.0, self.noise, TILES)
        said = said + self.wrong * features[:, 0]
        if self.useless or not right:
            said = rng.normal(0.0, 5.0) + rng.normal(0.0, 0.2, TILES)
        return PairReading(
            z_um=0.0,
            delta_dof=delta,
            defocus_dof=(said + behind).astype(np.float32),
            expected_error_dof=np.full(TILES, max(self.noise, 0.1), np.float32),
            features=features,
            contents=np.ones(TILES),
            centres=CENTRES,
        )


def field_of(number: int, reader: Reader, focus_um: float = 3.0) -> Field:
    rng = np.random.default_rng(number)
    z = focus_um + np.arange(-16, 21) * 0.5 * DOF_UM
    readings = {}
    for sign in (1, -1):
        told = []
        for z_um in z:
            truth = float(z_um - focus_um) / DOF_UM * sign
            reading = reader.tiles(truth, DELTA_DOF * sign, rng, right=sign == reader.sign)
            told.append(
                PairReading(
                    float(z_um),
                    reading.delta_dof,
                    reading.defocus_dof,
                    reading.expected_error_dof,
                    reading.features,
                    reading.contents,
                    reading.centres,
                )
            )
        readings[sign] = tuple(told)
    return Field(number, focus_um, DOF_UM, readings)


def fitted(reader: Reader, configured_sign: int = 1) -> tuple[Fit, Figures]:
    """Fit to four fields; return the fit, and its figures on two others."""
    steps = fit([field_of(k, reader) for k in range(1, 5)], SETTINGS, configured_sign)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Fit = end.value
            break
    judges = [field_of(k, reader) for k in (5, 6)]
    settings = EstimateSettings(interval_factor=found.interval_factor)
    return found, figures_of(told_of(judges, found.sign, found.correction, settings))


@pytest.mark.parametrize(
    ("reader", "rung", "sign"),
    [
        pytest.param(Reader(), "nothing", 1, id="a network that is right"),
        pytest.param(Reader(sign=-1), "line", -1, id="a stage that counts the other way"),
        pytest.param(Reader(offset=1.5), "line", 1, id="an offset"),
        pytest.param(Reader(slope=0.7), "line", 1, id="a distance of the images that is not what the stage says"),
        pytest.param(Reader(slope=1.3, offset=-0.8, sign=-1), "line", -1, id="all of them"),
        pytest.param(Reader(wrong=1.5), "head", 1, id="an error that the features tell"),
        pytest.param(Reader(wrong=1.2, offset=1.0, sign=-1), "head", -1, id="that, an offset and the sign"),
    ],
)
def test_the_least_correction_that_passes_is_taken_and_holds_on_other_fields(
    reader: Reader, rung: str, sign: int
) -> None:
    found, judged = fitted(reader)
    assert found.passed
    assert (found.rung, found.sign) == (rung, sign)
    assert shortfalls(judged, Bars()) == []


def test_a_line_that_is_fitted_is_the_one_that_is_true() -> None:
    found, _ = fitted(Reader(slope=0.7, offset=0.6))
    assert found.correction.slope == pytest.approx(0.7, abs=0.02)
    assert found.correction.offset_dof == pytest.approx(0.6, abs=0.05)


def test_a_stage_of_unknown_direction_is_read_the_way_that_fits() -> None:
    assert fitted(Reader(sign=-1), configured_sign=0)[0].sign == -1


@pytest.mark.parametrize("reader", [Reader(useless=True), Reader(noise=8.0)], ids=["useless", "noise alone"])
def test_what_no_correction_mends_is_rejected_with_the_figures_that_fail(reader: Reader) -> None:
    found, judged = fitted(reader)
    assert not found.passed
    reasons = shortfalls(judged, Bars())
    assert any("mean error" in reason or "none of" in reason for reason in reasons), reasons


def test_intervals_are_made_to_hold_the_truth_as_often_as_they_say() -> None:
    told = Reader(noise=0.5)
    found, judged = fitted(told)
    assert found.interval_factor != SETTINGS.interval_factor
    assert judged.coverage is not None
    assert 0.8 <= judged.coverage <= 0.97


def test_what_the_stage_is_said_to_do_is_believed_where_both_ways_fit_alike() -> None:
    """A thin specimen looks alike on both sides of the focus."""
    fields = [field_of(k, Reader(offset=1.5, noise=0.3)) for k in range(1, 5)]
    alike = [replace(one, readings={1: one.readings[1], -1: _mirrored(one.readings[1])}) for one in fields]
    for said in (1, -1):
        steps = fit(alike, SETTINGS, said)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                assert end.value.sign == said
                break


def _mirrored(readings: tuple[PairReading, ...]) -> tuple[PairReading, ...]:
    return tuple(
        replace(one, delta_dof=-one.delta_dof, defocus_dof=(-one.defocus_dof).astype(np.float32)) for one in readings
    )


def test_one_field_is_too_few_to_fit_to() -> None:
    with pytest.raises(ValueError, match="1 fields"):
        next(fit([field_of(1, Reader())], SETTINGS, 1))


GOOD = Figures(
    pairs=100, told=99, mean_dof=0.3, median_dof=0.2, p95_dof=0.8, bias_dof=0.0, wrong_sign=0.0, coverage=0.9
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"mean_dof": 0.51}, ["mean error"]),
        ({"p95_dof": 1.01}, ["95 % of the errors"]),
        ({"wrong_sign": 0.011}, ["wrong sign"]),
        ({"coverage": 0.79}, ["interval"]),
        ({"coverage": 0.98}, []),
        ({"coverage": 1.0}, ["interval"]),
        ({"pairs": 37, "told": 37, "coverage": 1.0}, []),
        ({"told": 89}, ["no answer"]),
        ({"mean_dof": 3.0, "wrong_sign": 0.5}, ["mean error", "wrong sign"]),
        ({"told": 0, "mean_dof": None, "p95_dof": None, "coverage": None}, ["none of 100 pairs"]),
    ],
)
def test_each_bar_is_named_where_it_is_missed(change: dict[str, float], words: list[str]) -> None:
    reasons = shortfalls(GOOD.model_copy(update=change), Bars())
    assert len(reasons) == len(words)
    for reason, word in zip(reasons, words, strict=True):
        assert word in reason


@pytest.mark.parametrize(
    ("residuals", "fails"),
    [
        ([0.3] * 20, False),
        ([0.3] * 19 + [-4.0], False),
        ([0.3] * 18 + [4.0, -4.0], True),
        ([0.3] * 18 + [None, None], False),
        ([0.3] * 17 + [None] * 3, True),
        ([None] * 20, True),
        ([0.3] * 19, True),
    ],
)
def test_real_moves_pass_where_19_of_20_end_near_the_focus(residuals: list[float | None], fails: bool) -> None:
    assert bool(move_shortfalls(moves_of(residuals, Bars()), Bars())) is fails


def test_moves_without_an_answer_have_no_figures() -> None:
    assert moves_of([None, None], Bars()) == Moves(moves=2, told=0)


# --- the focus of a field ---------------------------------------------------------------------------------------------

SWEEP = np.arange(-20, 21) * 0.5 * DOF_UM


def peak(z: NDArray[np.float64], at: float, width: float = 2.0) -> list[float]:
    return [float(value) for value in np.exp(-(((z - at) / width) ** 2)) + 0.05]


def dip(z: NDArray[np.float64], at: float) -> list[float]:
    r = (z - at) / 2.0
    return [float(value) for value in (r**2 + 0.05) * np.exp(-(r**2) / 2) + 0.02]


@pytest.mark.parametrize(
    ("shape", "extremum", "at"),
    [(peak, "max", 0.37), (peak, "max", -5.1), (dip, "min", 0.0), (dip, "min", 1.3)],
)
def test_two_metrics_that_agree_tell_the_focus(shape: Callable[..., list[float]], extremum: str, at: float) -> None:
    scores = {"band": shape(SWEEP, at), "variance": shape(SWEEP, at + 0.3)}
    order = np.random.default_rng(0).permutation(SWEEP.size)
    shuffled = {name: [values[k] for k in order] for name, values in scores.items()}
    found = focus_of(SWEEP[order].tolist(), shuffled, extremum, at, dof_um=DOF_UM)  # type: ignore[arg-type]
    assert found.z_um == pytest.approx(at + 0.15, abs=0.1)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"band": peak(SWEEP, 0.0), "variance": peak(SWEEP, 1.2)}, "the metrics differ by 1."),
        ({"band": peak(SWEEP, 0.0), "variance": [1.0] * 41}, "no focus to the metric variance"),
        ({"band": peak(SWEEP, 30.0), "variance": peak(SWEEP, 30.0)}, "no focus to the metric band and variance"),
    ],
    ids=["they differ", "one is flat", "beyond the sweep"],
)
def test_a_field_without_a_focus_that_both_see_is_rejected(scores: dict[str, list[float]], words: str) -> None:
    found = focus_of(SWEEP.tolist(), scores, "max", 0.0, dof_um=DOF_UM)
    assert found.z_um is None
    assert words in found.reason


def test_a_handful_of_frames_is_no_sweep() -> None:
    assert "too few" in focus_of([0.0, 1.0], {"band": [1, 2], "variance": [1, 2]}, "max", 0.0, dof_um=1.0).reason


# --- the stage --------------------------------------------------------------------------------------------------------


def visits(play: float = 0.0, jitter: float = 0.0, drift: float = 0.0, flicker: float = 0.0) -> list[Seen]:
    rng = np.random.default_rng(1)
    arrival = rng.normal(0.0, jitter)
    seen = []
    for k, kind in enumerate(VISITS):
        arrival = arrival if kind == "rest" and k else rng.normal(0.0, jitter)
        t_s = 10.0 + k
        z = 5.0 + arrival + drift * t_s - (play if kind == "reverse" else 0.0) + rng.normal(0.0, 0.002)
        seen.append(Seen(kind, z, True, t_s, 100.0 * (1 + flicker * rng.normal())))
    return seen


@pytest.mark.parametrize("approach", [1, -1])
def test_the_stage_is_seen_through_the_camera(approach: int) -> None:
    found = stage_figures(visits(play=0.8, jitter=0.05, drift=0.02, flicker=0.01), (0.0, 5.0), approach, 1.0, 40.0)
    assert found.backlash_um == pytest.approx(0.8, abs=0.2)
    assert found.jitter_um == pytest.approx(0.05, rel=0.6)
    assert found.drift_um_s == pytest.approx(0.02, abs=0.01)
    assert found.flicker == pytest.approx(0.01, rel=0.7)
    assert found.lost == 0.0


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (visits(), ""),
        (visits(play=0.8), ""),
        (visits(play=1.5), "stage.overshoot_um"),
        (visits(drift=2.0), "during a pair"),
        (visits(drift=0.1), "during a sweep"),
        (visits(jitter=0.05), ""),
        ([Seen(one.kind, one.z_um, False, one.t_s, one.mean) for one in visits()], "does not come back"),
    ],
    ids=["good", "play within the overshoot", "more play", "fast drift", "slow drift", "jitter", "lost"],
)
def test_a_stage_that_cannot_be_calibrated_is_told_with_the_remedy(seen: list[Seen], words: str) -> None:
    figures = stage_figures(seen, (0.0, 5.0), 1, 1.0, 40.0)
    faults = stage_faults(figures, Bars(), DOF_UM, overshoot_um=1.0)
    assert bool(faults) is bool(words)
    assert words in " ".join(faults)


def test_the_flank_is_the_longest_rise_and_tells_z_from_a_score() -> None:
    scores = peak(SWEEP, 1.0, width=4.0)
    flank = flank_of(SWEEP.tolist(), scores, 1.0, DOF_UM)
    assert flank is not None
    assert 1.0 < abs(flank.middle_um - 1.0) < 10.0
    z = flank.middle_um + 0.4
    score = float(np.exp(-(((z - 1.0) / 4.0) ** 2)) + 0.05)
    assert flank.seen_um(score) == pytest.approx(z, abs=0.1)
    assert flank.holds(score)
    assert not flank.holds(100.0)


def test_a_flat_curve_has_no_flank() -> None:
    assert flank_of(SWEEP.tolist(), [1.0] * 41, 0.0, DOF_UM) is None

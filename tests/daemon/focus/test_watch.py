"""The watch over pairs: foreign calibrations do not last, an honest one does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from microscoped.daemon.focus import WINDOW, PairCheck, mistrusted, watch_figures
from microscoped.daemon.focus.watch import COVERED_CHANCE, FEWEST, T_CRITICAL, WORST_COVERED

DOF_UM = 2.0


def checks(*residuals_um: float, covered: int | None = None, sent_um: float = 5.0) -> list[PairCheck]:
    """Checks after moves by turns up and down; the first `covered` of them keep their promise, by default all."""
    kept = len(residuals_um) if covered is None else covered
    return [PairCheck(r, k < kept, sent_um if k % 2 else -sent_um) for k, r in enumerate(residuals_um)]


def alternating(size_um: float, count: int) -> list[float]:
    return [size_um * (1 if k % 4 < 2 else -1) for k in range(count)]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (checks(), ""),
        (checks(*[9.0] * (FEWEST - 1), covered=0), ""),  # too few to speak
        (checks(*alternating(0.5, 20)), ""),
        (checks(*alternating(1.9, 20)), ""),
        (checks(*alternating(2.1, 20)), "2.1 µm away (median)"),
        (checks(*alternating(2.1, 19)), ""),
        (checks(*alternating(0.5, 20), covered=14), ""),
        (checks(*alternating(0.5, 20), covered=13), "in 65% as near"),
        (checks(*alternating(0.5, 19), covered=13), ""),
        (checks(*alternating(0.5, 8), covered=2), ""),
        (checks(*alternating(0.5, 8), covered=1), "of the last 8 pairs"),  # so few are hardly chance
        (checks(*[1.3, 1.5, 1.4, 1.2] * 2), "µm above the place"),
        (checks(*[-1.3, -1.5, -1.4, -1.2] * 2), "µm below the place"),
        (checks(*[0.8, 0.9, 0.7, 0.8] * 5), ""),  # to one side, and small
        (checks(*[-1.3, 1.5, -1.4, 1.2] * 2), "µm beyond the place"),  # short on the way up and down
        (checks(*[1.3, -1.5, 1.4, -1.2] * 2), "µm short of the place"),
        (checks(*[3.0, -3.0, 3.0, 3.0, -0.5, -3.0, 3.0, 3.0]), ""),  # a mean that may be chance
    ],
)
def test_checks_that_are_surely_worse_than_any_accepted_calibration_are_told_in_words(
    seen: list[PairCheck], words: str
) -> None:
    found = mistrusted(seen, DOF_UM)
    assert bool(found) == bool(words)
    assert words in found


def test_the_figures_of_checks_are_those_of_both_directions() -> None:
    found = watch_figures([PairCheck(1.0, True, 4.0), PairCheck(-3.0, False, -4.0)])
    assert (found.checks, found.median_um, found.coverage, found.above_um, found.short_um) == (2, 2.0, 0.5, -1.0, 2.0)


def test_critical_values_are_those_of_students_t() -> None:
    degrees = np.arange(FEWEST - 1, WINDOW)
    assert len(T_CRITICAL) == degrees.size
    np.testing.assert_allclose(T_CRITICAL, stats.t.ppf(0.99, degrees), atol=6e-4)


def test_an_honest_calibration_is_hardly_ever_suspended_and_a_leaning_one_within_twenty_checks() -> None:
    rng = np.random.default_rng(3)

    def suspended(bias_dof: float, spread_dof: float) -> float:
        lives = 200
        ended = 0
        for _ in range(lives):
            residuals = rng.normal(bias_dof, spread_dof, 20) * DOF_UM
            # Its intervals are those of an unbiased calibration with this spread.
            life = [
                PairCheck(r, abs(r) < 1.645 * spread_dof * DOF_UM, 4.0 * (-1) ** k) for k, r in enumerate(residuals)
            ]
            ended += any(mistrusted(life[:count], DOF_UM) for count in range(1, 21))
        return ended / lives

    assert suspended(0.0, 0.4) <= 0.01
    assert suspended(0.9, 0.4) >= 0.99


def test_the_rule_for_few_checks_is_the_binomial_test_that_it_says() -> None:
    for count in range(FEWEST, WINDOW):
        fewest = next(k for k in range(count + 1) if stats.binom.cdf(k, count, WORST_COVERED) >= COVERED_CHANCE)
        assert mistrusted(checks(*alternating(0.1, count), covered=fewest), DOF_UM) == ""
        assert mistrusted(checks(*alternating(0.1, count), covered=fewest - 1), DOF_UM) != ""

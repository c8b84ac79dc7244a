"""Figures of an evaluation, with intervals by bootstrap over specimens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RESAMPLES = 1000
SIGN_BEYOND_UM = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Estimates of many pairs; all arrays have shape (pairs,).

    Parameters
    ----------
    specimen, field
        Number of the slide, and of its field.
    truth_um, estimate_um
        Defocus of the second image; the estimate is that of the network also where it abstains, 0 for empty fields.
    half_um
        Half the width of the 90 % interval; NaN where it abstains.
    expected_um
        Expected error.
    abstained, empty
        No estimate was given; and because the field is empty.
    straddling
        The two images lie on either side of the focus.
    """

    specimen: NDArray[np.int64]
    field: NDArray[np.int64]
    truth_um: NDArray[np.float64]
    estimate_um: NDArray[np.float64]
    half_um: NDArray[np.float64]
    expected_um: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    straddling: NDArray[np.bool_]

    def where(self, mask: NDArray[np.bool_]) -> Results:
        """Return some of the pairs."""
        return Results(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})

    @property
    def errors_um(self) -> NDArray[np.float64]:
        """Absolute errors."""
        return np.abs(self.estimate_um - self.truth_um)


def bootstrap(results: Results, figure: Callable[[NDArray[np.float64]], float], seed: int = 0) -> tuple[float, float]:
    """Return a 95 % interval of a figure of the errors, by resampling specimens."""
    rng = np.random.default_rng(seed)
    errors = results.errors_um
    by_specimen = [errors[results.specimen == k] for k in np.unique(results.specimen)]
    values = [
        figure(np.concatenate([by_specimen[k] for k in rng.integers(len(by_specimen), size=len(by_specimen))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def summary(results: Results) -> dict[str, float | int | list[float] | None]:
    """Return the figures of a set: errors over all fields that are not empty, abstentions included.

    Wrong signs are counted where the truth is beyond 1 µm; coverage and width over the pairs that were answered.
    """
    shown = results.where(~results.empty)
    errors = shown.errors_um
    answered = shown.where(~shown.abstained)
    far = np.abs(shown.truth_um) > SIGN_BEYOND_UM
    straddling = shown.where(shown.straddling)
    covered = answered.errors_um <= answered.half_um
    percentiles = np.percentile(errors, [50, 90, 95, 98])
    figures: dict[str, float | int | list[float] | None] = {
        "specimens": int(np.unique(results.specimen).size),
        "pairs": int(errors.size),
        "mean_um": float(errors.mean()),
        "mean_interval_um": list(bootstrap(shown, lambda values: float(values.mean()))),
        "sd_um": float(errors.std()),
        "median_um": float(percentiles[0]),
        "p90_um": float(percentiles[1]),
        "p95_um": float(percentiles[2]),
        "p98_um": float(percentiles[3]),
        "max_um": float(errors.max()),
        "wrong_sign_fraction": float(np.mean((shown.estimate_um * shown.truth_um < 0)[far])),
        "straddling_mean_um": float(straddling.errors_um.mean()) if straddling.specimen.size else None,
        "abstained_fraction": float(shown.abstained.mean()),
        "answered_mean_um": float(answered.errors_um.mean()) if answered.specimen.size else None,
        "coverage": float(covered.mean()) if covered.size else None,
        "mean_width_um": float(2.0 * answered.half_um.mean()) if covered.size else None,
    }
    return figures


def with_lines(results: Results) -> Results:
    """Return what a calibration's first step would make of the estimates.

    A straight line through what was read and what is true, for each slide, which has a microscope of its own; each
    field is corrected by the line through the slide's other fields. Slides with one field stay as they are.
    """
    corrected = results.estimate_um.copy()
    for specimen in np.unique(results.specimen):
        here = results.specimen == specimen
        for field in np.unique(results.field[here]):
            there = here & (results.field == field)
            others = here & ~there & ~results.empty
            if others.sum() > 2:
                line = np.polyfit(results.estimate_um[others], results.truth_um[others], 1)
                corrected[there] = np.polyval(line, results.estimate_um[there])
    return replace(results, estimate_um=corrected)


def risk_coverage(results: Results, points: int = 20) -> list[tuple[float, float]]:
    """Return (part answered, mean error in µm) as the limit of the expected error falls."""
    shown = results.where(~results.empty)
    order = np.argsort(shown.expected_um, kind="stable")
    means = np.cumsum(shown.errors_um[order]) / np.arange(1, order.size + 1)
    return [(part, float(means[max(1, int(part * order.size)) - 1])) for part in np.linspace(1.0 / points, 1.0, points)]


def conformal_factor(results: Results, coverage: float = 0.9) -> float:
    """Return the factor on expected errors that makes intervals cover this part of the pairs that are answered.

    Each specimen has the same weight (split conformal prediction, with specimens in place of samples).
    """
    answered = results.where(~results.abstained & ~results.empty)
    ratio = answered.errors_um / answered.expected_um
    counts = {k: int(n) for k, n in zip(*np.unique(answered.specimen, return_counts=True), strict=True)}
    weights = np.array([1.0 / counts[k] for k in answered.specimen])
    order = np.argsort(ratio)
    reached = np.cumsum(weights[order]) / weights.sum()
    # With n specimens the quantile is corrected upwards by one in n + 1.
    wanted = min(1.0, coverage * (1.0 + 1.0 / len(counts)))
    return float(ratio[order][min(int(np.searchsorted(reached, wanted)), ratio.size - 1)])


__all__ = ["Results", "bootstrap", "conformal_factor", "risk_coverage", "summary", "with_lines"]

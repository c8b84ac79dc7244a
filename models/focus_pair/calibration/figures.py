"""What the network says of pairs whose focus is known, and how well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from microscoped.models.focus_pair.estimate import Estimate, EstimateSettings, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.correction import Correction
    from microscoped.models.focus_pair.engine import Reading
    from microscoped.models.focus_pair.inputs import PairInputs

SIGN_BEYOND_DOF = 1.0
"""Wrong signs are counted where the second image is at least so far out of focus."""


@dataclass(frozen=True, slots=True, eq=False)
class PairReading:
    """What the network said of one pair, before any correction. Lengths in depths of field, along the light.

    Parameters
    ----------
    z_um
        Where the second frame was taken, in the stage's coordinate.
    delta_dof
        From the first frame to the second.
    defocus_dof, expected_error_dof
        Of each tile of the second frame, shape (tiles,).
    features
        Shape (tiles, features), as the network read the pair.
    contents, centres
        Contrast of each tile, and its place in the frame.
    """

    z_um: float
    delta_dof: float
    defocus_dof: NDArray[np.float32]
    expected_error_dof: NDArray[np.float32]
    features: NDArray[np.float32]
    contents: NDArray[np.float64]
    centres: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, inputs: PairInputs, told: Reading, z_um: float) -> Self:
        """Return what is kept of a pair whose second frame was taken at `z_um`."""
        return cls(
            z_um=z_um,
            delta_dof=inputs.delta_dof,
            defocus_dof=told.defocus_dof,
            expected_error_dof=told.expected_error_dof,
            features=told.features,
            contents=told.contents,
            centres=inputs.centres,
        )

    def estimate(self, correction: Correction, settings: EstimateSettings) -> Estimate:
        """Return what the engine would say with this correction."""
        corrected, expected = correction.apply(self.defocus_dof, self.expected_error_dof, self.features, self.delta_dof)
        return estimate(corrected, expected, self.contents, self.centres, settings)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of the specimen whose focus is known.

    Parameters
    ----------
    number
        1, 2, 3 …
    focus_um
        Where its focus lies, in the stage's coordinate.
    dof_um
        Depth of field.
    readings
        All pairs of its sweep that lie Δ apart, read with either sign of the stage.
    long
        The same of pairs that lie far apart, the second image near the focus.
    """

    number: int
    focus_um: float
    dof_um: float
    readings: dict[int, tuple[PairReading, ...]]
    long: dict[int, tuple[PairReading, ...]] = field(default_factory=dict)

    def truth_dof(self, reading: PairReading, sign: int) -> float:
        """Return the true defocus of a pair's second frame, along the light."""
        return (reading.z_um - self.focus_um) / self.dof_um * sign


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Estimates beside the truth; all arrays have shape (pairs,), lengths in depths of field.

    Parameters
    ----------
    truth
        True defocus.
    value, half
        Estimate, and half the width of its interval; NaN where the engine abstains.
    """

    truth: NDArray[np.float64]
    value: NDArray[np.float64]
    half: NDArray[np.float64]


class Figures(BaseModel):
    """How well pairs are read. Lengths in depths of field.

    Parameters
    ----------
    pairs, told
        Pairs in all, and those that were answered; the other figures are of these.
    mean_dof, median_dof, p95_dof
        Of the absolute error.
    bias_dof
        Mean error.
    wrong_sign
        Part of the pairs beyond one depth of field whose estimate has the wrong sign.
    coverage
        Part whose interval holds the truth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pairs: int
    told: int
    mean_dof: float | None = None
    median_dof: float | None = None
    p95_dof: float | None = None
    bias_dof: float | None = None
    wrong_sign: float | None = None
    coverage: float | None = None

    @property
    def abstained(self) -> float:
        """Part of the pairs that were not answered."""
        return 1.0 - self.told / self.pairs if self.pairs else 1.0


def told_of(fields: Sequence[Field], sign: int, correction: Correction, settings: EstimateSettings) -> Told:
    """Return the estimates of all pairs of fields."""
    rows: list[tuple[float, float, float]] = []
    for one in fields:
        for reading in one.readings[sign]:
            found = reading.estimate(correction, settings)
            value, half = float("nan"), float("nan")
            if found.defocus_dof is not None and found.interval_dof is not None:
                value, half = found.defocus_dof, 0.5 * (found.interval_dof[1] - found.interval_dof[0])
            rows.append((one.truth_dof(reading, sign), value, half))
    columns = np.array(rows, float).reshape(-1, 3).T
    return Told(columns[0], columns[1], columns[2])


def joined(parts: Sequence[Told]) -> Told:
    """Put estimates together."""
    return Told(
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.half for part in parts]),
    )


def figures_of(told: Told) -> Figures:
    """Return the figures of estimates."""
    answered = np.isfinite(told.value)
    if not answered.any():
        return Figures(pairs=int(told.truth.size), told=0)
    truth, value, half = (column[answered] for column in (told.truth, told.value, told.half))
    errors = np.abs(value - truth)
    far = np.abs(truth) >= SIGN_BEYOND_DOF
    return Figures(
        pairs=int(told.truth.size),
        told=int(answered.sum()),
        mean_dof=float(errors.mean()),
        median_dof=float(np.median(errors)),
        p95_dof=float(np.percentile(errors, 95)),
        bias_dof=float((value - truth).mean()),
        wrong_sign=float(np.mean(value[far] * truth[far] < 0)) if far.any() else None,
        coverage=float(np.mean(errors <= half)),
    )


__all__ = ["SIGN_BEYOND_DOF", "Field", "Figures", "PairReading", "Told", "figures_of", "joined", "told_of"]

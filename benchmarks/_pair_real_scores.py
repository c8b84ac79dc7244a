"""What readings of pairs are worth, before and after a calibration, and in a word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from microscoped.models.focus_pair import Correction, EstimateSettings
from microscoped.models.focus_pair.calibration import Field, PairReading, Told, figures_of, fit, told_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microscoped.models.focus_pair.calibration import Fit

LIMIT_DOF = 1.0
NEAR_DOF = 3.0
LEAST_WITHIN = 0.90
MOST_ABSTAINED = 0.50
MOST_MISLED = 0.10
HALF = 0.5
"""A reading is worth something where its mean error is at most this part of that of the best constant answer."""
SLOPES = (0.4, 2.5)
"""A line flatter or steeper than this is no correction; nor is one that does not lower the error it was fitted to."""
SIGN_MARGIN = 0.7
"""The stage is believed to run against the light only where the error is then less than this part."""
LEAST_READINGS = 4
LEAST_SPREAD_DOF = 1e-3
"""What a line is fitted to: so many readings, not all alike."""
INTERVAL_PART = 0.90
SIGNS = (1, -1)
LEAST_TILES = 4
"""Tiles from which on a frame is also taken for several fields."""


@dataclass(frozen=True, eq=False)
class Line:
    """What the calibration on some z positions taught.

    Parameters
    ----------
    sign
        +1 where the plane in focus moves along the light as z rises.
    correction
        Slope and offset.
    interval_factor
        Half the width of the interval over the expected error.
    """

    sign: int
    correction: Correction
    interval_factor: float


def part_of(field: Field, *, calibrating: bool) -> Field:
    """Return the pairs of every third z of the second frame, or the others."""
    kept = {}
    for sign, readings in field.readings.items():
        places = sorted({reading.z_um for reading in readings})
        chosen = {z for k, z in enumerate(places) if (k % 3 == 1) == calibrating}
        kept[sign] = tuple(reading for reading in readings if reading.z_um in chosen)
    return replace(field, readings=kept)


def tiles_of(field: Field, chosen: Sequence[int], number: int = 1) -> Field:
    """Return the same pairs as if the frames held these tiles alone."""
    kept = {
        sign: tuple(
            replace(
                reading,
                **{
                    name: getattr(reading, name)[list(chosen)]
                    for name in ("defocus_dof", "expected_error_dof", "features", "contents")
                },
                centres=tuple(reading.centres[k] for k in chosen),
            )
            for reading in readings
        )
        for sign, readings in field.readings.items()
    }
    return replace(field, number=number, readings=kept)


def by_line(field: Field, settings: EstimateSettings, *, direction_known: bool) -> Line:
    """Fit sign, slope and offset (Theil and Sen's line), and the width of the intervals."""
    if direction_known:
        return _line(field, 1, settings)
    lines = [_line(field, sign, settings) for sign in SIGNS]
    errors = [_mean_error(told_of([field], line.sign, line.correction, settings)) for line in lines]
    return lines[1] if errors[1] < SIGN_MARGIN * errors[0] else lines[0]


def _line(field: Field, sign: int, settings: EstimateSettings) -> Line:
    rows = []
    for reading in field.readings[sign]:
        found = reading.estimate(Correction(), settings).defocus_dof
        if found is not None:
            behind = behind_dof(reading)
            rows.append((found - behind, field.truth_dof(reading, sign) - behind))
    correction = Correction()
    read, true = np.array(rows, float).reshape(-1, 2).T
    if read.size >= LEAST_READINGS and np.ptp(read) > LEAST_SPREAD_DOF:
        slope = stats.theilslopes(true, read)[0]
        offset = np.median(true - slope * read)
        if SLOPES[0] <= slope <= SLOPES[1]:
            correction = Correction(slope=float(slope), offset_dof=float(offset))
    told = told_of([field], sign, correction, settings)
    plain = told_of([field], sign, Correction(), settings)
    if _mean_error(told) >= _mean_error(plain):
        correction, told = Correction(), plain
    answered = np.isfinite(told.value) & (told.half > 0)
    factor = settings.interval_factor
    if answered.sum() >= LEAST_READINGS:
        ratios = np.abs(told.value - told.truth)[answered] / told.half[answered]
        factor *= float(np.quantile(ratios, INTERVAL_PART))
    return Line(sign, correction, factor)


def behind_dof(reading: PairReading) -> float:
    """Return where the frame that the network tells of lies, as seen from the second frame."""
    return reading.delta_dof if reading.delta_dof < 0 else 0.0


def _mean_error(told: Told) -> float:
    answered = np.isfinite(told.value)
    return float(np.abs(told.value - told.truth)[answered].mean()) if answered.any() else float("inf")


def scores(told: Told) -> dict[str, Any]:
    """Return the figures of estimates; lengths in depths of field, parts of 1.

    ``within`` is the part of the answers that are at most one depth of field off, ``within_near`` the same where the
    second image is at most three depths of field out of focus, ``misled`` the part of all pairs that were answered and
    are farther off.
    """
    figures = figures_of(told)
    answered = np.isfinite(told.value)
    errors = np.abs(told.value - told.truth)[answered]
    near = errors[np.abs(told.truth[answered]) <= NEAR_DOF]
    beyond = int(np.sum(errors > LIMIT_DOF))
    return {
        **figures.model_dump(),
        "within": 1.0 - beyond / errors.size if errors.size else None,
        "within_near": float(np.mean(near <= LIMIT_DOF)) if near.size else None,
        "misled": beyond / figures.pairs,
        "abstained": figures.abstained,
    }


def constant_scores(told: Told) -> dict[str, Any]:
    """Return the figures of always answering the median truth: what a reading must beat."""
    errors = np.abs(told.truth - np.median(told.truth))
    return {"mean_dof": float(errors.mean()), "within": float(np.mean(errors <= LIMIT_DOF))}


def verdict(as_read: dict[str, Any], calibrated: Mapping[str, dict[str, Any]], constant: dict[str, Any]) -> str:
    """Return what a user of such images gets.

    ``works``: at least 90 % of the answers within one depth of field, at most half of the pairs unanswered, and at most
    half of the mean error of a constant answer. ``calibrated away``: the same after a calibration, which is named.
    ``cannot tell``: so near, but a constant answer is nearly as near. ``abstains``: at most 10 % of the pairs are
    answered wrongly. Else ``fails``.
    """
    tries = {"works": as_read, **{f"calibrated away ({name})": found for name, found in calibrated.items()}}
    for word, found in tries.items():
        if _near(found) and found["mean_dof"] <= HALF * constant["mean_dof"]:
            return word
    if any(_near(found) for found in tries.values()):
        return "cannot tell"
    return "abstains" if min(found["misled"] for found in tries.values()) <= MOST_MISLED else "fails"


def _near(found: dict[str, Any]) -> bool:
    return bool(found["told"] > 0 and found["within"] >= LEAST_WITHIN and found["abstained"] <= MOST_ABSTAINED)


def judged(field: Field, settings: EstimateSettings, *, direction_known: bool) -> dict[str, Any]:
    """Return the figures of a field's pairs as read, those after calibrations, and the verdict.

    As read, the stage is taken to run along the light; figures for the other direction are given beside.

    Parameters
    ----------
    field
        All pairs.
    settings
        How tiles become an estimate.
    direction_known
        Whether the stage is known to run along the light.
    """
    every = told_of([field], 1, Correction(), settings)
    as_read, constant = scores(every), constant_scores(every)
    calibrated = {"line": _after_line(field, settings, direction_known=direction_known)}
    if min(len(reading.centres) for reading in field.readings[1]) >= LEAST_TILES:
        calibrated["tiles"] = _after_ladder(field, settings, direction_known=direction_known)
    return {
        "as_read": as_read,
        "other_direction": scores(told_of([field], -1, Correction(), settings)),
        "calibrated": calibrated,
        "constant": constant,
        "verdict": verdict(as_read, calibrated, constant),
        "read": _columns(every),
    }


def _after_line(field: Field, settings: EstimateSettings, *, direction_known: bool) -> dict[str, Any]:
    """Fit a line to the pairs of every third z of the second frame; return the figures of the others."""
    line = by_line(part_of(field, calibrating=True), settings, direction_known=direction_known)
    rest = part_of(field, calibrating=False)
    wide = replace(settings, interval_factor=line.interval_factor)
    slope, offset = line.correction.slope, line.correction.offset_dof
    told = "no line helps" if (slope, offset) == (1.0, 0.0) else f"slope {slope:.2f}, offset {offset:+.2f} DoF"
    return {
        **scores(told_of([rest], line.sign, line.correction, wide)),
        "means": f"every third z: sign {line.sign:+d}, {told}",
    }


def _after_ladder(field: Field, settings: EstimateSettings, *, direction_known: bool) -> dict[str, Any]:
    """Climb the ladder of ``calibrate.run`` on every third tile as a field of its own; return the others' figures."""
    tiles = len(field.readings[1][0].centres)
    chosen = range(0, tiles, 3)
    fields = [tiles_of(field, [tile], number) for number, tile in enumerate(chosen, start=1)]
    taught = _finished(fields, settings, int(direction_known))
    rest = tiles_of(field, [tile for tile in range(tiles) if tile not in chosen])
    wide = replace(settings, interval_factor=taught.interval_factor)
    return {
        **scores(told_of([rest], taught.sign, taught.correction, wide)),
        "means": f"{len(fields)} of {tiles} tiles: {taught.rung}, sign {taught.sign:+d}",
    }


def _finished(fields: Sequence[Field], settings: EstimateSettings, configured_sign: int) -> Fit:
    climbing = fit(fields, settings, configured_sign)
    while True:
        try:
            next(climbing)
        except StopIteration as end:
            taught: Fit = end.value
            return taught


def _columns(told: Told) -> dict[str, Sequence[float | None]]:
    """Return truth and estimate of each pair, to look at."""
    values = [float(value) if np.isfinite(value) else None for value in told.value]
    return {"truth_dof": told.truth.tolist(), "value_dof": values}

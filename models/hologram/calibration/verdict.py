"""Whether a line of distance over stage is good enough, which sideband is the right one, and what must be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from microscoped.models.hologram.sideband import Side

if TYPE_CHECKING:
    from microscoped.models.hologram.calibration.line import Line


@dataclass(frozen=True, slots=True)
class Bars:
    """What a calibration must reach. Lengths are in depths of field of the medium, the rest parts of 1.

    Parameters
    ----------
    slope
        Half width of the slope's 90 % interval over the slope.
    expected
        Least and largest slope over the one that the indices of immersion and medium promise. That one holds for light
        near the axis; a dry objective of NA 0.75 brings its outermost light 1.25 times as far in water.
    linearity_dof, worst_dof
        Root mean square, and the greatest, of the residuals of places.
    repeatability_dof
        Standard deviation between visits of one place.
    drift_dof
        Drift during the time of all visits.
    play_dof
        Play that no overshoot takes away.
    lost, outliers
        Largest part of the visits without a distance, and of the readings that lie off the line.
    """

    slope: float = 0.02
    expected: tuple[float, float] = (0.7, 1.4)
    linearity_dof: float = 0.2
    worst_dof: float = 0.5
    repeatability_dof: float = 0.25
    drift_dof: float = 2.0
    play_dof: float = 0.25
    lost: float = 0.25
    outliers: float = 0.25


@dataclass(frozen=True, slots=True)
class Told:
    """What is known beside the line.

    Parameters
    ----------
    dof_um
        Depth of field in the medium.
    expected
        µm of focus per µm of stage that the indices promise.
    overshoot_um
        How far moves from the other side go beyond their target before they turn.
    visits, lost
        Visits, and those without a distance.
    duration_s
        From the first to the last visit.
    """

    dof_um: float
    expected: float
    overshoot_um: float
    visits: int
    lost: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class SideFound:
    """Which sideband is the right one.

    Parameters
    ----------
    side
        To be read from now on.
    known
        Whether stage steps have shown it.
    changed
        Whether it is another one than was read.
    warnings
        What must be said about it.
    """

    side: Side
    known: bool
    changed: bool
    warnings: tuple[str, ...]


def shortfalls(line: Line, told: Told, bars: Bars) -> list[str]:
    """Return what a line fails in, with the remedy; nothing where it passes."""
    reasons = []
    if told.lost > bars.lost * told.visits:
        reasons.append(
            f"no distance at {told.lost} of {told.visits} visits (at most {bars.lost:.0%}): take a smaller range, or "
            "begin nearer to focus"
        )
    if abs(line.slope) <= 2 * line.half_width:
        reasons.append(
            f"distances do not follow the stage: {line.slope:.3g} ± {line.half_width:.2g} µm per µm; look whether the "
            "stage that moves is the one that focuses"
        )
        return reasons
    relative = line.half_width / abs(line.slope)
    if relative > bars.slope:
        reasons.append(
            f"the scale is known to {relative:.1%} only (at most {bars.slope:.0%}): take a larger range, more steps or "
            "visits, or a place with more cells"
        )
    ratio = abs(line.slope) / told.expected
    low, high = bars.expected
    if not low <= ratio <= high:
        reasons.append(
            f"the focus moves {abs(line.slope):.3g} µm per µm of stage, not about {told.expected:.3g} as the indices "
            "of immersion and medium promise: check optics.wavelength_nm, optics.pixel_size_um, "
            "optics.immersion_index, engines.hologram.medium_index and the stage's own scale"
        )
    lengths = (
        (line.linearity_um, bars.linearity_dof, "the places lie {0:.2f} DoF off the line (root mean square"),
        (line.worst_um, bars.worst_dof, "one place lies {0:.2f} DoF off the line ("),
        (line.repeatability_um, bars.repeatability_dof, "the same place differs by {0:.2f} DoF between visits ("),
    )
    for value, bar, words in lengths:
        if value > bar * told.dof_um:
            end = "" if words.endswith("(") else ", "
            reasons.append(
                f"{words.format(value / told.dof_um)}{end}at most {bar:g}): let specimen and stand come to rest, and "
                "look for a stage that slips"
            )
    drift_dof = abs(line.drift_um_s) * told.duration_s / told.dof_um
    if drift_dof > bars.drift_dof:
        reasons.append(
            f"distances drift by {line.drift_um_s:.2g} µm/s, {drift_dof:.1f} DoF during the calibration (at most "
            f"{bars.drift_dof:g}): wait until the temperature has settled"
        )
    least_um = bars.play_dof * told.dof_um / abs(line.slope)
    if line.play_um is not None and line.play_um > max(told.overshoot_um, least_um):
        reasons.append(
            f"the play of {line.play_um:.2f} µm is larger than stage.overshoot_um = {told.overshoot_um:g}: moves do "
            "not end from one side; raise it"
        )
    if line.outliers > bars.outliers * line.readings:
        reasons.append(
            f"{line.outliers} of {line.readings} distances of single cells lie off the line (at most "
            f"{bars.outliers:.0%}): take a smaller range, or a place with fewer cells that touch"
        )
    return reasons


def find_side(slope: float, read: Side, light_sign: Literal[-1, 0, 1], denser: Side | None) -> SideFound:
    """Return which sideband is the right one.

    Where the plane in focus goes along the light, specimens come nearer from downstream: distances fall. With the other
    sideband distances have the other sign, and rise.

    Parameters
    ----------
    slope
        µm of distance per µm of stage.
    read
        Which sideband it was read from.
    light_sign
        +1 where the plane in focus moves along the light as the stage's coordinate rises, −1 where it moves against it,
        0 where nobody knows.
    denser
        With which sideband the specimen is denser than its medium; ``None`` where that could not be seen.
    """
    if light_sign == 0:
        warning = (
            "stage.focus_direction is unknown, so the stage cannot tell which sideband is the right one: "
            f"{_word(read)} is kept, and positive distances may lie upstream, with phases of the wrong sign. Moving "
            "the stage by distances is right nevertheless: it follows what was measured"
        )
        if denser is not None:
            along = -slope if denser is read else slope
            direction = "away" if along > 0 else "toward_sample"
            warning += (
                f". If the specimen is denser than its medium, as cells are, then {_word(denser)} is the right one and "
                f"stage.focus_direction is {direction}"
            )
        return SideFound(read, False, False, (warning,))
    side = read if (slope < 0) == (light_sign > 0) else Side(-read)
    warnings = []
    if side is not read:
        warnings.append(
            f"{_word(side)} is the right sideband, not {_word(read)}: it is read from now on; set engines.hologram.side"
            " to it. Distances and phases measured before have the wrong sign"
        )
    if denser is not None and denser is not side:
        warnings.append(
            "the phase of the specimen says that the other sideband is the right one: either stage.focus_direction is "
            "the wrong way round, or the specimen is less dense than its medium"
        )
    return SideFound(side, True, side is not read, tuple(warnings))


def _word(side: Side) -> str:
    return side.name.lower()


__all__ = ["Bars", "SideFound", "Told", "find_side", "shortfalls"]

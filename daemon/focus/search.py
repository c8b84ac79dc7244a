"""The search itself: a scan that cannot miss the peak, then Brent's method inside it, then a confirming image.

A plain minimiser started on the whole range is fooled by the flat tails and the side lobes of a sharpness curve, so
the range is first scanned in one direction at a distance at which the peak still shows. Only the samples beside the
best one are handed to Brent's method. A last image at the answer confirms it: a search never ends on a worse image than
it began with.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

import numpy as np

from microscoped.daemon.focus._types import Extremum, Probe, Sample, SearchResult, SearchSettings
from microscoped.daemon.focus.brent import Bracket, Point, brent
from microscoped.daemon.focus.curve import (
    Dip,
    deepest_dip,
    midpoints,
    ordered,
    prominence,
    scatter,
    top,
    typical_error,
)

_RESERVE = 5
"""Images that the scans leave for Brent's method and the confirming image."""

_FINE_STEPS = 4
"""How many times finer than the coarse scan the curve is sampled to tell a peak from a dip."""

_SIGNIFICANT = 5.0
"""A peak stands out where it is this many standard errors of a score high."""

_SMOOTH_NEAR, _SMOOTH_ALL = 8.0, 4.0
"""A peak is real where it is this many times as high as the scores scatter about a single-peaked curve: beside it, and
over the whole range, where side lobes and a second layer count as scatter. Scores that are noise alone pass in a few
searches of a hundred where they come without their errors, and in none where they come with them."""

_CLEAR_DIP, _DECLARED_DIP, _NO_DIP = 0.4, 0.2, 0.15
"""Depth of a valley relative to its lower shoulder: from here on a dip of contrast, or where one is declared; below the
last no dip."""

_EVEN_SHOULDERS, _SIDE_LOBE = 0.4, 0.25
"""Height of the lower shoulder relative to the higher: from here on both flank a dip, below this it is a side lobe."""

_NEAR = 0.7
"""Scores that differ from the best by less than this factor join the final parabola."""

_Steps: TypeAlias = Generator[Probe, Sample, SearchResult]


def propose(settings: SearchSettings, samples: Sequence[Sample]) -> Probe | SearchResult:
    """Return the next image to take, or the result.

    The search is replayed from its start over the samples, so that they are all the state there is: equal samples give
    an equal answer.

    Parameters
    ----------
    settings
        The search.
    samples
        What came of each probe so far, in that order, none left out.
    """
    steps = _search(settings)
    try:
        step = next(steps)
        for sample in samples:
            step = steps.send(sample)
    except StopIteration as end:
        result: SearchResult = end.value
        return result
    return step


@dataclass(slots=True)
class _Run:
    """The samples of one search, and what is left to spend."""

    settings: SearchSettings
    samples: list[Sample] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Images that may still be taken."""
        return self.settings.max_images - len(self.samples)

    @property
    def curve(self) -> tuple[Sample, ...]:
        """The samples by rising z, those of one z merged."""
        return ordered(self.samples)

    @property
    def all_samples(self) -> tuple[Sample, ...]:
        """The samples by rising z."""
        return tuple(sorted(self.samples, key=attrgetter("z_um")))

    def measure(self, z_um: float) -> Generator[Probe, Sample, Sample]:
        """Ask for one image, inside the range."""
        inside = min(max(z_um, self.settings.low_um), self.settings.high_um)
        sample = yield Probe(inside)
        self.samples.append(sample)
        return sample

    def scan(self, positions: Sequence[float]) -> Generator[Probe, Sample]:
        """Sample the positions in the direction of approach."""
        for z_um in sorted(positions, reverse=self.settings.approach == "decreasing"):
            yield from self.measure(z_um)

    def stands_out(self, height: float, peak: float) -> bool:
        """Say whether a rise of `height` below a `peak` is more than noise."""
        threshold = self.settings.min_prominence * peak
        return height >= max(threshold, _SIGNIFICANT * typical_error(self.samples))

    def fail(self, reason: str) -> SearchResult:
        """End without focus, back at the start."""
        return SearchResult(False, self.settings.center_um, None, 0.0, 0.0, reason, self.all_samples)


def _search(settings: SearchSettings) -> _Steps:
    run = _Run(settings)
    yield from run.scan(_coarse_positions(settings))
    start = min(run.samples, key=lambda sample: abs(sample.z_um - settings.center_um))
    if not _promising(run) and run.left >= len(run.samples) - 1 + _RESERVE:
        yield from run.scan(midpoints(run.curve))
    if settings.extremum != "min":
        yield from _look_beside_the_edge(run)
    curve = run.curve
    scores = [sample.score for sample in curve]
    if len(curve) < 3:
        return run.fail("the stage did not follow: all images were taken at one or two positions")
    if not run.stands_out(max(scores) - min(scores), max(scores)):
        return run.fail("no peak: the curve is flat within noise")

    extremum: Extremum | None = settings.extremum if settings.extremum != "auto" else None
    if extremum != "max":
        dip = _dip_of(run)
        if dip is None and extremum == "min":
            # Where contrast is greatest says nothing of where it dips: the whole range is sampled finer.
            dip = yield from _look_for_dip(run)
        elif dip is None:
            yield from run.scan(_fine_positions(run))
            dip = _dip_of(run)
        if extremum is None:
            extremum, doubt = _which(run.curve, deepest_dip(run.curve))
            if extremum is None:
                return run.fail(doubt)
        elif dip is None:
            return run.fail("no dip: the contrast has no clear minimum between two maxima")

    curve = run.curve
    middle = top(curve) if extremum == "max" else _dip_index(curve)
    if middle in (0, len(curve) - 1):
        return run.fail("the best score lies at the edge of the range")
    low_um, high_um = curve[middle - 1].z_um, curve[middle + 1].z_um
    yield from _narrow(run, extremum, curve[middle - 1 : middle + 2])
    best_um = _answer(run, extremum, low_um, high_um)
    final = yield from run.measure(best_um)
    return _verdict(run, extremum, start, final, (low_um, high_um))


def _coarse_positions(settings: SearchSettings) -> list[float]:
    """Return an even scan on either side of the start, both ends and the start included."""
    below, above = settings.center_um - settings.low_um, settings.high_um - settings.center_um
    step = settings.coarse_step_um
    most = settings.max_images - _RESERVE
    while (count := math.ceil(below / step) + math.ceil(above / step)) + 1 > most:
        step *= 1.0 + 1.0 / most if count > 2 else 2.0
    downward, upward = math.ceil(below / step), math.ceil(above / step)
    return [
        *(settings.low_um + below * index / downward for index in range(downward)),
        settings.center_um,
        *(settings.high_um - above * index / upward for index in range(upward)),
    ]


def _promising(run: _Run) -> bool:
    """Say whether the scan shows anything, be it at its edge."""
    curve = run.curve
    scores = [sample.score for sample in curve]
    best = top(curve)
    at_edge = best in (0, len(curve) - 1)
    return run.stands_out(max(scores) - min(scores) if at_edge else prominence(curve, best), max(scores))


def _look_beside_the_edge(run: _Run) -> Generator[Probe, Sample]:
    """Look for a peak between the end of the range and the sample beside it, where the end is the best."""
    for _ in range(2):
        curve = run.curve
        best = top(curve)
        if 0 < best < len(curve) - 1 or len(curve) < 2 or run.left <= _RESERVE:
            return
        beside = curve[1] if best == 0 else curve[-2]
        yield from run.measure(0.5 * (curve[best].z_um + beside.z_um))


def _fine_positions(run: _Run) -> list[float]:
    """Return a finer scan over the two gaps beside the best sample, as fine as the images allow."""
    curve = run.curve
    best = top(curve)
    gaps = [(curve[i].z_um, curve[i + 1].z_um) for i in (best - 1, best) if 0 <= i < len(curve) - 1]
    pieces = min(_FINE_STEPS, (run.left - _RESERVE) // len(gaps) + 1)
    return [low + (high - low) * index / pieces for low, high in gaps for index in range(1, pieces)]


def _look_for_dip(run: _Run) -> Generator[Probe, Sample, Dip | None]:
    """Halve all gaps until a dip shows, the finest sampling is reached, or the images are spent."""
    pieces = 1
    while pieces < _FINE_STEPS and run.left >= len(run.curve) - 1 + _RESERVE:
        yield from run.scan(midpoints(run.curve))
        pieces *= 2
        if (dip := _dip_of(run)) is not None:
            return dip
    return None


def _dip_of(run: _Run) -> Dip | None:
    """Return the deepest valley where it is clear."""
    dip = deepest_dip(run.curve)
    least = _DECLARED_DIP if run.settings.extremum == "min" else _CLEAR_DIP
    if dip is None or dip.depth < least * dip.lower or dip.lower < _SIDE_LOBE * dip.upper:
        return None
    return dip if run.stands_out(dip.depth, dip.lower) else None


def _which(curve: Sequence[Sample], dip: Dip | None) -> tuple[Extremum | None, str]:
    """Decide whether focus is the peak or the dip of this curve."""
    if dip is None or dip.depth < _NO_DIP * dip.lower or dip.lower < _SIDE_LOBE * dip.upper:
        return "max", ""
    if dip.depth >= _CLEAR_DIP * dip.lower and dip.lower >= _EVEN_SHOULDERS * dip.upper:
        return "min", ""
    return None, "undecided: the curve has two maxima; say whether focus is the maximum or the minimum of contrast"


def _dip_index(curve: Sequence[Sample]) -> int:
    dip = deepest_dip(curve)
    return dip.index if dip is not None else 0


def _narrow(run: _Run, extremum: Extremum, around: Sequence[Sample]) -> Generator[Probe, Sample]:
    """Let Brent's method narrow the bracket, leaving one image for the confirmation."""
    floor = 0.01 * max(sample.score for sample in around)

    def point(sample: Sample) -> Point:
        # Near focus, a logarithm is closer to the parabola that the method expects than the score itself.
        cost = -math.log(sample.score + floor)
        return sample.z_um, cost if extremum == "max" else -cost

    left, middle, right = map(point, around)
    steps = brent(Bracket(left, middle, right), 0.5 * run.settings.tolerance_um)
    z_um = next(steps, None)
    while z_um is not None and run.left > 1:
        sample = yield from run.measure(z_um)
        try:
            z_um = steps.send(point(sample))
        except StopIteration:
            return


def _answer(run: _Run, extremum: Extremum, low_um: float, high_um: float) -> float:
    """Return where focus is.

    The vertex of a parabola through the logarithms of all scores near the best one, because single scores are noisy
    and, where a recorded stack is played, equal in steps; no further from the best sample than half the tolerance.
    """
    curve = run.curve
    inside = [sample for sample in curve if low_um <= sample.z_um <= high_um]
    pick = max if extremum == "max" else min
    best = pick(sample.score for sample in inside)
    equal = [sample.z_um for sample in inside if sample.score == best]
    middle = 0.5 * (equal[0] + equal[-1])
    near = [sample for sample in inside if _NEAR < sample.score / best < 1.0 / _NEAR]
    if len(near) < 4 or near[0].z_um >= equal[0] or near[-1].z_um <= equal[-1]:
        return middle
    offsets = [sample.z_um - middle for sample in near]
    logarithms = [math.log(sample.score) for sample in near]
    curvature, slope, _ = (float(value) for value in np.polyfit(offsets, logarithms, 2))
    if (curvature < 0.0) != (extremum == "max") or curvature == 0.0:
        return middle
    reach = 0.5 * run.settings.tolerance_um
    vertex = middle + min(max(-0.5 * slope / curvature, -reach), reach)
    return min(max(vertex, inside[0].z_um), inside[-1].z_um)


def _verdict(run: _Run, extremum: Extremum, start: Sample, final: Sample, bracket: tuple[float, float]) -> SearchResult:
    """Judge the whole curve after the confirming image."""
    curve = run.curve
    sign = 1.0 if extremum == "max" else -1.0
    inside = [
        Sample(sample.z_um, sign * sample.score, sample.error)
        for sample in curve
        if bracket[0] <= sample.z_um <= bracket[1]
    ]
    best = top(inside)
    noise = max(scatter(inside, best), typical_error(inside))
    dip = deepest_dip(curve) if extremum == "min" else None
    if dip is not None:
        peak, height = dip.lower, dip.depth
        rough = max(scatter(half, top(half)) for half in (curve[: dip.index + 1], curve[dip.index :]))
    else:
        peak, height = curve[top(curve)].score, prominence(curve, top(curve))
        rough = scatter(curve, top(curve))
    if not run.stands_out(height, peak) or height < max(_SMOOTH_NEAR * noise, _SMOOTH_ALL * rough):
        return run.fail("no peak: the curve is flat within noise")
    if inside[best].score - sign * final.score > max(0.4 * height, _SIGNIFICANT * noise):
        return run.fail("the best score did not repeat")
    beside = abs(final.z_um - start.z_um) <= run.settings.tolerance_um
    if extremum == "max" and not beside and final.score < start.score - max(3.0 * noise, 0.02 * start.score):
        return run.fail("the score never beat the start's")
    return SearchResult(True, final.z_um, extremum, height / peak, noise / peak, "", run.all_samples)


__all__ = ["propose"]

"""Focus from pairs of images: few moves, each estimate checked by another pair before it is believed.

After Rai Dastidar (CVPR Workshops 2020, §3.3): one image where the stage is and one a known distance further, one move
to where the pair says that the focus is, always arriving from one side. What is added here: the image at the target
is one of a second pair, which confirms the focus, corrects it once, or is followed by another: any two pairs that agree
settle it. The second pair often reads images far apart, and is then less exact than the first: what two pairs settle is
their weighted mean. What they do not is left to the search.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from microscoped.daemon.focus._types import Approach  # noqa: TC001 - the journal reads this type at run time

Confirmation: TypeAlias = Literal["pair", "another_pair", "corrected"]
"""How a focus was confirmed: by the second pair, by one more, or by one that agreed and moved the stage once more."""

NEAREST_DOF, FURTHEST_DOF = 0.6, 3.8
"""Distances between two images of a pair, in depths of field: the network knows 0.5 to 4, and stages miss a little."""
FURTHEST_CHECK_DOF = 12.0
"""The same for a pair of which one image is near the focus: the network knows such pairs up to 12.5."""
HOPELESS = ("empty", "saturated")
"""Reasons to abstain that another pair would meet, too."""


@dataclass(frozen=True, slots=True)
class PairPolicy:
    """One run.

    Parameters
    ----------
    start_um
        z at the start, where the first image is taken.
    low_um, high_um
        No move goes beyond.
    dof_um
        Depth of field.
    delta_um
        Distance between the two images of a pair, positive.
    approach
        The second image lies on this side of the first, and every move ends so.
    residual_dof
        Two pairs that find the focus within so many depths of field of each other agree, however sure either is.
    settled_dof
        The stage stays where a pair that agrees finds the focus within this many depths of field; else it moves on to
        what both say together.
    max_pairs
        The search takes over when so many pairs, retaken ones not counted, have not settled it.
    max_retakes
        How often the second image of a pair is taken again because the light had changed.
    mean_tolerance
        Largest relative difference in brightness of the two images.

    Raises
    ------
    ValueError
        Where a figure makes no sense.
    """

    start_um: float
    low_um: float
    high_um: float
    dof_um: float
    delta_um: float
    approach: Approach = "increasing"
    residual_dof: float = 0.5
    settled_dof: float = 0.25
    max_pairs: int = 4
    max_retakes: int = 2
    mean_tolerance: float = 0.03

    def __post_init__(self) -> None:
        if not self.low_um <= self.start_um <= self.high_um:
            raise ValueError(f"start_um {self.start_um} must lie in [{self.low_um}, {self.high_um}]")
        if not (self.dof_um > 0 and math.isfinite(self.dof_um)):
            raise ValueError(f"dof_um {self.dof_um} must be positive")
        if not NEAREST_DOF <= self.delta_um / self.dof_um <= FURTHEST_DOF:
            raise ValueError(
                f"delta_um {self.delta_um:g} is {self.delta_um / self.dof_um:.3g} depths of field, but must be "
                f"{NEAREST_DOF} … {FURTHEST_DOF}"
            )
        if self.max_pairs < 2:
            raise ValueError(f"max_pairs {self.max_pairs}: at least 2, because each pair is checked by another")

    @property
    def side(self) -> int:
        """+1 where moves end rising, else −1."""
        return 1 if self.approach == "increasing" else -1

    def inside(self, z_um: float) -> bool:
        """Whether a move may go there."""
        return self.low_um <= z_um <= self.high_um


@dataclass(frozen=True, slots=True)
class Shot:
    """One image: where it was taken, read back from the stage, and how long it was exposed."""

    z_um: float
    exposure_ms: float


@dataclass(frozen=True, slots=True)
class PairReading:
    """What the engine says of a pair.

    Parameters
    ----------
    first, second
        Numbers of the shots.
    defocus_um
        How far the second lies above the focus; ``None`` where the engine abstains.
    interval_um
        90 % interval of it.
    reason
        Why it abstains.
    mean_ratio
        Brightness of the second over that of the first.
    modes_um
        Where the field has two planes, the defocus of each.
    """

    first: int
    second: int
    defocus_um: float | None
    interval_um: tuple[float, float] | None = None
    reason: str = ""
    mean_ratio: float = 1.0
    modes_um: tuple[float, ...] = ()


PairEvent: TypeAlias = Shot | PairReading


@dataclass(frozen=True, slots=True)
class TakeShot:
    """Go to `z_um`, unless the stage is there, and take an image."""

    z_um: float


@dataclass(frozen=True, slots=True)
class ReadPair:
    """Have the engine read two shots, by their numbers, in the order of exposure."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class PairCheck:
    """An estimate that was checked by the next pair.

    Parameters
    ----------
    residual_um
        How far above the place to which the first had sent the stage the next pair found the focus.
    covered
        Whether both agree as well as their 90 % intervals promise: half the widths add up in squares.
    sent_um
        How far the first pair had sent the stage.
    """

    residual_um: float
    covered: bool
    sent_um: float

    @property
    def short_um(self) -> float:
        """How far it fell short of the focus that the next pair found; negative where it went beyond."""
        return self.residual_um if self.sent_um > 0 else -self.residual_um


@dataclass(frozen=True, slots=True)
class PairResult:
    """The end of a run by pairs.

    Parameters
    ----------
    focused
        Whether there is a confirmed focus; else the search takes over.
    z_um
        Where the focus is; the stage may have to go there still.
    interval_um
        90 % interval around it.
    confirmation
        How it was confirmed; ``None`` where it was not.
    reason
        Why there is none.
    pairs, retakes
        Pairs that were read, and images that were taken again.
    checks
        What the checks said, for the watch over the engine.
    planes_um
        The planes of a field with two of them, as the last pair saw them.
    """

    focused: bool
    z_um: float | None
    interval_um: tuple[float, float] | None
    confirmation: Confirmation | None
    reason: str
    pairs: int
    retakes: int
    checks: tuple[PairCheck, ...]
    planes_um: tuple[float, ...]


PairStep: TypeAlias = TakeShot | ReadPair
_Steps: TypeAlias = Generator[PairStep, PairEvent, PairResult]


def propose_pair(policy: PairPolicy, history: Sequence[PairEvent]) -> PairStep | PairResult:
    """Return what to do next, or the result.

    The run is replayed from its start over the history, which is all the state there is.

    Parameters
    ----------
    policy
        The run.
    history
        What came of each step so far, in that order, none left out: a `Shot` of each `TakeShot`, a `PairReading` of
        each `ReadPair`.
    """
    steps = _run(policy)
    try:
        step = next(steps)
        for event in history:
            step = steps.send(event)
    except StopIteration as end:
        result: PairResult = end.value
        return result
    return step


@dataclass(frozen=True, slots=True)
class _Focus:
    """Where one pair says that the focus is."""

    z_um: float
    low_um: float
    high_um: float

    @property
    def half_um(self) -> float:
        return 0.5 * (self.high_um - self.low_um)

    def agrees(self, other: _Focus) -> bool:
        return self.low_um <= other.high_um and other.low_um <= self.high_um

    def promises(self, other: _Focus) -> bool:
        """Whether another pair finds the focus where both intervals together lead one to expect it."""
        return abs(self.z_um - other.z_um) <= math.hypot(self.half_um, other.half_um)

    def with_other(self, other: _Focus) -> _Focus:
        """Return what both say together: their mean, each weighted by the inverse square of its interval's width."""
        mine, others = self.half_um**2, other.half_um**2
        if mine + others == 0.0:
            return other
        z_um = (self.z_um * others + other.z_um * mine) / (mine + others)
        half_um = math.sqrt(mine * others / (mine + others))
        return _Focus(z_um, z_um - half_um, z_um + half_um)


@dataclass(slots=True)
class _Run:
    """What was taken and read so far."""

    policy: PairPolicy
    shots: list[Shot] = field(default_factory=list)
    pairs: int = 0
    retakes: int = 0
    checks: list[PairCheck] = field(default_factory=list)
    planes_um: tuple[float, ...] = ()
    reason: str = ""
    hopeless: bool = False

    @property
    def last(self) -> int:
        return len(self.shots) - 1

    @property
    def here_um(self) -> float:
        return self.shots[-1].z_um

    def shoot(self, z_um: float) -> Generator[PairStep, PairEvent]:
        shot = yield TakeShot(z_um)
        assert isinstance(shot, Shot)  # noqa: S101 - the order of the history; narrows the type
        self.shots.append(shot)

    def pair(self, first: int, z_um: float) -> Generator[PairStep, PairEvent, _Focus | None]:
        """Take the second image of a pair and have both read; again where the light had changed between them."""
        self.pairs += 1
        for attempt in range(self.policy.max_retakes + 1):
            self.retakes += attempt > 0
            yield from self.shoot(z_um)
            if not math.isclose(self.shots[first].exposure_ms, self.shots[-1].exposure_ms, rel_tol=1e-6):
                self.reason = (
                    f"the exposure time changed from {self.shots[first].exposure_ms:g} to "
                    f"{self.shots[-1].exposure_ms:g} ms between the images of a pair"
                )
                continue
            reading = yield ReadPair(first, self.last)
            assert isinstance(reading, PairReading)  # noqa: S101 - as above
            if abs(reading.mean_ratio - 1.0) <= self.policy.mean_tolerance:
                return self._understood(reading)
            self.reason = (
                f"the light is not steady: the second image of a pair is {reading.mean_ratio:.3g} times as bright"
            )
        self.hopeless = True
        return None

    def _understood(self, reading: PairReading) -> _Focus | None:
        if reading.defocus_um is None or reading.interval_um is None:
            self.reason = f"the pair tells nothing: {reading.reason or 'the engine abstains'}"
            self.hopeless = reading.reason in HOPELESS
            return None
        low_um, high_um = sorted(self.here_um - end for end in reading.interval_um)
        # Two readings that lie within the tolerance of each other agree, however little either says that it may err.
        least_um = 0.5 * self.policy.residual_dof * self.policy.dof_um
        widened_um = max(0.0, least_um - 0.5 * (high_um - low_um))
        low_um, high_um = low_um - widened_um, high_um + widened_um
        modes = reading.modes_um if len(reading.modes_um) > 1 else ()
        self.planes_um = tuple(sorted(self.here_um - mode for mode in modes))
        return _Focus(self.here_um - reading.defocus_um, low_um, high_um)

    def check(self, focus: _Focus) -> Generator[PairStep, PairEvent, _Focus | None]:
        """Go to a focus and have it confirmed by a pair that ends there.

        With the newest image that lies neither too near nor too far; else with a new one before the focus.
        """
        policy = self.policy
        for earlier in reversed(range(len(self.shots))):
            away_dof = abs(focus.z_um - self.shots[earlier].z_um) / policy.dof_um
            if NEAREST_DOF <= away_dof <= FURTHEST_CHECK_DOF:
                return (yield from self.pair(earlier, focus.z_um))
        for offset_um in (-policy.side * policy.delta_um, policy.side * policy.delta_um):
            if policy.inside(focus.z_um + offset_um):
                yield from self.shoot(focus.z_um + offset_um)
                return (yield from self.pair(self.last, focus.z_um))
        self.reason = "the limits leave no room for a pair"
        self.hopeless = True
        return None

    def fail(self, reason: str) -> PairResult:
        return PairResult(False, None, None, None, reason, self.pairs, self.retakes, tuple(self.checks), self.planes_um)

    def done(self, z_um: float, focus: _Focus, confirmation: Confirmation) -> PairResult:
        interval_um = (focus.low_um, focus.high_um)
        return PairResult(
            True, z_um, interval_um, confirmation, "", self.pairs, self.retakes, tuple(self.checks), self.planes_um
        )


def _run(policy: PairPolicy) -> _Steps:
    run = _Run(policy)
    yield from run.shoot(policy.start_um)
    steps_um = (policy.side * policy.delta_um, -policy.side * policy.delta_um)
    second_um = next((policy.start_um + step for step in steps_um if policy.inside(policy.start_um + step)), None)
    if second_um is None:
        return run.fail("the limits leave no room for a pair")
    focus = yield from run.pair(0, second_um)
    if focus is None:
        return run.fail(run.reason)
    doubted: list[_Focus] = []  # what earlier pairs said and the next did not confirm
    while True:
        if not policy.inside(focus.z_um):
            return run.fail(
                f"the pair finds the focus at {focus.z_um:g} µm, outside of {policy.low_um:g} … {policy.high_um:g} µm"
            )
        from_um = run.here_um
        again = yield from run.check(focus)
        if again is not None:
            residual_um = abs(again.z_um - run.here_um)
            run.checks.append(PairCheck(again.z_um - run.here_um, focus.promises(again), focus.z_um - from_um))
            if focus.agrees(again):
                if residual_um < policy.settled_dof * policy.dof_um:
                    return run.done(run.here_um, again, "pair" if run.pairs == 2 else "another_pair")
                both = focus.with_other(again)
                if residual_um <= policy.delta_um and policy.inside(both.z_um):
                    return run.done(both.z_um, both, "corrected")
            for other in doubted:
                both = other.with_other(again)
                if other.agrees(again) and policy.inside(both.z_um):
                    return run.done(both.z_um, both, "another_pair")
            run.reason = f"pairs disagree: the focus is at {focus.z_um:g} µm, says one, and at {again.z_um:g}, the next"
            doubted.append(focus)
            focus = again
        if run.hopeless or run.pairs >= policy.max_pairs:
            return run.fail(run.reason)


__all__ = [
    "FURTHEST_CHECK_DOF",
    "FURTHEST_DOF",
    "NEAREST_DOF",
    "Confirmation",
    "PairCheck",
    "PairEvent",
    "PairPolicy",
    "PairReading",
    "PairResult",
    "PairStep",
    "ReadPair",
    "Shot",
    "TakeShot",
    "propose_pair",
]

"""Which images of a sweep make pairs: all that lie Δ apart, and a few at other distances, as a focus run checks with.

A focus run ends with an image at the focus that it found, and reads it together with an earlier one, as far away as
that happens to be: up to a dozen depths of field. Such pairs are taken from a few places of the sweep, so that few
frames need be kept. Those beyond `LONG_DOF` are long ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from microscoped.models.focus_pair.correction import LONG_DOF

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR_DOF = (-3.0, -1.0, 1.0, 3.0)
"""Where the image near the focus is taken: as far off as a check must notice."""
APART_DOF = {1.0: 3.0, 3.0: 3.0, 5.0: 3.0, 7.0: 3.0, 9.0: 1.0}
"""How far away the other one is, on either side, and how far from the focus the near one may lie then.

At each distance the near image lies as often, and as far, above the focus as below. Else the distance, which the
network is told, would tell what is to be read from the images.
"""
FAR_DOF = (-10.0, -8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
"""Where the other one is taken."""
PLACE_DOF = 0.4
"""How far off such a place an image may lie: half the longest step of a sweep."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A frame and where it was taken, in the stage's coordinate."""

    z_um: float
    frame: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class SweptPair:
    """Two frames to be read; if not Δ apart, the second is the one near the focus, whichever came first."""

    first: Placed
    second: Placed
    long: bool

    @classmethod
    def checking(cls, far: tuple[float, Placed], near: tuple[float, Placed]) -> Self:
        """Return a pair as a check makes it, of frames at these places."""
        return cls(far[1], near[1], long=abs(far[0] - near[0]) > LONG_DOF)


@dataclass(slots=True)
class SweepPairs:
    """Tells with each frame of a sweep which pairs it completes.

    Parameters
    ----------
    apart
        Frames from the first to the second image of a pair with the distance Δ.
    near_um, dof_um
        Where the focus was searched and found, and the depth of field.
    """

    apart: int
    near_um: float
    dof_um: float
    _recent: deque[Placed] = field(default_factory=deque)
    _near: dict[float, Placed] = field(default_factory=dict)
    _far: dict[float, Placed] = field(default_factory=dict)

    def add(self, z_um: float, frame: NDArray[Any]) -> list[SweptPair]:
        """Take the next frame; return the pairs that it completes."""
        new, pairs = Placed(z_um, frame), list[SweptPair]()
        self._recent.append(new)
        if len(self._recent) > self.apart:
            pairs.append(SweptPair(self._recent.popleft(), new, long=False))
        away_dof = (z_um - self.near_um) / self.dof_um
        place = _place_of(away_dof, NEAR_DOF)
        if place is not None and place not in self._near:
            self._near[place] = new
            pairs += [SweptPair.checking(far, (place, new)) for far in self._far.items() if _belong(place, far[0])]
        place = _place_of(away_dof, FAR_DOF)
        if place is not None and place not in self._far:
            self._far[place] = new
            pairs += [SweptPair.checking((place, new), near) for near in self._near.items() if _belong(near[0], place)]
        return pairs

    def clear(self) -> None:
        """Forget all frames."""
        for kept in (self._recent, self._near, self._far):
            kept.clear()


def _place_of(away_dof: float, places: tuple[float, ...]) -> float | None:
    """Return the place that a frame belongs to, if any."""
    return next((place for place in places if abs(away_dof - place) <= PLACE_DOF), None)


def _belong(near_dof: float, far_dof: float) -> bool:
    """Whether frames at these places make a pair."""
    return abs(near_dof) <= APART_DOF.get(abs(far_dof - near_dof), -1.0)


__all__ = ["Placed", "SweepPairs", "SweptPair"]

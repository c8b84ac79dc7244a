"""How a cell rounds up before it divides, and spreads again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Mitosis:
    """The times of a division, in minutes.

    The defaults are of the order of those of cultured mammalian cells, which round up within some minutes, stay round
    for some tens of them, divide, and spread again.

    Parameters
    ----------
    rounding_min
        From spread to round.
    round_min
        From then to the division.
    spreading_min
        From the division to spread again.

    Raises
    ------
    ValueError
        A time is not positive.
    """

    rounding_min: float = 8.0
    round_min: float = 20.0
    spreading_min: float = 15.0

    def __post_init__(self) -> None:
        for name in ("rounding_min", "round_min", "spreading_min"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be positive")

    @property
    def whole_min(self) -> float:
        """How long all of it takes."""
        return self.rounding_min + self.round_min + self.spreading_min

    def roundness(self, age: NDArray[np.float64], cycle_min: float) -> NDArray[np.float64]:
        """Return how round cells are: 0 spread, 1 round.

        Parameters
        ----------
        age
            Part of the cycle that has passed since each cell's last division, 0 … 1, any shape.
        cycle_min
            From one division to the next.
        """
        before = ((1.0 - age) * cycle_min - self.round_min) / self.rounding_min
        after = age * cycle_min / self.spreading_min
        lack = np.clip(np.minimum(before, after), 0.0, 1.0)
        return np.asarray(1.0 - lack * lack * (3.0 - 2.0 * lack))


__all__ = ["Mitosis"]

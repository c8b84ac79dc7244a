"""How holograms are reconstructed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from microscoped.models.lensfree.errors import SettingsError

REFERENCE_ITERATIONS = 153
"""Of the reference reconstruction (Allier 2022, §2.2)."""
FAST_ITERATIONS = (10, 10)
"""Before and after the network of the accelerated one."""


@dataclass(frozen=True, slots=True)
class SolveSettings:
    """What the reconstruction weighs beside the data, and what it finds out itself.

    Weights are relative to the data term, ``Σ (|A U| − √I)²`` with a clear field of 1; phases are in rad of the mean
    wavelength.

    Parameters
    ----------
    tv_opd, tv_absorption
        Weights of the smoothed total variation of phase and transmission.
    smoothing
        Differences between neighbouring pixels far below it count as noise rather than edges: in rad, and in
        transmission.
    no_gain
        Weight of the squares of what the transmission exceeds 1: absorption is not negative.
    no_dip
        Weight of the squares of what the phase falls below the medium's: cells are denser than it. It carries what
        holograms hardly show, path differences of wide extent. 0 for specimens less dense than their medium.
    no_haze, haze_nm
        Weight of what lies between cells, and the path difference up to which it is taken for nothing. A wave of 1 nm
        and 400 µm changes the modulus on the sensor by 1e-4, less than the model errs by; without this weight, many
        iterations fill the background with path differences that make up for that.
    memory
        Steps that the curvature is estimated from, each of 16 bytes for every pixel of the padded grid.
    focus_range_um
        The distance is looked for within so much of the optics'; 0 to take that as it is.
    unwrap_at
        The unwrapper, where there is one, is called after so many iterations.

    Raises
    ------
    SettingsError
        A value is out of its range. The message names it.
    """

    tv_opd: float = 0.01
    tv_absorption: float = 0.02
    smoothing: float = 0.02
    no_gain: float = 3.0
    no_dip: float = 3.0
    no_haze: float = 0.02
    haze_nm: float = 4.0
    memory: int = 3
    focus_range_um: float = 40.0
    unwrap_at: tuple[int, ...] = (10, 40)

    def __post_init__(self) -> None:
        for name in ("tv_opd", "tv_absorption", "no_gain", "no_dip", "no_haze", "focus_range_um"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise SettingsError(f"{name} {value}: must be 0 or a positive number")
        if not (self.smoothing > 0 and math.isfinite(self.smoothing)):
            raise SettingsError(f"smoothing {self.smoothing}: must be a positive number; 0.02 is about the noise")
        if not (self.haze_nm > 0 and math.isfinite(self.haze_nm)):
            raise SettingsError(f"haze_nm {self.haze_nm}: must be a positive number; 4 is below what cells have")
        if self.memory < 1:
            raise SettingsError(f"memory {self.memory}: at least 1 step is needed")
        if any(after < 1 for after in self.unwrap_at):
            raise SettingsError(f"unwrap_at {self.unwrap_at}: numbers of iterations are 1 or more")


__all__ = ["FAST_ITERATIONS", "REFERENCE_ITERATIONS", "SolveSettings"]

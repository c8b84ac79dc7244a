"""Focus from a pair as an engine of the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.models.focus_pair.correction import Correction
from microscoped.models.focus_pair.estimate import Estimate, EstimateSettings, estimate
from microscoped.models.focus_pair.inputs import PairInputs, pair_inputs
from microscoped.models.focus_pair.optics import Character
from microscoped.models.focus_pair.preprocess import REFLECTED_MOST, TILE, WORKING_SAMPLING, extended, resample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.optics import PairOptics
    from microscoped.models.runtimes import CompiledModel

OPTIONS = ("delta_um", "bit_depth")
DELTA_RANGE_DOF = (0.5, 12.5)
"""Distances between the two images that the network was trained on; above 4 only with one of them within 3 of focus."""
SATURATED_MOST = 0.02
"""Largest part of saturated pixels of a frame that can be trusted."""


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How a pair is measured.

    Parameters
    ----------
    optics
        What the frames are taken with.
    sign
        +1 where the plane in focus moves along the light as ``z_um`` rises, −1 where it moves against it.
    tiles
        Most tiles of a frame that are read.
    estimate
        How tiles become an estimate.
    correction
        What was learned about this microscope; by default nothing.
    character
        What is known of its imaging; by default nothing.
    """

    optics: PairOptics
    sign: int = 1
    tiles: int = 25
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    correction: Correction = field(default_factory=Correction)
    character: Character = Character()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if self.sign not in (-1, 1):
            raise ValueError(f"sign {self.sign}: must be 1 or -1")
        if self.tiles < 1:
            raise ValueError(f"tiles {self.tiles}: must be at least 1")


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one pair says: the estimate, and what the network said of each tile before any correction.

    Parameters
    ----------
    found
        The estimate of the second frame, corrected.
    defocus_dof, expected_error_dof
        Of each tile of the second frame, shape (tiles,).
    contents
        Contrast of each tile.
    features
        Shape (tiles, features).
    """

    found: Estimate
    defocus_dof: NDArray[np.float32]
    expected_error_dof: NDArray[np.float32]
    contents: NDArray[np.float64]
    features: NDArray[np.float32]


class FocusPairEngine:
    """Measures how far the second of two frames is out of focus.

    Parameters
    ----------
    settings
        Optics, and how tiles are combined.
    model
        The network: inputs ``images``, ``scalars``, ``spectra`` and ``character``; outputs ``defocus_dof``,
        ``log_error`` and ``features``.
    """

    name = "focus_pair"
    frames = 2

    def __init__(self, settings: PairSettings, model: CompiledModel) -> None:
        self.settings = settings
        self._model = model

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure a pair.

        Parameters
        ----------
        frames
            The two frames in the order of exposure, of equal shape: (height, width) or (height, width, 3).
        options
            ``delta_um``: how far ``z_um`` rose from the first frame to the second (negative where it fell).
            ``bit_depth``: of the camera; left out, that of the data type.

        Returns
        -------
        values
            ``defocus_um``: how far ``z_um`` of the second frame lies above the focus, or ``None``; a move by its
            negative focuses. ``interval_um``, ``expected_error_um``, ``abstained``, ``reason`` (``empty``,
            ``uncertain``, ``saturated``), ``modes_um``, ``tiles``, ``tiles_used``, ``spread_um``, ``tilt_um`` (rise of
            the defocus across the frame along x and y, or ``None``), ``mean_ratio`` (brightness of the second over the
            first frame), ``saturated_fraction``, ``dof_um``.

        Raises
        ------
        ValueError
            Frames of unlike shapes or too small or too coarse, or a Δ that is missing or outside of what the network
            knows.
        """
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no such option; there are {', '.join(OPTIONS)}")
        first, second = self._checked(frames)
        delta_dof = self._delta_dof(options) * self.settings.sign
        means = float(first.mean(dtype=np.float64)), float(second.mean(dtype=np.float64))
        saturated = max(_saturated(frame, options.get("bit_depth")) for frame in (first, second))
        found = self.interpret(self.prepare(first, second, delta_dof)).found
        return self._values(found, saturated, means[1] / max(means[0], 1e-9))

    def prepare(self, first: NDArray[Any], second: NDArray[Any], delta_dof: float) -> PairInputs:
        """Make the network's inputs of two frames.

        Parameters
        ----------
        first, second
            Frames of equal shape.
        delta_dof
            From the first to the second, along the light; negative pairs are read the other way round.
        """
        planes = [extended(resample(frame, self.settings.optics.sampling)) for frame in (first, second)]
        if min(planes[0].shape[1:]) < TILE * WORKING_SAMPLING:
            least = TILE * (1.0 - REFLECTED_MOST) * self.settings.optics.sampling
            raise ValueError(
                f"frames of {first.shape[1]} × {first.shape[0]} pixels hold no tile of {TILE} × {TILE} λ/NA "
                f"(at least {least:.0f} pixels): use a larger frame"
            )
        settings = self.settings
        return pair_inputs(planes[0], planes[1], delta_dof, settings.tiles, settings.character)

    def interpret(self, inputs: PairInputs) -> Reading:
        """Run the network on prepared inputs and combine the tiles."""
        outputs = self._model.run(inputs.arrays)
        defocus, error, features = outputs["defocus_dof"], np.exp(outputs["log_error"]), outputs["features"]
        # Of a negative pair, which it reads the other way round, the network tells the first frame's defocus.
        defocus = defocus + np.float32(min(inputs.delta_dof, 0.0))
        correction, settings = self.settings.correction.at(inputs.delta_dof, self.settings.estimate)
        corrected, expected = correction.apply(defocus, error, features, inputs.delta_dof)
        found = estimate(corrected, expected, inputs.contents, inputs.centres, settings)
        return Reading(found, defocus, error, inputs.contents, features)

    def _checked(self, frames: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        if len(frames) != 2:
            raise ValueError(f"{len(frames)} frames: a pair is two")
        first, second = frames
        if first.shape != second.shape:
            raise ValueError(f"frames of shapes {first.shape} and {second.shape}: both must be of one camera setting")
        return first, second

    def _delta_dof(self, options: Mapping[str, Any]) -> float:
        if "delta_um" not in options:
            raise ValueError("delta_um: is missing; say how far z_um rose between the two frames")
        delta_dof = float(options["delta_um"]) / self.settings.optics.dof_um
        low, high = DELTA_RANGE_DOF
        if not low <= abs(delta_dof) <= high:
            dof = self.settings.optics.dof_um
            raise ValueError(
                f"delta_um {options['delta_um']:g}: the network knows {low * dof:.3g} … {high * dof:.3g} µm with these "
                f"optics (depth of field {dof:.3g} µm)"
            )
        return delta_dof

    def _values(self, found: Estimate, saturated: float, mean_ratio: float) -> dict[str, Any]:
        """Bring an estimate to micrometres of the stage."""
        scale = self.settings.optics.dof_um * self.settings.sign
        reason = found.reason or ("saturated" if saturated > SATURATED_MOST else "")
        told = None if reason else found.defocus_dof
        interval = found.interval_dof if told is not None else None
        tilt = found.tilt_dof if told is not None else None
        finite = bool(np.isfinite(found.expected_error_dof))
        return {
            "defocus_um": None if told is None else told * scale,
            "interval_um": None if interval is None else sorted(end * scale for end in interval),
            "expected_error_um": found.expected_error_dof * abs(scale) if finite else None,
            "abstained": told is None,
            "reason": reason,
            "modes_um": [] if told is None else [mode * scale for mode in found.modes_dof],
            "spread_um": found.spread_dof * abs(scale),
            "tiles": found.tiles,
            "tiles_used": found.tiles_used,
            "tilt_um": None if tilt is None else [part * scale for part in tilt],
            "mean_ratio": mean_ratio,
            "saturated_fraction": saturated,
            "dof_um": self.settings.optics.dof_um,
        }


def _saturated(frame: NDArray[Any], bit_depth: int | None) -> float:
    """Return the part of a frame's values that are at the top of the camera's range."""
    depth = bit_depth or 8 * frame.dtype.itemsize
    return float(np.count_nonzero(frame >= 2**depth - 1) / frame.size)


__all__ = ["DELTA_RANGE_DOF", "FocusPairEngine", "PairInputs", "PairSettings", "Reading"]

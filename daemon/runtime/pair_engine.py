"""Focus from a pair of images for this microscope as it is at the moment of each pair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from microscoped.models.focus_pair import (
    Character,
    Correction,
    EstimateSettings,
    FocusPairEngine,
    PairOptics,
    PairSettings,
)
from microscoped.models.focus_pair.correction import LONG_DOF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from microscoped.models.runtimes import CompiledModel


@dataclass(frozen=True, slots=True)
class PairObjective:
    """What does not change between pairs.

    Parameters
    ----------
    na, wavelength_nm, immersion_index
        As in `PairOptics`.
    tiles, estimate, character
        As in `PairSettings`.
    calibrated
        How tiles become an estimate, and what was learned of this microscope, where a calibration holds.
    """

    na: float
    wavelength_nm: float
    immersion_index: float = 1.0
    tiles: int = 25
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    calibrated: tuple[EstimateSettings, Correction] | None = None
    character: Character = Character()  # noqa: RUF009 (frozen)


class PairEngine:
    """The engine ``focus_pair``: told with each pair how large its pixels are, and which way the stage counts.

    Both may be known only once the microscope is open, and change with the camera's binning. Used by one thread.

    Parameters
    ----------
    objective
        What does not change.
    model, tuned
        The network, and the one that the calibration has fine-tuned from it, if it has.
    """

    name = FocusPairEngine.name
    frames = FocusPairEngine.frames

    def __init__(self, objective: PairObjective, model: CompiledModel, tuned: CompiledModel | None = None) -> None:
        self._objective = objective
        self._model = model
        self._tuned = tuned

    @property
    def objective(self) -> PairObjective:
        """What does not change between pairs."""
        return self._objective

    @property
    def model(self) -> CompiledModel:
        """The network as shipped."""
        return self._model

    def learn(self, estimate: EstimateSettings, correction: Correction, tuned: CompiledModel | None = None) -> None:
        """Use what a calibration has found, from the next pair on; a fine-tuned network belongs to this engine then."""
        self._objective = replace(self._objective, calibrated=(estimate, correction))
        before, self._tuned = self._tuned, tuned
        if before is not None:
            before.close()

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Measure a pair; see `FocusPairEngine.measure`.

        Parameters
        ----------
        frames
            The two frames in the order of exposure.
        options
            Beside those of `FocusPairEngine`: ``sign`` (as in `PairSettings`), ``pixel_size_um`` of the frames in the
            specimen, and ``calibrated``: whether the calibration holds for them.

        Raises
        ------
        ValueError
            The frames or an option do not suit; the message names the value and the remedy.
        """
        missing = {"sign", "pixel_size_um", "calibrated"} - set(options)
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))}: missing")
        rest = dict(options)
        sign, pixel_size_um, calibrated = (rest.pop(name) for name in ("sign", "pixel_size_um", "calibrated"))
        told = self._objective
        estimate, correction, model = told.estimate, Correction(), self._model
        if calibrated and told.calibrated is not None:
            estimate, correction = told.calibrated
        settings = PairSettings(
            optics=PairOptics(told.na, told.wavelength_nm, told.immersion_index, pixel_size_um),
            sign=sign,
            tiles=told.tiles,
            estimate=estimate,
            correction=correction,
            character=told.character,
        )
        short = abs(rest.get("delta_um", 0.0)) <= LONG_DOF * settings.optics.dof_um
        if calibrated and self._tuned is not None and short:
            model = self._tuned  # long pairs, which check, are read as shipped: it saw none
        return FocusPairEngine(settings, model).measure(frames, rest)


__all__ = ["PairEngine", "PairObjective"]

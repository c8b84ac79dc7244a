"""What a reconstruction makes least: the data term and what is known of specimens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from microscoped.models.lensfree.penalties import above, below, near_zero, total_variation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.models.lensfree.forward import ForwardModel
    from microscoped.models.lensfree.settings import SolveSettings

PHASE, TRANSMISSION = 0, 1


class Objective:
    """Loss and gradient of a state. Used by one thread at a time.

    Parameters
    ----------
    model
        From states to light.
    moduli
        √I of each colour, arrays of the model's backend.
    settings
        Weights.
    """

    def __init__(self, model: ForwardModel, moduli: Sequence[Any], settings: SolveSettings) -> None:
        self._model, self._moduli = model, moduli
        self._smoothing = settings.smoothing
        self._variation = (settings.tv_opd, settings.tv_absorption)
        self._no_dip, self._no_gain, self._no_haze = settings.no_dip, settings.no_gain, settings.no_haze
        self._haze = 2e-3 * math.pi * settings.haze_nm / model.optics.reference_um
        self.data = 0.0
        """Data term of the last evaluation."""

    def __call__(self, state: Any) -> tuple[float, Any]:  # noqa: ANN401 - an array of the backend
        """Return loss and gradient; one propagation and its adjoint for each colour."""
        self.data, gradient = self._model.loss(state, self._moduli)
        terms = [
            (weight, part, total_variation(state[part], self._smoothing))
            for part, weight in enumerate(self._variation)
            if weight
        ]
        if self._no_dip:
            terms.append((self._no_dip, PHASE, below(state[PHASE], 0.0)))
        if self._no_haze:
            terms.append((self._no_haze, PHASE, near_zero(state[PHASE], self._haze)))
        if self._no_gain:
            terms.append((self._no_gain, TRANSMISSION, above(state[TRANSMISSION], 1.0)))
        loss = self.data
        for weight, part, (value, slope) in terms:
            loss += weight * value
            slope *= weight
            gradient[part] += slope
        return loss, gradient


__all__ = ["Objective"]

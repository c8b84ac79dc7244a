"""From a specimen to the modulus of the light on the sensor, and back: the data term and its gradient.

The specimen is ``U = t·exp(iφ·λ_ref/λ)`` with the amplitude's transmission t = exp(−absorption) and the phase
φ = 2π·OPD/λ_ref. A colour's wave on the sensor is ``A U = F⁻¹{H·F{U}}``, where H is the angular spectrum's propagation,
the colour's shift, and what pixels, pinhole and bandwidth leave. The data term is ``Σ_λ ‖ |A U| − √I ‖²`` over the
frame; the grid reaches beyond the frame by what light spreads, and what lies there is as free as the rest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from microscoped.models.hologram.arrays import SCIPY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.lensfree.optics import InlineOptics

LEAST_MODULUS = 1e-6
"""Added to moduli, so that dark points have a direction."""


class ForwardModel:
    """The light of one specimen on one sensor. Immutable; any thread.

    Memory: one complex64 array of the padded grid for each colour, and five more while the loss is computed.

    Parameters
    ----------
    shape_px
        Rows and columns of the frame.
    optics
        The microscope.
    z_um
        Distance from specimen to sensor.
    shifts_um
        Of each colour, (row, column).
    arrays
        Where the arrays live.
    """

    def __init__(
        self,
        shape_px: tuple[int, int],
        optics: InlineOptics,
        z_um: float,
        shifts_um: Sequence[tuple[float, float]],
        arrays: ArrayBackend = SCIPY,
    ) -> None:
        self.shape_px, self.optics, self.z_um, self.arrays = shape_px, optics, z_um, arrays
        margin = math.ceil(optics.reach_um(z_um) / optics.pitch_um)
        rows, columns = (int(scipy.fft.next_fast_len(size + 2 * margin)) for size in shape_px)
        self.padded_px = rows, columns
        self._first = (rows - shape_px[0]) // 2, (columns - shape_px[1]) // 2
        self._transfers = [self._transfer(colour, z_um, shift) for colour, shift in enumerate(shifts_um)]

    @property
    def frame(self) -> tuple[slice, slice]:
        """Where the frame lies on the padded grid."""
        first, shape = self._first, self.shape_px
        return slice(first[0], first[0] + shape[0]), slice(first[1], first[1] + shape[1])

    def state(self, opd_nm: NDArray[np.floating], absorption: NDArray[np.floating]) -> Any:  # noqa: ANN401
        """Return maps as the state that `loss` takes: phase and transmission, shape (2, rows, columns), float32.

        Parameters
        ----------
        opd_nm, absorption
            Of the frame's shape, nothing being beyond it, or of the padded grid's.
        """
        made = np.zeros((2, *self.padded_px), np.float32)
        made[1] = 1.0
        where = self.frame if opd_nm.shape == self.shape_px else (slice(None), slice(None))
        made[0][where] = opd_nm * (2e-3 * math.pi / self.optics.reference_um)
        made[1][where] = np.exp(-absorption)
        return self.arrays.asarray(made)

    def maps(self, state: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: ANN401
        """Return a state's optical path difference in nm and absorption, on the padded grid."""
        values = self.arrays.to_numpy(state)
        transmission = np.clip(values[1], np.float32(1e-3), np.float32(1.0))
        opd_nm = values[0] * np.float32(1e3 * self.optics.reference_um / (2.0 * math.pi))
        return np.asarray(opd_nm, np.float32), np.asarray(-np.log(transmission), np.float32)

    def modulus(self, state: Any) -> NDArray[np.float32]:  # noqa: ANN401
        """Return the modulus of the light on the frame, shape (colours, rows, columns)."""
        return np.stack(
            [
                np.abs(self.arrays.to_numpy(self._wave(state, colour)[0]))[self.frame].astype(np.float32)
                for colour in range(len(self._transfers))
            ]
        )

    def loss(self, state: Any, moduli: Sequence[Any]) -> tuple[float, Any]:  # noqa: ANN401
        """Return the data term and its gradient.

        Parameters
        ----------
        state
            As `state` makes it; kept.
        moduli
            √I of each colour, shape (rows, columns), arrays of the backend.

        Returns
        -------
        loss
            Sum of the squared differences over frame and colours.
        gradient
            Of the state's shape.
        """
        arrays, frame = self.arrays, self.frame
        total, gradient = 0.0, state * 0
        for colour, measured in enumerate(moduli):
            wave, turn = self._wave(state, colour)
            inside = wave[frame]
            modulus = (inside.real * inside.real + inside.imag * inside.imag) ** 0.5 + LEAST_MODULUS
            difference = modulus - measured
            total += float((difference * difference).sum())
            difference /= modulus
            inside *= difference
            self._clear_beyond(wave)
            spectrum = arrays.fft(arrays.fft(wave, axis=-1), axis=-2)
            spectrum *= arrays.conj(self._transfers[colour])
            back = arrays.conj(turn) * arrays.ifft(arrays.ifft(spectrum, axis=-2), axis=-1)
            gradient[1] += 2.0 * back.real
            gradient[0] += (2.0 * self._factor(colour)) * state[1] * back.imag
        return total, gradient

    def _factor(self, colour: int) -> float:
        """Return a colour's phase for a phase of 1 in the reference wavelength."""
        return self.optics.reference_um / self.optics.wavelengths_um[colour]

    def _wave(self, state: Any, colour: int) -> tuple[Any, Any]:  # noqa: ANN401
        """Return a colour's wave on the sensor, on the padded grid, and the specimen's phasor."""
        arrays = self.arrays
        turn = arrays.cis(state[0] * self._factor(colour))
        spectrum = arrays.fft(arrays.fft(turn * state[1], axis=-1), axis=-2)
        spectrum *= self._transfers[colour]
        return arrays.ifft(arrays.ifft(spectrum, axis=-2), axis=-1), turn

    def _clear_beyond(self, wave: Any) -> None:  # noqa: ANN401
        """Set what lies beyond the frame to 0."""
        down, across = self.frame
        wave[: down.start] = 0
        wave[down.stop :] = 0
        wave[:, : across.start] = 0
        wave[:, across.stop :] = 0

    def _transfer(self, colour: int, z_um: float, shift_um: tuple[float, float]) -> Any:  # noqa: ANN401
        fy, fx = (np.fft.fftfreq(size, self.optics.pitch_um) for size in self.padded_px)
        down, across = fy[:, None], fx[None, :]
        angle = self.optics.retardation(colour, down * down + across * across, z_um)
        angle -= 2.0 * np.pi * (down * shift_um[0] + across * shift_um[1])
        left = self.optics.damping(colour, across, down, z_um).astype(np.float32)
        transfer = self.arrays.cis(self.arrays.asarray(angle.astype(np.float32)))
        transfer *= self.arrays.asarray(left)
        return transfer


__all__ = ["ForwardModel"]

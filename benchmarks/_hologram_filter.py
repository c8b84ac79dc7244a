"""The sideband filter alone: its time beside the peers', and whether the fields agree."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from _hologram_frames import OPTICS
from _hologram_peers import Absent, Band, PyHoloscopeField, Qpretrieve
from _hologram_timing import Job, interleaved, ratio, spread_ms

from microscoped.models.hologram import Side, Sideband, SidebandFilter, find_sideband

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _hologram_frames import Shown
    from numpy.typing import NDArray

OURS = "microscoped"
OURS_SAME = "microscoped, the peers' band"
PEER_NAMES = {
    "tuned": ("qpretrieve tuned, NumPy", "qpretrieve tuned, pyFFTW"),
    "default": ("qpretrieve",),
    "PyHoloscope": ("PyHoloscope", "PyHoloscope tuned"),
}
"""The peers by what targets ask of them: tuned is ``padding=0, scale_to_filter=True`` and a known carrier.

Their band is a third of the carrier's frequency wide, where ours is the aperture's, and holds a little more.
"""


def filter_rows(shown: Sequence[Shown], rounds: int, slow_every: int) -> dict[str, Any]:
    """Time filters by turns on the frames of one instrument, and compare fields.

    Parameters
    ----------
    shown
        Frames of one instrument.
    rounds
        How many turns each has.
    slow_every
        qpretrieve with its defaults has its turn in each so-manieth round.

    Returns
    -------
    ``rows``, one for each filter, and ``absent``, why others take no part.
    """
    frames, background = [one.frame for one in shown], shown[0].instrument.background
    shape = (background.shape[0], background.shape[1])
    filters: dict[str, Callable[[NDArray[np.uint8]], Any]] = {}
    agreements: dict[str, float] = {}
    absent: dict[str, str] = {}
    filters[OURS] = SidebandFilter(shape, find_sideband(background, OPTICS), OPTICS)
    for name, make in _makers(background).items():
        try:
            peer, band = make()
        except Absent as reason:
            absent[name] = str(reason)
            continue
        filters[name] = peer
        if name not in PEER_NAMES["default"]:
            agreements[name] = agreement(frames[0], peer(frames[0]), band)
        if OURS_SAME not in filters and name not in PEER_NAMES["default"]:
            filters[OURS_SAME] = band_filter(shape, band)
    sizes = {name: _values(run(frames[0])).shape for name, run in filters.items()}  # and each is warm now
    jobs = [
        Job(name, partial(_nth, run, frames), slow_every if name in PEER_NAMES["default"] else 1)
        for name, run in filters.items()
    ]
    turns = interleaved(jobs, rounds)
    rows = [
        {
            "name": name,
            "field_px": sizes[name],
            "ms": spread_ms(found),
            "over": {own: ratio(found, turns[own]) for own in (OURS, OURS_SAME) if own in turns and own != name},
            "agreement": agreements.get(name),
        }
        for name, found in turns.items()
    ]
    return {"rows": rows, "absent": absent}


def band_filter(shape: tuple[int, int], band: Band) -> SidebandFilter:
    """Return our filter for a peer's band."""
    return SidebandFilter(shape, Sideband(band.carrier, band.radius, Side.PLUS, math.inf), OPTICS)


def agreement(frame: NDArray[np.uint8], theirs: NDArray[np.complexfloating], band: Band) -> float:
    """Return the relative L2 difference of a peer's field from ours after the same filter.

    Ours is cut out round the peer's carrier, which lies on a bin of the frame's spectrum, with the peer's radius. The
    two fields have different numbers of samples, so their spectra are compared within that disk, which holds all of
    both; one complex factor between them is left open.

    Parameters
    ----------
    frame
        uint8, of a size that our filter does not crop.
    theirs
        The peer's field of it, its carrier at frequency 0.
    band
        Which band that is.
    """
    shape = (frame.shape[0], frame.shape[1])
    reach = math.floor(band.radius * shape[0])
    bins = np.arange(-reach, reach + 1)
    disk = np.hypot(bins[:, None], bins[None, :]) <= band.radius * shape[0]
    ours = _middle(band_filter(shape, band)(frame).values, reach)[disk]
    other = _middle(theirs, reach)[disk]
    factor = np.vdot(ours, other) / np.vdot(ours, ours).real
    return float(np.linalg.norm(other - factor * ours) / np.linalg.norm(other))


def _middle(field: NDArray[np.complexfloating], reach: int) -> NDArray[np.complex128]:
    """Return a field's spectrum up to so many bins from frequency 0."""
    spectrum = scipy.fft.fftshift(scipy.fft.fft2(field.astype(np.complex128)))
    row, column = (size // 2 for size in spectrum.shape)
    return np.asarray(spectrum[row - reach : row + reach + 1, column - reach : column + reach + 1])


def _makers(background: NDArray[np.uint8]) -> dict[str, Callable[[], tuple[Callable[..., Any], Band]]]:
    def qpretrieve(interface: str | None, *, tuned: bool) -> tuple[Callable[..., Any], Band]:
        peer = Qpretrieve(background, tuned=tuned, interface=interface)
        return peer, peer.band(background)

    def pyholoscope(*, tuned: bool) -> tuple[Callable[..., Any], Band]:
        peer = PyHoloscopeField(background, tuned=tuned)
        return peer, peer.band()

    numpy_name, fftw_name = PEER_NAMES["tuned"]
    plain_name, tuned_name = PEER_NAMES["PyHoloscope"]
    return {
        numpy_name: partial(qpretrieve, "FFTFilterNumpy", tuned=True),
        fftw_name: partial(qpretrieve, "FFTFilterPyFFTW", tuned=True),
        PEER_NAMES["default"][0]: partial(qpretrieve, None, tuned=False),
        plain_name: partial(pyholoscope, tuned=False),
        tuned_name: partial(pyholoscope, tuned=True),
    }


def _nth(run: Callable[[NDArray[np.uint8]], Any], frames: Sequence[NDArray[np.uint8]], number: int) -> None:
    run(frames[number % len(frames)])


def _values(field: Any) -> NDArray[np.complexfloating]:  # noqa: ANN401 (ours has values, theirs are arrays)
    return np.asarray(getattr(field, "values", field))


__all__ = ["OURS", "OURS_SAME", "PEER_NAMES", "agreement", "band_filter", "filter_rows"]

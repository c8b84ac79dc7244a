"""The peers: qpretrieve, nrefocus and PyHoloscope, each as it comes and tuned; only what is installed takes part.

All are given what `_hologram_ours` is given: the optics, and a background hologram before the first frame.

Signs. Of the two sidebands qpretrieve takes the stronger one of the half with negative frequencies along rows,
PyHoloscope the one with positive frequencies along columns; the object wave's has positive ones along columns. Where a
peer reads the conjugate, its distance is turned round here, and so are PyHoloscope's, whose propagator runs against the
light. None of this is charged to anybody.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import scipy.fft
from _hologram_frames import OPTICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

RANGE_UM = 20.0
"""All search ± this."""
INSET_UM = 15.0
"""What tuned peers leave out at each border: so far light of the aperture's edge travels within the range."""
FILTER_SIZE = 1 / 3
"""Radius of qpretrieve's disk over the carrier's frequency: its default."""
COARSE_PLANES = 41
"""Planes over the range before PyHoloscope's minimiser, tuned: one each µm."""


class Absent(Exception):
    """A peer is not installed, or cannot be imported; the message says which and why."""


def library(name: str) -> ModuleType:
    """Import a peer.

    Raises
    ------
    Absent
        It cannot be.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each tells which optional backends are missing
            return importlib.import_module(name)
    except ImportError as error:
        raise Absent(f"{name}: {error}; pip install 'microscoped[bench]'") from error


def versions() -> dict[str, str | None]:
    """Return the versions of the peers and of what they compute with; ``None`` where not installed."""
    names = ("qpretrieve", "nrefocus", "PyHoloscope", "pyFFTW", "numexpr", "numba", "numpy", "scipy", "onnxruntime")
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


@contextlib.contextmanager
def threads_at_most(threads: int) -> Iterator[None]:
    """Let the peers' libraries take at most so many threads while the ``with`` lasts.

    pyFFTW is asked by both libraries for as many as ``multiprocessing.cpu_count()`` tells.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(multiprocessing, "cpu_count", lambda: threads))
        with contextlib.suppress(Absent):
            numexpr = library("numexpr")
            before = numexpr.set_num_threads(threads)
            stack.callback(numexpr.set_num_threads, before)
        with contextlib.suppress(Absent):
            cv2 = library("cv2")
            stack.callback(cv2.setNumThreads, cv2.getNumThreads())
            cv2.setNumThreads(threads)
        yield


@dataclass(frozen=True)
class Band:
    """Which part of the spectrum a field is of.

    Parameters
    ----------
    carrier
        Its middle in cycles per camera pixel, along rows and columns.
    radius
        In cycles per camera pixel.
    """

    carrier: tuple[float, float]
    radius: float


class Qpretrieve:
    """Fields by qpretrieve.

    Parameters
    ----------
    background
        The carrier is found in it where `tuned`; a field is divided by its.
    tuned
        ``padding=0``, ``scale_to_filter=True`` and the background's carrier, instead of the defaults.
    interface
        ``FFTFilterNumpy`` or ``FFTFilterPyFFTW``; ``None`` for the library's choice.

    Raises
    ------
    Absent
        The library, or the interface, is not there.
    """

    def __init__(self, background: NDArray[np.uint8], *, tuned: bool, interface: str | None = None) -> None:
        self._library = library("qpretrieve")
        fourier = importlib.import_module("qpretrieve.fourier")
        chosen = None if interface is None else getattr(fourier, interface, None)
        if interface is not None and chosen is None:
            raise Absent(f"qpretrieve has no {interface} here: pip install 'microscoped[bench]'")
        self._options: dict[str, Any] = {} if chosen is None else {"fft_interface": chosen}
        self._pipeline: dict[str, Any] = {}
        if tuned:
            self._options["padding"] = 0
            self._pipeline = {"filter_name": "disk", "filter_size": FILTER_SIZE, "scale_to_filter": True}
            self._pipeline["sideband_freq"] = self._read(background)[1]
        self._backgrounds: dict[tuple[float, float], NDArray[np.complex128]] = {}
        self._background = background
        self.against(self._read(background)[1])

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.complex128]:
        """Return the field of a frame: the sideband filter alone."""
        return self._read(frame)[0]

    def corrected(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.complex128], tuple[float, float]]:
        """Return the field over the background's, and the carrier."""
        field, carrier = self._read(frame)
        return field / self.against(carrier), carrier

    def against(self, carrier: tuple[float, float]) -> NDArray[np.complex128]:
        """Return the background's field at a carrier; known ones are kept."""
        if carrier not in self._backgrounds:
            self._backgrounds[carrier] = self._read(self._background, carrier)[0]
        return self._backgrounds[carrier]

    def band(self, frame: NDArray[np.uint8]) -> Band:
        """Return the band that a frame's field is of."""
        carrier = self._read(frame)[1]
        return Band(carrier, float(np.hypot(*carrier)) * FILTER_SIZE)

    def _read(
        self, frame: NDArray[np.uint8], carrier: tuple[float, float] | None = None
    ) -> tuple[NDArray[np.complex128], tuple[float, float]]:
        hologram = self._library.OffAxisHologram(frame, **self._options)
        asked = self._pipeline if carrier is None else {**self._pipeline, "sideband_freq": carrier}
        field = np.asarray(hologram.run_pipeline(**asked))
        found = hologram.pipeline_kws["sideband_freq"]
        return field.reshape(field.shape[-2:]), (float(found[0]), float(found[1]))


class Nrefocus:
    """Distances by qpretrieve and nrefocus.

    Parameters
    ----------
    background
        Of the instrument.
    tuned
        qpretrieve tuned, and nrefocus without padding, scored within `INSET_UM` of the borders; else all defaults: the
        metric is the average gradient in both.
    fftw
        Whether both libraries transform by pyFFTW, else by NumPy. Both choose pyFFTW themselves where it is installed.
    """

    def __init__(self, background: NDArray[np.uint8], *, tuned: bool, fftw: bool) -> None:
        self._refocus = library("nrefocus")
        self._read = Qpretrieve(background, tuned=tuned, interface="FFTFilterPyFFTW" if fftw else "FFTFilterNumpy")
        name = "RefocusPyFFTW" if fftw else "RefocusNumpy"
        self._make = getattr(self._refocus, name, None)
        if self._make is None:
            raise Absent(f"nrefocus has no {name} here: pip install 'microscoped[bench]'")
        self._options: dict[str, Any] = {"padding": False} if tuned else {}
        self._tuned = tuned

    def __call__(self, frame: NDArray[np.uint8]) -> float:
        """Return the distance in µm."""
        field, carrier = self._read.corrected(frame)
        pixel_um = _pixel_um(frame, field)
        refocus = self._make(
            field=field,
            wavelength=OPTICS.wavelength_um,
            pixel_size=pixel_um,
            medium_index=OPTICS.medium_index,
            **self._options,
        )
        asked = {"roi": _interior(field.shape, pixel_um)} if self._tuned else {}
        found = float(refocus.autofocus(interval=(-RANGE_UM, RANGE_UM), **asked))
        return found if carrier[1] > 0 else -found


class PyHoloscopeField:
    """Fields by PyHoloscope.

    Parameters
    ----------
    background
        The carrier and the radius are found in it, as ``calib_off_axis`` does.
    tuned
        Whether frames are transformed as real values, which it allows where the carrier lies between the axes.
    """

    def __init__(self, background: NDArray[np.uint8], *, tuned: bool) -> None:
        self._library = library("pyholoscope")
        self._tuned = tuned
        self._holo = self._library.Holo(
            mode=self._library.OFF_AXIS,
            wavelength=OPTICS.require_wavelength_um("a field") / OPTICS.medium_index,
            pixel_size=OPTICS.pixel,
            off_axis_real_fft=tuned,
            cuda=False,
        )
        self._holo.calib_off_axis(background.astype(np.float32))
        self._shape = background.shape
        self._against = self(background)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.complex64]:
        """Return the field of a frame: the sideband filter alone."""
        return np.asarray(self._holo.process(frame.astype(np.float32)))

    def corrected(self, frame: NDArray[np.uint8]) -> NDArray[np.complex64]:
        """Return the field over the background's."""
        return self(frame) / self._against

    def band(self) -> Band:
        """Return the greatest disk within the square that its fields are of."""
        middle = [int(part) for part in self._holo.crop_centre]
        if self._tuned:
            rows = middle[0] if middle[0] < self._shape[0] // 2 else middle[0] - self._shape[0]
            bins = rows, middle[1]
        else:
            bins = middle[0] - self._shape[0] // 2, middle[1] - self._shape[1] // 2
        carrier = bins[0] / self._shape[0], bins[1] / self._shape[1]
        return Band(carrier, (min(self._holo.crop_radius) - 1) / max(self._shape))


class PyHoloscopeDistance:
    """Distances by PyHoloscope's ``find_focus`` on the field of an off-axis frame.

    Its ``Holo.find_focus`` looks at the frame as it is, so the function of the same name is given the field.

    Parameters
    ----------
    background
        Of the instrument.
    tuned
        The standard deviation of the amplitude, which a phase specimen in focus has least, within `INSET_UM` of the
        borders, first on `COARSE_PLANES` planes and then by ``find_focus`` between the neighbours of the best; else
        ``find_focus`` alone, over the whole range and the whole field, with the score that ``Holo`` has by default.
    """

    def __init__(self, background: NDArray[np.uint8], *, tuned: bool) -> None:
        self._library = library("pyholoscope")
        self._read = PyHoloscopeField(background, tuned=tuned)
        field = self._read(background)
        self._pixel_um = _pixel_um(background, field)
        self._wavelength_um = OPTICS.require_wavelength_um("a distance") / OPTICS.medium_index
        self._tuned = tuned
        rows, columns = _interior(field.shape, self._pixel_um)
        self._region = self._library.Roi(
            columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        )

    def __call__(self, frame: NDArray[np.uint8]) -> float:
        """Return the distance in µm."""
        field = self._read.corrected(frame)
        if not self._tuned:
            return -self._found(field, (-RANGE_UM, RANGE_UM), "Sum")
        spectrum = scipy.fft.fft2(field)
        planes = np.linspace(-RANGE_UM, RANGE_UM, COARSE_PLANES)
        scores = [self._score(float(plane), spectrum) for plane in planes]
        best, step = float(planes[int(np.argmin(scores))]), float(planes[1] - planes[0])
        return -self._found(field, (best - step, best + step), np.std, roi=self._region)

    def _score(self, plane_um: float, spectrum: NDArray[np.complex64]) -> float:
        return float(
            self._library.refocus_and_score(
                plane_um, spectrum, self._pixel_um, self._wavelength_um, np.std, score_roi=self._region, use_numba=True
            )
        )

    def _found(
        self,
        field: NDArray[np.complex64],
        within_um: tuple[float, float],
        score: str | Callable[..., Any],
        **asked: Any,  # noqa: ANN401 (the library's)
    ) -> float:
        return float(
            self._library.find_focus(field, self._wavelength_um, self._pixel_um, within_um, score, numba=True, **asked)
        )


def _pixel_um(frame: NDArray[Any], field: NDArray[Any]) -> float:
    return OPTICS.pixel * frame.shape[0] / field.shape[0]


def _interior(shape: tuple[int, ...], pixel_um: float) -> tuple[slice, slice]:
    inset = round(INSET_UM / pixel_um)
    return slice(inset, shape[0] - inset), slice(inset, shape[1] - inset)


__all__ = [
    "INSET_UM",
    "RANGE_UM",
    "Absent",
    "Band",
    "Nrefocus",
    "PyHoloscopeDistance",
    "PyHoloscopeField",
    "Qpretrieve",
    "library",
    "threads_at_most",
    "versions",
]

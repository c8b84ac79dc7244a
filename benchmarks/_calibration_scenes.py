"""The microscopes that are calibrated, and the fields of their slides, rendered on the network's working grid."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import fft

from microscoped.models.focus_pair import PairOptics
from microscoped.models.focus_pair.calibration import focus_of, scores_of
from microscoped.models.focus_pair.preprocess import TILE, WORKING_SAMPLING
from microscoped.simulators.cache import load_or_make
from microscoped.simulators.optics import AbbeImager, Pupil, Source, axial_weights, to_camera
from microscoped.simulators.specimens import CellParameters, TissueParameters, tissue_section, unstained_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.simulators.optics import FloatArray

BASE_SEED = 47_000_000
"""Specimens come from seeds of their own: no training or evaluation seed reaches so far."""
REACH_DOF = 13.0
"""Optical positions that are rendered, to either side of the specimen's middle."""
PLANE_SPACING_DOF = 0.65
HALF_WIDTH = 5
SOURCE_POINTS = 13
FULL_SCALE = 4.0
"""The relative intensity that the largest number of a stored plane stands for."""
GREEN_NM = 540.0
COLOURS_UM = (0.610, 0.540, 0.465)
COLOUR_FOCUS_UM = (0.3, 0.0, -0.2)
"""Where red, green and blue are in focus."""
TRUTH_DOF, TRUTH_STEP_DOF = 5.0, 0.25
"""How far and how finely the true focus of a field is looked for, without noise."""


@dataclass(frozen=True)
class Bench:
    """One microscope, and the kind of slide under it.

    Parameters
    ----------
    name, objective
        What it is called, here and in the configuration.
    na, wavelength_nm
        The objective, in air, and the light; colour cameras have `COLOURS_UM`.
    coherence, spherical_waves
        NA of the condenser over NA of the objective; spherical aberration as in ``Pupil``.
    stained
        A stained section, or unstained cells.
    camera
        ``mono``, ``rgb``, or ``bgr``: blue first.
    per_stage
        Optical micrometres for each micrometre of the stage; the configuration says +1.
    backlash_um, jitter_um, drift_um_s
        What else the stage does.
    tiles
        Side of a frame, in tiles of the network.
    """

    name: str
    objective: str
    na: float
    wavelength_nm: float = 550.0
    coherence: float = 0.7
    spherical_waves: float = 0.0
    stained: bool = True
    camera: Literal["mono", "rgb", "bgr"] = "mono"
    per_stage: float = 1.0
    backlash_um: float = 0.5
    jitter_um: float = 0.05
    drift_um_s: float = 0.005
    tiles: int = 3

    @property
    def extremum(self) -> Literal["max", "min"]:
        """What the user says that focus is: phase objects have least contrast there."""
        return "max" if self.stained else "min"

    @property
    def optics(self) -> PairOptics:
        """The optics, with camera pixels of half λ/NA."""
        middle_nm = self.wavelength_nm if self.camera == "mono" else GREEN_NM
        return PairOptics(self.na, middle_nm, 1.0, middle_nm * 1e-3 / self.na / WORKING_SAMPLING)

    @property
    def side_px(self) -> int:
        """Pixels along each side of a frame."""
        return self.tiles * TILE * WORKING_SAMPLING

    @property
    def channels(self) -> tuple[tuple[int, float, float], ...]:
        """Dye channel, wavelength in µm and focus in µm of each colour."""
        if self.camera == "mono":
            return ((1, self.wavelength_nm * 1e-3, 0.0),)
        return tuple((k, COLOURS_UM[k], COLOUR_FOCUS_UM[k]) for k in range(3))

    @property
    def specimen(self) -> TissueParameters | CellParameters:
        """The slide: one for all microscopes, a section stained with haematoxylin and eosin or unstained cells."""
        return TissueParameters() if self.stained else CellParameters()


PLAIN = Bench("20×/0.5, as configured", "20x/0.5", 0.5)
FOREIGN = (
    Bench("10×/0.3", "10x/0.3", 0.3),
    Bench("40×/0.95, cover glass", "40x/0.95", 0.95, spherical_waves=0.7),
    replace(PLAIN, name="20×/0.5, sign flipped, Δ +12 %", per_stage=-1.12),
    replace(PLAIN, name="20×/0.5, unstained, S 0.5", stained=False, coherence=0.5),
    replace(PLAIN, name="20×/0.5, blue before red", camera="bgr"),
)
"""None of them occurs in training: NA below 0.35 and above 0.9, S of 0.5 … 0.6, and stages that lie so much."""


@dataclass(frozen=True, eq=False)
class View:
    """One field: what the camera sees at any optical position.

    Parameters
    ----------
    planes_um
        Optical positions of the rendered planes, shape (planes,).
    codes
        Shape (colours, planes, height, width), a clear field being ``65535 / FULL_SCALE``.
    reach_um
        Beyond it the outer plane fades towards its mean as 1/z.
    offset_um
        How far the specimen lies off the plane in which the stage reads 0.
    """

    planes_um: NDArray[np.float64]
    codes: NDArray[np.uint16]
    reach_um: float
    offset_um: float = 0.0
    _flat: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        colours, planes = self.codes.shape[:2]
        object.__setattr__(self, "_flat", self.codes.reshape(colours, planes, -1))

    def light(self, z_um: float) -> FloatArray:
        """Return relative intensities, shape (height, width) or (height, width, 3)."""
        z_um -= self.offset_um
        near_um = min(max(z_um, -self.reach_um), self.reach_um)
        weights = axial_weights([near_um], self.planes_um, HALF_WIDTH)[0] * np.float32(FULL_SCALE / 65535.0)
        used = np.flatnonzero(weights)
        seen = np.stack([weights[used] @ colour[used].astype(np.float32) for colour in self._flat], axis=-1)
        if near_um != z_um:
            fade = np.float32(near_um / z_um)
            seen = seen * fade + seen.mean(axis=0) * (1 - fade)
        shape = self.codes.shape[2:]
        return np.asarray(np.maximum(seen, 0.0).reshape(*shape, seen.shape[-1]).squeeze(), np.float32)


@dataclass(frozen=True, eq=False)
class Empty:
    """A slide with nothing on it."""

    side_px: int
    offset_um: float = 0.0

    def light(self, z_um: float) -> FloatArray:
        """Return the light of a clear field, whatever the position."""
        del z_um
        return np.ones((self.side_px, self.side_px), np.float32)


def view(bench: Bench, number: int, folder: Path | None) -> View:
    """Render a field, or read it from the cache, where each has a folder of its own."""
    dof_um = bench.optics.dof_um
    margin_dof = (HALF_WIDTH - 1) * PLANE_SPACING_DOF
    count = int(np.ceil(2 * (REACH_DOF + margin_dof) / PLANE_SPACING_DOF)) + 1
    planes_um = (np.arange(count) - (count - 1) / 2) * PLANE_SPACING_DOF * dof_um
    # What the stage, the name and the order of colours are does not change the light.
    seen = replace(
        bench,
        name="",
        objective="",
        per_stage=1.0,
        backlash_um=0.0,
        jitter_um=0.0,
        drift_um_s=0.0,
        camera="mono" if bench.camera == "mono" else "rgb",
    )
    words = f"{_code_version()} {seen!r} {bench.specimen!r} {number}"
    own = None if folder is None else folder / f"calibration-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
    codes = load_or_make(own, words, lambda: _rendered(bench, number, planes_um))
    offset_dof = float(np.random.default_rng((BASE_SEED, number)).uniform(-2.0, 2.0))
    return View(planes_um, codes, REACH_DOF * dof_um, offset_dof * dof_um)


def _rendered(bench: Bench, number: int, planes_um: NDArray[np.float64]) -> NDArray[np.uint16]:
    # Specimen: Nyquist above NA/λ·(1 + S) of the shortest wavelength; image: alias-free to 1.5 NA/λ on that side.
    middle_um = bench.optics.wavelength_nm * 1e-3
    shorter = middle_um / min(wavelength for _, wavelength, _ in bench.channels)
    side_um = bench.tiles * TILE * middle_um / bench.na
    fine = _even(max(2.02 * (1.0 + bench.coherence) * shorter, 3.0) * TILE * bench.tiles)
    coarse = min(_even(2.57 * shorter * TILE * bench.tiles), fine)
    parameters = bench.specimen
    seed = BASE_SEED + number
    if isinstance(parameters, TissueParameters):
        specimen = tissue_section(parameters, (fine, fine), side_um / fine, seed)
    else:
        specimen = unstained_cells(parameters, (fine, fine), side_um / fine, seed)
    colours = []
    for channel, wavelength_um, focus_um in bench.channels:
        imager = AbbeImager(
            Pupil(bench.na, wavelength_um, 1.0, bench.spherical_waves),
            Source.disc(bench.coherence, SOURCE_POINTS),
            (fine, fine),
            specimen.pixel_um,
            specimen.medium_index,
            (coarse, coarse),
        )
        layers = specimen.transmittance(channel, wavelength_um)
        images = imager.images(layers, specimen.depth_um, planes_um - focus_um)
        colours.append(to_camera(images, (bench.side_px, bench.side_px)))
    light = np.stack(colours) * np.float32(65535.0 / FULL_SCALE) + np.float32(0.5)
    return np.clip(light, 0, 65535).astype(np.uint16)


def true_focus_um(bench: Bench, seen: View) -> float | None:
    """Return the optical position at which the field is in focus: what a calibration's two metrics find without noise.

    ``None`` where they do not agree.
    """
    dof_um = bench.optics.dof_um
    z_um = seen.offset_um + np.arange(-TRUTH_DOF, TRUTH_DOF + TRUTH_STEP_DOF / 2, TRUTH_STEP_DOF) * dof_um
    scores: dict[str, list[float]] = {}
    for z in z_um:
        light = seen.light(float(z))
        plane = light if light.ndim == 2 else light.mean(axis=2)
        for name, score in scores_of(np.asarray(plane, np.float32)).items():
            scores.setdefault(name, []).append(score)
    return focus_of(list(map(float, z_um)), scores, bench.extremum, seen.offset_um, dof_um=dof_um).z_um


@functools.cache
def _code_version() -> str:
    """Return a hash of the code that renders, so that new code never plays an old stack."""
    package = resources.files("microscoped.simulators")
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in (package / "optics", package / "specimens"):
        for module in sorted(folder.iterdir(), key=lambda found: found.name):
            if module.name.endswith(".py"):
                digest.update(module.read_bytes())
    return digest.hexdigest()


def _even(samples: float) -> int:
    """Return the next fast length of a Fourier transform that is even."""
    n = int(np.ceil(samples))
    while (n := fft.next_fast_len(n)) % 2:
        n += 1
    return int(n)

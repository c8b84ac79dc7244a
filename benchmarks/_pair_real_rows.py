"""What is shown to the pair: measured stacks, measured images defocused by simulated optics, Micro-Manager's beads."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft, ndimage

from microscoped.drivers import Optics
from microscoped.drivers.errors import DriverError
from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path
from microscoped.models.focus_pair import PairOptics
from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup
from microscoped.simulators.field import FieldScene
from microscoped.simulators.measured_field import MeasuredField, read_field
from microscoped.simulators.optics import AbbeImager, Pupil, Source, incoherent_images
from microscoped.simulators.recorded import ZFile, ZStep, read_stack
from microscoped.simulators.recorded.axes import Choice
from microscoped.simulators.recorded.ics import read_ics
from microscoped.simulators.recorded.png import read_png
from microscoped.simulators.recorded.tiff import read_tiff
from microscoped.simulators.sensor import SensorModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Microscope

REACH_DOF = 10.0
"""Made stacks reach so far to each side of the focus."""
DELTA_DOF = 2.0
RANGE_DOF = (0.5, 4.0)
COHERENCE = 0.7
GUARD = 35.0
"""Width in λ/NA by which a measured image is extended at each side, so that nothing passes its periodic border."""
SMOOTHING = 0.35
"""Standard deviation in λ/NA by which a measured image is smoothed, so that its camera's noise is not structure."""
BACKGROUND = 25.0
"""Standard deviation in λ/NA of the Gaussian that tells the illumination of a measured brightfield image."""
DARKEST = 0.02
CELL_RAD = 2.0
"""Phase that is given to the brightest part of ``phase-cell-skimage``, whose scale is not documented."""
BEAD_RATE = 0.3
BEAD_PIXELS = 2.0
"""Pixels of the demonstration camera that stand for λ/NA: the size of its beads."""
BEAD_SIDE_PX = 1024
MOVE_S = 10.0
CONTROL = "control"


@dataclass(frozen=True, eq=False)
class Row:
    """Frames of one field at many z, and what is known of them.

    Parameters
    ----------
    name, kind
        Line of the table; ``real``, ``semi-real``, ``plumbing`` or `CONTROL`.
    optics
        What the engine is told.
    frames, z_um, focus_um
        The images, where they were taken in the stage's coordinate, rising, and where the focus lies.
    wide
        Whether all pairs within `RANGE_DOF` are read, instead of those nearest to `DELTA_DOF`.
    note
        What is documented and what is assumed.
    blur_px
        Radius of the blur in pixels at one depth of field, where errors are told in pixels too.
    """

    name: str
    kind: str
    optics: PairOptics
    frames: Sequence[NDArray[Any]]
    z_um: NDArray[np.float64]
    focus_um: float
    wide: bool
    note: str
    blur_px: float | None = None


class Unusable(Exception):
    """A row cannot be read, or its data are absent; the message says why."""


@dataclass(frozen=True)
class Maker:
    """One or more rows that are made of the same frames, or a reason why there are none.

    Parameters
    ----------
    name
        Of all its rows; more may follow it.
    make
        Takes the folder of measured images and whether it must be quick.
    """

    name: str
    make: Callable[[Path, bool], list[Row]]


def section(data: Path, quick: bool) -> list[Row]:
    """Return the control: a simulated stained section, of the kind that the network is made for."""
    optics = PairOptics(na=0.5, wavelength_nm=550.0, immersion_index=1.0, pixel_size_um=0.325)
    z = _positions(optics, quick)
    setup = BrightfieldSetup(
        optics=Optics(
            na=optics.na,
            wavelength_nm=optics.wavelength_nm,
            immersion_index=optics.immersion_index,
            pixel_size_um=optics.pixel_size_um,
        ),
        shape_px=(512, 512),
        z_range_um=(float(z[0]) - optics.dof_um, float(z[-1]) + optics.dof_um),
    )
    scene = BrightfieldScene(setup, cache=None)
    frames = [scene.expose(float(at), SensorModel().nominal_exposure_ms, shot) for shot, at in enumerate(z)]
    note = f"the simulated stained section of the daemon's demonstration, 20×/0.5; {_size(frames[0], optics)}"
    return [Row("control: simulated section", CONTROL, optics, frames, z, 0.0, False, note)]


def beads(data: Path, quick: bool) -> list[Row]:
    """Return the rows of the measured stack of fluorescent beads."""
    stack = read_stack(_there(data / "fl-psf-beads" / "stack.tif"), ZStep(0.3))
    optics = PairOptics(na=0.95, wavelength_nm=550.0, immersion_index=1.0, pixel_size_um=0.108)
    note = (
        "NA 0.95, 108 nm/px, step 0.3 µm and focus at plane 16.9 are documented; 550 nm and a dry objective are "
        f"assumed; {_size(stack.planes[0], optics)}"
    )
    planes = list(stack.planes)
    return [
        Row(f"fl-psf-beads, {told}", "real", optics, planes, stack.z_um, 16.9 * 0.3, wide, note)
        for told, wide in (("Δ 0.5–4 DoF", True), ("Δ ≈ 2 DoF", False))
    ]


def light_sheet(data: Path, quick: bool) -> list[Row]:
    """Return the rows of the measured light-sheet stack, one for each guess of its optics."""
    path = _there(data / "lsfm-dfnn" / "mitochondria.tif")
    stack = read_stack(path, ZFile("mitochondria_order.txt", 0.05))
    guesses = {
        "as if 25×/1.1": PairOptics(na=1.1, wavelength_nm=520.0, immersion_index=1.333, pixel_size_um=0.104),
        "as if 40×/0.8": PairOptics(na=0.8, wavelength_nm=520.0, immersion_index=1.333, pixel_size_um=0.1625),
    }
    planes = list(stack.planes)
    rows = []
    for told, optics in guesses.items():
        note = (
            "step 0.05 µm, focus at order 51 and excitation at 488 nm are documented; objective, pixel size and 520 nm "
            f"are guesses, and the row stands or falls with them; {_size(planes[0], optics)}"
        )
        rows.append(Row(f"lsfm-dfnn, {told}", "real", optics, planes, stack.z_um, 51 * 0.05, True, note))
    return rows


def neurons(data: Path, quick: bool) -> list[Row]:
    """Say why the measured phase-contrast stack is no row."""
    raise Unusable("cannot be used: neither its step nor its pixel size is documented, so Δ is not known")


def measured_field(data: Path, quick: bool) -> list[Row]:
    """Return the row of the measured complex field, refocused numerically, as large as it was measured."""
    values = read_field(_there(data / "hl60-field" / "HL60_field.npz"))
    field = MeasuredField(values, 0.139, 647.0, 1.333, -0.878, "HL60_field.npz")
    optics = PairOptics(na=0.5, wavelength_nm=647.0, immersion_index=1.333, pixel_size_um=0.139)
    height, width = values.shape
    scene = FieldScene(field, na=optics.na, coherence=0.2, frame_shape=(height, width))
    z = np.linspace(-2.0, 2.0, 5) * optics.dof_um
    frames = [scene.full_model(float(at)) for at in z]
    note = f"the field was measured at 647 nm, 0.139 µm/px; {_size(frames[0], optics)}"
    return [Row("hl60-field", "semi-real", optics, frames, z, 0.0, False, note)]


def cells(data: Path, quick: bool) -> list[Row]:
    """Return the rows of the measured brightfield image of cells, taken as what they absorb."""
    paths = sorted((data / "bf-sephace").glob("set1_fine_*.ics"), key=lambda path: path.stem.rpartition("Z")[2])
    if len(paths) != 3:
        raise Unusable(f"skipped: {data / 'bf-sephace'} is absent")
    image = read_ics(paths[1], Choice({}, None)).planes[0].astype(np.float32)
    optics = PairOptics(na=0.65, wavelength_nm=550.0, immersion_index=1.0, pixel_size_um=0.2004)
    if quick:
        image = image[:512, :640]
    lateral_px = optics.sampling
    flat = image / ndimage.gaussian_filter(image, BACKGROUND * lateral_px, mode="reflect")
    passed = np.maximum(_smooth(flat, optics), np.float32(DARKEST))
    note = (
        "the plane in focus, 0.2004 µm/px; taken as what a thin specimen absorbs; 40×/0.65 at 550 nm is assumed; "
        f"{_size(image, optics)}"
    )
    sensor = SensorModel(level=0.6)
    rows = []
    for told, images in (
        ("incoherent", lambda z: _absorbed(1.0 - passed, optics, z)),
        (f"Abbe S {COHERENCE:g}", lambda z: _abbe(np.sqrt(passed).astype(np.complex64), optics, z, quick)),
    ):
        rows.append(_made(f"bf-sephace, {told}", optics, images, sensor, note, quick))
    return rows


def nuclei(data: Path, quick: bool) -> list[Row]:
    """Return the row of the measured fluorescent nuclei."""
    image = read_tiff(_there(data / "fluo-stardist" / "img2d.tif"), Choice({}, None)).planes[0].astype(np.float32)
    optics = PairOptics(na=0.3, wavelength_nm=460.0, immersion_index=1.0, pixel_size_um=0.33)
    light = _smooth(image / np.percentile(image, 99.5), optics)
    note = (
        "nuclei in focus, taken as what a thin specimen emits; 10×/0.3 at 460 nm and 0.33 µm/px, which makes nuclei "
        f"about 10 µm wide, are assumed; {_size(image, optics)}"
    )

    def images(z_um: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.asarray(1.0 - _absorbed(light, optics, z_um), np.float32)

    return [_made("fluo-stardist, fluorescence", optics, images, SensorModel(level=0.4), note, quick)]


def phase_cell(data: Path, quick: bool) -> list[Row]:
    """Return the row of the measured phase of one cell."""
    image = read_png(_there(data / "phase-cell-skimage" / "cell.png"), Choice({}, None)).planes[0].astype(np.float32)
    optics = PairOptics(na=1.2, wavelength_nm=550.0, immersion_index=1.333, pixel_size_um=0.107)
    ground = float(np.median(image))
    phase = _smooth((image - ground) / (np.percentile(image, 99.9) - ground) * CELL_RAD, optics)
    note = (
        f"0.107 µm/px is documented; taken as a thin phase object whose brightest part delays by {CELL_RAD:g} rad; "
        f"60×/1.2 water at 550 nm is assumed; {_size(image, optics)}"
    )
    waves = np.exp(1j * phase).astype(np.complex64)
    return [
        _made(
            f"phase-cell-skimage, Abbe S {COHERENCE:g}",
            optics,
            lambda z: _abbe(waves, optics, z, quick),
            SensorModel(level=0.45),
            note,
            quick,
        )
    ]


def demo(data: Path, quick: bool) -> list[Row]:
    """Return the row of Micro-Manager's demonstration camera, through the project's driver and the C++ adapters.

    Its beads blur by ``BeadBlurRate`` pixels per micrometre of the stage, evenly to both sides. Geometric optics blur
    by NA/n: the engine is told that aperture, and a λ/NA of `BEAD_PIXELS`, so that one depth of field is as many
    pixels of blur.
    """
    lateral_um = BEAD_PIXELS
    optics = PairOptics(
        na=BEAD_RATE, wavelength_nm=1e3 * BEAD_RATE * lateral_um, immersion_index=1.0, pixel_size_um=1.0
    )
    z = _positions(optics, quick)
    text = demo_config_path().read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "beads.cfg"
        wanted = {"BeadBlurRate": BEAD_RATE, "OnCameraCCDXSize": BEAD_SIDE_PX, "OnCameraCCDYSize": BEAD_SIDE_PX}
        kept = [line for line in text.splitlines() if not any(f",{name}," in line for name in wanted)]
        lines = [*kept, *(f"ConfigGroup,System,Startup,Camera,{name},{value}" for name, value in wanted.items())]
        config.write_text("\n".join(lines), encoding="utf-8")
        try:
            with MicroManagerMicroscope(config) as microscope:
                frames = [_snapped(microscope, float(at)) for at in z]
        except DriverError as error:
            raise Unusable(f"skipped: {error}") from error
    note = (
        f"plumbing, not optics: blur of {BEAD_RATE:g} px/µm, alike on both sides, told as NA {BEAD_RATE:g} and λ/NA = "
        f"{BEAD_PIXELS:g} px; {_size(frames[0], optics)}"
    )
    return [Row("E3: DemoCamera beads", "plumbing", optics, frames, z, 0.0, False, note, BEAD_PIXELS)]


MAKERS = (
    Maker("control: simulated section", section),
    Maker("fl-psf-beads", beads),
    Maker("lsfm-dfnn", light_sheet),
    Maker("ph-isl-neurons", neurons),
    Maker("hl60-field", measured_field),
    Maker("bf-sephace", cells),
    Maker("fluo-stardist", nuclei),
    Maker("phase-cell-skimage", phase_cell),
    Maker("E3: DemoCamera beads", demo),
)


def pair_indices(row: Row) -> list[tuple[int, int]]:
    """Return which frames make pairs, first and second, with rising z.

    The same two frames taken the other way round are the same reading, told of the other frame: they are left out.
    """
    steps = (row.z_um[None, :] - row.z_um[:, None]) / row.optics.dof_um
    if row.wide:
        low, high = RANGE_DOF
        return [(int(i), int(j)) for i, j in np.argwhere((steps >= low - 1e-9) & (steps <= high + 1e-9))]
    nearest = [(i, int(np.argmin(np.abs(line - DELTA_DOF)))) for i, line in enumerate(steps)]
    largest_gap = float(np.diff(row.z_um).max()) / row.optics.dof_um
    return [(i, j) for i, j in nearest if abs(steps[i, j] - DELTA_DOF) <= 0.5 * largest_gap + 1e-9]


def _there(path: Path) -> Path:
    if not path.is_file():
        raise Unusable(f"skipped: {path} is absent")
    return path


def _size(frame: NDArray[Any], optics: PairOptics) -> str:
    height, width = frame.shape[:2]
    return (
        f"{width / optics.sampling:.0f} × {height / optics.sampling:.0f} λ/NA, {optics.sampling:.2f} px each, "
        f"DoF {optics.dof_um:.3g} µm"
    )


def _positions(optics: PairOptics, quick: bool) -> NDArray[np.float64]:
    return np.asarray(np.linspace(-REACH_DOF, REACH_DOF, 21 if quick else 41) * optics.dof_um, np.float64)


def _smooth(image: NDArray[Any], optics: PairOptics) -> NDArray[np.float32]:
    smooth = ndimage.gaussian_filter(image.astype(np.float32), SMOOTHING * optics.sampling, mode="reflect")
    return np.asarray(smooth, np.float32)


def _pupil(optics: PairOptics) -> Pupil:
    return Pupil(na=optics.na, wavelength_um=optics.wavelength_nm * 1e-3, index=optics.immersion_index)


def _extended(image: NDArray[Any], optics: PairOptics) -> tuple[NDArray[Any], tuple[slice, slice]]:
    """Extend an image by reflection; return it, and where it lies."""
    guard = int(np.ceil(GUARD * optics.sampling))
    sizes = [fft.next_fast_len(size + 2 * guard) for size in image.shape]
    before = [(size - have) // 2 for size, have in zip(sizes, image.shape, strict=True)]
    widths = [(low, size - have - low) for low, size, have in zip(before, sizes, image.shape, strict=True)]
    place = [slice(low, low + have) for low, have in zip(before, image.shape, strict=True)]
    return np.pad(image, widths, mode="symmetric"), (place[0], place[1])


def _absorbed(absorption: NDArray[Any], optics: PairOptics, z_um: NDArray[np.float64]) -> NDArray[np.float32]:
    whole, place = _extended(absorption.astype(np.float32), optics)
    images = incoherent_images(whole[None], 0.0, _pupil(optics), optics.pixel_size_um, z_um, "sum")
    return images[:, place[0], place[1]]


def _abbe(waves: NDArray[Any], optics: PairOptics, z_um: NDArray[np.float64], quick: bool) -> NDArray[np.float32]:
    whole, place = _extended(waves, optics)
    source = Source.disc(COHERENCE, 19 if quick else 37)
    imager = AbbeImager(_pupil(optics), source, (whole.shape[0], whole.shape[1]), optics.pixel_size_um)
    return imager.images(whole[None], 0.0, z_um)[:, place[0], place[1]]


def _made(
    name: str,
    optics: PairOptics,
    images: Callable[[NDArray[np.float64]], NDArray[np.float32]],
    sensor: SensorModel,
    note: str,
    quick: bool,
) -> Row:
    """Return a row of images of light, 1 in a clear field or at the brightest, seen by a sensor."""
    z = _positions(optics, quick)
    light = images(z)
    pattern = sensor.fixed_pattern(light.shape[1:], 0)
    frames = []
    for k, image in enumerate(light):
        rng = np.random.default_rng((0, k))
        flicker, gain = sensor.wander(rng)
        clear = np.float32(sensor.clear_electrons(sensor.nominal_exposure_ms) * flicker)
        frames.append(sensor.digits(sensor.noisy_electrons(image * pattern * clear, rng), gain))
    return Row(name, "semi-real", optics, frames, z, 0.0, False, note)


def _snapped(microscope: Microscope, z_um: float) -> NDArray[Any]:
    microscope.stage.move_to(z_um)
    deadline = time.monotonic() + MOVE_S
    while microscope.stage.is_busy():
        if time.monotonic() > deadline:
            raise Unusable(f"the stage did not reach {z_um:g} µm in {MOVE_S:g} s")
        time.sleep(0.001)
    return microscope.camera.snap().pixels

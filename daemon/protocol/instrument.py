"""Stage, camera, optics and engines as ``status`` and ``describe`` tell them."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.protocol.envelope import Message


class CameraSettingsData(Message):
    """Settings of the camera, read back; ``null`` where it has no such setting.

    Parameters
    ----------
    exposure_ms
        Exposure time.
    binning
        Pixels binned along each axis.
    roi
        Region of interest: x, y, width, height in unbinned camera pixels, as the driver counts them.
    gain
        In the driver's own unit.
    auto_exposure, auto_gain, auto_white_balance
        Whether the camera adjusts these by itself.
    """

    exposure_ms: float | None = None
    binning: int | None = None
    roi: tuple[int, int, int, int] | None = None
    gain: float | None = None
    auto_exposure: bool | None = None
    auto_gain: bool | None = None
    auto_white_balance: bool | None = None


class CameraInfoData(Message):
    """Facts about the camera as it is set now.

    Parameters
    ----------
    name
        The device's label.
    height_px, width_px
        Size of a frame.
    channels
        1 (monochrome) or 3 (red, green, blue).
    dtype, bit_depth
        Type of a pixel, and its significant bits.
    pixel_size_um
        In the specimen, per pixel; ``null`` where the driver does not know it.
    """

    name: str
    height_px: int
    width_px: int
    channels: int
    dtype: str
    bit_depth: int
    pixel_size_um: float | None = None


class CameraFacts(CameraInfoData):
    """Facts about the camera, and its settings.

    Parameters
    ----------
    name
        The device's label.
    height_px, width_px
        Size of a frame.
    channels
        1 (monochrome) or 3 (red, green, blue).
    dtype, bit_depth
        Type of a pixel, and its significant bits.
    pixel_size_um
        In the specimen, per pixel; ``null`` where the driver does not know it.
    settings
        How it is set.
    """

    settings: CameraSettingsData


class CameraStatus(Message):
    """What the camera does.

    Parameters
    ----------
    info
        Facts; ``null`` until the microscope is open.
    settings
        How it is set.
    streaming
        Whether it streams.
    fps, fps_reached
        Exposures of a stream per second that are asked for, ``null`` for as many as the camera makes by itself; and
        those of the last frames, ``null`` with fewer than two since the stream began or its rate was changed.
    frames, lost
        Frames taken, and lost by the camera or its driver, in this session.
    frame_age_ms
        Since the newest frame's exposure began; ``null`` where none came yet.
    """

    info: CameraInfoData | None
    settings: CameraSettingsData
    streaming: bool
    fps: float | None
    fps_reached: float | None
    frames: int
    lost: int
    frame_age_ms: float | None


class StageStatus(Message):
    """Where the stage is.

    Parameters
    ----------
    name
        The device's label; empty until the microscope is open.
    z_um, moving
        Where it was read last, and whether it moves; ``null`` where nobody has read it yet.
    focus_direction
        Where a rising coordinate moves the focus.
    limits_um
        Lowest and highest coordinate; ``null`` for none, and then nothing moves.
    xy_um
        Where the stage in the plane was read last; ``null`` where there is none.
    """

    name: str
    z_um: float | None
    moving: bool
    focus_direction: Literal["toward_sample", "away", "unknown"]
    limits_um: tuple[float, float] | None
    xy_um: tuple[float, float] | None = None


class StageFacts(Message):
    """The stage, and the rules of its motion.

    Parameters
    ----------
    name
        The device's label; empty until the microscope is open.
    limits_um
        Lowest and highest coordinate; ``null`` for none, and then nothing moves.
    max_step_um
        The longest step of one ``stage.move``.
    focus_direction
        Where a rising coordinate moves the focus.
    approach
        The sense in which the coordinate changes at last; ``null``: arrive as it comes.
    overshoot_um
        How far beyond the target a move from the other side goes before it turns.
    arrival_tolerance_um
        How near to the target the read-back must be.
    settle_ms
        How long the stage rests after arrival before an exposure counts.
    limits_x_um, limits_y_um
        Lowest and highest coordinate in the plane; ``null`` for none, and then nothing moves there.
    """

    name: str
    limits_um: tuple[float, float] | None
    max_step_um: float
    focus_direction: Literal["toward_sample", "away", "unknown"]
    approach: Literal["increasing", "decreasing"] | None
    overshoot_um: float
    arrival_tolerance_um: float
    settle_ms: float
    limits_x_um: tuple[float, float] | None = None
    limits_y_um: tuple[float, float] | None = None


class OpticsFacts(Message):
    """Figures of the optics; all ``null`` where one of the configured ones is missing.

    Parameters
    ----------
    na
        Numerical aperture of the objective.
    wavelength_nm
        Vacuum wavelength that the image is formed with.
    immersion_index
        Refractive index of the immersion medium.
    pixel_size_um
        In the specimen, per pixel.
    dof_um
        Depth of field n·λ/NA², of stage travel.
    sampling_px
        Pixels per λ/NA.
    """

    na: float | None = None
    wavelength_nm: float | None = None
    immersion_index: float | None = None
    pixel_size_um: float | None = None
    dof_um: float | None = None
    sampling_px: float | None = None


class PairFacts(Message):
    """What focus from a pair of images works with.

    Parameters
    ----------
    dof_um, delta_um
        Depth of field, and the distance between the two images.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``null``: what the driver says.
    model, model_sha256, tuned_sha256
        The network; and the one that the calibration has fine-tuned from it, ``null`` where there is none.
    no_deep
        Why networks cannot be fine-tuned here; empty where they can.
    calibrated, why_not
        Whether an accepted calibration of this microscope is there, or why not.
    channel, binning, approach, sign
        What the calibration holds for; ``null`` for whatever there is. `sign` is 1 where the plane in focus moves along
        the light as ``z_um`` rises.
    """

    dof_um: float
    delta_um: float
    pixel_size_um: float | None
    model: str
    model_sha256: str
    calibrated: bool
    why_not: str
    channel: str | None
    binning: int | None
    approach: Literal["increasing", "decreasing"] | None
    sign: Literal[-1, 1] | None
    tuned_sha256: str | None
    no_deep: str


class FocusFacts(Message):
    """What ``focus.run`` does where the request does not say.

    Parameters
    ----------
    range_um
        Search so far to both sides.
    tolerance_um
        End when the focus is known so well.
    coarse_step_um
        Distance of the first images.
    extremum
        Whether the focus is where contrast is highest, lowest, or whichever stands out.
    metric
        The measure of sharpness.
    roi
        Region that is measured: x, y, width, height in pixels of the frame; ``null`` for all of it.
    max_images
        Give up after so many.
    offsets_um
        Added to the focus, by channel.
    pair, no_pair
        Focus from a pair of images, or why there is none.
    hold_per_min
        Most excursions of ``focus.hold`` within a minute.
    """

    range_um: float
    tolerance_um: float
    coarse_step_um: float
    extremum: Literal["max", "min", "auto"]
    metric: str
    roi: tuple[int, int, int, int] | None
    max_images: int
    offsets_um: dict[str, float]
    pair: PairFacts | None = None
    no_pair: str = ""
    hold_per_min: int = 6


class HologramFacts(Message):
    """What the engine of holograms works with, and ``focus.hold`` by holograms.

    Parameters
    ----------
    dof_um
        Depth of field in the medium.
    medium_index
        The medium's refractive index.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``null``: what the driver says.
    scale_known
        Whether the wavelength is known; else distances are no micrometres.
    tolerance_um
        How exactly ``focus.hold`` keeps a distance.
    refocus
        Whether it moves the ``stage``, or lets each hologram be refocused in the computer (``numerical``).
    side
        Which sideband is read.
    calibrated, why_not
        Whether an accepted calibration of this microscope is there, or why not.
    binning
        What the calibration holds for; ``null`` for whatever there is.
    sign
        1 where distances rise as ``z_um`` rises; ``null`` where unknown: then no hold moves the stage.
    stage_per_focus
        µm of stage per µm of distance; ``null`` where unknown.
    offset_um, repeatability_um
        Distance at ``z_um`` 0 when it was calibrated, and how well distances repeat; ``null`` without.
    """

    dof_um: float
    medium_index: float
    pixel_size_um: float | None
    scale_known: bool
    tolerance_um: float
    refocus: Literal["stage", "numerical"]
    side: Literal["plus", "minus"]
    calibrated: bool
    why_not: str
    binning: int | None
    sign: Literal[-1, 1] | None
    stage_per_focus: float | None
    offset_um: float | None
    repeatability_um: float | None


class CellsFacts(Message):
    """What the engine of cells works with.

    Parameters
    ----------
    source
        What the frames are: ``opd``, maps of the optical path difference in counts, ``hologram``, off-axis ones, or
        ``lensfree``, in-line ones of three colours.
    network, network_sha256
        What reads them, ``watershed`` without a network; the second is empty then.
    accelerator, unwrapper
        Networks between the iterations of a lens-free reconstruction; empty without.
    pixel_size_um
        Size of an unbinned camera pixel in the specimen; ``null``: what the driver says.
    every
        Of a stream, each how manieth frame is measured.
    links
        Whether cells are followed from frame to frame.
    """

    source: Literal["opd", "hologram", "lensfree"]
    network: str
    network_sha256: str
    accelerator: str
    unwrapper: str
    pixel_size_um: float | None
    every: int
    links: bool


class EngineStatus(Message):
    """What an engine has done in this session.

    Parameters
    ----------
    measured, skipped
        Frames that it measured, and that it skipped for newer ones.
    """

    measured: int
    skipped: int


class RecordingStatus(Message):
    """A recording, or how the last one ended.

    Parameters
    ----------
    state
        ``starting`` until its folder is made; then ``recording``; ``ending`` while what waits is written; ``ended``.
    folder
        Where it is, on the daemon's computer.
    pixels
        Whether frames are recorded, or inputs and decisions alone.
    recorded_seq
        Number of the last input of the loop that is on the disk with all frames before it: nothing up to it is lost if
        the process dies or the power fails. 0: none yet.
    waiting
        Inputs that wait for the disk.
    frames, skipped
        Frames in it, and frames that came and are not.
    detail
        Why it has ended.
    """

    state: Literal["starting", "recording", "ending", "ended"]
    folder: str
    pixels: bool
    recorded_seq: int = 0
    waiting: int = 0
    frames: int = 0
    skipped: int = 0
    detail: str = ""


class RuleStatus(Message):
    """A rule, and where it is.

    Parameters
    ----------
    rule
        As it was given, with all defaults.
    phase
        ``idle``: its condition does not hold, or that is not known; ``holding``: not long enough yet; ``due``:
        something is in the way of firing; ``active``: it has fired, and what it fired for is not over. Before the
        microscope is open rules do not watch, and it is ``idle``.
    unknown
        Whether it could not be told, at the last look, if the condition holds.
    blocked
        What is in the way, as ``by`` of a decision.
    fired_ago_s
        Seconds since it last fired; ``null``: never.
    dose_ms_h
        Light of its actions within the last hour, with what is set aside for one under way, in milliseconds of
        exposure; only where a budget of light counts.
    """

    rule: dict[str, JsonValue]
    phase: Literal["idle", "holding", "due", "active"] = "idle"
    unknown: bool = False
    blocked: str | None = None
    fired_ago_s: float | None = None
    dose_ms_h: float = 0.0


__all__ = [
    "CameraFacts",
    "CameraInfoData",
    "CameraSettingsData",
    "CameraStatus",
    "CellsFacts",
    "EngineStatus",
    "FocusFacts",
    "HologramFacts",
    "OpticsFacts",
    "PairFacts",
    "RecordingStatus",
    "RuleStatus",
    "StageFacts",
    "StageStatus",
]

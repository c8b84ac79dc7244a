"""What tasks report at their end. Schema and documents are made from the docstrings."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from microscoped.daemon.protocol.envelope import Message


class MoveOutcome(Message):
    """What a ``stage.move`` that is done reports.

    Parameters
    ----------
    target_um, z_um
        What was asked for, and what the stage reads back at rest.
    approached
        Whether the final leg ran in the sense of the approach.
    moves, travel_um
        Commanded moves and length of the way, overshoot and split steps included.
    duration_ms
        From the first command to the end of settling.
    arrived_ns
        When the stage had settled, on the daemon's monotonic clock: exposures that began earlier do not count.
    """

    target_um: float
    z_um: float
    approached: bool
    moves: int
    travel_um: float
    duration_ms: float
    arrived_ns: int


class SnapOutcome(Message):
    """What a ``camera.snap`` that is done reports.

    Parameters
    ----------
    frame
        Id of the frame, for ``frame.get``.
    """

    frame: str


class AcquireOutcome(Message):
    """What an ``acquire.run`` reports, whichever way it has ended, but for ``stop`` and preemption.

    Parameters
    ----------
    frames, skipped, expected
        Frames taken, frames skipped with a reason, and how many there were to be with all that was injected.
    skips
        How many frames were skipped for which reason.
    focus_found, focus_failed
        How many focus events found their focus, and how many did not.
    light_ms
        Exposure time spent, focusing included.
    late_s
        Greatest lateness of an event.
    duration_s
        From its beginning to its end.
    z_um, xy_um
        Where it left the stages, as far as it moved them.
    recording
        Folder of the recording with pixels under way at its end; ``null`` where there is none.
    """

    frames: int
    skipped: int
    expected: int
    skips: dict[str, int]
    focus_found: int
    focus_failed: int
    light_ms: float
    late_s: float
    duration_s: float
    z_um: float | None
    xy_um: tuple[float, float] | None
    recording: str | None = None


class PairData(Message):
    """One pair of images that was read.

    Parameters
    ----------
    first_z_um, z_um
        Where the first and the second image were taken.
    defocus_um
        How far the second lies above the focus; ``null`` where the engine abstained.
    interval_um
        90 % interval of it.
    reason
        Why it abstained.
    mean_ratio
        Brightness of the second over that of the first.
    frames
        Their ids.
    """

    first_z_um: float
    z_um: float
    defocus_um: float | None
    interval_um: tuple[float, float] | None
    reason: str
    mean_ratio: float
    frames: tuple[str, str]


class FocusOutcome(Message):
    """What a ``focus.run`` reports, whether it is done or failed.

    Parameters
    ----------
    method, why
        What found it or was tried last, ``pair`` or ``search``, and why that.
    focused
        Whether there is a focus.
    z_um
        Where the stage is at the end.
    focus_z_um
        Where the focus is, before `offset_um`; ``null`` where none was found.
    start_um, offset_um
        Where it began, and the channel's offset that was added.
    extremum
        What a search found: the ``max`` or the ``min`` of contrast.
    prominence, noise
        Height of the extremum over the rest of the curve, and what noise alone would make.
    reason
        Why no focus was found.
    curve
        What a search measured: pairs of z and score, in the order of z.
    searched_um
        Lowest and highest z allowed, limits considered.
    confirmation
        How a focus from pairs was confirmed: ``pair`` by the second pair, ``another_pair`` by one more, ``corrected``
        by one that agreed and moved the stage once more. ``null`` for a search.
    interval_um
        90 % interval around a focus from pairs.
    pairs, retakes
        The pairs that were read, and images that were taken again because the light had changed within a pair.
    planes_um
        Where the last pair saw two planes, both; else none.
    warnings
        What a reader of the report must know.
    images, targets
        Images taken, and places that the stage was sent to.
    moves, travel_um, duration_ms
        Commanded moves (overshoot and split steps included), length of the way, and time.
    """

    method: str
    why: str = ""
    focused: bool
    z_um: float | None
    focus_z_um: float | None
    start_um: float
    offset_um: float
    extremum: str | None
    prominence: float | None
    noise: float | None
    reason: str
    curve: list[tuple[float, float]]
    searched_um: tuple[float, float]
    confirmation: Literal["pair", "another_pair", "corrected"] | None = None
    interval_um: tuple[float, float] | None = None
    pairs: list[PairData] = []
    retakes: int = 0
    planes_um: list[float] = []
    warnings: list[str]
    images: int
    targets: int = 0
    moves: int
    travel_um: float
    duration_ms: float


class HologramOutcome(Message):
    """What an excursion of a ``focus.hold`` by holograms reports.

    Parameters
    ----------
    held
        Whether the specimen was at the wanted distance at its end.
    distance_um, wanted_um
        The last distance that was read, and the one that is kept; ``null`` where there is none.
    reason
        Why it is not held.
    readings
        What holograms said: ``z_um`` of the stage, and ``distance_um`` there, ``null`` where they have none.
    start_um, z_um
        Where the stage was at its beginning, and where it is.
    images, targets
        Holograms taken, and places that the stage was sent to.
    moves, travel_um, duration_ms
        Commanded moves (overshoot and split steps included), length of the way, and time.
    """

    held: bool
    distance_um: float | None
    wanted_um: float | None
    reason: str
    readings: list[dict[str, JsonValue]]
    start_um: float
    z_um: float | None
    images: int
    targets: int
    moves: int
    travel_um: float
    duration_ms: float


class HoldOutcome(Message):
    """What a ``focus.hold`` reports at its end.

    Parameters
    ----------
    source
        What told where the focus is.
    rounds, failed
        Excursions that ended, and how many of them found no focus. Of holograms that were refocused numerically: how
        often their distance had changed, and how often several in a row had none.
    z_um
        Where the stage is.
    plane_um
        The plane that was kept; ``null`` where it is not known.
    distance_um
        Of holograms: the distance that was kept, or the last one in which they were refocused.
    last
        What the last excursion by images reported, as ``focus.run`` does.
    last_hologram
        What the last excursion by holograms reported.
    images, moves, travel_um, duration_ms
        What it has cost.
    """

    source: Literal["images", "hologram"] = "images"
    rounds: int
    failed: int
    z_um: float | None
    plane_um: float | None
    distance_um: float | None = None
    last: FocusOutcome | None
    last_hologram: HologramOutcome | None = None
    images: int
    moves: int
    travel_um: float
    duration_ms: float


class CalibrateOutcome(Message):
    """What a ``calibrate.run`` of focus that is done reports. Lengths named ``dof`` are in depths of field.

    Parameters
    ----------
    accepted, reasons
        The verdict, and what speaks against it.
    path
        The calibration's file; ``null`` where no field could be swept.
    dof_um, delta_um
        Depth of field, and the distance between the two images.
    rung
        What it took: ``nothing``, a ``line``, a linear ``head`` on the network's features, or a fine-tuned network
        (``deep``).
    deep, tuned_sha256
        What became of fine-tuning, in words, where it was asked for; hash of the fine-tuned network that an accepted
        calibration uses.
    sign, slope, offset_dof, interval_factor
        What is corrected: the direction of the stage, a straight line, and the width of the intervals.
    stage
        What the stage does: play, positioning error, drift, noise, flicker.
    fields
        Each field's focus and figures, or why it was rejected.
    before, fitted, after
        Figures of pairs: of the judging fields without correction, of the fitted ones left out in turn, and of the
        judging fields with correction.
    long
        The same of long pairs, with which a focus is checked: what they took, what is corrected, and their figures.
    closed_loop
        What became of real moves by one pair each.
    rejected, warnings
        Fields without a focus, and what a reader must know.
    z_um, start_um
        Where the stage is at the end, and where it began.
    images, dose_ms, moves, travel_um, duration_ms
        What it has cost.
    """

    accepted: bool
    reasons: list[str]
    path: str | None
    dof_um: float
    delta_um: float
    rung: Literal["nothing", "line", "head", "deep"]
    deep: str | None
    tuned_sha256: str | None
    sign: Literal[-1, 1]
    slope: float
    offset_dof: float
    interval_factor: float | None
    stage: dict[str, JsonValue] | None
    fields: list[dict[str, JsonValue]]
    before: dict[str, JsonValue] | None
    fitted: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None
    long: dict[str, JsonValue] | None
    closed_loop: dict[str, JsonValue] | None
    rejected: list[str]
    warnings: list[str]
    z_um: float | None
    start_um: float
    images: int
    dose_ms: float
    moves: int
    travel_um: float
    duration_ms: float


class CalibrateHologramOutcome(Message):
    """What a ``calibrate.run`` of holograms that is done reports; figures are ``null`` where there is no line.

    Parameters
    ----------
    accepted, reasons
        The verdict, and what speaks against it.
    warnings
        What a reader must know: above all what follows where the direction of the stage is unknown.
    path
        The calibration's file.
    dof_um
        Depth of field in the medium.
    side, side_known, side_changed
        Which sideband is read from now on; whether stage steps have shown that it is the right one, so that positive
        distances lie downstream; whether it is another one than before.
    sign
        1 where distances rise as ``z_um`` rises.
    focus_per_stage, focus_per_stage_interval, focus_per_stage_expected
        µm of distance per µm of stage: what was measured, its 90 % interval, and what the indices of immersion and
        medium promise.
    stage_per_focus
        µm of stage per µm of distance.
    places
        Each place: ``stage_um``, ``distance_um``, ``residual_um`` (above the line) and successful ``visits``.
    offset_um
        Median distance of the cells where the stage is at 0.
    repeatability_um
        Standard deviation of the mean distance between visits of one place.
    linearity_um, worst_um
        Root mean square, and the greatest, of the residuals.
    drift_um_s
        How fast distances rose while the stage rested.
    play_um
        How far the stage is off after coming from the other side.
    cells, readings, outliers
        Cells that were followed, their distances, and how many of these lie too far off the line to count.
    visits, lost
        Visits of places, and those without a distance.
    background
        When the background hologram was ``taken``, and its ``sha256``; ``null`` where the background was fitted.
    z_um, start_um
        Where the stage is at the end, and where it began.
    images, dose_ms, moves, travel_um, duration_ms
        What it has cost.
    """

    accepted: bool
    reasons: list[str]
    warnings: list[str]
    path: str | None
    dof_um: float | None
    side: Literal["plus", "minus"]
    side_known: bool
    side_changed: bool
    sign: Literal[-1, 1] | None
    focus_per_stage: float | None
    focus_per_stage_interval: tuple[float, float] | None
    focus_per_stage_expected: float
    stage_per_focus: float | None
    places: list[dict[str, JsonValue]]
    offset_um: float | None
    repeatability_um: float | None
    linearity_um: float | None
    worst_um: float | None
    drift_um_s: float | None
    play_um: float | None
    cells: int | None
    readings: int | None
    outliers: int | None
    visits: int
    lost: int
    background: dict[str, JsonValue] | None
    z_um: float | None
    start_um: float
    images: int
    dose_ms: float
    moves: int
    travel_um: float
    duration_ms: float


__all__ = [
    "AcquireOutcome",
    "CalibrateHologramOutcome",
    "CalibrateOutcome",
    "FocusOutcome",
    "HoldOutcome",
    "HologramOutcome",
    "MoveOutcome",
    "PairData",
    "SnapOutcome",
]

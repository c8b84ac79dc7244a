"""Faults that tests and demonstrations switch on while a simulated microscope runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Faults:
    """What is broken at the moment; the default is nothing.

    Plain attributes: any thread may set them at any time, the devices read them at their next call. Counts are
    counted down by the devices.

    Parameters
    ----------
    snap_failures
        So many next snaps raise ``CameraError``.
    take_failures
        So many next calls of ``take`` raise ``CameraError``.
    camera_hang_s
        The next call of ``snap``, ``start`` or ``take`` blocks this long first; then the fault is over.
    lose_every
        Every n-th frame of a sequence never arrives (its number is skipped); 0 loses none.
    sequence_dies
        The running sequence, or the next one, ends by itself: no more frames, not running, and no error, which is how
        real drivers behave. Then the fault is over.
    frame_age_s
        The camera hands out frames that were exposed this long ago, as a driver with a stale buffer does. Their
        exposure times are told truly.
    stage_stuck
        The stage accepts commands and does not move.
    stage_failures
        So many next questions and commands to the stage raise ``StageError``.
    stop_hang_s
        The next call of the stage's ``stop`` brakes, but returns only after so long; then the fault is over.
    busy_lies
        The stage says that it is not busy, at once and always.
    drift_um_s
        The specimen drifts along the optical axis with this speed, without the encoder seeing it. A change takes
        effect at the next call of the stage; drift that has happened stays.
    """

    snap_failures: int = 0
    take_failures: int = 0
    camera_hang_s: float = 0.0
    lose_every: int = 0
    sequence_dies: bool = False
    frame_age_s: float = 0.0
    stage_stuck: bool = False
    stage_failures: int = 0
    stop_hang_s: float = 0.0
    busy_lies: bool = False
    drift_um_s: float = 0.0


__all__ = ["Faults"]

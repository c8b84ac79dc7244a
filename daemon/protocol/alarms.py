"""Alarms: a closed list of codes, each with its cause and what a person should do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlarmCode(StrEnum):
    """Every code that an alarm can have."""

    FAULT = "fault"
    FAULT_CONNECTION = "fault.connection"
    FAULT_CAMERA = "fault.camera"
    FAULT_FRAME_TIMEOUT = "fault.frame_timeout"
    FAULT_STAGE = "fault.stage"
    FAULT_STAGE_NOT_ARRIVED = "fault.stage_not_arrived"
    FAULT_HARDWARE_SILENT = "fault.hardware_silent"
    FAULT_ENGINE = "fault.engine"
    STOP_STUCK = "stop.stuck"
    STAGE_MOVED = "stage.moved"
    LEASE_EXPIRED = "lease.expired"
    KEY_REVOKED = "key.revoked"
    FRAME_AGE = "watch.frame_age"
    ENGINE_LATE = "watch.engine_late"
    LOOP_LAG = "watch.loop_lag"
    DISK = "watch.disk"
    SUBSCRIBER_GAP = "watch.subscriber_gap"
    FOCUS_LOST = "focus.hold_lost"
    FOCUS_PAIR = "focus.pair_untrusted"
    HOLOGRAM_BACKGROUND = "hologram.background_stale"
    JOURNAL_ENDED = "journal.ended"
    RECORDING_ENDED = "recording.ended"
    RECORDING_FRAMES = "recording.frames_left_out"
    RESTARTED = "supervisor.restarted"


@dataclass(frozen=True, slots=True)
class AlarmGuide:
    """What an alarm means, and what to do."""

    cause: str
    remedy: str


GUIDE: dict[AlarmCode, AlarmGuide] = {
    AlarmCode.FAULT: AlarmGuide(
        "A device or the daemon itself failed in a way that has no code of its own.",
        "Read the detail; restart the daemon; report the trace in the log.",
    ),
    AlarmCode.FAULT_CONNECTION: AlarmGuide(
        "The microscope could not be opened.",
        "The detail names the cause and its remedy; `microscoped check` opens it without moving anything.",
    ),
    AlarmCode.FAULT_CAMERA: AlarmGuide(
        "The camera refused a command, or its sequence stopped by itself. The state is DEGRADED until a frame comes.",
        "Check cable, power and whether another program holds the camera; then start the stream again.",
    ),
    AlarmCode.FAULT_FRAME_TIMEOUT: AlarmGuide(
        "No frame came within its exposure and camera.frame_allowance_s.",
        "Check the trigger mode, cable and power; raise the allowance for a camera that is slow by nature.",
    ),
    AlarmCode.FAULT_STAGE: AlarmGuide(
        "The stage refused a command or does not answer. The state is FAULT and nothing moves.",
        "Check the controller; then send resume, which first reads the stage.",
    ),
    AlarmCode.FAULT_STAGE_NOT_ARRIVED: AlarmGuide(
        "The stage did not reach its target, by its own read-back, within stage.timeout_s. It stays where it is.",
        "Look for a block; compare speed, timeout_s and arrival_tolerance_um; then send resume.",
    ),
    AlarmCode.FAULT_HARDWARE_SILENT: AlarmGuide(
        "A driver call does not return: a driver hangs. The loop goes on; nothing more reaches the hardware.",
        "Use the controller's own stop if the stage moves; restart the daemon; power-cycle the device.",
    ),
    AlarmCode.FAULT_ENGINE: AlarmGuide(
        "An engine failed on a frame, or hangs.",
        "Read the detail: most often a region of interest that leaves the frame, or a frame that is no hologram. "
        "Restart the daemon if it hangs.",
    ),
    AlarmCode.STOP_STUCK: AlarmGuide(
        "The stage's driver has not returned from its stop; the stage may still move.",
        "Use the controller's own stop or its power switch.",
    ),
    AlarmCode.STAGE_MOVED: AlarmGuide(
        "The stage moved though nobody here moved it: a hand on the knob, another program, drift of the read-back.",
        "Nothing, if it was you. Positions kept by scripts are no longer true.",
    ),
    AlarmCode.LEASE_EXPIRED: AlarmGuide(
        "A client that held the stage lease did not renew it in time: it is gone, or hangs.",
        "Look after that script. A move under way ends as it was asked for; the stage is free for others.",
    ),
    AlarmCode.KEY_REVOKED: AlarmGuide(
        "A user's key was revoked, or its file cannot be used; that user's tasks and lease of the stage were ended.",
        "Nothing, if it was you. A search returns the stage to its start; a move ends where it is.",
    ),
    AlarmCode.FRAME_AGE: AlarmGuide(
        "The camera should stream, but the newest frame is old.",
        "Check the camera; a driver that hangs also raises fault.hardware_silent.",
    ),
    AlarmCode.ENGINE_LATE: AlarmGuide(
        "An engine has frames waiting and has finished none for seconds.",
        "Lower the frame rate or the size of its region; restart the daemon if it hangs. How long a lens-free "
        "reconstruction may take is engines.cells.lensfree.late_s.",
    ),
    AlarmCode.LOOP_LAG: AlarmGuide(
        "The loop handles inputs late: something keeps the processor or Python's interpreter busy.",
        "Look at the load of the computer; give the daemon a core of its own; lower frame rate or frame size.",
    ),
    AlarmCode.DISK: AlarmGuide(
        "The disk that the journal is written to is nearly full. When it is full, the journal ends.",
        "Free some of it, or set journal.keep, so that old files of a session are deleted.",
    ),
    AlarmCode.SUBSCRIBER_GAP: AlarmGuide(
        "A client asked for events that it had missed.",
        "Its connection or it itself is too slow: subscribe to fewer topics, or read faster.",
    ),
    AlarmCode.FOCUS_LOST: AlarmGuide(
        "Several excursions of focus.hold in a row found no focus. It goes on; the stage stays in the last plane.",
        "Look at the specimen and the light; run focus.run; release the hold if there is nothing to focus on.",
    ),
    AlarmCode.FOCUS_PAIR: AlarmGuide(
        "Pairs of images do not find the focus where the next pair sees it. The method auto uses them no more.",
        "Look at the light and the specimen; calibrate anew, or restart the daemon to try them again.",
    ),
    AlarmCode.HOLOGRAM_BACKGROUND: AlarmGuide(
        "The background hologram does not fit the frames any more: the carrier has moved by more than 0.5 px of the "
        "spectrum, or more than 0.3 rad of wavefront is left. Phases, and what follows from them, are not right.",
        "Look for what was touched or warms up; take the background again with `microscoped calibrate hologram`.",
    ),
    AlarmCode.JOURNAL_ENDED: AlarmGuide(
        "The journal could not be written any more; the daemon goes on without it.",
        "Free the disk or mend it, then restart the daemon to begin a new journal.",
    ),
    AlarmCode.RECORDING_ENDED: AlarmGuide(
        "The recording ended though nobody asked: its disk is full, nearly full, gone, or far too slow. What is "
        "acknowledged in it is whole; the daemon goes on without it.",
        "Free some of the disk, or set record.folder to another one; then send record.start.",
    ),
    AlarmCode.RECORDING_FRAMES: AlarmGuide(
        "The disk does not keep up with the frames, or they have another shape than the first: some are not in the "
        "recording, and its journal says why.",
        "Lower the frame rate or the size of the frames, record to a faster disk, or set record.compression to none; "
        "where binning or region were changed, begin another recording.",
    ),
    AlarmCode.RESTARTED: AlarmGuide(
        "The daemon crashed or hung and was started again. The state is SAFE and nothing moves.",
        "Check the microscope, read the reason, then send resume.",
    ),
}
"""Every alarm, explained."""

__all__ = ["GUIDE", "AlarmCode", "AlarmGuide"]

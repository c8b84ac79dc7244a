"""Ops on the recording, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from microscoped.daemon.core.effects import ClearTimer, SetTimer, StartRecording, StopRecording
from microscoped.daemon.core.handlers.camera import pixel_size_um
from microscoped.daemon.core.views import RecordingView, ReplyTo
from microscoped.daemon.protocol import AlarmCode, ErrorBody, ErrorCode, RefusedError
from microscoped.daemon.protocol.instrument import RecordingStatus
from microscoped.daemon.protocol.ops import RecordResult, RecordStartParams

if TYPE_CHECKING:
    from pydantic import JsonValue

    from microscoped.daemon.core.inputs import FramesLeftOut, HeartbeatDue, RecordingBegan, RecordingEnded
    from microscoped.daemon.core.turn import Ask, Turn

TIMER = "record"
PATIENCE_NS = 5_000_000_000
"""How long the answer to a request waits for the disk."""


def start(turn: Turn, ask: Ask) -> None:
    """Begin to record; the answer follows when the folder is made."""
    params: RecordStartParams = ask.params
    begin(turn, params.folder, params.pixels, ask.to)


def begin(turn: Turn, name: str | None, pixels: bool | None, reply: ReplyTo | None) -> None:
    """Begin to record.

    Raises
    ------
    RefusedError
        Code ``busy``: a recording is being made, or has not ended yet.
    """
    state, held = turn.state, under_way(turn)
    if held is not None:
        remedy = "stop it first" if held.state == "recording" else "wait for the disk"
        detail = f"a recording is {held.state} in {held.folder}; {remedy}"
        raise RefusedError(ErrorCode.BUSY, detail, {"folder": held.folder, "state": held.state})
    if name is None:
        moment = turn.now.utc[:23].replace("-", "").replace(":", "")
        name = f"{moment}Z-{state.session[:8]}"
    wanted = state.settings.record_pixels if pixels is None else pixels
    size_um = pixel_size_um(turn, state.settings.pixel_size_um)
    folder = f"{state.settings.record_folder}/{name}"
    turn.set(recording=RecordingView("starting", folder, wanted, waits=() if reply is None else (reply,)))
    turn.do(StartRecording(name, wanted, size_um))
    turn.do(SetTimer(TIMER, turn.now.mono_ns + PATIENCE_NS))


def stop(turn: Turn, ask: Ask) -> None:
    """End the recording; the answer follows when it is on the disk."""
    end(turn, "record.stop was asked for", ask.to)


def end(turn: Turn, reason: str, reply: ReplyTo | None) -> None:
    """End the recording.

    Raises
    ------
    RefusedError
        Code ``not_found``: there is none.
    """
    view = under_way(turn)
    if view is None:
        raise RefusedError(ErrorCode.NOT_FOUND, "nothing is recorded; record.start begins a recording")
    if view.state != "ending":
        turn.do(StopRecording(reason))
    turn.do(SetTimer(TIMER, turn.now.mono_ns + PATIENCE_NS))
    waits = view.waits if reply is None else (*view.waits, reply)
    turn.set(recording=replace(view, state="ending", waits=waits))


def waited_long(turn: Turn) -> None:
    """Answer those who wait for the disk although it is not done."""
    _answer(turn)


def began(turn: Turn, heard: RecordingBegan) -> None:
    """The folder is made."""
    view = turn.state.recording
    if view is None:
        return
    if view.state == "starting":
        turn.set(recording=replace(view, state="recording", folder=heard.folder))
        _answer(turn)
    else:  # it was ended meanwhile: who wants to know that waits for the end
        turn.set(recording=replace(view, folder=heard.folder))
    turn.publish_state()


def frames_left_out(turn: Turn, heard: FramesLeftOut) -> None:
    """Frames are missing from here on."""
    detail = f"frames from {heard.frame} on are not recorded: {heard.reason}"
    turn.watch(AlarmCode.RECORDING_FRAMES, broken=True, detail=detail, data={"frame": heard.frame})


def ended(turn: Turn, heard: RecordingEnded) -> None:
    """It has ended, because somebody asked or because the disk does not take more."""
    view = turn.state.recording
    if view is None:
        return
    failed_to_start = view.state == "starting" and heard.failed
    view = replace(
        view,
        state="ended",
        folder=heard.folder,
        recorded_seq=heard.last,
        waiting=0,
        frames=heard.frames,
        skipped=heard.skipped,
        detail=heard.detail,
    )
    turn.set(recording=view)
    turn.watch(AlarmCode.RECORDING_FRAMES, broken=False, detail="the recording has ended")
    if heard.failed:
        detail = f"the recording in {heard.folder} has ended: {heard.detail}"
        if failed_to_start:
            detail = f"nothing is recorded in {heard.folder}: {heard.detail}"
        data: dict[str, JsonValue] = {
            "folder": heard.folder,
            "last": heard.last,
            "frames": heard.frames,
            "skipped": heard.skipped,
        }
        turn.alarm(AlarmCode.RECORDING_ENDED, detail, data)
        error = ErrorBody.of(ErrorCode.FAULT_RECORDING, detail, data)
        for wait in view.waits:
            turn.refuse(wait, error)
        turn.set(recording=replace(view, waits=()))
        turn.do(ClearTimer(TIMER))
    else:
        _answer(turn)
    turn.publish_state()


def note_progress(turn: Turn, heard: HeartbeatDue) -> None:
    """Take over how far the recording is."""
    view, progress = under_way(turn), heard.recording
    if view is None or progress is None:
        return
    if progress.skipped == view.skipped:
        turn.watch(AlarmCode.RECORDING_FRAMES, broken=False, detail="all frames are recorded again")
    turn.set(
        recording=replace(
            view,
            recorded_seq=progress.recorded_seq,
            waiting=progress.waiting,
            frames=progress.frames,
            skipped=progress.skipped,
        )
    )


def under_way(turn: Turn) -> RecordingView | None:
    """The recording, unless it has ended."""
    view = turn.state.recording
    return None if view is None or view.state == "ended" else view


def status_of(view: RecordingView | None) -> RecordingStatus | None:
    """A recording as it goes over the wire."""
    if view is None:
        return None
    return RecordingStatus(**{name: getattr(view, name) for name in RecordingStatus.model_fields})


def _answer(turn: Turn) -> None:
    view = turn.state.recording
    if view is None:
        return
    turn.set(recording=replace(view, waits=()))
    turn.do(ClearTimer(TIMER))
    status = status_of(view)
    for wait in view.waits:
        turn.reply(wait, RecordResult(recording=status))

"""What each op does: one function an op, by families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from microscoped.daemon.core.handlers import (
    acquire,
    calibrate,
    camera,
    focus,
    hold,
    lease,
    record,
    rules,
    session,
    stage,
    tasks,
)
from microscoped.daemon.core.turn import Ask, Turn

Handler: TypeAlias = Callable[[Turn, Ask], None]

HANDLERS: Mapping[str, Handler] = {
    "hello": session.hello,
    "ping": session.ping,
    "status": session.status,
    "describe": session.describe,
    "snapshot": session.snapshot,
    "events.since": session.events_since,
    "stop": session.stop,
    "resume": session.resume,
    "shutdown": session.shutdown,
    "stage.move": stage.move,
    "stage.position": stage.position,
    "stage.lease": lease.take,
    "stage.release": lease.release,
    "camera.snap": camera.snap,
    "camera.set": camera.configure,
    "camera.start": camera.start,
    "camera.stop": camera.stop,
    "frame.get": camera.get_frame,
    "focus.run": focus.run,
    "focus.hold": hold.hold,
    "focus.release": hold.release,
    "calibrate.run": calibrate.run,
    "calibrate.next": calibrate.next_field,
    "acquire.check": acquire.check,
    "acquire.run": acquire.run,
    "acquire.inject": acquire.inject,
    "acquire.pause": acquire.pause,
    "acquire.resume": acquire.resume,
    "acquire.finish": acquire.finish,
    "record.start": record.start,
    "record.stop": record.stop,
    "rules.set": rules.replace_all,
    "rules.list": rules.list_all,
    "rules.clear": rules.clear,
    "task.get": tasks.get,
    "task.list": tasks.list_all,
    "task.cancel": tasks.cancel,
}
"""Every op of the registry by its name."""

__all__ = ["HANDLERS", "Handler"]

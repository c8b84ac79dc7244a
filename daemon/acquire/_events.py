"""The events of a sequence: where they really go, and whether they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import useq

from microscoped.daemon.acquire._fields import join
from microscoped.drivers.errors import MotionRefusedError
from microscoped.drivers.safety import Origin, check_move, check_target, check_xy_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from microscoped.daemon.acquire.instrument import Instrument, Limits

    Note = Callable[[str, object, str], None]


def build(fields: Mapping[str, Any], **changes: object) -> useq.MDASequence:
    """Make a sequence of fields that were read; each time a new one, for useq's focus plans remember what they saw."""
    fresh = {**fields, **changes}
    positions = fresh.get("stage_positions")
    if isinstance(positions, list):
        fresh["stage_positions"] = [
            {**entry, "sequence": useq.MDASequence(**_unused(entry["sequence"]))} if isinstance(entry, dict) else entry
            for entry in positions
        ]
    return useq.MDASequence(**_unused(fresh))


def _unused(fields: Mapping[str, Any]) -> dict[str, Any]:
    plan = fields.get("autofocus_plan")
    return {**fields, "autofocus_plan": useq.AxesBasedAF(axes=plan.axes)} if plan is not None else dict(fields)


class Geometry:
    """Where the events of a sequence lie, and which field is to blame where one may not lie there.

    useq takes a plane or a point that is relative to nothing as relative to 0 of the stage; here it is relative to
    where the stage is.

    Parameters
    ----------
    sequence
        The sequence.
    instrument
        Where the stages are.
    """

    def __init__(self, sequence: useq.MDASequence, instrument: Instrument) -> None:
        self._sequence = sequence
        self._positions = tuple(sequence.stage_positions)
        self._instrument = instrument

    def placed(self, event: useq.MDAEvent) -> useq.MDAEvent:
        """The event with what it is relative to."""
        position = self._position(event)
        changes: dict[str, float] = {}
        plan, _ = self._plan("z_plan", event)
        if event.z_pos is not None and plan is not None and plan.is_relative and getattr(position, "z", None) is None:
            changes["z_pos"] = event.z_pos + self._instrument.z_um
        grid, _ = self._plan("grid_plan", event)
        if grid is not None and grid.is_relative and self._instrument.xy_um is not None:
            for axis, name, here_um in zip("xy", ("x_pos", "y_pos"), self._instrument.xy_um, strict=True):
                planned = getattr(event, name)
                if planned is not None and getattr(position, axis, None) is None:
                    changes[name] = planned + here_um
        return event.model_copy(update=changes) if changes else event

    def z_place(self, event: useq.MDAEvent) -> tuple[str, object]:
        """The field that decides an event's z, and its value."""
        plan, at = self._plan("z_plan", event)
        if plan is None:
            number = event.index.get("p", 0)
            return f"stage_positions.{number}.z", event.z_pos
        for name in ("range", "top", "above", "absolute", "relative"):
            value = getattr(plan, name, None)
            if value is not None:
                if name in ("absolute", "relative"):
                    return join(at, f"{name}.{event.index.get('z', 0)}"), value[event.index.get("z", 0)]
                return join(at, name), value
        return at, ""

    def low_z_place(self, event: useq.MDAEvent) -> tuple[str, object]:
        """The same where the z is too low."""
        plan, at = self._plan("z_plan", event)
        for name in ("bottom", "below"):
            if getattr(plan, name, None) is not None:
                return join(at, name), getattr(plan, name)
        return self.z_place(event)

    def xy_place(self, event: useq.MDAEvent) -> str:
        """The field that decides an event's place in the plane."""
        grid, at = self._plan("grid_plan", event)
        return at if grid is not None else f"stage_positions.{event.index.get('p', 0)}"

    def channel_place(self, event: useq.MDAEvent) -> str:
        """The field that names an event's channel."""
        channels, at = self._plan("channels", event)
        return join(at, str(event.index.get("c", 0))) if channels else at

    def _position(self, event: useq.MDAEvent) -> useq.Position | None:
        number = event.index.get("p")
        return self._positions[number] if number is not None and number < len(self._positions) else None

    def _plan(self, name: str, event: useq.MDAEvent) -> tuple[Any, str]:
        """A plan that an event obeys, its position's own or the sequence's, and where that stands."""
        position = self._position(event)
        if position is not None and position.sequence is not None and getattr(position.sequence, name):
            return getattr(position.sequence, name), f"stage_positions.{event.index['p']}.sequence.{name}"
        return getattr(self._sequence, name), name


def check_motion(event: useq.MDAEvent, from_um: float, geometry: Geometry, instrument: Instrument, note: Note) -> float:
    """Note where the stages may not go; return where the focus stage will be, in µm."""
    if event.x_pos is not None or event.y_pos is not None:
        _check_plane(event, geometry.xy_place(event), instrument, note)
    if event.z_pos is None:
        return from_um
    z_um = float(event.z_pos)
    limits_um = instrument.motion.limits_um
    low = limits_um is not None and z_um < limits_um[0]
    place, value = geometry.low_z_place(event) if low else geometry.z_place(event)
    try:
        check_target(instrument.motion, z_um)
        check_move(instrument.motion, from_um, z_um, Origin.AUTOMATIC)
    except MotionRefusedError as refusal:
        note(place, value, f"{refusal} (the stage is at {instrument.z_um:g} µm); take other planes or positions")
    return z_um


def _check_plane(event: useq.MDAEvent, place: str, instrument: Instrument, note: Note) -> None:
    if instrument.xy_um is None:
        note(place, "", "this microscope has no motorised stage in the plane; take x, y and grids out")
        return
    target = (
        instrument.xy_um[0] if event.x_pos is None else float(event.x_pos),
        instrument.xy_um[1] if event.y_pos is None else float(event.y_pos),
    )
    try:
        check_xy_target(instrument.xy, target)
    except MotionRefusedError as refusal:
        note(place, target, f"{refusal}; take other positions, or move the stage first")


def check_light(
    event: useq.MDAEvent, place: str, exposure_place: str, instrument: Instrument, limits: Limits, note: Note
) -> None:
    """Note a channel that is not there, named at `place`, and an exposure that is too long."""
    channel = event.channel
    if channel is not None:
        known = instrument.presets.get(channel.group)
        if known is None:
            groups = ", ".join(instrument.presets) or "none at all"
            remedy = f"there is no group of this name (there is {groups}); name another, or add it to the configuration"
            note(join(place, "group"), channel.group, remedy)
        elif channel.config not in known:
            choice = ", ".join(known) or "none"
            note(join(place, "config"), channel.config, f"{channel.group} has no such preset; choose one of: {choice}")
    exposure_ms = instrument.exposure_ms if event.exposure is None else float(event.exposure)
    if exposure_ms > limits.max_exposure_ms:
        note(exposure_place, exposure_ms, f"is longer than {limits.max_exposure_ms:g} ms; shorten it")


def is_image(event: useq.MDAEvent) -> bool:
    """Whether an event takes a frame."""
    return isinstance(event.action, useq.AcquireImage)


def placed(events: Iterable[useq.MDAEvent], geometry: Geometry) -> Iterator[useq.MDAEvent]:
    """The events with what they are relative to."""
    return (geometry.placed(event) for event in events)


__all__ = ["Geometry", "build", "check_light", "check_motion", "is_image", "placed"]

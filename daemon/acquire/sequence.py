"""Reading a sequence: all that can be wrong with it is said before anything moves.

A sequence is a ``useq.MDASequence`` as plain data or YAML. useq passes over fields that it does not know, takes
relative stacks as relative to 0, and lets many things stand without effect; here they are errors that name their place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import useq
import yaml

from microscoped.daemon.acquire._estimate import Slices, estimate, frames_at_once, period, shortened, time_points
from microscoped.daemon.acquire._events import Geometry, build, check_light, check_motion, is_image, placed
from microscoped.daemon.acquire._fields import FieldReader, join, shown
from microscoped.daemon.acquire.errors import Problem, SequenceInvalidError
from microscoped.daemon.acquire.instrument import Estimate, Instrument, Limits

MOST_TEXT = 1_000_000
"""Characters of YAML."""
EVENT_FIELDS = frozenset(
    {"index", "channel", "exposure", "min_start_time", "pos_name", "x_pos", "y_pos", "z_pos", "metadata", "action"}
)
"""Fields of an event that are carried out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A sequence that was accepted.

    Parameters
    ----------
    fields
        What it consists of, read.
    instrument, limits
        What it was checked against.
    estimate
        What it will cost.
    """

    fields: Mapping[str, Any]
    instrument: Instrument
    limits: Limits
    estimate: Estimate

    @property
    def has_channels(self) -> bool:
        """Whether it sets the light itself."""
        return bool(self.fields.get("channels"))

    def sequence(self) -> useq.MDASequence:
        """Return it as useq knows it; each time a new one."""
        return build(self.fields)

    def events(self) -> Iterator[useq.MDAEvent]:
        """Return its events, from the first, with absolute places."""
        sequence = self.sequence()
        return placed(sequence, Geometry(sequence, self.instrument))

    def cost(self, events: Sequence[useq.MDAEvent]) -> tuple[int, float]:
        """How many frames, and how much light in ms, the events take."""
        exposures = [
            self.instrument.exposure_ms if event.exposure is None else float(event.exposure)
            for event in events
            if is_image(event)
        ]
        return len(exposures), sum(exposures)


def read_sequence(content: str | Mapping[str, Any], instrument: Instrument, limits: Limits | None = None) -> Plan:
    """Read a sequence and check it.

    Parameters
    ----------
    content
        YAML, or what YAML gives.
    instrument, limits
        The microscope as it is; what the acquisition may be.

    Raises
    ------
    SequenceInvalidError
        With every problem that was found: field, value, remedy.
    """
    limits = limits or Limits()
    raw = _mapping(content)
    reader = FieldReader(instrument, limits.max_frames)
    reader.numbers(raw)
    _give_up(reader)
    fields = reader.sequence(raw)
    _give_up(reader)
    sequence = _built(fields, reader)
    _check_whole(sequence, instrument, reader)
    _give_up(reader)
    slices = _count(fields, sequence, instrument, limits, reader)
    _give_up(reader)
    cost = estimate(slices, sequence, instrument, limits, len(tuple(sequence.stage_positions)) or 1)
    _check_cost(cost, limits, reader)
    _give_up(reader)
    return Plan(fields, instrument, limits, cost)


def around(sequence: Mapping[str, Any], name: str, xy_um: tuple[float, float] | None, z_um: float) -> Mapping[str, Any]:
    """Return a sequence as plain data at a place; one that has positions of its own stays as it is.

    Parameters
    ----------
    sequence
        As for `read_sequence`.
    name, xy_um, z_um
        Of the position; ``None`` where there is no stage in the plane.
    """
    if sequence.get("stage_positions"):
        return sequence
    position: dict[str, Any] = {"name": name, "z": z_um}
    if xy_um is not None:
        position |= {"x": xy_um[0], "y": xy_um[1]}
    return {**sequence, "stage_positions": [position]}


def read_events(
    content: object,
    instrument: Instrument,
    limits: Limits,
    *,
    channels_known: bool = True,
) -> tuple[useq.MDAEvent, ...]:
    """Read events that are to be injected; their places are absolute.

    Parameters
    ----------
    content
        A list with the fields of each ``useq.MDAEvent``.
    instrument, limits
        As for a sequence.
    channels_known
        Whether the running plan sets the light itself, so that it comes back after an event with a channel.

    Raises
    ------
    SequenceInvalidError
        With every problem that was found.
    """
    reader = FieldReader(instrument, limits.max_frames)
    if not isinstance(content, Sequence) or isinstance(content, str) or not content:
        raise SequenceInvalidError((Problem("events", shown(content), "must be a list of one event or more"),))
    if len(content) > limits.max_frames:
        reader.problem("events", f"{len(content)} events", f"at most {limits.max_frames} are possible; give fewer")
        _give_up(reader)
    events = [_event(entry, f"events.{number}", reader) for number, entry in enumerate(content)]
    z_um = instrument.z_um
    for number, event in enumerate(events):
        if event is None:
            continue
        place = f"events.{number}"
        z_um = check_motion(event, z_um, _OneEvent(place, event), instrument, reader.problem)
        at = join(place, "channel")
        check_light(event, at, join(place, "exposure"), instrument, limits, reader.problem)
        if event.channel is not None and not channels_known:
            remedy = "the plan leaves the light as it is, so it could not come back after this; give the plan channels"
            reader.problem(at, event.channel.config, remedy)
        if (event.min_start_time or 0.0) < 0:
            reader.problem(join(place, "min_start_time"), event.min_start_time, "must not be negative")
        if not is_image(event) and not instrument.can_focus:
            reader.problem(join(place, "action"), "", "nothing can focus here; take focus events out")
    _give_up(reader)
    return tuple(event for event in events if event is not None)


class _OneEvent(Geometry):
    """An event that belongs to no sequence: its own fields decide."""

    def __init__(self, place: str, event: useq.MDAEvent) -> None:
        self._at = place
        self._event = event

    def z_place(self, event: useq.MDAEvent) -> tuple[str, object]:
        return join(self._at, "z_pos"), event.z_pos

    def low_z_place(self, event: useq.MDAEvent) -> tuple[str, object]:
        return self.z_place(event)

    def xy_place(self, event: useq.MDAEvent) -> str:
        return join(self._at, "x_pos" if event.x_pos is not None else "y_pos")


def _mapping(content: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """YAML or a mapping as a mapping."""
    if isinstance(content, str):
        if len(content) > MOST_TEXT:
            raise SequenceInvalidError((Problem("", f"{len(content)} characters", f"at most {MOST_TEXT}; shorten it"),))
        try:
            content = yaml.safe_load(content)
        except yaml.YAMLError as error:
            raise SequenceInvalidError((Problem("", "", f"is no YAML: {error}"),)) from None
    if not isinstance(content, Mapping):
        raise SequenceInvalidError((Problem("", shown(content), "must be a mapping with the fields of a sequence"),))
    return content


def _give_up(reader: FieldReader) -> None:
    if reader.problems:
        raise SequenceInvalidError(tuple(reader.problems))


def _built(fields: Mapping[str, Any], reader: FieldReader) -> useq.MDASequence:
    """Have useq put the fields together; what it only warns of is an error here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return build(fields)
    except (ValueError, TypeError, UserWarning) as error:
        words = str(error.errors()[0]["msg"]) if hasattr(error, "errors") else str(error)
        raise SequenceInvalidError((*reader.problems, Problem("", "", words.removeprefix("Value error, ")))) from None


def _check_whole(sequence: useq.MDASequence, instrument: Instrument, reader: FieldReader) -> None:
    """Note what would stand without effect, and what cannot be done at all."""
    order = tuple(sequence.axis_order)
    fields = {"t": "time_plan", "p": "stage_positions", "g": "grid_plan", "c": "channels", "z": "z_plan"}
    used = {axis for axis, name in fields.items() if getattr(sequence, name)}
    for axis in sorted(used - set(order)):
        reader.problem("axis_order", "".join(order), f"{fields[axis]} would be passed over; add {axis} to the order")
    if not used:
        reader.problem("", "", "wants no frame; give a time_plan, stage_positions, channels, a z_plan or a grid_plan")
    _check_channels(sequence, "", None, reader)
    plans = [("", sequence.autofocus_plan)]
    inner_axes = set(used)
    for number, position in enumerate(sequence.stage_positions):
        if position.sequence is not None:
            at = f"stage_positions.{number}.sequence"
            _check_channels(position.sequence, at, sequence, reader)
            plans.append((at, position.sequence.autofocus_plan))
            inner_axes |= {axis for axis, name in fields.items() if getattr(position.sequence, name)}
    for at, plan in plans:
        if plan is None:
            continue
        place = join(at, "autofocus_plan")
        if not instrument.can_focus:
            reader.problem(place, "", "nothing can focus here; take it out, or enable an engine that focuses")
        if not inner_axes.intersection(plan.axes):
            axes = ", ".join(sorted(inner_axes))
            reader.problem(
                join(place, "axes"), plan.axes, f"none is an axis here, so nothing is focused; name of: {axes}"
            )


def _check_channels(sequence: useq.MDASequence, at: str, parent: useq.MDASequence | None, reader: FieldReader) -> None:
    for number, channel in enumerate(sequence.channels):
        place = join(at, f"channels.{number}")
        if channel.z_offset and not sequence.z_plan and not (parent is not None and parent.z_plan):
            remedy = "has no effect without a z_plan; add one, as {relative: [0]}"
            reader.problem(join(place, "z_offset"), channel.z_offset, remedy)


def _count(
    fields: Mapping[str, Any],
    sequence: useq.MDASequence,
    instrument: Instrument,
    limits: Limits,
    reader: FieldReader,
) -> Slices:
    """Go through the events of the first time points: check where they go, and count them."""
    slices = Slices(time_points(sequence), period(sequence))
    at_once = frames_at_once(sequence)
    bound = at_once * (1 if slices.period > 1 else len(slices.times))
    if bound > limits.max_frames or at_once * slices.spread > 2 * limits.max_frames:
        reader.problem("frames", bound, f"at most {limits.max_frames} are possible; take fewer planes, places or times")
        return slices
    short = build(fields, **shortened(fields, slices))
    geometry = Geometry(short, instrument)
    z_um = instrument.z_um
    for event in placed(short, geometry):
        slices.add(event, instrument)
        z_um = check_motion(event, z_um, geometry, instrument, reader.problem)
        place = geometry.channel_place(event)
        check_light(event, place, join(place, "exposure"), instrument, limits, reader.problem)
    if not slices.seen and not reader.problems:
        reader.problem("", "", "wants no frame; check the lengths of its plans")
    return slices


def _check_cost(cost: Estimate, limits: Limits, reader: FieldReader) -> None:
    """Note what is more than may be spent."""
    if cost.frames > limits.max_frames:
        reader.problem("frames", cost.frames, f"at most {limits.max_frames}; take fewer planes, places or times")
    if cost.duration_s > limits.max_duration_s:
        remedy = f"{cost.duration_s:.0f} s are more than {limits.max_duration_s:g} s; take fewer time points"
        reader.problem("duration_s", f"{cost.duration_s:.0f}", remedy)
    if cost.light_ms > limits.light_ms:
        remedy = f"{limits.light_ms:g} ms of light are left; expose for shorter, take fewer frames, or grant more"
        reader.problem("light_ms", f"{cost.light_ms:g}", remedy)
    if cost.disk_bytes > limits.disk_bytes:
        remedy = f"{limits.disk_bytes:.0f} bytes are free; take fewer frames, bin them, or make room"
        reader.problem("disk_bytes", cost.disk_bytes, remedy)


def _event(content: object, place: str, reader: FieldReader) -> useq.MDAEvent | None:
    """Read one event."""
    if not isinstance(content, Mapping):
        reader.problem(place, content, "must be a mapping with the fields of an event")
        return None
    reader.numbers(content, place)
    known = {key: value for key, value in content.items() if key in EVENT_FIELDS}
    for key in content:
        if key not in EVENT_FIELDS and content[key] not in (None, False):
            what = f"is not carried out; an event has {', '.join(sorted(EVENT_FIELDS))}"
            reader.problem(join(place, str(key)), content[key], what)
    event = reader.model(place, useq.MDAEvent, {key: value for key, value in known.items() if value is not None})
    if event is not None and not isinstance(event.action, useq.AcquireImage | useq.HardwareAutofocus):
        what = "is not carried out; acquire_image and hardware_autofocus are"
        reader.problem(join(place, "action"), event.action.type, what)
        return None
    return event


__all__ = ["Plan", "around", "read_events", "read_sequence"]

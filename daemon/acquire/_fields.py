"""Reading the fields of a sequence: useq passes over what it does not know, and tries every kind of plan in turn.

Here each field is looked at by itself, so that an unknown one is an error, and an error names its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import useq
from pydantic import BaseModel, ValidationError

from microscoped.daemon.acquire.errors import Problem

if TYPE_CHECKING:
    from microscoped.daemon.acquire.instrument import Instrument

M = TypeVar("M", bound=BaseModel)

MOST_METADATA = 65_536
"""Bytes of metadata, as JSON."""
DEEPEST = 12

Z_PLANS: Mapping[frozenset[str], type[BaseModel]] = {
    frozenset({"top", "bottom", "step"}): useq.ZTopBottom,
    frozenset({"above", "below", "step"}): useq.ZAboveBelow,
    frozenset({"range", "step"}): useq.ZRangeAround,
    frozenset({"absolute"}): useq.ZAbsolutePositions,
    frozenset({"relative"}): useq.ZRelativePositions,
}
TIME_PLANS: Mapping[frozenset[str], type[BaseModel]] = {
    frozenset({"interval", "loops"}): useq.TIntervalLoops,
    frozenset({"duration", "loops"}): useq.TDurationLoops,
    frozenset({"interval", "duration"}): useq.TIntervalDuration,
}
GRID_PLANS: Mapping[frozenset[str], type[BaseModel]] = {
    frozenset({"top", "left", "bottom", "right"}): useq.GridFromEdges,
    frozenset({"rows", "columns"}): useq.GridRowsColumns,
    frozenset({"width", "height"}): useq.GridWidthHeight,
    frozenset({"num_points"}): useq.RandomPoints,
}


class FieldReader:
    """Reads the fields of a sequence and collects what is wrong with them.

    Parameters
    ----------
    instrument
        Gives grids their field of view where they name none.
    most
        How many entries an axis may have.
    """

    def __init__(self, instrument: Instrument, most: int) -> None:
        self._instrument = instrument
        self._most = most
        self.problems: list[Problem] = []

    def problem(self, place: str, value: object, detail: str) -> None:
        """Note what is wrong with a field; only the first problem of a place is kept."""
        if all(known.place != place for known in self.problems):
            self.problems.append(Problem(place, shown(value), detail))

    def numbers(self, value: object, place: str = "", depth: int = 0) -> None:
        """Refuse numbers that are none, and what is nested absurdly deep."""
        if depth > DEEPEST:
            self.problem(place, "", f"it is nested more than {DEEPEST} deep; flatten it")
        elif isinstance(value, float) and not math.isfinite(value):
            self.problem(place, value, "is no number; give a finite one")
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                self.numbers(entry, join(place, str(key)), depth + 1)
        elif isinstance(value, list | tuple):
            for number, entry in enumerate(value):
                self.numbers(entry, join(place, str(number)), depth + 1)

    def sequence(self, raw: Mapping[str, Any], place: str = "") -> dict[str, Any]:
        """Read a sequence, or the sequence of a position; return its fields in the form that useq takes.

        Fields with problems are left out.
        """
        read: dict[str, Any] = {}
        known = set(useq.MDASequence.model_fields)
        for key, value in raw.items():
            at = join(place, str(key))
            if key not in known:
                self.problem(at, value, f"there is no such field; a sequence has {', '.join(sorted(known))}")
            elif value is None or value == () or value == []:
                continue
            elif (entry := self._field(key, value, at, nested=bool(place))) is not None:
                read[key] = entry
        return read

    def model(self, place: str, model: type[M], value: object) -> M | None:
        """Validate by a model of useq; note its errors, and fields that it does not know."""
        if isinstance(value, Mapping):
            for key in value:
                if key not in model.model_fields:
                    self.problem(
                        join(place, str(key)),
                        value[key],
                        f"{model.__name__} has no such field, but {', '.join(model.model_fields)}",
                    )
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for found in error.errors():
                at = join(place, ".".join(str(part) for part in found["loc"]))
                missing = found["type"] == "missing"
                self.problem(at, "" if missing else found["input"], remedy(found["type"], found["msg"]))
        except (TypeError, ValueError, ArithmeticError) as error:
            self.problem(place, value, str(error))
        return None

    def _field(self, key: str, value: object, place: str, *, nested: bool) -> object | None:
        match key:
            case "metadata":
                return self._metadata(value, place)
            case "axis_order":
                return self._axis_order(value, place)
            case "channels":
                return self._listed(value, place, self._channel)
            case "z_plan":
                return self._z_plan(value, place)
            case "grid_plan":
                return self._grid_plan(value, place)
            case "autofocus_plan":
                return self._autofocus(value, place)
            case "time_plan" if not nested:
                return self._time_plan(value, place)
            case "stage_positions" if not nested:
                return self._positions(value, place)
            case "time_plan" | "stage_positions":
                remedy_of = {
                    "time_plan": "put it at the top, with t after p in axis_order for a time lapse at each position",
                    "stage_positions": "list all positions at the top",
                }
                self.problem(place, value, f"a position has no {key} of its own; {remedy_of[key]}")
            case "setup":
                self.problem(place, "", "is not carried out; set camera and light before the acquisition")
            case "keep_shutter_open_across":
                self.problem(place, value, "shutters are not kept open across events; take it out")
        return None

    def _metadata(self, value: object, place: str) -> object | None:
        try:
            size = len(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            self.problem(place, "", f"cannot be written as JSON ({error}); use numbers, text, lists and mappings")
            return None
        if not isinstance(value, Mapping) or size > MOST_METADATA:
            self.problem(place, f"{size} bytes", f"must be a mapping of at most {MOST_METADATA} bytes; shorten it")
            return None
        return value

    def _axis_order(self, value: object, place: str) -> object | None:
        axes = list(value) if isinstance(value, str | list | tuple) else []
        wrong = [str(axis) for axis in axes if str(axis).lower() not in tuple("tpgcz")]
        if not axes or wrong or len({str(axis).lower() for axis in axes}) < len(axes):
            self.problem(place, value, "must name axes out of t, p, g, c, z, each once, like tpgcz")
            return None
        return "".join(str(axis).lower() for axis in axes)

    def _listed(self, value: object, place: str, read: Any) -> object | None:  # noqa: ANN401 (a method of this class)
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.problem(place, value, "must be a list; put it in brackets")
            return None
        if len(value) > self._most:
            self.problem(place, f"{len(value)} entries", f"at most {self._most} are possible; give fewer")
            return None
        return [read(entry, join(place, str(number))) for number, entry in enumerate(value)]

    def _channel(self, value: object, place: str) -> object | None:
        channel = self.model(place, useq.Channel, value)
        if channel is not None and channel.camera is not None:
            self.problem(join(place, "camera"), channel.camera, "there is one camera; take it out")
        return channel

    def _positions(self, value: object, place: str) -> object | None:
        if isinstance(value, Mapping):
            return self.model(place, useq.WellPlatePlan, value)
        return self._listed(value, place, self._position)

    def _position(self, value: object, place: str) -> object | None:
        if isinstance(value, list | tuple):
            if not 1 <= len(value) <= 3:
                self.problem(place, value, "must be [x, y] or [x, y, z] in µm")
                return None
            value = dict(zip(("x", "y", "z"), value, strict=False))
        if not isinstance(value, Mapping):
            self.problem(place, value, "must be a mapping with x, y, z in µm, or a list of them")
            return None
        fields = dict(value)
        if fields.pop("properties", None):
            self.problem(
                join(place, "properties"), "", "are not set here; make a preset of them, and a channel of that"
            )
        inner = fields.pop("sequence", None)
        position = self.model(place, useq.Position, fields)
        if inner is None or position is None:
            return position
        if not isinstance(inner, Mapping):
            self.problem(join(place, "sequence"), inner, "must be a mapping with the fields of a sequence")
            return None
        return {**fields, "sequence": self.sequence(inner, join(place, "sequence"))}

    def _kind(self, value: object, place: str, kinds: Mapping[frozenset[str], type[BaseModel]]) -> BaseModel | None:
        """Find the kind of a plan by the fields that it has, and validate it."""
        if not isinstance(value, Mapping):
            self.problem(place, value, "must be a mapping")
            return None
        named = {str(key) for key in value}
        # The kind of which most fields are there; among equals the one of which fewest are missing.
        fields = max(kinds, key=lambda kind: (len(kind & named - {"step"}), -len(kind - named)))
        if not fields & named:
            choices = "; or ".join(", ".join(sorted(kind)) for kind in kinds)
            self.problem(place, value, f"is no plan that is known; give {choices}")
            return None
        return self.model(place, kinds[fields], value)

    def _z_plan(self, value: object, place: str) -> object | None:
        plan = self._kind(value, place, Z_PLANS)
        match plan:
            case useq.ZTopBottom() if plan.top < plan.bottom:
                self.problem(join(place, "top"), plan.top, f"is below bottom = {plan.bottom:g}; exchange them")
                return None
            case useq.ZRangeAround() if plan.range < 0:
                self.problem(join(place, "range"), plan.range, "must not be negative; turn the order by go_up: false")
                return None
            case useq.ZAboveBelow() if min(plan.above, plan.below) < 0:
                name = "above" if plan.above < 0 else "below"
                self.problem(join(place, name), min(plan.above, plan.below), "is a distance; give it without the sign")
                return None
            case useq.ZAbsolutePositions() if not plan.absolute:
                self.problem(join(place, "absolute"), "[]", "names no plane; give one or more")
                return None
            case useq.ZRelativePositions() if not plan.relative:
                self.problem(join(place, "relative"), "[]", "names no plane; give one or more")
                return None
        step = getattr(plan, "step", None)
        if plan is None or (step is not None and step <= 0):
            if plan is not None:
                self.problem(join(place, "step"), step, "must be greater than 0 µm")
            return None
        if not self._few(plan, place, "step" if step is not None else ""):
            return None
        return plan

    def _few(self, plan: Any, place: str, field: str) -> bool:  # noqa: ANN401 (whichever plan it is)
        """Refuse a plan with too many entries, before it is spread out."""
        try:
            number = plan.num_positions()
        except (ArithmeticError, ValueError) as error:
            self.problem(place, "", f"cannot be spread out ({error}); check its fields")
            return False
        if number > self._most:
            at = join(place, field) if field else place
            self.problem(at, getattr(plan, field, ""), f"makes {number} of them; at most {self._most} are possible")
            return False
        return True

    def _time_plan(self, value: object, place: str) -> object | None:
        if isinstance(value, Mapping) and "phases" in value:
            for key in set(value) - {"phases", "prioritize_duration"}:
                self.problem(join(place, str(key)), value[key], "a plan of phases has no such field; put it in a phase")
            return self._time_plan(value["phases"], join(place, "phases"))
        if isinstance(value, list | tuple):
            phases = [self._phase(phase, join(place, str(number))) for number, phase in enumerate(value)]
            return {"phases": phases} if phases and None not in phases else None
        return self._phase(value, place)

    def _phase(self, value: object, place: str) -> object | None:
        plan = self._kind(value, place, TIME_PLANS)
        for name in ("interval", "duration"):
            span = plan.__dict__.get(name) if plan is not None else None
            if isinstance(span, timedelta) and span < timedelta(0):
                self.problem(join(place, name), span.total_seconds(), "must not be negative")
                return None
        match plan:
            case useq.TIntervalDuration() if plan.interval <= timedelta(0):
                self.problem(join(place, "interval"), plan.interval.total_seconds(), "must be greater than 0 s")
            case useq.TDurationLoops() if plan.loops < 2:
                self.problem(join(place, "loops"), plan.loops, "a duration needs two or more; else leave the plan out")
            case useq.TIntervalDuration() | useq.TIntervalLoops() | useq.TDurationLoops() if plan.loops > self._most:
                name = "interval" if isinstance(plan, useq.TIntervalDuration) else "loops"
                given = value[name] if isinstance(value, Mapping) else ""
                self.problem(
                    join(place, name), given, f"makes {plan.loops} time points; at most {self._most} are possible"
                )
            case _:
                return plan
        return None

    def _grid_plan(self, value: object, place: str) -> object | None:
        if isinstance(value, Mapping) and "num_points" not in value:
            value = self._with_view(value, place)
        plan = self._kind(value, place, GRID_PLANS) if value is not None else None
        if isinstance(plan, useq.RandomPoints) and plan.random_seed is None:
            self.problem(
                join(place, "random_seed"), "", "is missing; give a number, so that the points can be repeated"
            )
            return None
        return plan if plan is not None and self._few(plan, place, "") else None

    def _with_view(self, value: Mapping[str, Any], place: str) -> Mapping[str, Any] | None:
        """Give a grid the camera's field of view, where it names none: useq would take 1 µm."""
        size_um = self._instrument.pixel_size_um
        fields = dict(value)
        for name, pixels in zip(("fov_height", "fov_width"), self._instrument.frame_shape_px, strict=True):
            if fields.get(name) is None:
                if size_um is None:
                    self.problem(join(place, name), "", "is missing and the size of a pixel is unknown; give it in µm")
                    return None
                fields[name] = pixels * size_um
            elif isinstance(fields[name], int | float) and fields[name] <= 0:
                self.problem(join(place, name), fields[name], "must be greater than 0 µm")
                return None
        return fields

    def _autofocus(self, value: object, place: str) -> object | None:
        plan = self.model(place, useq.AxesBasedAF, value)
        if plan is None:
            return None
        if plan.autofocus_device_name is not None:
            at = join(place, "autofocus_device_name")
            self.problem(at, plan.autofocus_device_name, "the daemon focuses by itself; take it out")
        if plan.autofocus_motor_offset:
            at = join(place, "autofocus_motor_offset")
            self.problem(at, plan.autofocus_motor_offset, "no offset motor is moved; take it out")
        wrong = [axis for axis in plan.axes if axis not in tuple("tpgcz")]
        if wrong or not plan.axes:
            self.problem(join(place, "axes"), plan.axes, "must name axes out of t, p, g, c, z")
        return plan


def join(place: str, field: str) -> str:
    """A field's way from the top."""
    return f"{place}.{field}" if place and field else place or field


def shown(value: object) -> str:
    """A value as it is printed in an error; long ones are shortened."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def remedy(kind: str, message: str) -> str:
    """A message of pydantic, in our words where it does not say what to do."""
    if kind == "missing":
        return "is missing; give it"
    text = message.removeprefix("Value error, ")
    return f"{text[:1].lower()}{text[1:]}"


__all__ = ["FieldReader", "join", "remedy", "shown"]

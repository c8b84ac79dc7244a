"""The engine ``focus_calibration``: takes a calibration's frames as they come; the fit stays on its thread.

The loop decides where the stage goes; pixels and features stay here. What is answered is plain JSON.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import ndimage

from microscoped.models.focus_pair.calibration.bars import Bars, move_shortfalls, moves_of, shortfalls
from microscoped.models.focus_pair.calibration.figures import Field, PairReading, Told, figures_of, told_of
from microscoped.models.focus_pair.calibration.fit import SIGNS, Fit, fit
from microscoped.models.focus_pair.calibration.focus import focus_of, scores_of
from microscoped.models.focus_pair.calibration.plots import scatter_svg
from microscoped.models.focus_pair.calibration.record import Calibration, Conditions, FieldRecord, head_text, save
from microscoped.models.focus_pair.calibration.stage import (
    Flank,
    Seen,
    StageFigures,
    flank_of,
    stage_faults,
    stage_figures,
)
from microscoped.models.focus_pair.correction import Correction
from microscoped.models.focus_pair.engine import DELTA_RANGE_DOF, FocusPairEngine, PairSettings
from microscoped.models.focus_pair.estimate import EstimateSettings
from microscoped.models.focus_pair.optics import PairOptics
from microscoped.models.focus_pair.preprocess import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.runtimes import CompiledModel

THUMBNAIL_PX = 64
SAME_FIELD = 0.5
"""Correlation from which on two fields are the same one: fields that were moved by a tile have none."""
FLANK_METRIC = "band"


@dataclass(frozen=True, slots=True)
class CalibrationSetup:
    """What does not change between calibrations.

    Parameters
    ----------
    na, wavelength_nm, immersion_index
        As in `PairOptics`.
    objective
        Its name in the configuration.
    model_sha256, software
        Hash of the network, version of microscoped.
    folder
        Where calibrations are kept.
    tiles, estimate
        As in `PairSettings`.
    bars
        What must be reached.
    """

    na: float
    wavelength_nm: float
    immersion_index: float
    objective: str | None
    model_sha256: str
    software: str
    folder: Path
    tiles: int = 25
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    bars: Bars = field(default_factory=Bars)


@dataclass(slots=True)
class _Sweep:
    """The sweep of one field as it grows."""

    number: int
    z_um: list[float] = field(default_factory=list)
    t_s: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    frames: deque[tuple[float, NDArray[Any]]] = field(default_factory=deque)
    thumbnails: list[NDArray[np.float32]] = field(default_factory=list)
    readings: dict[int, list[PairReading]] = field(default_factory=lambda: {sign: [] for sign in SIGNS})


@dataclass(slots=True)
class _Run:
    """One calibration."""

    name: str
    engine: FocusPairEngine
    configured_sign: int
    sweep: _Sweep
    records: list[FieldRecord] = field(default_factory=list)
    fields: dict[str, list[Field]] = field(default_factory=lambda: {"fit": [], "judge": []})
    thumbnails: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    flank: Flank | None = None
    seen: list[Seen] = field(default_factory=list)
    stage: StageFigures | None = None
    fitting: Generator[str, None, Fit] | None = None
    fit: Fit | None = None


class CalibrationEngine:
    """Measures what a calibration needs; its ``action`` says what a frame is for. Used by one thread.

    ``sweep``
        A frame of a sweep. ``run`` (any name), ``begin`` (of the run), ``field`` (1, 2, …), ``first`` (of the field),
        ``z_um``, ``t_s``, ``apart`` (frames from the first to the second image of a pair), ``pixel_size_um``, ``sign``.
        Answers with ``scores`` and the number of ``pairs`` so far.
    ``field``
        The sweep is complete. ``extremum``, ``near_um``, ``role`` (``fit`` or ``judge``). Answers with ``focus_um``
        (``None``: rejected, see ``reason``), ``by_metric_um`` and ``flank_um``, where one score tells one z.
    ``visit``
        A frame at the flank. ``kind``, ``t_s``. Answers with ``seen_um``.
    ``stage``
        All visits were made. ``approach_sign``, ``overshoot_um``. Answers with `StageFigures` and ``faults``.
    ``fit``
        The next piece of the fit: at most about a second, so that other engines get their turn in between. Answers with
        ``done`` and ``doing``.
    ``pair``
        Two frames, the ``earlier`` one first. ``delta_um``. Answers as ``focus_pair`` does, with the fit applied.
    ``finish``
        The verdict. ``moves_um`` (distances from the focus, ``None`` without an answer), ``reasons`` (that speak
        against it already), ``unswept`` (numbers of fields without a sweep, and why), ``conditions``, ``made``,
        ``images``, ``dose_ms``. Writes the file; an accepted calibration takes effect at once. Answers with the file's
        ``path`` and content without the head.

    Parameters
    ----------
    setup
        What does not change.
    model
        The network.
    learn
        Hears how tiles become an estimate, and what is corrected, once a calibration is accepted.
    """

    name = "focus_calibration"
    frames = 1

    def __init__(
        self,
        setup: CalibrationSetup,
        model: CompiledModel,
        learn: Callable[[EstimateSettings, Correction], None] = lambda _settings, _correction: None,
    ) -> None:
        self._setup = setup
        self._model = model
        self._learn = learn
        self._run: _Run | None = None

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do one action with one frame (``pair``: two).

        Raises
        ------
        ValueError
            An action that there is not, an option that is missing, or a run that this engine did not begin.
        CalibrationFileError
            The calibration cannot be written.
        """
        actions: dict[str, Callable[[], Mapping[str, Any]]] = {
            "sweep": lambda: self._sweep(frames[-1], options),
            "field": lambda: self._field(options),
            "visit": lambda: self._visit(frames[-1], options),
            "stage": lambda: self._stage(options),
            "fit": lambda: self._fit(),
            "pair": lambda: self._pair(frames, options),
            "finish": lambda: self._finish(options),
        }
        action = options.get("action")
        if action not in actions:
            raise ValueError(f"action {action!r}: there are {', '.join(actions)}")
        try:
            return actions[action]()
        except KeyError as missing:
            raise ValueError(f"{missing.args[0]}: is missing for the action {action}") from None

    # --- frames -----------------------------------------------------------------------------------------------

    def _sweep(self, frame: NDArray[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        number = int(options["field"])
        if options["begin"]:
            optics = PairOptics(
                self._setup.na, self._setup.wavelength_nm, self._setup.immersion_index, float(options["pixel_size_um"])
            )
            settings = PairSettings(optics, tiles=self._setup.tiles, estimate=self._setup.estimate)
            engine = FocusPairEngine(settings, self._model)
            self._run = _Run(str(options["run"]), engine, int(options["sign"]), _Sweep(number))
        run = self._running(str(options["run"]))
        if options["first"]:
            run.sweep = _Sweep(number)
        sweep = run.sweep
        z_um, apart = float(options["z_um"]), int(options["apart"])
        plane = self._plane(frame)
        scores = scores_of(plane)
        sweep.z_um.append(z_um)
        sweep.t_s.append(float(options["t_s"]))
        sweep.thumbnails.append(_thumbnail(plane))
        for name, score in scores.items():
            sweep.scores.setdefault(name, []).append(score)
        sweep.frames.append((z_um, frame))
        if len(sweep.frames) > apart:
            first_um, first = sweep.frames.popleft()
            delta_dof = (z_um - first_um) / run.engine.settings.optics.dof_um
            if DELTA_RANGE_DOF[0] <= abs(delta_dof) <= DELTA_RANGE_DOF[1]:
                for sign in SIGNS:
                    sweep.readings[sign].append(_read(run.engine, first, frame, delta_dof * sign, z_um))
        return {"scores": scores, "pairs": len(sweep.readings[1]), "mean": float(frame.mean(dtype=np.float64))}

    def _field(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._running()
        sweep = run.sweep
        sweep.frames.clear()
        dof_um = run.engine.settings.optics.dof_um
        found = focus_of(
            sweep.z_um,
            sweep.scores,
            options["extremum"],
            float(options["near_um"]),
            dof_um=dof_um,
            tolerance_dof=self._setup.bars.agreement_dof,
        )
        focus_um, reason = found.z_um, found.reason
        thumbnail = sweep.thumbnails[int(np.argmax(sweep.scores[FLANK_METRIC]))]
        for other, seen in run.thumbnails.items():
            if focus_um is not None and float(np.mean(seen * thumbnail)) > SAME_FIELD:
                focus_um, reason = None, f"it shows the same place as field {other}: move the slide further"
        if focus_um is not None and not any(sweep.readings.values()):
            focus_um, reason = None, "the sweep holds no pair"
        flank: Flank | None = None
        if focus_um is not None:
            run.thumbnails[sweep.number] = thumbnail
            role = cast("str", options["role"])
            readings = {sign: tuple(read) for sign, read in sweep.readings.items()}
            run.fields[role].append(Field(sweep.number, focus_um, dof_um, readings))
            flank = flank_of(sweep.z_um, sweep.scores[FLANK_METRIC], focus_um, dof_um)
            if run.flank is None:
                run.flank = flank
        record = FieldRecord(
            number=sweep.number,
            role=options["role"] if focus_um is not None else "rejected",
            focus_um=focus_um,
            by_metric_um=dict(found.by_metric_um),
            reason=reason,
        )
        run.records.append(record)
        return {
            "focus_um": focus_um,
            "by_metric_um": record.by_metric_um,
            "reason": reason,
            "flank_um": None if flank is None else flank.middle_um,
            "flank_length_um": None if flank is None else flank.length_um,
            "pairs": len(sweep.readings[1]),
        }

    def _visit(self, frame: NDArray[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._running()
        if run.flank is None:
            raise ValueError("there is no flank to visit: sweep a field first")
        score = scores_of(self._plane(frame))[FLANK_METRIC]
        mean = float(frame.mean(dtype=np.float64))
        seen = Seen(options["kind"], run.flank.seen_um(score), run.flank.holds(score), float(options["t_s"]), mean)
        run.seen.append(seen)
        return {"seen_um": seen.z_um, "inside": seen.inside, "mean": mean}

    def _plane(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        sampling = self._running().engine.settings.optics.sampling
        return np.asarray(resample(frame, sampling).mean(axis=0), np.float32)

    def _pair(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._running()
        if run.fit is None:
            raise ValueError("nothing was fitted yet")
        settings = replace(
            run.engine.settings,
            sign=run.fit.sign,
            correction=run.fit.correction,
            estimate=replace(self._setup.estimate, interval_factor=run.fit.interval_factor),
        )
        told = {name: options[name] for name in ("delta_um", "bit_depth") if name in options}
        return FocusPairEngine(settings, self._model).measure(frames, told)

    # --- results ----------------------------------------------------------------------------------------------

    def _stage(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._running()
        if run.flank is None or not run.seen:
            raise ValueError("the stage was not watched: visit the flank first")
        sweep = run.sweep
        apart = float(np.median(np.diff(sweep.t_s))) if len(sweep.t_s) > 1 else 0.0
        sweep_s = sweep.t_s[-1] - sweep.t_s[0] if sweep.t_s else 0.0
        dof_um = run.engine.settings.optics.dof_um
        run.stage = stage_figures(run.seen, _passed(sweep, run.flank), int(options["approach_sign"]), apart, sweep_s)
        faults = stage_faults(run.stage, self._setup.bars, dof_um, float(options["overshoot_um"]))
        return {**run.stage.model_dump(mode="json"), "faults": faults}

    def _fit(self) -> Mapping[str, Any]:
        run = self._running()
        if run.fitting is None:
            run.fitting = fit(run.fields["fit"], self._setup.estimate, run.configured_sign, self._setup.bars)
        try:
            return {"done": False, "doing": next(run.fitting)}
        except StopIteration as end:
            found: Fit = end.value
            run.fit = found
            return {
                "done": True,
                "doing": f"took {found.rung}",
                "sign": found.sign,
                "passed": found.passed,
                "figures": found.figures.model_dump(mode="json"),
            }

    def _finish(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        run, setup = self._running(), self._setup
        estimate = setup.estimate
        reasons = list(options["reasons"])
        found = run.fit
        judged = run.fields["judge"]
        run.records += [FieldRecord(number=int(k), role="rejected", reason=why) for k, why in options["unswept"]]
        run.records.sort(key=lambda record: record.number)
        calibration = Calibration(
            made=options["made"],
            software=setup.software,
            conditions=Conditions(
                objective=setup.objective,
                na=setup.na,
                wavelength_nm=setup.wavelength_nm,
                immersion_index=setup.immersion_index,
                model_sha256=setup.model_sha256,
                **options["conditions"],
            ),
            accepted=False,
            stage=run.stage,
            images=int(options["images"]),
            dose_ms=float(options["dose_ms"]),
            sign=-1 if run.configured_sign < 0 else 1,
        )
        panels: dict[str, Told] = {}
        if found is None or not judged:
            reasons += [] if reasons else [f"{len(run.fields['fit'])} fields to fit and {len(judged)} to judge by"]
            calibration = calibration.model_copy(update={"fields": tuple(run.records)})
        else:
            estimate = replace(setup.estimate, interval_factor=found.interval_factor)
            sign = run.configured_sign or found.sign
            panels["without correction"] = told_of(judged, sign, Correction(), setup.estimate)
            panels["with it"] = told_of(judged, found.sign, found.correction, estimate)
            after = figures_of(panels["with it"])
            dof_um = run.engine.settings.optics.dof_um
            moves = moves_of([None if m is None else m / dof_um for m in options["moves_um"]], setup.bars)
            reasons += [*shortfalls(after, setup.bars), *move_shortfalls(moves, setup.bars)]
            known = {one.number: one for one in (*run.fields["fit"], *judged)}
            calibration = calibration.model_copy(
                update={
                    "rung": found.rung,
                    "sign": found.sign,
                    "slope": found.correction.slope,
                    "offset_dof": found.correction.offset_dof,
                    "head": head_text(found.correction.head),
                    "interval_factor": found.interval_factor,
                    "fitted": found.figures,
                    "before": figures_of(panels["without correction"]),
                    "after": after,
                    "moves": moves,
                    "fields": tuple(
                        record.model_copy(
                            update={
                                "before": figures_of(
                                    told_of([known[record.number]], sign, Correction(), setup.estimate)
                                ),
                                "after": figures_of(
                                    told_of([known[record.number]], found.sign, found.correction, estimate)
                                ),
                            }
                        )
                        if record.number in known
                        else record
                        for record in run.records
                    ),
                }
            )
        calibration = calibration.model_copy(update={"accepted": not reasons, "reasons": tuple(reasons)})
        path = save(calibration, setup.folder, scatter_svg(panels) if panels else "")
        if calibration.accepted:
            self._learn(estimate, calibration.correction())
        self._run = None
        return {"path": str(path), **calibration.model_dump(mode="json", exclude={"head", "sha256"})}

    def _running(self, name: str | None = None) -> _Run:
        if self._run is None or (name is not None and self._run.name != name):
            raise ValueError("this calibration is not under way here: begin with the first frame of a sweep")
        return self._run


def _read(
    engine: FocusPairEngine, first: NDArray[Any], second: NDArray[Any], delta_dof: float, z_um: float
) -> PairReading:
    inputs = engine.prepare(first, second, delta_dof)
    told = engine.interpret(inputs)
    return PairReading(
        z_um=z_um,
        delta_dof=delta_dof,
        defocus_dof=told.defocus_dof,
        expected_error_dof=told.expected_error_dof,
        features=told.features,
        contents=told.contents,
        centres=inputs.centres,
    )


def _passed(sweep: _Sweep, flank: Flank) -> tuple[float, float]:
    """Return when the sweep passed the middle of its flank, and where that is."""
    order = np.argsort(sweep.z_um)
    z, t = np.array(sweep.z_um)[order], np.array(sweep.t_s)[order]
    return float(np.interp(flank.middle_um, z, t)), flank.middle_um


def _thumbnail(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frame's coarse structure without its shading, with mean 0 and variance 1."""
    step = max(1, min(plane.shape) // THUMBNAIL_PX)
    rows, columns = (size // step for size in plane.shape)
    small = plane[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    small = small - ndimage.gaussian_filter(small, 3.0)
    small -= small.mean()
    return np.asarray(small / max(float(small.std()), 1e-9), np.float32)


__all__ = ["SAME_FIELD", "CalibrationEngine", "CalibrationSetup"]

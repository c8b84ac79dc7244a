"""The engine ``focus_calibration``: takes a calibration's frames as they come; the fit stays on its thread.

The loop decides where the stage goes; pixels and features stay here. What is answered is plain JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from microscoped.models.focus_pair.calibration.bars import Bars, move_shortfalls, moves_of, shortfalls
from microscoped.models.focus_pair.calibration.deep import DeepRun
from microscoped.models.focus_pair.calibration.figures import Field, PairReading, Told, figures_of, told_of
from microscoped.models.focus_pair.calibration.fit import SIGNS, Fit, fit
from microscoped.models.focus_pair.calibration.focus import focus_of, scores_of, thumbnail_of
from microscoped.models.focus_pair.calibration.long import NO_LONG_PAIRS, judge_long, then_long
from microscoped.models.focus_pair.calibration.networks import keep_network, prune_networks
from microscoped.models.focus_pair.calibration.pairs import SweepPairs
from microscoped.models.focus_pair.calibration.plots import scatter_svg
from microscoped.models.focus_pair.calibration.record import (
    Calibration,
    Conditions,
    FieldRecord,
    LongRecord,
    head_text,
    networks_named,
    save,
)
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
from microscoped.models.focus_pair.optics import Character, PairOptics
from microscoped.models.focus_pair.preprocess import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.focus_pair.calibration.deep import DeepTools, Tuned
    from microscoped.models.runtimes import CompiledModel

    Learn: TypeAlias = Callable[[EstimateSettings, Correction, CompiledModel | None], None]

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
    condenser_na
        Aperture of the condenser, where it is known.
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
    condenser_na: float | None = None
    tiles: int = 25
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    bars: Bars = field(default_factory=Bars)


@dataclass(slots=True)
class _Sweep:
    """The sweep of one field as it grows."""

    number: int
    pairs: SweepPairs
    z_um: list[float] = field(default_factory=list)
    t_s: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    thumbnails: list[NDArray[np.float32]] = field(default_factory=list)
    readings: dict[int, list[PairReading]] = field(default_factory=lambda: {sign: [] for sign in SIGNS})
    long: dict[int, list[PairReading]] = field(default_factory=lambda: {sign: [] for sign in SIGNS})


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
    fitting: Generator[str, None, tuple[Fit, Fit | None]] | None = None
    fit: Fit | None = None
    long: Fit | None = None
    deep: DeepRun | None = None

    @property
    def tuned(self) -> Tuned | None:
        """The fine-tuned network, if the fit took one."""
        return None if self.deep is None else self.deep.tuned

    def as_corrected(self, one: Field) -> Field:
        """Return a field as the network reads it that the fit took."""
        if self.deep is None or self.deep.tuned is None:
            return one
        return replace(one, readings={self.deep.sign: self.deep.readings.get(one.number, ())})

    def close(self) -> None:
        """End what is under way and take away what is kept."""
        if self.fitting is not None:
            self.fitting.close()
        if self.deep is not None:
            self.deep.close()


class CalibrationEngine:
    """Measures what a calibration needs; its ``action`` says what a frame is for. Used by one thread.

    ``sweep``
        A frame of a sweep. ``run`` (any name), ``begin`` (of the run), ``field`` (1, 2, …), ``first`` (of the field),
        ``near_um`` (where the search found the focus), ``z_um``, ``t_s``, ``apart`` (frames from the first to the
        second image of a pair), ``pixel_size_um``, ``sign``, ``deep`` (where the network may be fine-tuned on this
        field: of how many; else 0). Answers with ``scores`` and the number of ``pairs`` so far.
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
    ``drop``
        Forget the run, and end the training that may be under way.

    Parameters
    ----------
    setup
        What does not change.
    model
        The network.
    learn
        Hears how tiles become an estimate, what is corrected, and which network was fine-tuned, if one was, once a
        calibration is accepted. That network is the hearer's to close.
    deep
        What fine-tuning needs; without it there is none.
    """

    name = "focus_calibration"
    frames = 1

    def __init__(
        self,
        setup: CalibrationSetup,
        model: CompiledModel,
        learn: Learn = lambda _settings, _correction, _tuned: None,
        deep: DeepTools | None = None,
    ) -> None:
        self._setup = setup
        self._model = model
        self._learn = learn
        self._deep = deep
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
            "drop": lambda: self._drop(),
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
        apart, near_um = int(options["apart"]), float(options["near_um"])
        if options["begin"]:
            optics = PairOptics(
                self._setup.na, self._setup.wavelength_nm, self._setup.immersion_index, float(options["pixel_size_um"])
            )
            character = Character.of_condenser(optics.na, self._setup.condenser_na)
            settings = PairSettings(optics, tiles=self._setup.tiles, estimate=self._setup.estimate, character=character)
            engine = FocusPairEngine(settings, self._model)
            sweep = _Sweep(number, SweepPairs(apart, near_um, optics.dof_um))
            sign, deep = int(options["sign"]), int(options.get("deep", 0))
            self._drop()
            self._run = _Run(str(options["run"]), engine, sign, sweep)
            if deep and self._deep is not None:
                self._run.deep = DeepRun(self._deep, deep, sign or 1)
        run = self._running(str(options["run"]))
        dof_um = run.engine.settings.optics.dof_um
        if options["first"]:
            run.sweep = _Sweep(number, SweepPairs(apart, near_um, dof_um))
            if run.deep is not None:
                run.deep.begin_field(number)
        sweep, z_um = run.sweep, float(options["z_um"])
        plane = self._plane(frame)
        scores = scores_of(plane)
        sweep.z_um.append(z_um)
        sweep.t_s.append(float(options["t_s"]))
        sweep.thumbnails.append(thumbnail_of(plane))
        for name, score in scores.items():
            sweep.scores.setdefault(name, []).append(score)
        for pair in sweep.pairs.add(z_um, frame):
            delta_dof = (pair.second.z_um - pair.first.z_um) / dof_um
            if DELTA_RANGE_DOF[0] <= abs(delta_dof) <= DELTA_RANGE_DOF[1]:
                for sign, kept in (sweep.long if pair.long else sweep.readings).items():
                    inputs = run.engine.prepare(pair.first.frame, pair.second.frame, delta_dof * sign)
                    kept.append(PairReading.of(inputs, run.engine.interpret(inputs), pair.second.z_um))
                    if run.deep is not None and sign == run.deep.sign and not pair.long:
                        run.deep.see(inputs.arrays, kept[-1])
        return {"scores": scores, "pairs": len(sweep.readings[1]), "mean": float(frame.mean(dtype=np.float64))}

    def _field(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        run = self._running()
        sweep = run.sweep
        sweep.pairs.clear()
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
            readings, long = (
                {sign: tuple(read) for sign, read in kept.items()} for kept in (sweep.readings, sweep.long)
            )
            run.fields[role].append(Field(sweep.number, focus_um, dof_um, readings, long))
            flank = flank_of(sweep.z_um, sweep.scores[FLANK_METRIC], focus_um, dof_um)
            if run.flank is None:
                run.flank = flank
        if run.deep is not None:
            run.deep.end_field(focus_um, dof_um)
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
        model = self._model if run.tuned is None else run.tuned.model
        return FocusPairEngine(settings, model).measure(frames, told)

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
            fields, settings, bars = run.fields["fit"], self._setup.estimate, self._setup.bars
            ladder = fit(fields, settings, run.configured_sign, bars)
            if run.deep is not None:
                ladder = run.deep.climb(ladder, settings, bars)
            run.fitting = then_long(ladder, fields, settings, bars)
        try:
            return {"done": False, "doing": next(run.fitting)}
        except StopIteration as end:
            run.fit, run.long = end.value
            found = cast("Fit", run.fit)
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
                condenser_na=setup.condenser_na,
                model_sha256=setup.model_sha256,
                **options["conditions"],
            ),
            accepted=False,
            stage=run.stage,
            images=int(options["images"]),
            dose_ms=float(options["dose_ms"]),
            sign=-1 if run.configured_sign < 0 else 1,
            deep=None if run.deep is None else run.deep.outcome,
        )
        panels: dict[str, Told] = {}
        if found is None or not judged:
            reasons += [] if reasons else [f"{len(run.fields['fit'])} fields to fit and {len(judged)} to judge by"]
            calibration = calibration.model_copy(update={"fields": tuple(run.records)})
        else:
            estimate = replace(setup.estimate, interval_factor=found.interval_factor)
            sign = run.configured_sign or found.sign
            panels["without correction"] = told_of(judged, sign, Correction(), setup.estimate)
            panels["with it"] = told_of(list(map(run.as_corrected, judged)), found.sign, found.correction, estimate)
            after = figures_of(panels["with it"])
            dof_um = run.engine.settings.optics.dof_um
            long = None if run.long is None else judge_long(run.long, judged, setup.estimate, setup.bars)
            reasons += [NO_LONG_PAIRS] if long is None else long.reasons
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
                    "long": None if long is None else LongRecord.of(long),
                    "fields": tuple(
                        record.model_copy(
                            update={
                                "before": figures_of(
                                    told_of([known[record.number]], sign, Correction(), setup.estimate)
                                ),
                                "after": figures_of(
                                    told_of(
                                        [run.as_corrected(known[record.number])],
                                        found.sign,
                                        found.correction,
                                        estimate,
                                    )
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
        tuned = run.tuned if calibration.accepted else None
        if tuned is not None:
            keep_network(tuned.artefact, setup.folder)
            calibration = calibration.model_copy(update={"tuned_sha256": tuned.artefact.sidecar.sha256})
        path = save(calibration, setup.folder, scatter_svg(panels) if panels else "")
        if calibration.accepted:
            prune_networks(setup.folder, networks_named(setup.folder))
            handed = None if run.deep is None else run.deep.hand_over()
            self._learn(estimate, calibration.correction(), None if handed is None else handed.model)
        self._drop()
        unsaid: Any = {"head": True, "sha256": True, "long": {"head"}}
        return {"path": str(path), **calibration.model_dump(mode="json", exclude=unsaid)}

    def _drop(self) -> Mapping[str, Any]:
        """Forget the run; a training under way ends."""
        run, self._run = self._run, None
        if run is not None:
            run.close()
        return {}

    def _running(self, name: str | None = None) -> _Run:
        if self._run is None or (name is not None and self._run.name != name):
            raise ValueError("this calibration is not under way here: begin with the first frame of a sweep")
        return self._run


def _passed(sweep: _Sweep, flank: Flank) -> tuple[float, float]:
    """Return when the sweep passed the middle of its flank, and where that is."""
    order = np.argsort(sweep.z_um)
    z, t = np.array(sweep.z_um)[order], np.array(sweep.t_s)[order]
    return float(np.interp(flank.middle_um, z, t)), flank.middle_um


__all__ = ["SAME_FIELD", "CalibrationEngine", "CalibrationSetup"]

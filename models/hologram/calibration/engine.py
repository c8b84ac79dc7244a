"""The engine ``hologram_calibration``: takes a calibration's holograms as they come; what they say stays on its thread.

The loop decides where the stage goes; distances of cells stay here. What is answered is plain JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from microscoped.models.hologram._frames import monochrome
from microscoped.models.hologram.arrays import SCIPY
from microscoped.models.hologram.background import Background
from microscoped.models.hologram.calibration.files import background_from
from microscoped.models.hologram.calibration.line import DistanceReading, Line, fit_line
from microscoped.models.hologram.calibration.plots import line_svg
from microscoped.models.hologram.calibration.record import (
    BackgroundRecord,
    Conditions,
    HologramCalibration,
    HologramRecord,
    LineRecord,
    backgrounds_named,
    save,
)
from microscoped.models.hologram.calibration.tracks import CellTracks
from microscoped.models.hologram.calibration.verdict import Bars, SideFound, Told, find_side, shortfalls
from microscoped.models.hologram.cells import TYPICAL_DIAMETER, find_cells
from microscoped.models.hologram.engine import HologramEngine
from microscoped.models.hologram.errors import FrameShapeError, HologramError, NoSidebandError
from microscoped.models.hologram.field import normalised
from microscoped.models.hologram.phase import denser_side
from microscoped.models.hologram.sideband import SidebandFilter, find_sideband
from microscoped.models.hologram.stored import StoredBackground, keep_background, prune_backgrounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from microscoped.models.hologram.arrays import ArrayBackend
    from microscoped.models.hologram.engine import HologramEngineSettings
    from microscoped.models.hologram.field import Field
    from microscoped.models.hologram.network import DistanceNetwork
    from microscoped.models.hologram.optics import HologramOptics
    from microscoped.models.hologram.sideband import Side

    Learn: TypeAlias = Callable[[HologramCalibration], None]

SAME_CELL_DIAMETERS = 0.4
"""A cell that moved less than this between two holograms is the same one."""
USUAL_CELL_UM = 8.0
"""Diameter of a cell where the aperture is unknown."""
FIELD = -1
"""Number of the "cell" that stands for a whole field in which no cell was found."""
FLOOR_DOF = 0.01
"""Least deviation that distances are thought to have, in depths of field."""
CELL_CONTRAST = 0.2
"""Contrast (`Cell.contrast`) from which a thing in a background may be a cell; dust has less."""
NEAR_DOF = 2.0
"""So near to focus the phase tells whether a specimen is denser than its medium."""
SAME_PIXEL = 1e-3
"""Relative difference up to which two pixel sizes are the same."""


@dataclass(frozen=True, slots=True)
class HologramCalibrationSetup:
    """What does not change between calibrations.

    Parameters
    ----------
    settings
        Those of the engine ``hologram``; the pixel size is that of an unbinned pixel.
    folder
        Where calibrations and backgrounds are kept.
    objective, immersion_index
        As in the configuration.
    software
        Version of microscoped.
    bars
        What must be reached.
    """

    settings: HologramEngineSettings
    folder: Path
    objective: str | None
    software: str
    immersion_index: float = 1.0
    bars: Bars = field(default_factory=Bars)


@dataclass(slots=True, eq=False)
class _Run:
    """One calibration."""

    name: str
    engine: HologramEngine
    background: StoredBackground | None
    pixel_size_um: float
    tracks: CellTracks
    readings: list[DistanceReading] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dof_um: float = 1.0
    nearest: tuple[float, NDArray[Any]] | None = None


class HologramCalibrationEngine:
    """Measures what a calibration of holograms needs; its ``action`` says what a frame is for. Used by one thread.

    ``background``
        A hologram of a place without specimen. ``taken`` (UTC), ``pixel_size_um`` (of the frame, binning included);
        ``file``: the name of a file in the folder that is taken in place of the frame, or ``None``. Answers with
        ``sha256``, and in words with a ``reason`` why it cannot be used, or a ``warning``.
    ``step``
        A hologram at one visit of a place. ``run`` (any name), ``begin`` (of the run), ``place``, ``visit``,
        ``reverse``, ``z_um``, ``t_s``, ``pixel_size_um``, ``background`` (``keep`` the one in force, the one that was
        ``taken`` just before, or ``none``). Answers with ``distance_um`` and ``cells``, a ``reason`` where there is no
        distance, and with ``stale``: why the background does not hold, empty where it does.
    ``finish``
        The verdict. ``reasons`` (that speak against it already), ``light_sign``, ``overshoot_um``, ``conditions``,
        ``made``, ``images``, ``dose_ms``. Writes the file; an accepted calibration takes effect at once. Answers with
        the file's ``path`` and content.
    ``drop``
        Forget the run.

    Parameters
    ----------
    setup
        What does not change.
    network
        Reads distances; without it cells are searched.
    background
        The background hologram in force, if there is one.
    learn
        Hears of an accepted calibration.
    arrays
        The library that transforms.
    """

    name = "hologram_calibration"
    frames = 1

    def __init__(
        self,
        setup: HologramCalibrationSetup,
        network: DistanceNetwork | None = None,
        background: StoredBackground | None = None,
        learn: Learn = lambda _calibration: None,
        arrays: ArrayBackend = SCIPY,
    ) -> None:
        self._setup = setup
        self._settings = setup.settings
        self._network = network
        self._background = background
        self._learn = learn
        self._arrays = arrays
        self._taken: tuple[StoredBackground, str] | None = None
        self._run: _Run | None = None

    @property
    def side(self) -> Side:
        """Which sideband is read."""
        return self._settings.reconstruction.side

    def measure(self, frames: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do one action with one frame.

        Raises
        ------
        ValueError
            An action that there is not, an option that is missing, a run that this engine did not begin, a first frame
            that is no hologram, or a file that cannot be written.
        """
        actions: dict[str, Callable[[], Mapping[str, Any]]] = {
            "background": lambda: self._take(frames[-1], options),
            "step": lambda: self._step(frames[-1], options),
            "finish": lambda: self._finish(options),
            "drop": self._drop,
        }
        action = options.get("action")
        if action not in actions:
            raise ValueError(f"action {action!r}: there are {', '.join(actions)}")
        try:
            return actions[action]()
        except KeyError as missing:
            raise ValueError(f"{missing.args[0]}: is missing for the action {action}") from None

    # --- frames -----------------------------------------------------------------------------------------------

    def _take(self, frame: NDArray[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        optics = self._optics(float(options["pixel_size_um"]))
        self._taken = None
        if options["file"] is not None:
            found = background_from(self._setup.folder, str(options["file"]), optics, self.side)
        try:
            if options["file"] is None:
                found = StoredBackground(_counts(frame), str(options["taken"]), optics, self.side)
            radius = self._settings.reconstruction.radius
            band = find_sideband(found.frame, optics, side=self.side, radius=radius)
            shape = found.frame.shape[0], found.frame.shape[1]
            field = SidebandFilter(shape, band, optics, self._arrays)(found.frame)
            Background.of_hologram(field)
        except HologramError as error:
            return {"sha256": None, "taken": None, "reason": f"the background cannot be used: {error}", "warning": ""}
        self._taken = found, self._seen_in(field)
        return {"sha256": found.sha256, "taken": found.taken, "reason": "", "warning": self._taken[1]}

    def _seen_in(self, field: Field) -> str:
        """Return in words what a background shows that may be specimen; dirt on the optics may look alike."""
        flat = Background.fitted(field, self._settings.reconstruction.background_order).applied(field)
        wanted = replace(self._settings.measure.distance.cells, least_contrast=CELL_CONTRAST)
        count = len(find_cells(flat.at(normalised(flat.values)), wanted))
        if not count:
            return ""
        return (
            f"the background hologram shows {count} things with the contrast of cells: if they are not on the optics, "
            "take another, at a place without specimen"
        )

    def _step(self, frame: NDArray[Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
        name = str(options["run"])
        if options["begin"]:
            self._run = self._begun(name, frame, options)
        run = self._running(name)
        first = not run.times_s
        run.times_s.append(float(options["t_s"]))
        try:
            values = run.engine.measure([frame], {"pixel_size_um": run.pixel_size_um})
        except HologramError as error:
            if first and (run.background is None or not isinstance(error, NoSidebandError)):
                raise
            run.lost.append(str(error))
            return {"distance_um": None, "cells": 0, "reason": str(error), "stale": str(error) if first else ""}
        run.dof_um = float(values["dof_um"])
        background = values["background"]
        stale = str(background["why"]) if background["kind"] == "hologram" and background["stale"] else ""
        distance = values["z_min_contrast_um"]
        count = self._note(run, values, options)
        if not count:
            run.lost.append(str(values["reason"]))
        elif distance is not None and not options["reverse"]:
            near = abs(float(distance))
            if run.nearest is None or near < run.nearest[0]:
                run.nearest = near, frame.copy()
        return {"distance_um": distance, "cells": count, "reason": values["reason"], "stale": stale}

    def _begun(self, name: str, frame: NDArray[Any], options: Mapping[str, Any]) -> _Run:
        pixel_um = float(options["pixel_size_um"])
        optics = self._optics(pixel_um)
        if not optics.scale_known:
            raise ValueError(f"wavelength_um {optics.wavelength_um}: a calibration in µm needs it; configure it")
        background, warnings = self._chosen(str(options["background"]), frame, pixel_um)
        settings = replace(self._settings, measure=replace(self._settings.measure, phase=False))
        engine = HologramEngine(settings, self._network, background, self._arrays)
        reach_px = SAME_CELL_DIAMETERS * self._cell_um(optics) / pixel_um
        return _Run(name, engine, background, pixel_um, CellTracks(reach_px), warnings=warnings)

    def _chosen(self, which: str, frame: NDArray[Any], pixel_um: float) -> tuple[StoredBackground | None, list[str]]:
        """Return the background to work with, and what must be said about it."""
        match which:
            case "none":
                return None, []
            case "taken":
                if self._taken is None:
                    raise ValueError("background: none was taken; begin with the action background")
                background, warning = self._taken
                return background, [warning] if warning else []
        kept = self._background
        if kept is None:
            return None, []
        then_um = kept.optics.pixel_size_um
        if kept.frame.shape == frame.shape[:2] and then_um and abs(then_um - pixel_um) <= SAME_PIXEL * then_um:
            return kept, []
        warning = (
            f"the stored background, of shape {kept.frame.shape} and pixels of {then_um:g} µm, does not suit frames of "
            f"shape {frame.shape} and {pixel_um:g} µm: the background was fitted; take another with --background"
        )
        return None, [warning]

    def _note(self, run: _Run, values: Mapping[str, Any], options: Mapping[str, Any]) -> int:
        """Keep the distances of a frame; return of how many cells, the whole field counting as one."""
        known = [one for one in values["cells"] if one["z_min_contrast_um"] is not None and not one["border"]]
        numbers = run.tracks.numbers([(one["row_px"], one["column_px"]) for one in known])
        found = [(number, one["z_min_contrast_um"]) for number, one in zip(numbers, known, strict=True)]
        if not values["cells"] and values["z_min_contrast_um"] is not None:
            found = [(FIELD, values["z_min_contrast_um"])]
        run.readings += [
            DistanceReading(
                stage_um=float(options["z_um"]),
                t_s=float(options["t_s"]),
                place=int(options["place"]),
                visit=int(options["visit"]),
                cell=number,
                distance_um=float(distance),
                reverse=bool(options["reverse"]),
            )
            for number, distance in found
        ]
        return len(found)

    def _cell_um(self, optics: HologramOptics) -> float:
        given = self._settings.measure.distance.cells.diameter
        if given is not None:
            return given
        if optics.na is None or optics.wavelength_um is None:
            return USUAL_CELL_UM
        return TYPICAL_DIAMETER * optics.wavelength_um / optics.na

    def _optics(self, pixel_size_um: float) -> HologramOptics:
        return replace(self._settings.optics, pixel_size_um=pixel_size_um)

    # --- results ----------------------------------------------------------------------------------------------

    def _finish(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        run, setup = self._running(), self._setup
        optics = self._settings.optics
        reasons, warnings = list(options["reasons"]), list(run.warnings)
        expected = optics.medium_index / setup.immersion_index
        line = fit_line(run.readings, FLOOR_DOF * run.dof_um)
        found: SideFound | None = None
        written: LineRecord | None = None
        if isinstance(line, str):
            # Where something stopped it early, that is the reason.
            reasons += [] if reasons else [f"{line}{self._most_said(run)}"]
        else:
            reasons += self._shortfalls(run, line, expected, float(options["overshoot_um"]))
            found = find_side(line.slope, self.side, options["light_sign"], self._denser(run))
            warnings += found.warnings
            written = LineRecord.of(line, found.changed and not reasons)
        accepted = not reasons
        side = found.side if found is not None and accepted else self.side
        background = run.background
        if background is not None:
            background = replace(background, side=side)
        record = HologramRecord(
            made=options["made"],
            software=setup.software,
            conditions=Conditions(
                objective=setup.objective,
                na=optics.na,
                wavelength_nm=1000.0 * optics.require_wavelength_um("a calibration"),
                immersion_index=setup.immersion_index,
                medium_index=optics.medium_index,
                **options["conditions"],
            ),
            accepted=accepted,
            reasons=tuple(reasons),
            warnings=tuple(warnings),
            side=1 if side > 0 else -1,
            side_known=found is not None and found.known,
            side_changed=found is not None and found.changed and accepted,
            expected=expected,
            line=written,
            visits=len(run.times_s),
            lost=len(run.lost),
            background=None
            if background is None or not accepted
            else BackgroundRecord(taken=background.taken, sha256=background.sha256),
            images=int(options["images"]),
            dose_ms=float(options["dose_ms"]),
        )
        if accepted and background is not None:
            keep_background(background, setup.folder)
        path = save(record, setup.folder, "" if written is None else line_svg(written))
        if accepted:
            prune_backgrounds(setup.folder, backgrounds_named(setup.folder))
            self._use(HologramCalibration(record, background), side)
        self._drop()
        return {"path": str(path), **record.model_dump(mode="json", exclude={"sha256"})}

    def _shortfalls(self, run: _Run, line: Line, expected: float, overshoot_um: float) -> list[str]:
        told = Told(
            dof_um=run.dof_um,
            expected=expected,
            overshoot_um=overshoot_um,
            visits=len(run.times_s),
            lost=len(run.lost),
            duration_s=max(run.times_s) - min(run.times_s),
        )
        return shortfalls(line, told, self._setup.bars)

    def _denser(self, run: _Run) -> Side | None:
        """Return with which sideband the specimen is denser than its medium, from the hologram nearest to focus."""
        if run.nearest is None or run.nearest[0] > NEAR_DOF * run.dof_um:
            return None
        return denser_side(run.engine.reconstruct(run.nearest[1], run.pixel_size_um), self.side)

    def _most_said(self, run: _Run) -> str:
        """Return why most of the visits had no distance, to go behind another reason."""
        if not run.lost:
            return ""
        return f"; most of the visits without one say: {max(run.lost, key=run.lost.count)}"

    def _use(self, calibration: HologramCalibration, side: Side) -> None:
        """Take an accepted calibration, and tell of it."""
        self._background = calibration.background
        reconstruction = replace(self._settings.reconstruction, side=side)
        self._settings = replace(self._settings, reconstruction=reconstruction)
        self._learn(calibration)

    def _drop(self) -> Mapping[str, Any]:
        """Forget the run and what was taken for it."""
        self._run = None
        self._taken = None
        return {}

    def _running(self, name: str | None = None) -> _Run:
        if self._run is None or (name is not None and self._run.name != name):
            raise ValueError("this calibration is not under way here: begin with its first step")
        return self._run


def _counts(frame: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    """Return the one channel of a camera's frame, for oneself."""
    if frame.dtype.kind != "u":
        raise FrameShapeError(f"frame dtype {frame.dtype}: unsigned integers are needed, as the camera gives them")
    return cast("NDArray[np.unsignedinteger]", monochrome(frame).copy())


__all__ = ["HologramCalibrationEngine", "HologramCalibrationSetup"]

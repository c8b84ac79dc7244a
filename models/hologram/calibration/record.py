"""A calibration of holograms on disk: one JSON file, and beside it the background hologram that it names."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from microscoped.models.hologram.errors import BackgroundFileError, CalibrationFileError
from microscoped.models.hologram.sideband import Side
from microscoped.models.hologram.stored import StoredBackground, load_background

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from microscoped.models.hologram.calibration.line import Line

VERSION: Final = 1
"""Of the format."""
PREFIX = "hologram-"
REJECTED = "rejected-"
SAME = 1e-3
"""Relative difference up to which two figures of the optics are the same."""
LARGEST_FILE = 4_000_000
ADVICE = "run 'microscoped calibrate hologram'"

Sign = Literal[-1, 1]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Conditions(_Record):
    """What a calibration holds for; ``None`` where it is not known.

    Parameters
    ----------
    objective
        Its name in the configuration.
    na, wavelength_nm, immersion_index, medium_index, pixel_size_um
        The optics; the pixel is the camera's own in the specimen, without binning.
    binning
        Of the camera.
    focus_direction
        Where a rising coordinate of the stage moves the focus: the right sideband follows from it.
    """

    objective: str | None = None
    na: float | None
    wavelength_nm: float
    immersion_index: float
    medium_index: float
    pixel_size_um: float | None
    binning: int | None = None
    focus_direction: Literal["toward_sample", "away", "unknown"]


class PlaceRecord(_Record):
    """One place of the stage; parameters as in `PlaceFigures`."""

    stage_um: float
    distance_um: float
    residual_um: float
    visits: int


class LineRecord(_Record):
    """The line of distance over stage, as it is with the right sideband.

    Parameters
    ----------
    slope
        µm of distance per µm of stage.
    half_width, offset_um, drift_um_s, repeatability_um, linearity_um, worst_um, play_um, cells, readings, outliers
        As in `Line`.
    places
        Each place.
    """

    slope: float
    half_width: float
    offset_um: float
    drift_um_s: float
    repeatability_um: float
    linearity_um: float
    worst_um: float
    play_um: float | None
    cells: int
    readings: int
    outliers: int
    places: tuple[PlaceRecord, ...]

    @classmethod
    def of(cls, line: Line, turned: bool) -> Self:
        """Return what is written of a line; `turned` where the other sideband is the right one than it was read from.

        The other sideband's distances are these with the other sign.
        """
        way = -1.0 if turned else 1.0
        return cls(
            slope=way * line.slope,
            half_width=line.half_width,
            offset_um=way * line.offset_um,
            drift_um_s=way * line.drift_um_s,
            repeatability_um=line.repeatability_um,
            linearity_um=line.linearity_um,
            worst_um=line.worst_um,
            play_um=line.play_um,
            cells=line.cells,
            readings=line.readings,
            outliers=line.outliers,
            places=tuple(
                PlaceRecord(
                    stage_um=place.stage_um,
                    distance_um=way * place.distance_um,
                    residual_um=way * place.residual_um,
                    visits=place.visits,
                )
                for place in line.places
            ),
        )


class BackgroundRecord(_Record):
    """The background hologram that a calibration was made with.

    Parameters
    ----------
    taken
        When, in UTC.
    sha256
        Its hash, and by that its file.
    """

    taken: str
    sha256: Sha256


class HologramRecord(_Record):
    """What was learned of one holographic microscope.

    Parameters
    ----------
    version
        Of this format.
    made, software
        When, in UTC, and by which version of microscoped.
    conditions
        What it holds for.
    accepted, reasons, warnings
        The verdict, what speaks against it, and what a reader must know.
    side, side_known, side_changed
        Which sideband is read from now on: +1 or −1 (`Side`); whether stage steps have shown that it is the right one;
        whether it is another one than before.
    expected
        µm of focus per µm of stage that the indices of immersion and medium promise.
    line
        Distance over stage; ``None`` where there is none.
    visits, lost
        Visits of places, and those without a distance.
    background
        ``None`` where it was fitted.
    images, dose_ms
        What it has cost.
    sha256
        Of all the rest; a file in which it is wrong was altered.
    """

    version: Literal[1] = VERSION
    made: str
    software: str
    conditions: Conditions
    accepted: bool
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    side: Sign
    side_known: bool
    side_changed: bool = False
    expected: float
    line: LineRecord | None = None
    visits: int = 0
    lost: int = 0
    background: BackgroundRecord | None = None
    images: int = 0
    dose_ms: float = 0.0
    sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.sha256 and self.sha256 != self.digest():
            raise ValueError("sha256 is not that of the rest: the file was altered; calibrate again")
        if self.accepted and (self.line is None or self.line.slope == 0):
            raise ValueError("an accepted calibration must hold a line that is not level")
        return self

    def digest(self) -> str:
        """Return the hash of everything but `sha256`."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def mismatches(self, present: Conditions, later: frozenset[str] = frozenset()) -> list[str]:
        """Return why it does not hold for the present microscope; nothing where it does.

        Parameters
        ----------
        present
            The microscope as it is.
        later
            Names of conditions that are not known yet and will be compared when they are.
        """
        mine = self.conditions
        reasons = [] if self.accepted else ["it was not accepted"]
        figures = {
            "na": "the aperture",
            "wavelength_nm": "the wavelength",
            "immersion_index": "the immersion",
            "medium_index": "the medium",
            "pixel_size_um": "the pixel size",
        }
        for name, words in figures.items():
            then, now = getattr(mine, name), getattr(present, name)
            same = then == now or (then is not None and now is not None and abs(then - now) <= SAME * abs(then))
            if name not in later and not same:
                reasons.append(f"{words} was {_number(then)} ({name}) and is {_number(now)}")
        named = {
            "objective": "the objective",
            "binning": "the binning",
            "focus_direction": "the direction of the stage",
        }
        for name, words in named.items():
            then, now = getattr(mine, name), getattr(present, name)
            if name not in later and then != now:
                reasons.append(f"{words} was {then} ({name}) and is {now}")
        return reasons


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


@dataclass(frozen=True, slots=True, eq=False)
class HologramCalibration:
    """An accepted calibration, ready to be used.

    Parameters
    ----------
    record
        What its file says.
    background
        The background hologram; ``None`` where it is fitted.
    no_background
        Why there is none though the record names one; empty else.
    """

    record: HologramRecord
    background: StoredBackground | None = None
    no_background: str = ""

    @property
    def line(self) -> LineRecord:
        """The line, which every accepted calibration has."""
        assert self.record.line is not None  # noqa: S101 - the record sees to it; narrows the type
        return self.record.line

    @property
    def sign(self) -> Sign:
        """+1 where distances rise as the stage's coordinate rises, else −1."""
        return 1 if self.line.slope > 0 else -1

    @property
    def focus_per_stage(self) -> float:
        """µm of distance per µm of stage, positive."""
        return abs(self.line.slope)

    @property
    def stage_per_focus(self) -> float:
        """µm of stage per µm of distance, positive."""
        return 1.0 / self.focus_per_stage

    @property
    def offset_um(self) -> float:
        """Distance of the calibration's specimen where the stage is at 0."""
        return self.line.offset_um

    @property
    def repeatability_um(self) -> float:
        """Standard deviation of a field's distance between visits of one place."""
        return self.line.repeatability_um

    @property
    def side(self) -> Side:
        """Which sideband is read."""
        return Side(self.record.side)

    @property
    def side_known(self) -> bool:
        """Whether it is surely the right one, so that positive distances lie downstream."""
        return self.record.side_known

    def move_um(self, distance_um: float, wanted_um: float = 0.0) -> float:
        """Return how far the stage must go so that a specimen at one distance comes to another.

        That is right whether or not the sideband is the right one: the line was read from the same one.
        """
        return (wanted_um - distance_um) / self.line.slope


def file_name(record: HologramRecord) -> str:
    """Return the name of its file: one for each objective and binning, another for a rejected one."""
    conditions = record.conditions
    objective = conditions.objective or ("unnamed" if conditions.na is None else f"na{conditions.na:g}")
    words = [objective, f"b{conditions.binning}" if conditions.binning else ""]
    stem = "-".join("".join(sign if sign.isalnum() or sign in "._" else "_" for sign in w) for w in words if w)
    return f"{PREFIX}{'' if record.accepted else REJECTED}{stem}.json"


def save(record: HologramRecord, folder: Path, picture: str = "") -> Path:
    """Write it, whole or not at all, and beside it a picture (SVG); those of the same name are replaced.

    Raises
    ------
    CalibrationFileError
        The folder cannot be written to.
    """
    sealed = record.model_copy(update={"sha256": record.digest()})
    path = folder / file_name(record)
    part = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(sealed.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        if picture:
            path.with_suffix(".svg").write_text(picture, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise CalibrationFileError(
            f"{path} cannot be written ({error.strerror}); set engines.hologram.calibration to a folder that can"
        ) from error
    return path


def read(path: Path) -> HologramRecord:
    """Read a calibration's file.

    Raises
    ------
    CalibrationFileError
        It cannot be read, is not one, or was altered.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise CalibrationFileError(f"{path} is too large for a calibration; take it away")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CalibrationFileError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise CalibrationFileError(f"{path} is not a calibration: it is not text; calibrate again") from None
    try:
        found = HologramRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CalibrationFileError(f"{path} is not a whole calibration ({where}: {first['msg']})") from None
    if not found.sha256:
        raise CalibrationFileError(f"{path} has no sha256: it was altered; calibrate again")
    return found


def load(folder: Path, present: Conditions, later: frozenset[str] = frozenset()) -> HologramCalibration | str:
    """Return the newest accepted calibration in a folder that holds for the present microscope.

    Parameters
    ----------
    folder
        Where calibrations and their backgrounds are kept; it need not exist.
    present, later
        As in `HologramRecord.mismatches`.

    Returns
    -------
    calibration
        Or in words why there is none. A background that cannot be read is left out, and the calibration says why.
    """
    whys: dict[str, str] = {}
    best: HologramRecord | None = None
    for path in _accepted(folder):
        try:
            found = read(path)
        except CalibrationFileError as error:
            whys[path.name] = str(error)
            continue
        reasons = found.mismatches(present, later)
        if reasons:
            whys[path.name] = f"{path.name} does not match: {'; '.join(reasons)}"
        elif best is None or found.made > best.made:
            best = found
    if best is None:
        return _why(whys, folder)
    if best.background is None:
        return HologramCalibration(best)
    try:
        return HologramCalibration(best, load_background(folder, best.background.sha256))
    except BackgroundFileError as error:
        return HologramCalibration(best, no_background=str(error))


def backgrounds_named(folder: Path) -> frozenset[str]:
    """Return the hashes of all backgrounds that a calibration in a folder names."""
    named: set[str] = set()
    for path in _accepted(folder):
        with suppress(CalibrationFileError):
            background = read(path).background
            named |= {background.sha256} if background else set()
    return frozenset(named)


def _accepted(folder: Path) -> list[Path]:
    """Return the files of accepted calibrations, by name."""
    files = sorted(folder.glob(f"{PREFIX}*.json")) if folder.is_dir() else []
    return [path for path in files if not path.name.startswith(f"{PREFIX}{REJECTED}")]


def _why(whys: Mapping[str, str], folder: Path) -> str:
    if not whys:
        return f"there is no calibration of holograms in {folder}; {ADVICE}"
    return f"{'; '.join(whys.values())}; {ADVICE}"


__all__ = [
    "BackgroundRecord",
    "Conditions",
    "HologramCalibration",
    "HologramRecord",
    "LineRecord",
    "PlaceRecord",
    "backgrounds_named",
    "file_name",
    "load",
    "read",
    "save",
]

"""A calibration on disk: one JSON file that says what it holds for, what it corrects, and what it was judged by."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from microscoped.models.focus_pair.calibration.bars import Moves
from microscoped.models.focus_pair.calibration.errors import CalibrationFileError
from microscoped.models.focus_pair.calibration.figures import Figures
from microscoped.models.focus_pair.calibration.fit import Rung
from microscoped.models.focus_pair.calibration.networks import load_network
from microscoped.models.focus_pair.calibration.stage import StageFigures
from microscoped.models.focus_pair.correction import Correction, LongCorrection
from microscoped.models.focus_pair.estimate import INTERVAL_FACTOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from microscoped.models.focus_pair.calibration.long import LongVerdict

VERSION: Final = 2
"""Of the format. Version 1 knew nothing of long pairs."""
PREFIX = "focus_pair-"
REJECTED = "rejected-"
SAME = 1e-3
"""Relative difference up to which two figures of the optics are the same."""
LARGEST_FILE = 4_000_000


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Conditions(_Record):
    """What a calibration holds for; ``None`` where it is not known or does not matter.

    Parameters
    ----------
    objective
        Its name in the configuration.
    na, wavelength_nm, immersion_index, pixel_size_um, condenser_na
        The optics; the pixel is the camera's own, without binning.
    binning, channel
        Of the camera and of the light.
    delta_um
        Distance between the two images.
    approach
        How ``z_um`` changes on arrival.
    model_sha256
        Hash of the network.
    """

    objective: str | None = None
    na: float
    wavelength_nm: float
    immersion_index: float
    pixel_size_um: float | None
    condenser_na: float | None = None
    binning: int | None = None
    channel: str | None = None
    delta_um: float
    approach: Literal["increasing", "decreasing"]
    model_sha256: str


class FieldRecord(_Record):
    """One field of the specimen.

    Parameters
    ----------
    number, role
        Which one, and whether it was fitted to or judged by.
    focus_um
        Where two metrics agree that its focus lies; ``None`` for a rejected field.
    by_metric_um, reason
        What each says; why it was rejected.
    before, after
        Figures of its pairs without and with the correction.
    """

    number: int
    role: Literal["fit", "judge", "rejected"]
    focus_um: float | None = None
    by_metric_um: dict[str, float | None] = {}
    reason: str = ""
    before: Figures | None = None
    after: Figures | None = None


class LongRecord(_Record):
    """What was learned about long pairs, with which a focus is checked.

    Parameters
    ----------
    rung, slope, offset_dof, head, interval_factor
        As in `Calibration`.
    before, fitted, after
        Figures of their pairs, as in `Calibration`.
    """

    rung: Rung = "nothing"
    slope: float = 1.0
    offset_dof: float = 0.0
    head: str | None = None
    interval_factor: Annotated[float, Field(gt=0)] = INTERVAL_FACTOR
    before: Figures | None = None
    fitted: Figures | None = None
    after: Figures | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.head is not None:
            head_of(self.head)
        return self

    @classmethod
    def of(cls, verdict: LongVerdict) -> Self:
        """Return what is written of a verdict."""
        fit = verdict.fit
        return cls(
            rung=fit.rung,
            slope=fit.correction.slope,
            offset_dof=fit.correction.offset_dof,
            head=head_text(fit.correction.head),
            interval_factor=fit.interval_factor,
            before=verdict.before,
            fitted=fit.figures,
            after=verdict.after,
        )

    def correction(self) -> LongCorrection:
        """Return what the engine corrects long pairs with."""
        head = None if self.head is None else head_of(self.head)
        return LongCorrection(Correction(self.slope, self.offset_dof, head), self.interval_factor)


class Calibration(_Record):
    """What was learned about one microscope.

    Parameters
    ----------
    version
        Of this format.
    made
        When, in UTC.
    software
        Version of microscoped.
    conditions
        What it holds for.
    accepted, reasons
        The verdict, and what speaks against it.
    rung
        What it took: nothing, a line, a linear head on the network's features, or a fine-tuned network.
    deep, tuned_sha256
        What became of fine-tuning, in words, where it was asked for; hash of the fine-tuned network, which lies beside
        the file of an accepted calibration. The network that it began with is in `conditions`.
    sign
        +1 where the plane in focus moves along the light as ``z_um`` rises, −1 where it moves against it.
    slope, offset_dof, head, interval_factor
        See `microscoped.models.focus_pair.Correction` and `EstimateSettings`; `head` is the base64 of little-endian
        float32.
    stage
        What the stage does.
    fields
        The fields, rejected ones too.
    before, fitted, after
        Figures of all pairs of the judging fields without correction; of the fitted fields, each left out in turn; of
        the judging fields with it.
    moves
        Real moves by one pair each.
    long
        Long pairs, whose correction is their own.
    images, dose_ms
        What it has cost.
    sha256
        Of all the rest; a file in which it is wrong was altered.
    """

    version: Literal[2] = VERSION
    made: str
    software: str
    conditions: Conditions
    accepted: bool
    reasons: tuple[str, ...] = ()
    rung: Rung = "nothing"
    deep: str | None = None
    tuned_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    sign: Literal[-1, 1] = 1
    slope: float = 1.0
    offset_dof: float = 0.0
    head: str | None = None
    interval_factor: Annotated[float, Field(gt=0)] = INTERVAL_FACTOR
    stage: StageFigures | None = None
    fields: tuple[FieldRecord, ...] = ()
    before: Figures | None = None
    fitted: Figures | None = None
    after: Figures | None = None
    moves: Moves | None = None
    long: LongRecord | None = None
    images: int = 0
    dose_ms: float = 0.0
    sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.sha256 and self.sha256 != self.digest():
            raise ValueError("sha256 is not that of the rest: the file was altered; calibrate again")
        if (self.tuned_sha256 is not None) != (self.accepted and self.rung == "deep"):
            raise ValueError("tuned_sha256 must be there where a fine-tuned network was accepted, and only there")
        if self.head is not None:
            head_of(self.head)
        return self

    def digest(self) -> str:
        """Return the hash of everything but `sha256`."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def correction(self) -> Correction:
        """Return what the engine corrects with."""
        head = None if self.head is None else head_of(self.head)
        long = None if self.long is None else self.long.correction()
        return Correction(self.slope, self.offset_dof, head, long=long)

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
            "pixel_size_um": "the pixel size",
            "delta_um": "the distance of the two images",
        }
        for name, words in figures.items():
            then, now = getattr(mine, name), getattr(present, name)
            if name not in later and (then is None or now is None or abs(then - now) > SAME * abs(then)):
                reasons.append(f"{words} was {_number(then)} ({name}) and is {_number(now)}")
        named = {
            "objective": "the objective",
            "condenser_na": "the aperture of the condenser",
            "channel": "the channel",
            "approach": "the side of the approach",
            "binning": "the binning",
        }
        for name, word in named.items():
            then, now = getattr(mine, name), getattr(present, name)
            if name not in later and then != now:
                reasons.append(f"{word} was {then or 'not named'} and is {now or 'not named'}")
        if mine.model_sha256 != present.model_sha256:
            reasons.append(
                f"the network was {mine.model_sha256[:12]}… and is {present.model_sha256[:12]}…: its weights changed"
            )
        return reasons


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"


def head_text(head: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None) -> str | None:
    """Write a head as base64 of little-endian float32."""
    return None if head is None else base64.b64encode(np.asarray(head, "<f4").tobytes()).decode()


def head_of(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Read what `head_text` wrote.

    Raises
    ------
    ValueError
        It is not that, or holds a number that is not finite.
    """
    try:
        head = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"head is no base64 of float32: {error}") from None
    if head.size < 2 or not np.isfinite(head).all():
        raise ValueError("head must hold two finite numbers or more")
    return head


def file_name(calibration: Calibration) -> str:
    """Return the name of its file: one for each objective, channel and binning, another for a rejected one."""
    conditions = calibration.conditions
    objective = conditions.objective or f"na{conditions.na:g}"
    words = [objective, conditions.channel or "", f"b{conditions.binning}" if conditions.binning else ""]
    stem = "-".join("".join(sign if sign.isalnum() or sign in "._" else "_" for sign in w) for w in words if w)
    return f"{PREFIX}{'' if calibration.accepted else REJECTED}{stem}.json"


def save(calibration: Calibration, folder: Path, picture: str = "") -> Path:
    """Write it, whole or not at all, and beside it a picture (SVG); those of the same name are replaced.

    Raises
    ------
    CalibrationFileError
        The folder cannot be written to.
    """
    sealed = calibration.model_copy(update={"sha256": calibration.digest()})
    path = folder / file_name(calibration)
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
        raise CalibrationFileError(
            f"{path} cannot be written ({error.strerror}); set focus.pair.calibration to a folder that can"
        ) from error
    return path


def load(path: Path) -> Calibration:
    """Read a calibration.

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
    written = _version_of(text)
    if isinstance(written, int) and written < VERSION:
        raise CalibrationFileError(
            f"{path} is of version {written}, which knew nothing of the pairs that check a focus; calibrate again"
        )
    try:
        found = Calibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CalibrationFileError(f"{path} is not a whole calibration ({where}: {first['msg']})") from None
    if not found.sha256:
        raise CalibrationFileError(f"{path} has no sha256: it was altered; calibrate again")
    return found


def networks_named(folder: Path) -> set[str]:
    """Return the hashes of all fine-tuned networks that a calibration in a folder uses."""
    named = set()
    for path in folder.glob(f"{PREFIX}*.json"):
        with suppress(CalibrationFileError):
            named.add(load(path).tuned_sha256)
    return {sha256 for sha256 in named if sha256 is not None}


def _version_of(text: str) -> object:
    """Return what a file says that its version is; ``None`` where it says nothing."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content.get("version") if isinstance(content, dict) else None


def find(folder: Path, present: Conditions, later: frozenset[str] = frozenset()) -> tuple[Calibration | None, str]:
    """Return the newest accepted calibration in a folder that holds for the present microscope, or why there is none.

    Parameters
    ----------
    folder
        Where calibrations and their networks are kept; it need not exist.
    present, later
        As in `Calibration.mismatches`.
    """
    whys: dict[str, str] = {}
    best: Calibration | None = None
    for path in sorted(folder.glob(f"{PREFIX}*.json")) if folder.is_dir() else ():
        if path.name.startswith(f"{PREFIX}{REJECTED}"):
            continue
        try:
            found = load(path)
        except CalibrationFileError as error:
            whys[path.name] = str(error)
            continue
        reasons = found.mismatches(present, later)
        if not reasons and found.tuned_sha256 is not None:
            try:
                load_network(folder, found.tuned_sha256)
            except CalibrationFileError as error:
                reasons = [str(error)]
        if reasons:
            whys[path.name] = f"{path.name} does not match: {'; '.join(reasons)}"
        elif best is None or found.made > best.made:
            best = found
    if best is not None:
        return best, ""
    return None, _why(whys, folder)


def _why(whys: Mapping[str, str], folder: Path) -> str:
    advice = "run 'microscoped calibrate focus'"
    if not whys:
        return f"there is no calibration in {folder}; {advice}"
    return f"{'; '.join(whys.values())}; {advice}"


__all__ = [
    "Calibration",
    "Conditions",
    "FieldRecord",
    "LongRecord",
    "file_name",
    "find",
    "head_of",
    "head_text",
    "load",
    "networks_named",
    "save",
]

"""Everything that a configuration can say: frozen models, complete defaults, units in the names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from microscoped.daemon.config.engines import EnginesConfig
from microscoped.daemon.config.microscopes import (
    HologramConfig,
    LensFreeConfig,
    MicroManagerConfig,
    MicroscopeConfig,
    OpdConfig,
    SimulatedConfig,
)
from microscoped.daemon.config.section import KeyProblemError, Positive, Section, require_backend_of
from microscoped.daemon.rules import BadRulesError, Rule, RuleSet, compile_rules
from microscoped.drivers.optics import Optics
from microscoped.drivers.protocols import FocusDirection
from microscoped.drivers.safety import Approach

Roi = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=16)],
    Annotated[int, Field(ge=16)],
]


class OpticsConfig(Section):
    """What is known of the optics; ``null`` where unknown. ``check`` prints what follows from it.

    `objective` is a name: a calibration holds for the objective that it was made with. `condenser_na` is the aperture
    to which the condenser is stopped down in brightfield; pairs are read a little better where it is known.
    """

    objective: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    na: Positive | None = None
    wavelength_nm: Positive | None = None
    immersion_index: Positive = 1.0
    pixel_size_um: Positive | None = None
    condenser_na: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.na is not None and self.na >= self.immersion_index:
            raise KeyProblemError(
                "na",
                f"na {self.na:g} must be below immersion_index {self.immersion_index:g}; for an immersion objective "
                "set immersion_index (water 1.33, oil 1.515)",
            )
        return self

    def known(self, pixel_size_um: float | None = None) -> Optics | None:
        """The optics where all figures are known, else ``None``; `pixel_size_um` is what the driver says."""
        pixel = self.pixel_size_um or pixel_size_um
        if self.na is None or self.wavelength_nm is None or pixel is None:
            return None
        return Optics(self.na, self.wavelength_nm, self.immersion_index, pixel)

    @property
    def dof_um(self) -> float | None:
        """Depth of field n·λ/NA², where it is known."""
        if self.na is None or self.wavelength_nm is None:
            return None
        return self.immersion_index * self.wavelength_nm / 1000 / self.na**2


class StageConfig(Section):
    """How the stage may move (see `microscoped.drivers.safety.MotionSettings`).

    Parameters
    ----------
    limits_um
        Lowest and highest coordinate. Without them nothing moves.
    limits_x_um, limits_y_um
        The same of a stage in the plane, where there is one.
    max_step_um
        The longest step that a client may command at once.
    focus_direction
        Where a rising coordinate moves the focus: ``toward_sample``, ``away``, or ``unknown`` (then the driver is
        asked; if it does not know either, automatic moves stay short).
    approach
        ``increasing`` or ``decreasing``: how z changes on the final approach. By default toward the sample.
    overshoot_um
        How far a move from the other side goes beyond its target before it turns; more than the backlash.
    unknown_direction_step_um
        Longest automatic move while the direction is unknown; by default two depths of field.
    arrival_tolerance_um, settle_ms, timeout_s
        How near the read-back must be, how long the stage then rests, and how long one move may take.
    position_interval_s
        How often the resting stage is read.
    """

    limits_um: tuple[float, float] | None = None
    limits_x_um: tuple[float, float] | None = None
    limits_y_um: tuple[float, float] | None = None
    max_step_um: Positive = 100.0
    focus_direction: FocusDirection = FocusDirection.UNKNOWN
    approach: Approach | None = None
    overshoot_um: Annotated[float, Field(ge=0)] = 0.0
    unknown_direction_step_um: Annotated[float, Field(ge=0)] | None = None
    arrival_tolerance_um: Positive = 0.1
    settle_ms: Annotated[float, Field(ge=0)] = 10.0
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    position_interval_s: Annotated[float, Field(ge=0.05)] = 0.5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("limits_um", "limits_x_um", "limits_y_um"):
            limits_um: tuple[float, float] | None = getattr(self, name)
            if limits_um is not None and limits_um[0] >= limits_um[1]:
                raise KeyProblemError(name, f"{name} {list(limits_um)} must rise: [lowest, highest]")
        return self


class CameraConfig(Section):
    """Settings given to the camera at the start; ``null`` leaves them as the driver has them.

    Parameters
    ----------
    exposure_ms, binning, roi, gain
        As in ``camera.set``.
    auto_exposure, auto_gain, auto_white_balance
        Off by default where the camera has them: a measurement must not change because the camera adjusts itself.
    fps
        Exposures of a stream per second; ``null``: as many as the camera makes by itself.
    stream_at_start
        Stream as soon as the microscope is open.
    frame_allowance_s
        How long after its exposure a frame may take to arrive.
    """

    exposure_ms: Annotated[float, Field(gt=0, le=3_600_000)] | None = None
    binning: Annotated[int, Field(ge=1, le=16)] | None = None
    roi: Roi | None = None
    gain: float | None = None
    auto_exposure: bool | None = False
    auto_gain: bool | None = False
    auto_white_balance: bool | None = False
    fps: Annotated[float, Field(gt=0, le=10_000)] | None = None
    stream_at_start: bool = False
    frame_allowance_s: Annotated[float, Field(gt=0, le=600)] = 2.0


class FocusPairConfig(Section):
    """Focus from a pair of images.

    Parameters
    ----------
    enabled
        Whether the network is loaded; without it ``focus.run`` always searches.
    delta_dof
        Distance between the two images of a pair, in depths of field.
    tiles
        Most tiles of a frame that the network reads.
    choose
        Which of two planes in a field is the focus: the one nearest to the second image, or the upper or lower one.
    backend
        What runs the network (see ``docs/engines.md``).
    precision
        Of the network's arithmetic: single precision, or convolutions in int8, only with ``openvino`` and after
        ``microscoped models compile``.
    calibration
        Folder with the calibrations of this microscope; by default ``calibrations`` in the system's place for programs'
        data. ``auto`` uses pairs only with an accepted one that matches.
    """

    enabled: bool = True
    delta_dof: Annotated[float, Field(ge=0.6, le=3.8)] = 2.0
    tiles: Annotated[int, Field(ge=1, le=400)] = 25
    choose: Literal["nearest", "upper", "lower"] = "nearest"
    backend: Literal["auto", "onnxruntime", "tensorrt_rtx", "tensorrt", "openvino"] = "onnxruntime"
    precision: Literal["fp32", "int8"] = "fp32"
    calibration: Path | None = None

    @model_validator(mode="after")
    def _precision_of_one_backend(self) -> Self:
        require_backend_of(self.precision, self.backend)
        return self


class FocusHoldConfig(Section):
    """``focus.hold``.

    Parameters
    ----------
    max_per_min
        Most excursions from the focal plane within a minute.
    """

    max_per_min: Annotated[int, Field(ge=1, le=600)] = 6


class FocusConfig(Section):
    """Defaults of ``focus.run`` and ``focus.hold``.

    Parameters
    ----------
    range_um
        Half width of the search around the present position.
    tolerance_um
        How exactly the focus is wanted; by default a quarter of the depth of field.
    coarse_step_um
        Spacing of the first scan; by default three depths of field.
    extremum
        ``max`` of contrast, ``min`` (unstained phase specimens), or ``auto``.
    metric, roi
        The sharpness score, and the region (x, y, width, height) that it looks at.
    max_images
        A search gives up after so many images.
    offsets_um
        For each channel, how far its focus lies above the one that was searched.
    pair, hold
        Focus from a pair of images, and holding the focus.
    """

    range_um: Positive = 10.0
    tolerance_um: Positive | None = None
    coarse_step_um: Positive | None = None
    extremum: Literal["max", "min", "auto"] = "max"
    metric: Literal["band", "vollath", "variance"] = "band"
    roi: Roi | None = None
    max_images: Annotated[int, Field(ge=8, le=500)] = 40
    offsets_um: dict[str, float] = {}
    pair: FocusPairConfig = FocusPairConfig()
    hold: FocusHoldConfig = FocusHoldConfig()


class SupervisorConfig(Section):
    """How ``run`` looks after the daemon.

    Parameters
    ----------
    enabled
        Whether a daemon that crashes or hangs is started again, in SAFE.
    silence_s
        A daemon whose loop is silent for longer hangs, and is killed. The loop beats once a second.
    crashes, window_min
        With more crashes than this within the window it stays down.
    """

    enabled: bool = True
    silence_s: Annotated[float, Field(ge=2, le=3_600)] = 10.0
    crashes: Annotated[int, Field(ge=0, le=1_000)] = 3
    window_min: Annotated[float, Field(gt=0, le=1_440)] = 10.0


class JournalConfig(Section):
    """The journal: every input of the loop and every decision.

    Parameters
    ----------
    enabled
        Whether one is kept.
    folder
        Where each session gets a folder of its own; by default ``journal`` in the system's place for programs' data.
    rotate_mb
        A file is ended, and the next one begun, before it grows beyond so many megabytes, its header not counted.
    keep
        How many files of a session are kept, the oldest ones being deleted; by default all.
    """

    enabled: bool = True
    folder: Path | None = None
    rotate_mb: Annotated[float, Field(ge=0.1, le=10_000)] = 64.0
    keep: Annotated[int, Field(ge=1)] | None = None


class RecordConfig(Section):
    """Recordings: ``record.start``.

    Parameters
    ----------
    folder
        Where each recording gets a folder of its own; by default ``recordings`` in the system's place for programs'
        data.
    pixels
        Whether frames are recorded where the request does not say.
    compression
        Of the frames: ``zstd``, or ``none``, which costs less of the processor and more of the disk.
    most_waiting_mb
        Frames that may wait for the disk, in megabytes; one that would be beyond is left out.
    reserve_mb
        A recording ends before less than this is left on its disk.
    """

    folder: Path | None = None
    pixels: bool = True
    compression: Literal["zstd", "none"] = "zstd"
    most_waiting_mb: Annotated[float, Field(ge=1, le=100_000)] = 256.0
    reserve_mb: Annotated[float, Field(ge=0, le=1_000_000)] = 500.0


class LogConfig(Section):
    """The log file of ``run``; standard error says the same.

    Parameters
    ----------
    folder
        Where it goes; by default the system's place for programs' logs.
    level
        What is written: this and worse.
    max_mb, keep
        The next file is begun at so many megabytes; so many older ones are kept.
    """

    folder: Path | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mb: Annotated[float, Field(ge=0.01, le=1_000)] = 10.0
    keep: Annotated[int, Field(ge=1, le=1_000)] = 5


class NetworkConfig(Section):
    """Where the daemon listens, and to whom.

    Parameters
    ----------
    control, events, frames
        Three ZeroMQ endpoints; port ``*`` takes a free one. On other addresses than this computer's own only with keys.
    curve
        Whether only those come in who have a key (see `microscoped.daemon.keys`), and all is encrypted.
    keys_folder
        Where the keys are; by default ``keys`` in the system's place for programs' settings.
    """

    control: str = "tcp://127.0.0.1:5770"
    events: str = "tcp://127.0.0.1:5771"
    frames: str = "tcp://127.0.0.1:5772"
    curve: bool = False
    keys_folder: Path | None = None

    @field_validator("control", "events", "frames")
    @classmethod
    def _tcp(cls, endpoint: str) -> str:
        found = re.fullmatch(r"tcp://([A-Za-z0-9._-]+|\*|\[[0-9A-Fa-f:.]+\]):(\*|[0-9]{1,9})", endpoint)
        if found is None:
            raise ValueError("must be tcp://ADDRESS:PORT, such as tcp://127.0.0.1:5770")
        if found[2] != "*" and not 0 < int(found[2]) < 65536:
            raise ValueError(f"port {found[2]} must lie between 1 and 65535; * takes a free one")
        return endpoint

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        for name in ("control", "events", "frames"):
            host = getattr(self, name).removeprefix("tcp://").rpartition(":")[0]
            if not self.curve and not re.fullmatch(r"127(\.[0-9]{1,3}){3}|localhost|\[::1\]", host):
                raise KeyProblemError(
                    name,
                    f"{getattr(self, name)} can be reached from other computers, and whoever reaches it can move the "
                    "stage: make keys with 'microscoped keys new NAME' and set network.curve to true, or listen on "
                    "this computer only, at 127.0.0.1",
                )
        if self.keys_folder is not None and not self.curve:
            raise KeyProblemError(
                "keys_folder", "the keys are not used while network.curve is false; set it to true, or take this out"
            )
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        first: dict[str, str] = {}
        for name in ("control", "events", "frames"):
            port = getattr(self, name).rpartition(":")[2]
            if port != "*" and port in first:
                raise KeyProblemError(name, f"port {port} is that of {first[port]} already; give each its own")
            first[port] = name
        return self


class Config(Section):
    """The whole configuration. Relative paths in it count from the folder of its file."""

    microscope: MicroscopeConfig = MicroManagerConfig()
    optics: OpticsConfig = OpticsConfig()
    stage: StageConfig = StageConfig()
    camera: CameraConfig = CameraConfig()
    focus: FocusConfig = FocusConfig()
    engines: EnginesConfig = EnginesConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    journal: JournalConfig = JournalConfig()
    record: RecordConfig = RecordConfig()
    log: LogConfig = LogConfig()
    network: NetworkConfig = NetworkConfig()
    dose_ms_per_h: Annotated[float, Field(gt=0, le=86_400_000)] | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def rule_set(self) -> RuleSet:
        """What is decided by itself."""
        return RuleSet(rules=self.rules, dose_ms_per_h=self.dose_ms_per_h)

    @model_validator(mode="after")
    def _rules_can_be_used(self) -> Self:
        try:
            compile_rules(self.rule_set)
        except ValidationError as error:
            raise KeyProblemError("rules", error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        except BadRulesError as error:
            raise KeyProblemError(self._key_of(error.problems[0].place), str(error)) from None
        return self

    def _key_of(self, place: str) -> str:
        """Where a rule stands in the file, by its number in place of its name."""
        parts = place.split(".")
        numbers = {rule.name: str(number) for number, rule in enumerate(self.rules)}
        return ".".join([*parts[:1], *(numbers.get(part, part) for part in parts[1:2]), *parts[2:]])

    @model_validator(mode="after")
    def _simulated_optics(self) -> Self:
        if isinstance(self.microscope, SimulatedConfig | HologramConfig) and self.optics.known() is None:
            raise KeyProblemError(
                "optics",
                "a simulated microscope needs optics.na, optics.wavelength_nm and optics.pixel_size_um; add them",
            )
        if isinstance(self.microscope, OpdConfig | LensFreeConfig) and self.optics.pixel_size_um is None:
            raise KeyProblemError(
                "optics",
                f"a simulated microscope of kind {self.microscope.kind} needs optics.pixel_size_um, 1.67 for instance; "
                "add it",
            )
        return self

    @model_validator(mode="after")
    def _cells_of_holograms(self) -> Self:
        cells = self.engines.cells
        if cells.enabled and cells.source == "hologram" and self.optics.wavelength_nm is None:
            raise KeyProblemError(
                "optics", "engines.cells with source hologram needs optics.wavelength_nm, for the path from the phase"
            )
        return self

    @model_validator(mode="after")
    def _aperture_within_the_medium(self) -> Self:
        media = {"engines.hologram.medium_index": self.engines.hologram.medium_index}
        if isinstance(self.microscope, HologramConfig):
            media["microscope.medium_index"] = self.microscope.medium_index
        for key, index in media.items():
            read = self.engines.hologram.enabled or (
                self.engines.cells.enabled and self.engines.cells.source == "hologram"
            )
            wanted = read or key.startswith("microscope")
            if wanted and self.optics.na is not None and self.optics.na >= index:
                raise KeyProblemError(
                    key,
                    f"optics.na {self.optics.na:g} must be below {key} {index:g}: light of a higher aperture does not "
                    "leave the medium; correct one of them",
                )
        return self


__all__ = [
    "CameraConfig",
    "Config",
    "FocusConfig",
    "FocusHoldConfig",
    "FocusPairConfig",
    "JournalConfig",
    "LogConfig",
    "NetworkConfig",
    "OpticsConfig",
    "RecordConfig",
    "StageConfig",
    "SupervisorConfig",
]

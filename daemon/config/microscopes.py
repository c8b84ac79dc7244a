"""The kinds of microscope that a configuration can name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from microscoped.daemon.config.section import KeyProblemError, Positive, Section
from microscoped.drivers.protocols import FocusDirection


class SimulatedStageConfig(Section):
    """The stage of a simulated microscope (see `microscoped.simulators.StageModel`)."""

    speed_um_s: Positive = 500.0
    settle_ms: Annotated[float, Field(ge=0)] = 5.0
    jitter_um: Annotated[float, Field(ge=0)] = 0.0
    backlash_um: Annotated[float, Field(ge=0)] = 0.0
    drift_um_s: float = 0.0
    low_um: float = -300.0
    high_um: float = 300.0
    start_um: float = 0.0
    focus_um: float = 0.0
    focus_direction: FocusDirection = FocusDirection.TOWARD_SAMPLE

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_um >= self.high_um:
            raise KeyProblemError("high_um", f"high_um {self.high_um:g} must be above low_um {self.low_um:g}")
        if not self.low_um <= self.start_um <= self.high_um:
            raise KeyProblemError(
                "start_um",
                f"start_um {self.start_um:g} must lie in low_um … high_um, {self.low_um:g} … {self.high_um:g}",
            )
        return self


class MicroManagerConfig(Section):
    """A microscope through Micro-Manager.

    Parameters
    ----------
    config_file
        The hardware configuration that Micro-Manager's wizard wrote; ``demo`` is the demonstration microscope.
    adapter_paths
        Folders with device adapters; empty for the installed Micro-Manager, else the demonstration adapters.
    camera, stage
        Labels; by default those that have the roles Camera and Focus.
    buffer_mb
        Size of the circular buffer.
    """

    kind: Literal["micromanager"] = "micromanager"
    config_file: str = "demo"
    adapter_paths: tuple[Path, ...] = ()
    camera: str | None = None
    stage: str | None = None
    buffer_mb: Annotated[int, Field(ge=1)] | None = None


class SimulatedConfig(Section):
    """A simulated brightfield microscope; its objective is that of ``optics``.

    Parameters
    ----------
    specimen
        ``tissue`` (a stained section) or ``cells`` (unstained: focus is the minimum of contrast).
    seed
        Which specimen, and which noise.
    colour
        Red, green and blue instead of monochrome.
    shape_px
        Height and width of a frame.
    range_um
        Half width of the rendered z-stack around focus.
    fields
        How many fields of the specimen there are; ``calibrate.next`` shows the next one.
    max_fps
        Highest frame rate.
    through_micromanager
        Load the devices into a Micro-Manager core and drive them through it.
    stage
        The stage.
    """

    kind: Literal["simulated"]
    specimen: Literal["tissue", "cells"] = "tissue"
    seed: int = 1
    colour: bool = False
    shape_px: tuple[Annotated[int, Field(ge=64, le=4096)], Annotated[int, Field(ge=64, le=4096)]] = (512, 512)
    range_um: Positive = 12.0
    fields: Annotated[int, Field(ge=1, le=50)] = 1
    max_fps: Positive = 100.0
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()


class RecordedConfig(Section):
    """A measured z-stack, played at the nearest plane.

    Parameters
    ----------
    path
        A file with all planes (TIFF, OME-TIFF, ICS), or a folder with one plane per file.
    files
        In a folder, which files.
    step_um, first_um
        Spacing of the planes and z of the first, where the files do not say.
    z_file, z_unit_um
        A file with the z of each plane, and how many micrometres a 1 in it is.
    z_pattern
        A regular expression whose first group is the z in a file's name.
    z_zero_um
        z of the stack where the stage reads 0.
    blend
        Interpolate between planes; refused where they lie more than half a depth of field apart.
    added_noise
        Grey levels of noise added to each shot.
    max_fps, through_micromanager, stage
        As for a simulated microscope.
    """

    kind: Literal["recorded"]
    path: Path
    files: str = "*"
    step_um: float | None = None
    first_um: float = 0.0
    z_file: str | None = None
    z_pattern: str | None = None
    z_unit_um: Positive = 1.0
    z_zero_um: float = 0.0
    blend: bool = False
    added_noise: Annotated[float, Field(ge=0)] = 0.0
    max_fps: Positive = 100.0
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.step_um == 0:
            raise KeyProblemError("step_um", "step_um is 0, which puts no two planes apart; give their spacing")
        given = [name for name in ("step_um", "z_file", "z_pattern") if getattr(self, name) is not None]
        if len(given) > 1:
            raise KeyProblemError(given[1], f"{' and '.join(given)} say where the planes lie; keep one of them")
        return self

    @field_validator("z_pattern")
    @classmethod
    def _has_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        if groups < 1:
            raise ValueError(f"{pattern!r} has no group: put the digits of z in parentheses, as in 'z([-+.0-9]+)'")
        return pattern


class FieldConfig(Section):
    """A measured complex field, refocused to the stage's z and imaged through a condenser of finite aperture.

    Parameters
    ----------
    path
        An ``.npz`` with the field.
    name
        Name of the complex array in it.
    wavelength_nm, pixel_size_um, medium_index
        What the field was measured with.
    measured_focus_um
        Distance from the measured plane to the plane of best focus, positive along the light.
    na, coherence, n_points
        The objective's aperture, the condenser's over it, and the source points that stand for it.
    reach_um
        How far from focus planes are computed.
    shape_px
        Height and width of a frame.
    through_micromanager, stage
        As for a simulated microscope.
    """

    kind: Literal["field"]
    path: Path
    name: str = "field"
    wavelength_nm: Positive
    pixel_size_um: Positive
    medium_index: Positive = 1.333
    measured_focus_um: float = 0.0
    na: Positive = 0.5
    coherence: Annotated[float, Field(ge=0, le=1)] = 0.2
    n_points: Literal[13, 19, 37] = 19
    reach_um: Positive = 15.0
    shape_px: tuple[Annotated[int, Field(ge=64, le=4096)], Annotated[int, Field(ge=64, le=4096)]] = (256, 256)
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()


class HologramConfig(Section):
    """A simulated off-axis holographic microscope; objective, laser and pixels are those of ``optics``.

    Parameters
    ----------
    specimen
        ``red_cells``, ``beads`` of 9 µm, or ``mixed``: red cells, echinocytes, spherocytes.
    count
        How many bodies a field holds at most.
    depth_um
        Least and greatest distance of their middle planes from the plane that is in focus where the stage is at its
        ``focus_um``, positive along the light.
    medium_index
        Refractive index of the medium round them.
    seed
        Which field, which instrument, and which noise.
    disturbances
        Speckle, a parasitic reflection and dust.
    bit_depth
        Of the camera.
    shape_px
        Height and width of a frame.
    fields
        How many fields of the specimen there are. ``calibrate.next`` shows the next one; after the last comes one
        without bodies, for a background hologram.
    max_fps
        Highest frame rate. Each frame is computed; a rate that the computer does not reach makes frames late.
    through_micromanager
        Load the devices into a Micro-Manager core and drive them through it.
    stage
        The stage; a dry objective stands before the medium.
    """

    kind: Literal["hologram"]
    specimen: Literal["red_cells", "beads", "mixed"] = "red_cells"
    count: Annotated[int, Field(ge=0, le=200)] = 16
    depth_um: tuple[float, float] = (-3.0, 3.0)
    medium_index: Positive = 1.3345
    seed: Annotated[int, Field(ge=0)] = 1
    disturbances: bool = True
    bit_depth: Literal[8, 12] = 8
    shape_px: tuple[Annotated[int, Field(ge=128, le=4096)], Annotated[int, Field(ge=128, le=4096)]] = (1024, 1024)
    fields: Annotated[int, Field(ge=1, le=20)] = 1
    max_fps: Positive = 15.0
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.depth_um[0] > self.depth_um[1]:
            raise KeyProblemError("depth_um", f"depth_um {list(self.depth_um)} must rise: [least, greatest]")
        return self


class MitosisConfig(Section):
    """The times of a division of a simulated cell, in minutes.

    Parameters
    ----------
    rounding_min, round_min, spreading_min
        From spread to round, from then to the division, and from there to spread again.
    """

    rounding_min: Positive = 8.0
    round_min: Positive = 20.0
    spreading_min: Positive = 15.0


class OpdConfig(Section):
    """A simulated microscope that delivers maps of the optical path difference of living adherent cells, in counts.

    Its pixels are those of ``optics``.

    Parameters
    ----------
    density_per_mm2
        How many cells lie there: one of the four populations of Allier 2022.
    quality
        Noise and background, from 1 (clean) to 7: 20 nm of noise on a background of ±30 nm.
    seed
        Which cells, and which noise.
    nm_per_count, zero_count
        What a count is, and the count of the medium.
    speed_um_per_h, growth_per_h
        How fast each cell moves, on a circle of its own, and how fast its mass grows; it divides where it has doubled.
    mitosis
        How cells round up before they divide; ``null``: they do not.
    illumination_na
        Aperture of the light, by which maps blur out of focus (with ``optics.wavelength_nm``); ``null``: they do not
        change with the stage.
    shape_px
        Height and width of a frame.
    max_fps
        Highest frame rate.
    through_micromanager, stage
        As for a simulated microscope.
    """

    kind: Literal["opd"]
    density_per_mm2: Literal[183, 255, 364, 527] = 255
    quality: Annotated[int, Field(ge=1, le=7)] = 1
    seed: Annotated[int, Field(ge=0)] = 1
    nm_per_count: Positive = 0.1
    zero_count: Annotated[int, Field(ge=0, le=65_535)] = 2_000
    speed_um_per_h: Annotated[float, Field(ge=0)] = 15.0
    growth_per_h: Annotated[float, Field(ge=0)] = 0.035
    mitosis: MitosisConfig | None = None
    illumination_na: Annotated[float, Field(gt=0, lt=1.5)] | None = None
    shape_px: tuple[Annotated[int, Field(ge=64, le=4096)], Annotated[int, Field(ge=64, le=4096)]] = (512, 512)
    max_fps: Positive = 20.0
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()


class LensFreeConfig(Section):
    """A simulated lens-free microscope before adherent cells: in-line holograms in red, green and blue.

    Its pixels are those of ``optics``. Frames do not change with the stage. The wavelengths are 630, 530 and 450 nm,
    20, 33 and 22 nm wide; the pinhole is 50 µm wide and 50 mm away; the camera has 12 bits and counts 100 without
    light.

    Parameters
    ----------
    density_per_mm2
        How many cells lie there: one of the four populations of Allier 2022.
    z_um, z_error_um
        Distance from specimen to sensor as it is believed to be; the true one lies within so much of it.
    seed
        Which cells, which true distance, and which noise.
    shape_px
        Height and width of a frame.
    max_fps
        Highest frame rate.
    through_micromanager, stage
        As for a simulated microscope.
    """

    kind: Literal["lensfree"]
    density_per_mm2: Literal[183, 255, 364, 527] = 255
    z_um: Annotated[float, Field(ge=200, le=5_000)] = 1_000.0
    z_error_um: Annotated[float, Field(ge=0, le=100)] = 20.0
    seed: Annotated[int, Field(ge=0)] = 1
    shape_px: tuple[Annotated[int, Field(ge=64, le=4096)], Annotated[int, Field(ge=64, le=4096)]] = (512, 512)
    max_fps: Positive = 2.0
    through_micromanager: bool = False
    stage: SimulatedStageConfig = SimulatedStageConfig()


MicroscopeConfig = Annotated[
    MicroManagerConfig | SimulatedConfig | RecordedConfig | FieldConfig | HologramConfig | OpdConfig | LensFreeConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "FieldConfig",
    "HologramConfig",
    "LensFreeConfig",
    "MicroManagerConfig",
    "MicroscopeConfig",
    "OpdConfig",
    "RecordedConfig",
    "SimulatedConfig",
    "SimulatedStageConfig",
]

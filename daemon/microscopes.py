"""From a configuration to a microscope: the one room of the daemon that knows Micro-Manager and simulators.

Either is imported only where it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from microscoped.daemon.config import (
    DEMO,
    FieldConfig,
    HologramConfig,
    LensFreeConfig,
    MicroManagerConfig,
    OpdConfig,
    RecordedConfig,
    SimulatedConfig,
)
from microscoped.daemon.focus import light_sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.daemon.config import Config, SimulatedStageConfig
    from microscoped.drivers.protocols import Microscope
    from microscoped.simulators import SimulatedMicroscope, StageModel
    from microscoped.simulators.holograms import BodyKind

CARRIER_PER_PX = (0.3277, 0.3246)
"""Where the sideband of a simulated hologram stands, in cycles per pixel (x, y)."""
BAND_MOST_PER_PX = 0.17
"""Largest band round it, NA·pixel/λ, that the pixels resolve (0.5 cycles per pixel)."""
MAGNIFICATION = 40.0
"""Of a simulated holographic microscope; only the size of its camera's pixels depends on it."""
KINDS: Mapping[str, tuple[BodyKind, ...]] = {
    "red_cells": ("red_cell",),
    "beads": ("bead",),
    "mixed": ("red_cell", "echinocyte", "spherocyte"),
}


def build_microscope(config: Config) -> Microscope:
    """Build the configured microscope; it opens in its ``with`` statement.

    Raises
    ------
    ValueError, OSError
        A simulated microscope cannot be made from these figures or files.
    """
    if isinstance(config.microscope, MicroManagerConfig):
        from microscoped.drivers.micromanager import MicroManagerMicroscope, demo_config_path

        chosen = config.microscope
        return MicroManagerMicroscope(
            demo_config_path() if chosen.config_file == DEMO else chosen.config_file,
            adapter_paths=chosen.adapter_paths or None,
            camera=chosen.camera,
            stage=chosen.stage,
            buffer_mb=chosen.buffer_mb,
        )
    simulated = _simulated(config)
    if not config.microscope.through_micromanager:
        return simulated
    from microscoped.drivers.micromanager import MicroManagerMicroscope
    from microscoped.simulators.micromanager import build_core

    return MicroManagerMicroscope(core=lambda: build_core(simulated))


def _simulated(config: Config) -> SimulatedMicroscope:
    from microscoped.simulators import SimulatedMicroscope

    chosen = config.microscope
    match chosen:
        case SimulatedConfig():
            from microscoped.simulators.brightfield import BrightfieldScene, BrightfieldSetup
            from microscoped.simulators.specimens import CellParameters, TissueParameters

            optics = config.optics.known()
            if optics is None:
                raise ValueError("a simulated microscope needs all figures of optics")
            first, *others = (
                BrightfieldScene(
                    BrightfieldSetup(
                        specimen=TissueParameters() if chosen.specimen == "tissue" else CellParameters(),
                        specimen_seed=seed,
                        optics=optics,
                        shape_px=chosen.shape_px,
                        colour=chosen.colour,
                        z_range_um=(-chosen.range_um, chosen.range_um),
                    ),
                    seed=chosen.seed,
                )
                for seed in range(chosen.seed, chosen.seed + chosen.fields)
            )
            return SimulatedMicroscope(
                first,
                _stage_model(chosen.stage, light_sign(chosen.stage.focus_direction) or 1),
                more_scenes=others,
                pixel_size_um=optics.pixel_size_um,
                max_fps=chosen.max_fps,
            )
        case RecordedConfig():
            from microscoped.simulators.recorded import (
                RecordedScene,
                RecordingError,
                ZFile,
                ZInName,
                ZSource,
                ZStep,
                read_stack,
            )

            z: ZSource | None = None
            if chosen.step_um is not None:
                z = ZStep(chosen.step_um, chosen.first_um)
            elif chosen.z_file is not None:
                z = ZFile(chosen.z_file, chosen.z_unit_um)
            elif chosen.z_pattern is not None:
                z = ZInName(chosen.z_pattern, chosen.z_unit_um)
            try:
                stack = read_stack(chosen.path, z, files=chosen.files).shifted(-chosen.z_zero_um)
                scene = RecordedScene(
                    stack, blend=chosen.blend, optics=config.optics.known(), added_noise=chosen.added_noise
                )
            except RecordingError as error:
                raise ValueError(str(error)) from error
            return SimulatedMicroscope(
                scene,
                _stage_model(chosen.stage),
                pixel_size_um=config.optics.pixel_size_um,
                max_fps=chosen.max_fps,
            )
        case FieldConfig():
            from microscoped.simulators import field, measured_field

            measured = measured_field.MeasuredField(
                measured_field.read_field(chosen.path, chosen.name),
                pixel_um=chosen.pixel_size_um,
                wavelength_nm=chosen.wavelength_nm,
                medium_index=chosen.medium_index,
                focus_um=chosen.measured_focus_um,
                name=chosen.path.name,
            )
            scene_of_field = field.FieldScene(
                measured,
                na=chosen.na,
                coherence=chosen.coherence,
                n_points=chosen.n_points,
                reach_um=chosen.reach_um,
                frame_shape=chosen.shape_px,
            )
            return SimulatedMicroscope(scene_of_field, _stage_model(chosen.stage), pixel_size_um=chosen.pixel_size_um)
        case HologramConfig():
            return _holographic(config, chosen)
        case OpdConfig():
            return _quantitative(config, chosen)
        case LensFreeConfig():
            return _lens_free(config, chosen)
        case MicroManagerConfig():
            raise ValueError("a Micro-Manager configuration is not simulated here")


def _holographic(config: Config, chosen: HologramConfig) -> SimulatedMicroscope:
    from microscoped.simulators import SensorModel, SimulatedMicroscope
    from microscoped.simulators.holograms import (
        BodiesParameters,
        Disturbances,
        HologramScene,
        HologramSetup,
        OffAxisOptics,
        Reference,
        place_bodies,
    )

    known = config.optics.known()
    if known is None:
        raise ValueError("a simulated microscope needs all figures of optics")
    optics = OffAxisOptics(
        na=known.na,
        wavelength_nm=known.wavelength_nm,
        medium_index=chosen.medium_index,
        camera_pixel_um=known.pixel_size_um * MAGNIFICATION,
        magnification=MAGNIFICATION,
    )
    band_per_px = optics.cutoff_per_um * optics.pixel_um
    if band_per_px > BAND_MOST_PER_PX:
        most_um = BAND_MOST_PER_PX / optics.cutoff_per_um
        raise ValueError(
            f"optics.pixel_size_um {optics.pixel_um:g} is too coarse for the fringes of a hologram at NA {optics.na:g} "
            f"and {optics.wavelength_nm:g} nm: it must be {most_um:.3g} at most"
        )
    carrier_x, carrier_y = (cycles / optics.pixel_um for cycles in CARRIER_PER_PX)
    sensor = SensorModel(full_well_e=20_000.0, level=0.7, offset=4.0, bit_depth=chosen.bit_depth, vignetting=0.1)
    setup = HologramSetup(
        optics=optics,
        bodies=BodiesParameters(kinds=KINDS[chosen.specimen], count=chosen.count, z_um=chosen.depth_um),
        seed=chosen.seed,
        shape_px=chosen.shape_px,
        reference=Reference(carrier_per_um=(carrier_x, carrier_y)),
        disturbances=Disturbances() if chosen.disturbances else Disturbances.none(),
    )
    # One instrument, whose flaws the setup's seed draws; the fields differ in what lies in them, the last is empty.
    seeds = range(chosen.seed, chosen.seed + chosen.fields)
    bodies = [*(place_bodies(setup.bodies, setup.shape_px, optics, seed) for seed in seeds), ()]
    first, *others = (HologramScene(setup, sensor, bodies=placed, seed=chosen.seed) for placed in bodies)
    along_light = light_sign(chosen.stage.focus_direction) or 1
    return SimulatedMicroscope(
        first,
        _stage_model(chosen.stage, along_light * optics.focus_per_stage),
        more_scenes=others,
        pixel_size_um=optics.pixel_um,
        max_fps=chosen.max_fps,
    )


def _quantitative(config: Config, chosen: OpdConfig) -> SimulatedMicroscope:
    from microscoped.simulators import SimulatedMicroscope
    from microscoped.simulators.cells import (
        QUALITY_LEVELS,
        Defocus,
        Mitosis,
        OpdScene,
        OpdSetup,
        PopulationParameters,
    )

    pixel_um = config.optics.pixel_size_um
    if pixel_um is None:
        raise ValueError("a simulated microscope of kind opd needs optics.pixel_size_um")
    wavelength_nm, defocus = config.optics.wavelength_nm, None
    if chosen.illumination_na is not None:
        if wavelength_nm is None:
            raise ValueError("microscope.illumination_na needs optics.wavelength_nm")
        defocus = Defocus(wavelength_nm, chosen.illumination_na)
    setup = OpdSetup(
        parameters=PopulationParameters.matched(chosen.density_per_mm2),
        seed=chosen.seed,
        shape_px=chosen.shape_px,
        pixel_um=pixel_um,
        quality=QUALITY_LEVELS[chosen.quality - 1],
        nm_per_count=chosen.nm_per_count,
        zero_count=chosen.zero_count,
        speed_um_per_h=chosen.speed_um_per_h,
        growth_per_h=chosen.growth_per_h,
        mitosis=None if chosen.mitosis is None else Mitosis(**chosen.mitosis.model_dump()),
        defocus=defocus,
    )
    return SimulatedMicroscope(
        OpdScene(setup), _stage_model(chosen.stage), pixel_size_um=pixel_um, max_fps=chosen.max_fps
    )


def _lens_free(config: Config, chosen: LensFreeConfig) -> SimulatedMicroscope:
    from microscoped.simulators import SimulatedMicroscope
    from microscoped.simulators.cells import PopulationParameters
    from microscoped.simulators.lensfree import LensFreeCameraScene, LensFreeSetup, rgb_optics

    pixel_um = config.optics.pixel_size_um
    if pixel_um is None:
        raise ValueError("a simulated microscope of kind lensfree needs optics.pixel_size_um")
    setup = LensFreeSetup(
        optics=rgb_optics(z_um=chosen.z_um, pitch_um=pixel_um),
        cells=PopulationParameters.matched(chosen.density_per_mm2),
        shape_px=chosen.shape_px,
        seed=chosen.seed,
        z_error_um=chosen.z_error_um,
    )
    return SimulatedMicroscope(
        LensFreeCameraScene(setup), _stage_model(chosen.stage), pixel_size_um=pixel_um, max_fps=chosen.max_fps
    )


def _stage_model(chosen: SimulatedStageConfig, focus_per_stage: float = 1.0) -> StageModel:
    """Return the stage; recorded stacks and fields count z as their stage does.

    Parameters
    ----------
    chosen
        From the configuration.
    focus_per_stage
        For a rendered scene, whose optical positions rise along the light: micrometres of them per micrometre of
        stage. Their sign follows from what the stage says of its direction.
    """
    from microscoped.simulators import StageModel

    return StageModel(**chosen.model_dump(), focus_per_stage=focus_per_stage)


__all__ = ["build_microscope"]

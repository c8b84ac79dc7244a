"""The engines that look at every frame they can keep up with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from microscoped.daemon.config.lensfree import LensFreeReadingConfig
from microscoped.daemon.config.section import KeyProblemError, Positive, Section, require_backend_of


class EngineConfig(Section):
    """An engine that looks at every frame it can keep up with."""

    enabled: bool = True


class HologramEngineConfig(Section):
    """What frames of an off-axis holographic microscope hold: distance and phase, of the field and of each cell.

    Wavelength, aperture and pixel size are those of ``optics``. Distances are micrometres in the medium, from the
    recording plane, positive in the direction of the light.

    Parameters
    ----------
    enabled
        Whether it looks at every frame.
    medium_index
        Refractive index of the medium round the specimen.
    magnification
        From specimen to camera; only camera-side distances need it.
    side
        Which of the two sidebands is the object wave's; ``microscoped calibrate hologram`` finds out.
    method
        What finds the distance: ``network``, or a classical ``search`` from coarse to fine, or all ``planes`` of the
        range.
    refine
        Whether a few planes round what the network says make it exact.
    network
        Which one: by the kind of specimen, ``auto`` for the usual one, or ``none``: then it is searched.
    backend
        What runs the network (see ``docs/engines.md``). With one that may run on a GPU, fields are transformed there,
        too, where torch finds it.
    range_um
        Least and greatest distance that is searched; by default 12.5 depths of field to both sides.
    cell_diameter_um
        Of typical cells; by default a red cell's.
    most_cells
        Most cells of a frame that are measured.
    refractive_increment
        Of the cells' dry mass, µm³/pg.
    refocus
        What ``focus.hold`` with holograms does: moves the ``stage``, or refocuses each frame in the computer
        (``numerical``) and moves nothing.
    stage_per_focus
        Micrometres of stage that take the plane in focus one micrometre along the light in the medium, with its sign;
        where it is not given the calibration knows it.
    calibration
        Folder with the calibrations of this microscope, among them the background hologram.
    """

    enabled: bool = False
    medium_index: Positive = 1.3345
    magnification: Positive | None = None
    side: Literal["plus", "minus"] = "plus"
    method: Literal["network", "search", "planes"] = "network"
    refine: bool = True
    network: Literal["auto", "hologram_cells", "hologram_beads", "hologram_both", "none"] = "auto"
    backend: Literal["auto", "onnxruntime", "tensorrt_rtx", "tensorrt", "openvino"] = "onnxruntime"
    range_um: tuple[float, float] | None = None
    cell_diameter_um: Positive | None = None
    most_cells: Annotated[int, Field(ge=1, le=1_000)] = 64
    refractive_increment: Positive = 0.18
    refocus: Literal["stage", "numerical"] = "stage"
    stage_per_focus: Annotated[float, Field(ge=-10, le=10)] | None = None
    calibration: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.range_um is not None and self.range_um[0] >= self.range_um[1]:
            raise KeyProblemError("range_um", f"range_um {list(self.range_um)} must rise: [least, greatest]")
        if self.stage_per_focus == 0:
            raise KeyProblemError(
                "stage_per_focus",
                "stage_per_focus is 0, with which no move would change the focus; give null or a value",
            )
        return self


CellColumn = Literal[
    "row_px",
    "column_px",
    "row_um",
    "column_um",
    "dry_mass_pg",
    "area_um2",
    "max_opd_nm",
    "length_um",
    "dry_mass_pg_half_width",
    "area_um2_half_width",
    "max_opd_nm_half_width",
    "length_um_half_width",
    "touching",
    "border",
    "track",
]
"""Columns of the table of cells."""


OF_SOURCES = {
    "nm_per_count": ("opd",),
    "zero_count": ("opd",),
    "pixel_size_um": ("opd", "lensfree"),
    "distance_um": ("hologram",),
}
"""Which sources a key means something with."""


class CellsEngineConfig(Section):
    """The cells of each frame: how many, how heavy, how they grow and move.

    Parameters
    ----------
    enabled
        Whether it looks at every frame.
    source
        What the camera delivers: ``opd``, maps of the optical path difference in counts; ``hologram``, off-axis
        holograms, of which ``engines.hologram`` says how they are read, whether it is enabled or not; or ``lensfree``,
        in-line holograms of three colours, which are read in a process of their own.
    nm_per_count, zero_count
        Of maps: what a count is, and the count of the medium; by default the most frequent one of each frame.
    pixel_size_um
        Of maps and lens-free frames: size of a pixel in the specimen, where it is not that of ``optics`` or of the
        driver.
    distance_um
        Of holograms: from the plane in focus to the cells, in the medium, positive in the direction of the light; by
        default it is searched in the first frame and every twentieth after.
    lensfree
        Of lens-free frames: the microscope, and how they are read.
    network
        ``cells_b`` is trained on noisy images with an uneven background, ``cells_a`` on clean ones; ``none``: threshold
        and watershed.
    backend
        What runs the network (see ``docs/engines.md``).
    precision
        Of the network's arithmetic: single precision; or bfloat16, only with ``openvino``, on a processor that has it,
        and after ``microscoped models compile``.
    every
        Of a stream, each how manieth frame is measured; single frames always are.
    least_opd_nm
        Cells whose greatest optical path difference is below this are left out.
    link
        Whether cells are followed from frame to frame.
    link_reach_um
        Farthest that a cell moves from one measured frame to the next.
    columns
        Columns of the table of single cells that stand in the event as JSON, too, as rules and small scripts read them;
        each makes events and journal longer, by some 8 bytes a cell.
    """

    enabled: bool = False
    source: Literal["opd", "hologram", "lensfree"] = "opd"
    nm_per_count: Positive | None = None
    zero_count: Annotated[float, Field(ge=0)] | None = None
    pixel_size_um: Positive | None = None
    distance_um: float | None = None
    lensfree: LensFreeReadingConfig = LensFreeReadingConfig()
    network: Literal["cells_b", "cells_a", "none"] = "cells_b"
    backend: Literal["auto", "onnxruntime", "tensorrt_rtx", "tensorrt", "openvino"] = "onnxruntime"
    precision: Literal["fp32", "bf16"] = "fp32"
    every: Annotated[int, Field(ge=1, le=100_000)] = 1
    least_opd_nm: Annotated[float, Field(ge=0)] = 0.0
    link: bool = True
    link_reach_um: Positive = 15.0
    columns: tuple[CellColumn, ...] = ()

    @model_validator(mode="after")
    def _precision_of_one_backend(self) -> Self:
        require_backend_of(self.precision, self.backend)
        return self

    @model_validator(mode="after")
    def _of_one_source(self) -> Self:
        if self.enabled and self.source == "opd" and self.nm_per_count is None:
            raise KeyProblemError(
                "nm_per_count", "nm_per_count is required with source opd: how many nanometres a count of the camera is"
            )
        if self.enabled and self.source == "lensfree" and self.lensfree.z_um is None:
            raise KeyProblemError(
                "lensfree", "lensfree.z_um is required with source lensfree: how far the cells are from the sensor"
            )
        for name, sources in OF_SOURCES.items():
            if self.source not in sources and getattr(self, name) is not None:
                raise KeyProblemError(
                    name, f"{name} {getattr(self, name):g} means nothing with source {self.source}; take it out"
                )
        if self.source != "lensfree" and self.lensfree != LensFreeReadingConfig():
            raise KeyProblemError("lensfree", f"lensfree means nothing with source {self.source}; take it out")
        return self


class EnginesConfig(Section):
    """The engines."""

    sharpness: EngineConfig = EngineConfig()
    hologram: HologramEngineConfig = HologramEngineConfig()
    cells: CellsEngineConfig = CellsEngineConfig()


__all__ = ["CellsEngineConfig", "EngineConfig", "EnginesConfig", "HologramEngineConfig"]

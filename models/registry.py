"""The models by name: what each is for, where its weights and its training code are."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from microscoped.models.runtimes import Limit, LowerPrecision, load_artefact
from microscoped.models.runtimes.errors import BuildFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microscoped.models.runtimes import Artefact
    from microscoped.models.training import Training

WEIGHTS = Path(__file__).parent / "weights"
"""Where the shipped artefacts are."""
CELLS_LIMITS: Mapping[str, Limit] = {
    "found": Limit(mean=0.005, p99=1.0),
    "max_opd_nm": Limit(mean=1.5, p99=3.7),
    "dry_mass_pg": Limit(mean=2.1, p99=5.3),
    "area_um2": Limit(mean=7.2, p99=18.0),
    "length_um": Limit(mean=0.66, p99=1.65),
}
"""How far networks of cells in lower precision may be from single precision.

Half a per cent of the cells may be found in one alone; quantities may differ in the mean by a fifth, in the 99th
percentile by half of the robust error that is allowed of the networks themselves.
"""


class UnknownModelError(KeyError):
    """There is no model of this name; the message lists those that there are."""

    code = "model.unknown"

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class ModelSpec:
    """One model.

    Parameters
    ----------
    name
        As in the configuration and on the command line.
    title
        For people.
    purpose
        What it is for, in one sentence, with its source.
    artefacts
        Names of its networks in ``models/weights``, without an ending; the first is the default. Inputs, outputs and
        units stand in their sidecars.
    training
        Dotted name of its training code, a module that fulfils `microscoped.models.training.Training`.
    lower
        The precisions below single precision that its networks may run in, and how accurate they must be then.
    """

    name: str
    title: str
    purpose: str
    artefacts: tuple[str, ...]
    training: str
    lower: tuple[LowerPrecision, ...] = ()

    def artefact_path(self, artefact: str | None = None) -> Path:
        """Return the ONNX file of one of its networks, by default of the first; it need not exist yet.

        Raises
        ------
        ValueError
            The model has no such network.
        """
        name = artefact or self.artefacts[0]
        if name not in self.artefacts:
            raise ValueError(f"{self.name} has no network {name!r}; there are {', '.join(self.artefacts)}")
        return WEIGHTS / f"{name}.onnx"

    def load(self, artefact: str | None = None) -> Artefact:
        """Read one of its networks; see `microscoped.models.runtimes.load_artefact`."""
        return load_artefact(self.artefact_path(artefact))

    def in_precision(self, precision: str) -> LowerPrecision | None:
        """Return how its networks run in a precision; None is ``fp32``.

        Raises
        ------
        BuildFailedError
            They do not run in it.
        """
        if precision == "fp32":
            return None
        for lower in self.lower:
            if lower.precision == precision:
                return lower
        raise BuildFailedError(f"{self.name} has no {precision} version; leave its precision at fp32")

    def load_training(self) -> Training:
        """Import its training code.

        Raises
        ------
        ImportError
            What it needs is not installed, most often torch: ``pip install 'microscoped[train]'``.
        """
        return cast("Training", importlib.import_module(self.training))


MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="focus_pair",
            title="Focus from a pair of images",
            purpose=(
                "Reads from two images, taken a known distance apart in z, how far and to which side the specimen is"
                " out of focus, so that one move brings it back (after Rai Dastidar, CVPR Workshops 2020)."
            ),
            artefacts=("focus_pair",),
            training="microscoped.models.focus_pair.training",
            lower=(
                LowerPrecision(
                    "int8",
                    "microscoped.models.focus_pair.samples",
                    {
                        "defocus_dof": Limit(mean=0.05, p99=0.25),
                        "log_error": Limit(mean=0.05, p99=0.25),
                        "features": Limit(mean=0.05, p99=0.25),
                    },
                ),
            ),
        ),
        ModelSpec(
            name="hologram",
            title="Distance of cells in off-axis holograms",
            purpose=(
                "Reads from a cell's filtered hologram how far from the focal plane it lies, without propagating it"
                " (after Jaferzadeh, Biomedical Optics Express 2019)."
            ),
            artefacts=("hologram_both", "hologram_cells", "hologram_beads"),
            training="microscoped.models.hologram.training",
        ),
        ModelSpec(
            name="cells",
            title="Quantities of adherent cells",
            purpose=(
                "Reads from an image of the optical path difference where every cell is, its dry mass, area, greatest"
                " path difference and length (after Allier, Frontiers in Physics 2022)."
            ),
            artefacts=("cells_b", "cells_a", "cells_reference"),
            training="microscoped.models.cells.training",
            lower=(
                LowerPrecision(
                    "bf16",
                    "microscoped.models.cells.samples",
                    CELLS_LIMITS,
                    judged_by=20,
                    judge="microscoped.models.cells.agreement",
                ),
            ),
        ),
        ModelSpec(
            name="lensfree",
            title="Fewer iterations for lens-free reconstructions",
            purpose=(
                "Brings maps of path difference and absorption from the tenth iteration of a reconstruction near to the"
                " last, and unwraps tall cells on the way (after Allier, Frontiers in Physics 2022, §2.2)."
            ),
            artefacts=("lensfree_accelerate_light", "lensfree_accelerate", "lensfree_unwrap"),
            training="microscoped.models.lensfree.training",
        ),
    )
}
"""All models, by name."""


def model_spec(name: str) -> ModelSpec:
    """Return a model.

    Raises
    ------
    UnknownModelError
        There is none of this name.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownModelError(f"there is no model {name!r}; there are: {', '.join(MODELS)}") from None


__all__ = ["MODELS", "WEIGHTS", "ModelSpec", "UnknownModelError", "model_spec"]

"""How far two networks of cells are apart, with one whose maps are changed by a known amount; and samples for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.cells import TYPICAL, Quantity, agreement
from microscoped.models.cells.agreement import FOUND, differences
from microscoped.models.cells.samples import samples
from microscoped.models.registry import CELLS_LIMITS, model_spec
from microscoped.models.runtimes import open_model
from microscoped.models.runtimes._gate import measure_deviations
from microscoped.models.training import Silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes import CompiledModel

ARTEFACT = model_spec("cells").load("cells_b")
CELLS = 100
"""At least so many are in the sample."""


@pytest.fixture(scope="module")
def reference() -> Iterator[CompiledModel]:
    with open_model(ARTEFACT, "onnxruntime") as model:
        yield model


@pytest.fixture(scope="module")
def field() -> dict[str, NDArray[np.float32]]:
    return {"opd": samples(2, 3, Silence())["opd"][1:].astype(np.float32)}


class Changed:
    """The reference's maps, changed."""

    def __init__(self, model: CompiledModel, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._model, self._change = model, change

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"maps": self._change(self._model.run(inputs)["maps"].copy())}


def scaled(first: int, last: int, factor: float, more: float = 0.0) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(maps: NDArray[Any]) -> NDArray[Any]:
        maps[:, first:last] = maps[:, first:last] * np.float32(factor) + np.float32(more)
        return maps

    return change


def compare(
    reference: CompiledModel, field: dict[str, Any], change: Callable[[NDArray[Any]], NDArray[Any]]
) -> Mapping[str, NDArray[np.float64]]:
    model: Any = Changed(reference, change)
    return differences(model, reference, ARTEFACT, field)


def test_the_same_maps_do_not_differ_and_every_figure_has_a_limit(
    reference: CompiledModel, field: dict[str, Any]
) -> None:
    found = compare(reference, field, lambda maps: maps)
    assert found.keys() == CELLS_LIMITS.keys()
    assert all(len(values) >= CELLS and not values.any() for values in found.values())


def test_a_map_that_is_off_shows_in_its_own_quantity_and_unit(reference: CompiledModel, field: dict[str, Any]) -> None:
    found = compare(reference, field, scaled(2, 3, 1.0, 0.1))
    np.testing.assert_allclose(found["area_um2"], 0.1 * TYPICAL[Quantity.AREA], rtol=1e-3)
    assert all(not values.any() for name, values in found.items() if name != "area_um2")


def test_cells_that_one_network_alone_finds_are_counted(reference: CompiledModel, field: dict[str, Any]) -> None:
    every = len(compare(reference, field, lambda maps: maps)[FOUND])

    def half(maps: NDArray[Any]) -> NDArray[Any]:
        maps[:, 0, :128] = 0.0
        return maps

    found = compare(reference, field, half)
    lost = int(found[FOUND].sum())
    assert every / 4 < lost < 3 * every / 4
    assert len(found["length_um"]) == len(found[FOUND]) - lost


@pytest.mark.parametrize(
    "change", [scaled(0, 1, 0.0), scaled(0, 9, float("nan")), scaled(1, 5, float("inf"))], ids=["none", "nan", "inf"]
)
def test_a_network_that_finds_nothing_or_nonsense_does_not_pass(
    reference: CompiledModel, field: dict[str, Any], change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    model: Any = Changed(reference, change)
    with np.errstate(invalid="ignore"):
        found = measure_deviations(model, reference, ARTEFACT, field, CELLS_LIMITS, agreement)
    beyond = {deviation.output for deviation in found if not deviation.within}
    assert beyond >= {quantity.value for quantity in Quantity}


def test_the_same_seed_gives_the_same_samples_and_another_one_others() -> None:
    first, again, other = samples(2, 3, Silence()), samples(2, 3, Silence()), samples(2, 4, Silence())
    assert first["opd"].shape == (2, *ARTEFACT.sidecar.inputs[0].shape[1:])
    np.testing.assert_array_equal(first["opd"], again["opd"])
    assert not (first["opd"] == other["opd"]).all(axis=(1, 2, 3)).any()


def test_torch_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from microscoped.models.cells.samples import samples\n"
        "from microscoped.models.training import Silence\n"
        "assert len(samples(1, 0, Silence())['opd']) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)

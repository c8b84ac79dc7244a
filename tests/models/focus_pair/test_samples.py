"""Samples for int8: typical inputs of the network, without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from microscoped.models.focus_pair.samples import samples
from microscoped.models.training import Silence


class _Told(Silence):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def update(self, done: int, total: int, **figures: float) -> None:
        self.steps.append((done, total))


def test_the_same_seed_gives_the_same_samples_and_another_one_others() -> None:
    told = _Told()
    first, again, other = samples(5, 3, told), samples(5, 3, Silence()), samples(5, 4, Silence())
    assert told.steps == [(1, 2), (2, 2)]
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert len(values) == 5
    assert not (first["images"] == other["images"]).all(axis=(1, 2, 3)).any()


def test_they_are_what_the_network_reads() -> None:
    found = samples(8, 0, Silence())
    assert found["images"].shape == (8, 6, 112, 112)
    assert found["images"].dtype == np.float16
    assert all(np.isfinite(values).all() for values in found.values())
    delta_dof = found["scalars"][:, 0]
    assert ((delta_dof >= 0.5) & (delta_dof <= 4.0)).all()
    deviation = found["images"][:, 3:].astype(np.float64).std(axis=(2, 3))
    assert (deviation <= 1.01).all()
    assert deviation.max() > 0.9


def test_torch_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from microscoped.models.focus_pair.samples import samples\n"
        "from microscoped.models.training import Silence\n"
        "assert len(samples(1, 0, Silence())['images']) == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)

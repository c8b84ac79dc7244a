"""What several tests of the daemon need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.daemon.guarded_world import Guarded, Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Rig


@pytest.fixture
def guarded(tmp_path: Path, start_rig: Callable[..., Rig]) -> Guarded:
    return Guarded(tmp_path, start_rig)


@pytest.fixture(scope="module")
def guarded_module(tmp_path_factory: pytest.TempPathFactory, start_rig_module: Callable[..., Rig]) -> Guarded:
    """For tests that revoke nothing."""
    return Guarded(tmp_path_factory.mktemp("guarded"), start_rig_module)


@pytest.fixture
def plain() -> Iterator[Plain]:
    made = Plain()
    yield made
    made.close()

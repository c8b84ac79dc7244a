"""Watching from which threads a core is called.

A core of Micro-Manager belongs to one thread; only a stage's ``stop`` may come from any. A test asserts it so::

    @pytest.fixture(autouse=True)
    def core_belongs_to_one_thread():
        with watch_core_threads() as calls:
            yield
        calls.check()

Every `MicroManagerMicroscope` that is opened inside the ``with`` is watched; the thread that opens it is the owner.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from microscoped.drivers.micromanager._core import _Wrapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymmcore_plus import CMMCorePlus

ANY_THREAD = frozenset({"stop"})
"""Calls that any thread may make."""


@dataclass(frozen=True, slots=True)
class CoreCall:
    """One call to a core.

    Parameters
    ----------
    name
        Name of the method.
    thread
        Name of the calling thread.
    from_owner
        Whether that thread opened the microscope.
    """

    name: str
    thread: str
    from_owner: bool


@dataclass(slots=True)
class CoreCalls:
    """All calls to the watched cores, counted."""

    counts: dict[CoreCall, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, call: CoreCall) -> None:
        """Count one call."""
        with self._lock:
            self.counts[call] = self.counts.get(call, 0) + 1

    def wrong(self) -> list[CoreCall]:
        """Return the calls from threads that do not own the core."""
        return [call for call in self.counts if not call.from_owner and call.name not in ANY_THREAD]

    def check(self) -> None:
        """Assert that no call came from a wrong thread."""
        if wrong := self.wrong():
            listed = ", ".join(f"{call.name} from {call.thread}" for call in wrong)
            raise AssertionError(f"the core was called from threads that do not own it: {listed}")


class _WatchedCore:
    """Stands before a core and notes who calls."""

    def __init__(self, core: CMMCorePlus, calls: CoreCalls) -> None:
        self.watched_core = core
        self._calls = calls
        self._owner = threading.get_ident()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the core has under this name)
        value = getattr(self.watched_core, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (passed on as they are)
            current = threading.current_thread()
            self._calls.record(CoreCall(name, current.name, threading.get_ident() == self._owner))
            return value(*args, **kwargs)

        return call


@contextmanager
def watch_core_threads() -> Iterator[CoreCalls]:
    """Watch all microscopes that are opened inside; may be nested, the inner one then watches."""
    calls = CoreCalls()
    before = _Wrapping.wrap
    _Wrapping.wrap = lambda core: cast("CMMCorePlus", _WatchedCore(core, calls))
    try:
        yield calls
    finally:
        _Wrapping.wrap = before


__all__ = ["CoreCall", "CoreCalls", "watch_core_threads"]

"""How much light an acquisition may give."""

from __future__ import annotations

import threading
from typing import Protocol

from microscoped.daemon.acquire.errors import LightRefusedError


class LightBudget(Protocol):
    """Where exposures are charged, before they are made. Light is counted as exposure time, in milliseconds."""

    @property
    def spent_ms(self) -> float:
        """What was charged so far."""
        ...

    @property
    def left_ms(self) -> float:
        """What may still be charged; infinite where there is no limit."""
        ...

    def charge(self, exposure_ms: float, what: str) -> None:
        """Charge an exposure that is about to be made.

        Raises
        ------
        LightRefusedError
            It is beyond the budget: the exposure must not be made.
        """
        ...

    def note(self, exposure_ms: float) -> None:
        """Charge exposures that were made by somebody else for the acquisition, as focusing does."""
        ...


class LightAllowance:
    """A budget that was granted to one acquisition. Thread-safe.

    Parameters
    ----------
    granted_ms
        Exposure time that may be spent; ``None``: without limit, but counted.
    """

    def __init__(self, granted_ms: float | None = None) -> None:
        self._granted_ms = granted_ms
        self._spent_ms = 0.0
        self._lock = threading.Lock()

    @property
    def spent_ms(self) -> float:
        """What was charged so far."""
        return self._spent_ms

    @property
    def left_ms(self) -> float:
        """What may still be charged."""
        granted_ms = self._granted_ms
        return float("inf") if granted_ms is None else max(0.0, granted_ms - self._spent_ms)

    def grant(self, more_ms: float) -> None:
        """Grant more."""
        with self._lock:
            if self._granted_ms is not None:
                self._granted_ms += more_ms

    def charge(self, exposure_ms: float, what: str) -> None:
        """Charge an exposure that is about to be made (see `LightBudget.charge`)."""
        with self._lock:
            granted_ms = self._granted_ms
            if granted_ms is not None and self._spent_ms + exposure_ms > granted_ms + 1e-9:
                raise LightRefusedError(
                    f"{what}: an exposure of {exposure_ms:g} ms is beyond the light budget, of which "
                    f"{max(0.0, granted_ms - self._spent_ms):g} of {granted_ms:g} ms are left; expose for shorter, "
                    "take fewer frames, or grant more light"
                )
            self._spent_ms += exposure_ms

    def note(self, exposure_ms: float) -> None:
        """Charge exposures that were made already."""
        with self._lock:
            self._spent_ms += exposure_ms


__all__ = ["LightAllowance", "LightBudget"]

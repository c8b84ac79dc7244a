"""Named timers in order of their due times."""

from __future__ import annotations

import heapq


class Timers:
    """A heap of timers; setting one of the same name replaces it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}

    def set(self, name: str, due_ns: int) -> None:
        """Set or replace a timer."""
        self._due[name] = due_ns
        heapq.heappush(self._heap, (due_ns, name))

    def clear(self, name: str) -> None:
        """Forget a timer; one that is not set is no error."""
        self._due.pop(name, None)
        self._prune()

    def next_ns(self) -> int | None:
        """When the first one is due."""
        self._prune()
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_ns: int, most: int) -> list[tuple[int, str]]:
        """Take up to `most` timers that are due: their due times and names."""
        due: list[tuple[int, str]] = []
        while len(due) < most and (first := self.next_ns()) is not None and first <= now_ns:
            item = heapq.heappop(self._heap)
            del self._due[item[1]]
            due.append(item)
        return due

    def _prune(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)


__all__ = ["Timers"]

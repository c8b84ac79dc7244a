"""What useq-schema keeps that a daemon must not."""

from __future__ import annotations

from useq import _iter_sequence

CACHES = ("_iter_axis", "_sizes", "_used_axes")


def forget_sequences() -> None:
    """Empty useq's caches, which would keep every sequence that was ever iterated until the process ends.

    A cache that is emptied while a sequence is iterated is only filled again.
    """
    for name in CACHES:
        clear = getattr(getattr(_iter_sequence, name, None), "cache_clear", None)
        if clear is not None:
            clear()


__all__ = ["forget_sequences"]

"""Memory of a process: what the C library and Python's search for garbage are told, so that neither slows it down."""

from __future__ import annotations

import ctypes
import gc
import sys

_ARENA_MAX, _MMAP_THRESHOLD, _TOP_PAD, _TRIM_THRESHOLD = -8, -3, -2, -1
"""glibc's numbers for the options (``malloc.h``)."""
_LARGE, _PAD, _NEVER = 1 << 30, 1 << 26, (1 << 31) - 1


def share_heaps(most: int = 2) -> bool:
    """Let all threads share a few heaps; called before threads begin.

    glibc gives each thread a heap of its own. Frames that one thread allocates and another frees leave gaps there which
    no other thread can fill, and a process that streams for days grows in steps for a quarter of an hour.

    Parameters
    ----------
    most
        How many heaps there may be.

    Returns
    -------
    Whether the C library knows of this: glibc does; elsewhere nothing happens.
    """
    return _tell({_ARENA_MAX: most})


def keep_pages() -> bool:
    """Keep the memory of arrays that are freed; for a process that computes with large ones over and over.

    glibc gives each large array back to the system, and gets the next one page by page, all of them cleared: a third of
    the time of a lens-free reconstruction of 2748 × 3840 pixels. The process stays as large as it was at its peak.

    Returns
    -------
    Whether the C library knows of this, as above.
    """
    return _tell({_MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: _NEVER, _TOP_PAD: _PAD})


def set_aside() -> int:
    """Take what exists now out of the search for garbage; called when all is built, before it runs.

    Python looks through all objects now and then, most of them of libraries, and no thread runs meanwhile: some 50 ms.

    Returns
    -------
    How many objects are set aside.
    """
    gc.collect()
    gc.freeze()
    return gc.get_freeze_count()


def _tell(options: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    taken = [mallopt(option, value) for option, value in options.items()]
    return all(taken)


__all__ = ["keep_pages", "set_aside", "share_heaps"]

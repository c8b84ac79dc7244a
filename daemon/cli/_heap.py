"""Fewer heaps, so that a process that streams for days does not grow; and nothing that stops it to look for garbage."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_ARENA_MAX = -8
"""glibc's number for the option (``malloc.h``)."""


def share_heaps(most: int = 2) -> bool:
    """Let all threads share a few heaps; called before threads begin.

    glibc gives each thread a heap of its own. Frames that one thread allocates and another frees leave gaps there which
    no other thread can fill, and the process grows in steps for a quarter of an hour.

    Parameters
    ----------
    most
        How many heaps there may be.

    Returns
    -------
    Whether the C library knows of this: glibc does; elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, most))


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


__all__ = ["set_aside", "share_heaps"]

"""Fewer heaps, so that a process that streams for days does not grow."""

from __future__ import annotations

import ctypes
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


__all__ = ["share_heaps"]

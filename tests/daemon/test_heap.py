"""Heaps are shared by threads, so that memory does not grow with their number; what is loaded is no garbage."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import re, sys, threading
from pathlib import Path
if {share}:
    from microscoped.daemon.heap import share_heaps
    assert share_heaps(2)
stay, ready = threading.Event(), threading.Barrier(9)
def work():
    kept = [bytearray(60_000) for _ in range(20)]
    ready.wait()
    stay.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
heaps = set()
for line in Path("/proc/self/maps").read_text().splitlines():
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    if start % 2**26 == 0 and "rw-p" in line and line.split()[4] == "0":
        heaps.add(start)
stay.set()
print(len(heaps))
"""


KEEP = """
import resource
import numpy as np
from microscoped.daemon.heap import keep_pages
if {keep}:
    assert keep_pages()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(25_000_000, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc gives large arrays back to the system")
def test_large_arrays_that_come_and_go_cost_their_pages_once() -> None:
    given, kept = (
        int(subprocess.run([sys.executable, "-c", KEEP.format(keep=keep)], capture_output=True, check=True).stdout)
        for keep in (False, True)
    )
    assert kept < 0.1 * given


SET_ASIDE = """
import gc
import microscoped.daemon.compose
from microscoped.daemon.heap import set_aside
before = len(gc.get_objects())
assert set_aside() >= 0.5 * before > 10_000
assert len(gc.get_objects()) < 0.05 * before
"""


def test_what_is_loaded_is_not_looked_through_for_garbage() -> None:
    subprocess.run([sys.executable, "-c", SET_ASIDE], check=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives each thread a heap")
def test_eight_threads_do_not_make_eight_heaps() -> None:
    counts = {
        share: int(
            subprocess.run([sys.executable, "-c", COUNT.format(share=share)], capture_output=True, check=True).stdout
        )
        for share in (False, True)
    }
    assert counts[False] >= 4
    assert counts[True] <= 2

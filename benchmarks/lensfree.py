"""Lens-free reconstruction: few iterations and a network against the reference of 153, beside the truth.

Rows (choose with ``--rows``):

- *scenes*: simulated frames of 512², three colours, that no training has seen: adherent cells of 255 and 527 per mm²,
  and a wide population in which round cells exceed half a wavelength. On each frame by turns: the reference, 153
  iterations with its unwrapping network; the same without it; 10 iterations, the paper's network of 16 features, 10
  more, and the unwrapping network; the same with the lighter network; and 20 iterations without a network. Distance and
  colour shifts are known. In all maps, and in the true ones, networks measure the cells.
- *course*: the reference's error against the truth after 10, 20, 50, 100 and 153 iterations, of the first frame of each
  set.
- *focus*: how far the distance found is from the true one, the start being up to 30 µm off.
- *frame*: 2748 × 3840 pixels through the whole of it (light, registration, focus, start, iterations, network), fast and
  with the lighter network, in a process of its own with two threads: time by stage and peak of memory.

Times of scenes are of processor and wall clock, from frames to maps; ratios are medians over frames of the reference
over the other, taken on the same frame by turns.

    OMP_NUM_THREADS=1 python benchmarks/lensfree.py [--rows NAME …] [--weights FOLDER] [--frames 4] [--json FILE]
        [--quick]

Needs the extra ``train`` for its scenes. Networks that are absent are skipped, and said to be. The exit code is 1 where
a target is missed, or none could be judged.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from _judged import missed
from _kept import measure_rows
from _lensfree_frame import QUICK_SHAPE, SHAPE, frame_row
from _lensfree_report import judge, tables
from _lensfree_scenes import FRAMES, courses, distances, scenes
from rich.console import Console

from microscoped.models.registry import WEIGHTS

ROWS = ("scenes", "course", "focus", "frame")


def main() -> int:
    """Run the rows and print what was found; return 1 where a target is missed."""
    arguments = _arguments()
    rows = {name: partial(ROW[name], arguments) for name in ROWS if name in arguments.rows}
    figures = measure_rows(rows, judge, arguments.json, threads=1)
    tables(figures, Console(width=200, highlight=False))
    return 1 if missed(figures["targets"]) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of other networks than the shipped ones")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each set")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="one small frame each: only to see it run")
    arguments = parser.parse_args()
    if arguments.frames < 1:
        parser.error(f"--frames {arguments.frames}: at least 1 is needed")
    if arguments.quick:
        arguments.frames = 1
    return arguments


ROW = {
    "scenes": lambda given: scenes(given.weights, given.frames, quick=given.quick),
    "course": lambda given: courses(given.weights, quick=given.quick),
    "focus": lambda given: distances(given.frames, quick=given.quick),
    "frame": lambda given: frame_row(given.weights, QUICK_SHAPE if given.quick else SHAPE),
}


if __name__ == "__main__":
    sys.exit(main())

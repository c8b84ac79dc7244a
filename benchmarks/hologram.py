"""Holograms: the sideband filter and the distance beside their peers, beside the search and the truth, and live.

Rows (choose with ``--rows``):

- *filter*: the sideband filter alone, 1024² and 8 bit, by turns with qpretrieve's (with its defaults, and tuned:
  ``padding=0``, ``scale_to_filter=True``, the carrier of a background hologram) and PyHoloscope's (as it comes, and
  with its real transform). Fields are compared after the same filter: ours is cut out round the peer's carrier with the
  peer's radius, and both spectra are compared within that disk, up to one complex factor. qpretrieve's defaults pad the
  frame with zeros, which is another filter at the borders: no agreement is asked of them.
- *distance*: from a frame to the distance of its field, reconstruction included, by turns. *90 planes* and *coarse to
  fine* search the whole field, *cells, …* each cell; *network* and *network, refined* read each cell, and all of these
  answer with the median. Peers divide by the field of a background hologram, as ours do. Tuned, qpretrieve and nrefocus
  work on the band-limited field without padding and score its interior; with their defaults they do neither.
  PyHoloscope's ``find_focus`` looks for the least sum of amplitudes by default; tuned, for the least contrast of the
  interior, between the neighbours of the best of 41 planes. All search ±20 µm.
- *agreement*: the plane of least contrast of each cell as the network sees it, against the search of 90 planes on the
  same crops: slope and intercept with bootstrap intervals; and the errors of both against the truth.
- *live*: a simulated holographic microscope of 1024² through the daemon on two cores, distances of each cell published.

Frames are rendered beforehand and cycled: red cells, each specimen before an instrument of its own, in planes up to
12 µm from the recording plane; for *distance* all cells of a frame in one plane, for *agreement* in a layer of 6 µm.
The truth is that of the simulator. Each method is prepared with a background hologram and run once before it is timed.
Times are those of the wall clock, ratios medians over pairs of the same frame in the same round; *busy* is processor
time, in which other programs do not show. Targets are judged by the wall clock.

    OMP_NUM_THREADS=1 python benchmarks/hologram.py [--rows NAME …] [--holograms 500] [--threads 1]
        [--weights FILE.onnx] [--seconds 60] [--json FILE] [--quick]

The peers are of the extra ``bench``; where one is absent its rows say so. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _hologram_distance import DEFAULT, agreement_rows, distance_rows, distancers
from _hologram_filter import filter_rows
from _hologram_frames import frames
from _hologram_live import live
from _hologram_ours import open_network
from _hologram_peers import versions
from _hologram_report import judge, tables
from _kept import measure_rows
from rich.console import Console

if TYPE_CHECKING:
    from microscoped.models.hologram.network import DistanceNetwork

ROWS = ("filter", "distance", "agreement", "live")
HOLOGRAMS = 500
"""Rounds of *distance*: so many holograms each of the project's own methods is shown."""
PEERS_EVERY, SLOW_EVERY = 5, 50
"""Tuned peers have their turn in each fifth round; those that take seconds, in each fiftieth."""
FILTER_ROUNDS, FILTER_SLOW_EVERY = 60, 4
AGREEMENT_SPREAD_UM = 3.0
SEEDS = {"filter": 1, "distance": 2, "agreement": 3}


def main() -> int:
    """Run the rows and print what was found; return 1 where a target is missed."""
    arguments = _arguments()
    opened = open_network(arguments.weights, arguments.threads)
    network, weights = (None, opened) if isinstance(opened, str) else opened
    if network is None:
        sys.stderr.write(f"{weights}\n")
    rows = {name: partial(_row, name, arguments, network, weights) for name in ROWS if name in arguments.rows}
    figures = measure_rows(rows, judge, arguments.json, arguments.threads, versions=versions(), weights=weights)
    tables(figures, Console(width=200, highlight=False))
    return 1 if any(target["met"] is False for target in figures["targets"]) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows")
    parser.add_argument("--holograms", type=int, default=HOLOGRAMS, help="rounds of the row distance")
    parser.add_argument("--threads", type=int, default=1, help="threads that the network and the peers may use")
    parser.add_argument("--weights", type=Path, help="another network than the shipped one of red cells")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the live stream")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument(
        "--quick", action="store_true", help="few frames and rounds, without the slowest: only to see it run"
    )
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.holograms < 1:
        parser.error("--threads and --holograms must be at least 1")
    if arguments.quick:
        arguments.holograms, arguments.seconds = min(arguments.holograms, 4), min(arguments.seconds, 5.0)
    return arguments


def _row(name: str, arguments: argparse.Namespace, network: DistanceNetwork | None, told: str) -> dict[str, Any]:
    """Return the figures of one row, or the reason why there are none."""
    quick = arguments.quick
    if name == "filter":
        shown = frames(1, 2 if quick else 8, spread_um=0.0, seed=SEEDS[name])
        return filter_rows(shown, 5 if quick else FILTER_ROUNDS, FILTER_SLOW_EVERY)
    if name == "distance":
        # A number of frames without a common divisor with the rounds of the slow ones, so that these see many.
        shown = frames(2 if quick else 7, 2 if quick else 7, spread_um=0.0, seed=SEEDS[name])
        compared = [m for m in distancers(network, PEERS_EVERY, SLOW_EVERY) if not (quick and m.kind == DEFAULT)]
        return distance_rows(_dealt(shown), compared, arguments.holograms, said=_progress)
    if name == "agreement":
        if network is None:
            return {"reason": told}
        shown = frames(3 if quick else 30, 1 if quick else 3, spread_um=AGREEMENT_SPREAD_UM, seed=SEEDS[name])
        return agreement_rows(shown, network)
    return live(arguments.seconds)


def _dealt(shown: list[Any]) -> list[Any]:
    """Return frames so that those of one specimen do not follow one another."""
    order = sorted(range(len(shown)), key=lambda k: (k * 19) % len(shown))
    return [shown[k] for k in order]


def _progress(number: int) -> None:
    if number % 50 == 0:
        sys.stderr.write(f"  round {number}\n")


if __name__ == "__main__":
    sys.exit(main())

"""Cells measured by the networks, beside the paper's network, two classical ways, and the truth.

Rows (choose with ``--rows``):

- *fields*: simulated fields of adherent cells, 255/mm², 512², 1.67 µm per pixel, that no training has seen; once clean
  and once with noise of 20 nm and a background of 30 nm. On each field by turns: the network trained on clean images
  (A), the one trained on degraded ones (B, the daemon's default), the 20 layers of 32 features of Allier 2022 (once a
  field: it is slow), seeded growing, and threshold, watershed and region properties (scikit-image). Where there is a
  background, the classical ways take it off first. Where OpenVINO is installed, B runs on it, too, and in bfloat16
  where the processor computes in that.
- *densities*: the clean fields of 183, 364 and 527 cells/mm², without the slow ones.
- *frame*: 2748 × 3840 pixels, laid out of such fields, through B in a process of its own, with one thread and with two.
- *reference*: the paper's network for one quantity, for two, and for all four.
- *gpu*: the frame on TensorRT-RTX and on torch with CUDA, where they find a GPU.

Speed is from the image to the table: for each field the cells that are in it over the median time of its turns; rates
and ratios are medians over fields, with 90 % intervals by bootstrap over fields. Times are those of the wall clock;
*busy* is processor time, in which other programs do not show. Cells are paired with the true ones within 10 µm, and
those that the border cuts do not count in detection or quantities, but in speed.

    OMP_NUM_THREADS=1 python benchmarks/cells.py [--rows NAME …] [--weights FOLDER] [--reference FOLDER] [--fields 24]
        [--repeats 3] [--threads 1] [--json FILE] [--quick]

Needs the extra ``train`` for its fields. Networks that are absent are skipped, and said to be. The exit code is 1
where a target is missed, or none could be judged.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from _cells_compared import compare, fields_of
from _cells_frame import frame_rows
from _cells_methods import DEGRADED, NETWORKS, OPENVINO, PAPER, VARIANTS, baselines, networks
from _cells_report import CLEAN_SET, LEAST_DETECTED, WORST_SET, judge, tables
from _judged import missed
from _kept import measure_rows
from rich.console import Console

from microscoped.models.registry import WEIGHTS

ROWS = ("fields", "densities", "frame", "reference", "gpu")
FIELDS, REPEATS, ROUNDS = 24, 3, 5
QUICK_FIELDS = 2
GPU_BACKENDS = ("tensorrt_rtx", "torch_cuda")


def main() -> int:
    """Run the rows and print what was found; return 1 where a target is missed."""
    arguments = _arguments()
    rows = {name: partial(ROW[name], arguments) for name in ROWS if name in arguments.rows}
    figures = measure_rows(rows, judge, arguments.json, arguments.threads)
    tables(figures, Console(width=240, highlight=False))
    return 1 if missed(figures["targets"]) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows")
    parser.add_argument("--weights", type=Path, help="folder of other networks than the shipped ones")
    parser.add_argument("--reference", type=Path, help="folder of the paper's network for one and for two quantities")
    parser.add_argument("--fields", type=int, default=FIELDS, help="of each set, at most 24")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="how often each field is read")
    parser.add_argument("--threads", type=int, default=1, help="threads that each method may use")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="two fields of each set, once: only to see it run")
    arguments = parser.parse_args()
    if min(arguments.threads, arguments.fields, arguments.repeats) < 1:
        parser.error("--threads, --fields and --repeats must be at least 1")
    arguments.rounds = ROUNDS
    if arguments.quick:
        arguments.fields, arguments.repeats, arguments.rounds = min(arguments.fields, QUICK_FIELDS), 1, 1
    return arguments


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all methods on clean fields and on the worst ones."""
    read, absent = networks(NETWORKS, [arguments.weights], arguments.threads)
    for precision in ("fp32", "bf16"):
        wanted = {DEGRADED: NETWORKS[DEGRADED]}
        more, missing = networks(wanted, [arguments.weights], arguments.threads, OPENVINO, precision)
        read, absent = read + more, absent | missing
    found: dict[str, Any] = {"absent": absent}
    for name in (CLEAN_SET, WORST_SET):
        methods = [*read, *baselines(uneven=name == WORST_SET)]
        found[name] = compare(fields_of(name, arguments.fields), methods, arguments.repeats)
    return found


def _densities(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the quick methods on clean fields of other densities."""
    wanted = {name: artefact for name, artefact in NETWORKS.items() if name != PAPER}
    read, absent = networks(wanted, [arguments.weights], arguments.threads)
    methods = [*read, *baselines(uneven=False)]
    others = [name for name in LEAST_DETECTED if name != CLEAN_SET]
    return {"absent": absent} | {
        name: compare(fields_of(name, arguments.fields), methods, arguments.repeats) for name in others
    }


def _reference(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the paper's network by how much it measures."""
    folders = [folder for folder in (arguments.reference, arguments.weights, WEIGHTS) if folder is not None]
    read, absent = networks(VARIANTS, folders, arguments.threads)
    found: dict[str, Any] = {"absent": absent}
    if read:
        found[CLEAN_SET] = compare(fields_of(CLEAN_SET, arguments.fields), read, 1)
    return found


def _frame(arguments: argparse.Namespace) -> dict[str, Any]:
    shown = fields_of(CLEAN_SET, arguments.fields)
    return frame_rows(shown, _weights(arguments), [(1, "onnxruntime"), (2, "onnxruntime")], arguments.rounds)


def _gpu(arguments: argparse.Namespace) -> dict[str, Any]:
    shown = fields_of(CLEAN_SET, arguments.fields)
    return frame_rows(shown, _weights(arguments), [(1, backend) for backend in GPU_BACKENDS], arguments.rounds)


ROW = {"fields": _fields, "densities": _densities, "frame": _frame, "reference": _reference, "gpu": _gpu}


def _weights(arguments: argparse.Namespace) -> Path:
    path: Path = (arguments.weights or WEIGHTS) / f"{NETWORKS[DEGRADED]}.onnx"
    return path


if __name__ == "__main__":
    sys.exit(main())

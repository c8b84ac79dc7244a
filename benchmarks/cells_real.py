"""Measured phases of others through the network of cells, and by threshold and watershed, beside direct integration.

    python benchmarks/cells_real.py [--data FOLDER] [--weights FILE.onnx] [--json FILE]

The measured images are those of ``$MICROSCOPED_DATA`` (or ``--data``); a file that is absent is skipped, and said to
be. Holograms are retrieved and brought into focus as a whole. Most files tell no scale; the one that is assumed brings
the median object to 25 µm in diameter and to the height of a typical cell, so that only ratios mean anything.

Each object above a fifth of the image's height is integrated over seven masks, at thresholds from 0.14 to 0.26 of that
height. *ratio* is the figure of a cell over the integral at the middle threshold, *apart* the greatest difference over
all seven (median over objects), *itself* how far the integrals differ among themselves, half of their range. *seen*
is the part of the image's maximum that is left at the network's pixels of 1.67 µm. Targets: mass, area and maximum
within 5, 10 and 5 % at every threshold; ``!`` marks those that are missed, ``?`` those that nothing could meet, for the
integrals differ by more among themselves. *cut* are objects whose mask reaches the
border, *missed* and *split* those in which the network sees no cell or several, *else* its cells outside all of them.

The networks were trained on adherent fibroblasts alone: round cells, beads and red cells are none, and what comes
out of them is told here, not claimed. The exit code is 1 where a target is missed, or there was nothing to read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from _cells_real import lines, rows
from _figures import plain

from microscoped.models.cells import CellNetwork
from microscoped.models.registry import model_spec
from microscoped.models.runtimes import ModelError, load_artefact, open_model

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> int:
    """Read the phases and print the table."""
    default = os.environ.get("MICROSCOPED_DATA") or REPOSITORY.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of measured images")
    parser.add_argument("--weights", type=Path, help="another network than the shipped one")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    try:
        artefact = model_spec("cells").load() if arguments.weights is None else load_artefact(arguments.weights)
        model = open_model(artefact, "onnxruntime", threads=1)
    except (ModelError, OSError) as error:
        print(f"no network: {error}")
        return 1
    with model:
        found = rows(arguments.data, CellNetwork(model, artefact))
    print("\n".join(lines(found)))
    if arguments.json is not None:
        told = {"weights_sha256": artefact.sidecar.sha256, "rows": found}
        arguments.json.write_text(json.dumps(plain(told), indent=1), encoding="utf-8")
    judged = [told["met"] for row in found for told in row.get("quantities", {}).values() if told["met"] is not None]
    return 0 if judged and all(judged) else 1


if __name__ == "__main__":
    sys.exit(main())

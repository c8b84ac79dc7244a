"""The learning curve of a network's weights, on logarithmic axes: error on held-out fields against draws.

    python benchmarks/learning_curve.py [--weights FILE.onnx] --plot FILE.png

The points come from the sidecar of the weights, where training left them. The plot needs matplotlib.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from microscoped.models.registry import model_spec
from microscoped.models.runtimes import load_artefact

SERIES = {"valid_mean_dof": "mean", "valid_median_dof": "median"}


def main() -> int:
    """Draw the curve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--weights", type=Path, help="another network than the shipped focus_pair")
    parser.add_argument("--plot", type=Path, required=True)
    arguments = parser.parse_args()
    artefact = model_spec("focus_pair").load() if arguments.weights is None else load_artefact(arguments.weights)
    points = artefact.sidecar.training["curve"]
    if len(points) < 2:
        sys.stderr.write(f"{artefact.path}: its sidecar has {len(points)} points of a learning curve; 2 are needed\n")
        return 1
    plot(points, arguments.plot)
    return 0


def plot(points: list[dict[str, float]], path: Path) -> None:
    """Draw error against draws."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6))
    draws = [point["draws"] for point in points]
    for name, label in SERIES.items():
        axes.loglog(draws, [point[name] for point in points], "o-", markersize=3, linewidth=1, label=label)
    axes.set_xlabel("draws")
    axes.set_ylabel("error of one tile, depths of field")
    axes.set_yticks([0.3, 0.4, 0.5, 0.7, 1.0, 1.5], ["0.3", "0.4", "0.5", "0.7", "1", "1.5"])
    axes.minorticks_off()
    axes.set_xticks([1e4, 3e4, 1e5, 3e5], ["10 000", "30 000", "100 000", "300 000"])
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())

"""What focus from a pair reads from real images: whether it works, a line mends it, it abstains, or it fails.

Rows are measured stacks (*real*), measured images that simulated optics defocus (*semi-real*), and the beads of
Micro-Manager's demonstration camera through the project's own driver (*plumbing, not optics*). The measured images are
those of ``$MICROSCOPED_DATA`` (or ``--data``). A simulated stained section goes the same way as a control: if that is
read badly, the other rows say nothing.

Each row is read with the shipped network.

- *as read*: no correction; the stage is taken to run along the light.
- *line*: sign, slope and offset by Theil and Sen's line, and the width of the intervals, from the pairs of every third
  z of the second image; the figures are of the others. Only measured stacks leave the sign open.
- *tiles*, where a frame holds four tiles or more: the ladder of ``calibrate.run`` (nothing, a line, a linear head) on
  every third tile as a field of its own; the figures are of the other tiles together.

``≤ 1 near`` counts pairs whose second image is at most 3 DoF out of focus, ``sign −`` wrong signs beyond 1 DoF,
``covered`` 90 % intervals that hold the truth; ``const.`` is what always answering the middle of the true values would
reach. A row passes unless its verdict is ``fails``; `_pair_real_scores.verdict` says what each word means.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _figures import plain
from _pair_real_rows import CONTROL, MAKERS, Row, Unusable, pair_indices
from _pair_real_scores import SIGNS, judged

from microscoped.models.focus_pair import EstimateSettings, FocusPairEngine, PairSettings
from microscoped.models.focus_pair.calibration import Field, PairReading
from microscoped.models.registry import WEIGHTS
from microscoped.models.runtimes import load_artefact, open_model

if TYPE_CHECKING:
    from microscoped.models.runtimes import CompiledModel

REPOSITORY = Path(__file__).resolve().parent.parent
QUICK_PAIRS = 45
PARTS = ("within", "within_near", "wrong_sign", "abstained", "coverage")


def read(row: Row, model: CompiledModel, most: int | None) -> Field:
    """Return what the network says of a row's pairs, with either direction of the stage.

    Parameters
    ----------
    row
        What is shown.
    model
        The network.
    most
        At most so many pairs, evenly taken.

    Raises
    ------
    Unusable
        The engine refuses the frames.
    """
    chosen = pair_indices(row)
    if most is not None and len(chosen) > most:
        chosen = [chosen[k] for k in np.linspace(0, len(chosen) - 1, most).round().astype(int)]
    engine = FocusPairEngine(PairSettings(row.optics), model)
    readings: dict[int, tuple[PairReading, ...]] = {}
    for sign in SIGNS:
        told = []
        for first, second in chosen:
            delta_dof = float(row.z_um[second] - row.z_um[first]) / row.optics.dof_um * sign
            try:
                inputs = engine.prepare(row.frames[first], row.frames[second], delta_dof)
            except ValueError as refusal:
                raise Unusable(f"refused: {refusal}") from refusal
            found = engine.interpret(inputs)
            told.append(
                PairReading(
                    z_um=float(row.z_um[second]),
                    delta_dof=delta_dof,
                    defocus_dof=found.defocus_dof,
                    expected_error_dof=found.expected_error_dof,
                    features=found.features,
                    contents=found.contents,
                    centres=inputs.centres,
                )
            )
        readings[sign] = tuple(told)
    return Field(1, row.focus_um, row.optics.dof_um, readings)


def measured(row: Row, model: CompiledModel, most: int | None) -> dict[str, Any]:
    """Return the figures of a row."""
    shown = {"name": row.name, "kind": row.kind, "note": row.note, "dof_um": row.optics.dof_um}
    try:
        found = judged(read(row, model, most), EstimateSettings(), direction_known=row.kind != "real")
    except Unusable as reason:
        return {**shown, "verdict": "", "reason": str(reason)}
    if row.blur_px is not None:
        for scored in (found["as_read"], *found["calibrated"].values()):
            median, p95 = scored["median_dof"], scored["p95_dof"]
            scored["error_blur_px"] = None if median is None else [median * row.blur_px, p95 * row.blur_px]
    return {**shown, **found}


def table_lines(outcome: dict[str, Any]) -> list[str]:
    """Return a row of the table: as read with the verdict, and after each calibration."""
    if "as_read" not in outcome:
        return [f"{outcome['name']:<30}{outcome['reason']}"]
    constant = outcome["constant"]
    lines = [
        f"{_figures_line(outcome['name'], outcome['as_read'])}{constant['mean_dof']:>8.2f}{constant['within']:>7.0%}"
        f"   {outcome['verdict']}"
    ]
    for name, found in outcome["calibrated"].items():
        lines.append(f"{_figures_line(f'  {name}', found)}   {found['means']}")
    return lines


def _figures_line(name: str, found: dict[str, Any]) -> str:
    lengths = "".join(_cell(found[key], 7, ".2f") for key in ("mean_dof", "median_dof", "p95_dof"))
    parts = "".join(_cell(found[key], 9, ".0%") for key in PARTS)
    return f"{name:<30}{found['pairs']:>5}{lengths}{parts}"


def _cell(value: float | None, width: int, form: str) -> str:
    return f"{'–' if value is None else format(value, form):>{width}}"


def _blur(outcome: dict[str, Any]) -> str:
    """Return the errors in pixels of blur, where they are told."""
    found = {"as read": outcome.get("as_read", {}), **outcome.get("calibrated", {})}
    told = [(name, scored["error_blur_px"]) for name, scored in found.items() if scored.get("error_blur_px")]
    return "".join(f"; {name}: median {px[0]:.2f}, p95 {px[1]:.2f} px of blur" for name, px in told)


def main() -> int:
    """Run the rows and print the table; the exit code is 1 where a row fails, or none could be read."""
    default = os.environ.get("MICROSCOPED_DATA") or REPOSITORY.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of measured images")
    parser.add_argument("--rows", nargs="*", help="only rows whose names begin with one of these")
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "focus_pair.onnx", help="another network")
    parser.add_argument("--quick", action="store_true", help="fewer pairs, fewer planes, smaller images")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args()
    model = open_model(load_artefact(chosen.weights), "onnxruntime")
    head = f"{'lengths in DoF':<30}{'pairs':>5}{'mean':>7}{'median':>7}{'p95':>7}{'≤ 1 DoF':>9}{'≤ 1 near':>9}"
    print(f"{head}{'sign −':>9}{'abstain':>9}{'covered':>9}{'const.':>8}{'≤ 1':>7}   verdict")
    outcomes: list[dict[str, Any]] = []
    for maker in MAKERS:
        if chosen.rows is not None and not any(maker.name.startswith(name) for name in chosen.rows):
            continue
        try:
            rows = maker.make(chosen.data.resolve(), chosen.quick)
        except Unusable as reason:
            outcomes.append({"name": maker.name, "verdict": "", "reason": str(reason)})
            print("\n".join(table_lines(outcomes[-1])), flush=True)
            continue
        for row in rows:
            outcomes.append(measured(row, model, QUICK_PAIRS if chosen.quick else None))
            print("\n".join(table_lines(outcomes[-1])), flush=True)
    print("\nwhat the rows are:")
    for outcome in outcomes:
        if "note" in outcome:
            print(f"  {outcome['name']}: {outcome['note']}{_blur(outcome)}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(plain(outcomes), indent=1), encoding="utf-8")
    verdicts = {outcome["verdict"] for outcome in outcomes if outcome["verdict"] and outcome["kind"] != CONTROL}
    return 0 if verdicts and "fails" not in verdicts else 1


if __name__ == "__main__":
    sys.exit(main())

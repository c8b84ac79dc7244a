"""``kill -9`` of a process that records: what is lost, and whether a reader that knows nothing of us opens the store.

In each round a process records some 100 frames/s and is killed at a random moment. Then the recording is read with
this project's reader (all inputs and pixels up to the last `recorded_seq` that the process told of, checksums, replay)
and, before anything is repaired, with ome-zarr-py, which has to be installed (``pip install ome-zarr``): axes, pixel
sizes, z of the first plane, and every frame's pixels. Last it is repaired, and z of every frame compared.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from _recorded import FIRST_Z_UM, PIXEL_SIZE_UM, SHAPE, pixels_of, z_of

from microscoped.daemon.record import Entry, Recorded, TornTail, read_journal, repair, replay_journal

CHILD = Path(__file__).with_name("_recorded.py")
LONGEST_S = 1.5
AXES = "tczyx"


@dataclass(frozen=True)
class Round:
    """One kill.

    Parameters
    ----------
    promised, inputs
        The last `recorded_seq` that was told, and the last input that is in the journal.
    frames, skipped
        Frames whose pixels are in the store by the journal, and frames that are not.
    lost
        Inputs and frames up to `promised` that are missing or not what they were.
    torn, replays
        Whether the journal has a torn end, and replays to the same decisions.
    counted
        Points in time that the store counts as it was found.
    opens
        What is wrong by the independent reader; empty: nothing.
    repaired
        What is wrong after the repair; empty: nothing.
    """

    promised: int
    inputs: int
    frames: int
    skipped: int
    lost: int
    torn: bool
    replays: bool
    counted: int
    opens: str
    repaired: str


def kill_once(folder: Path, seed: int, after_s: float) -> int:
    """Record, kill, and return the last promise."""
    command = [sys.executable, str(CHILD), str(folder), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        promised = int(process.stdout.readline())
        time.sleep(after_s)
        process.kill()
        return max([promised, *(int(line) for line in process.stdout.read().split("\n")[:-1])])


def judge(folder: Path, seed: int, promised: int) -> Round:
    """Read what is there."""
    lines = list(read_journal(folder))
    numbers = {line.n for line in lines if isinstance(line, Entry)}
    first = min(numbers, default=1)
    lost = sum(number not in numbers for number in range(first, promised + 1))
    recorded = Recorded(folder)
    for one in recorded.frames.values():
        if one.number <= promised and (one.at is None) != (one.frame.number % 10 == 0):
            lost += 1
        elif one.at is not None:
            lost += not np.array_equal(recorded.pixels(one.frame.frame), pixels_of(seed, one.frame.number))
    stored = [one for one in recorded.frames.values() if one.at is not None]
    counted = recorded.store.times
    opens = independent(folder / "frames.ome.zarr", seed, [one.frame.number for one in stored])
    repair(folder)
    own = Recorded(folder).store.own["frames"]
    wrong = [one.frame.frame for one in stored if own["z_um"][one.at[0]] != z_of(one.frame.number)]  # type: ignore[index]
    again = independent(folder / "frames.ome.zarr", seed, [one.frame.number for one in stored], exactly=True)
    return Round(
        promised,
        max(numbers, default=0),
        len(stored),
        len(recorded.frames) - len(stored),
        lost,
        isinstance(lines[-1], TornTail),
        replay_journal(folder).difference is None,
        counted,
        opens,
        f"z of {wrong}" if wrong else again,
    )


def independent(store: Path, seed: int, numbers: list[int], *, exactly: bool = False) -> str:
    """Open the store with ome-zarr-py; return what is wrong."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(str(store), mode="r")
    nodes = [] if location is None else list(Reader(location)())
    if not nodes:
        return "ome-zarr-py finds no image"
    metadata, (data, *_) = nodes[0].metadata, nodes[0].data
    if "".join(axis["name"] for axis in metadata["axes"]) != AXES:
        return f"axes {metadata['axes']}"
    scale, translation = metadata["coordinateTransformations"][0]
    if scale["scale"][-2:] != [PIXEL_SIZE_UM] * 2 or translation["translation"][2] != FIRST_Z_UM:
        return f"scale {scale}, translation {translation}"
    if data.shape[1:] != (1, 1, *SHAPE) or data.shape[0] < len(numbers) or (exactly and data.shape[0] != len(numbers)):
        return f"shape {data.shape} for {len(numbers)} frames"
    found = np.asarray(data[: len(numbers)])
    for at, number in enumerate(numbers):
        if not np.array_equal(found[at, 0, 0], pixels_of(seed, number)):
            return f"pixels of frame {number}"
    empty = [at for at in range(len(numbers), data.shape[0]) if not np.asarray(data[at]).any()]
    return f"frames {empty} are counted and empty" if empty else ""


def main() -> int:
    """Kill, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to record; by default the system's folder for such files")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    moments = random.Random(chosen.seed)
    rounds = []
    print(
        "| round | promised | in the journal | frames | skipped | lost | torn end | replays | ome-zarr-py | repaired |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as parent:
        for number in range(1, chosen.rounds + 1):
            folder = Path(parent) / f"round {number}"
            found = judge(folder, number, kill_once(folder, number, moments.uniform(0, LONGEST_S)))
            rounds.append(found)
            print(
                f"| {number} | {found.promised} | {found.inputs} | {found.frames} | {found.skipped} | {found.lost} | "
                f"{'yes' if found.torn else ''} | {'yes' if found.replays else 'NO'} | {found.opens or 'good'} | "
                f"{found.repaired or 'good'} |",
                flush=True,
            )
    bad = [one for one in rounds if one.lost or one.opens or one.repaired or not one.replays]
    frames, lost = sum(one.frames for one in rounds), sum(one.lost for one in rounds)
    torn = sum(one.torn for one in rounds)
    print(
        f"\n{len(rounds)} kills, {frames} frames: {lost} lost of what was promised, {torn} torn ends; "
        f"{sum(not one.opens for one in rounds)} stores open as they are, {len(bad)} rounds are bad"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in rounds], indent=1), encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""A time lapse that stays in focus.

    python examples/focus_locked.py FOLDER [--address tcp://127.0.0.1:5770] [--every 60] [--frames 100]

The daemon keeps the focus by itself (`focus.hold`) while this script takes a frame now and then and writes it as a
NumPy file. `frames.csv` says where each was taken, and whether that was off the plane that is held.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from microscoped.daemon.client import DEFAULT_ADDRESS, Scope


def main() -> None:
    """Hold the focus, and take frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the frames go")
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="where the daemon listens")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two frames")
    parser.add_argument("--frames", type=int, default=100, help="how many")
    parser.add_argument("--focus-every", type=float, default=900.0, help="seconds between two looks for the focus")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with Scope(chosen.address) as scope, (chosen.folder / "frames.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "z_um", "off_plane", "exposure_start_ns"])
        scope.focus()
        hold = scope.request("focus.hold", every_s=chosen.focus_every)["task"]
        due_s = time.monotonic()
        for number in range(chosen.frames):
            time.sleep(max(0.0, due_s - time.monotonic()))
            due_s += chosen.every
            header, pixels = scope.snap()
            name = f"frame_{number:05d}.npy"
            np.save(chosen.folder / name, pixels)
            table.writerow([name, header["z_um"], header["off_plane"], header["exposure_start_ns"]])
            print(f"{name}: z {header['z_um']:.2f} µm", flush=True)
        scope.request("focus.release")
        held = scope.wait(hold)
    print(f"focused {held['rounds']} times, {held['failed']} of them in vain")


if __name__ == "__main__":
    main()

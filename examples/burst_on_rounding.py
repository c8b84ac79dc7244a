"""A burst of frames whenever a cell rounds up to divide.

    python examples/burst_on_rounding.py [--address tcp://127.0.0.1:5770] [--bursts 3] [--fps 5] [--seconds 60]

The daemon needs the engine of cells (`engines.cells` in its configuration). It watches slowly; a rule tells when a cell
has become half as tall again as it was, and this script then records a burst: frames, measurements and decisions, in a
folder of its own.
"""

from __future__ import annotations

import argparse
import time

from microscoped.daemon.client import DEFAULT_ADDRESS, Scope


def main() -> None:
    """Watch, and record bursts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="where the daemon listens")
    parser.add_argument("--bursts", type=int, default=3, help="how many")
    parser.add_argument("--fps", type=float, default=5.0, help="frames per second of a burst")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a burst")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two frames while nothing happens")
    parser.add_argument("--look-back", type=float, default=2400.0, help="seconds within which a cell has become taller")
    chosen = parser.parse_args()
    rounding = f"any(cells, not border and max_opd_nm > 1.5 * min(max_opd_nm, over {chosen.look_back:g} s))"
    rule = {
        "name": "rounding",
        "when": rounding,
        "max_age_s": 3 * chosen.every + 10,
        "cool_down_s": chosen.seconds,
        "action": {"do": "publish"},
    }
    with Scope(chosen.address) as scope, scope.events("v1.decision.rounding.") as decisions:
        scope.set_rules([rule])
        scope.request("camera.set", fps=1.0 / chosen.every)
        scope.request("camera.start")
        done = 0
        for decision in decisions:
            if decision.data["kind"] != "fired":
                continue
            print(f"a cell rounds up: {decision.data['why']}")
            with scope.recording() as recording:
                scope.request("camera.set", fps=chosen.fps)
                time.sleep(chosen.seconds)
                scope.request("camera.set", fps=1.0 / chosen.every)
            print(f"recorded in {recording['folder']}")
            done += 1
            if done == chosen.bursts:
                break
        scope.request("camera.stop")
        scope.request("rules.clear")


if __name__ == "__main__":
    main()

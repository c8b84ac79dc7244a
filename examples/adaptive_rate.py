"""A fast frame rate while cells round up, a slow one else: decided by the daemon, watched from here.

    python examples/adaptive_rate.py [--address tcp://127.0.0.1:5770] [--fast 0.1] [--slow 0.005] [--minutes 60]

The daemon needs the engine of cells (`engines.cells` in its configuration). Once the rules are set this script is not
needed any more: it only tells what they decide. Between two exposures there is no light.
"""

from __future__ import annotations

import argparse
import time

from microscoped.daemon.client import DEFAULT_ADDRESS, Scope


def main() -> None:
    """Set the rules, and tell what they decide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="where the daemon listens")
    parser.add_argument("--fast", type=float, default=0.1, help="frames per second while a cell is round")
    parser.add_argument("--slow", type=float, default=0.005, help="frames per second else")
    parser.add_argument("--hold", type=float, default=360.0, help="seconds without a round cell until it is slow again")
    parser.add_argument("--look-back", type=float, default=2400.0, help="seconds within which a cell has become taller")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to watch; the rules go on after that")
    chosen = parser.parse_args()
    rounded = f"any(cells, not border and max_opd_nm > 1.5 * min(max_opd_nm, over {chosen.look_back:g} s))"
    age_s = 2.0 / chosen.slow
    rules = [
        {
            "name": "fast",
            "when": rounded,
            "max_age_s": age_s,
            "priority": 2,
            "action": {"do": "camera", "fps": chosen.fast},
        },
        {
            "name": "slow",
            "when": f"not {rounded}",
            "hold_s": chosen.hold,
            "max_age_s": age_s,
            "priority": 1,
            "action": {"do": "camera", "fps": chosen.slow},
        },
    ]
    until_s = time.monotonic() + 60.0 * chosen.minutes
    with Scope(chosen.address) as scope, scope.events("v1.decision.", timeout_s=60.0 * chosen.minutes) as decisions:
        scope.set_rules(rules)
        scope.request("camera.set", fps=chosen.slow)
        scope.request("camera.start")
        for decision in decisions:
            said = decision.data
            if said["kind"] == "fired":
                camera = scope.status()["camera"]
                print(f"{said['rule']}: {said['why']} ({camera['frames']} frames so far)", flush=True)
            if time.monotonic() >= until_s:
                break


if __name__ == "__main__":
    main()

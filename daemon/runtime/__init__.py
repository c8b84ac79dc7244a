"""What surrounds the reducer: poller, sockets, threads, timers."""

from microscoped.daemon.runtime.errors import EngineProcessError
from microscoped.daemon.runtime.gate import Gate
from microscoped.daemon.runtime.loop import Keeper, Loop
from microscoped.daemon.runtime.pair_engine import PairEngine, PairObjective
from microscoped.daemon.runtime.process_engine import ProcessEngine
from microscoped.daemon.runtime.sockets import CONTROL_BYTES, SUBSCRIBE_BYTES, AddressInUseError, Endpoints, Sockets

__all__ = [
    "CONTROL_BYTES",
    "SUBSCRIBE_BYTES",
    "AddressInUseError",
    "Endpoints",
    "EngineProcessError",
    "Gate",
    "Keeper",
    "Loop",
    "PairEngine",
    "PairObjective",
    "ProcessEngine",
    "Sockets",
]

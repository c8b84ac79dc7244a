"""The pure heart of the daemon: inputs in, state and effects out."""

from microscoped.daemon.core.effects import Effect
from microscoped.daemon.core.inputs import Input, Now, Peer
from microscoped.daemon.core.modes import Mode
from microscoped.daemon.core.state import (
    CellsDefaults,
    FocusDefaults,
    HologramDefaults,
    PairDefaults,
    RulesView,
    Settings,
    State,
)
from microscoped.daemon.core.step import step

__all__ = [
    "CellsDefaults",
    "Effect",
    "FocusDefaults",
    "HologramDefaults",
    "Input",
    "Mode",
    "Now",
    "PairDefaults",
    "Peer",
    "RulesView",
    "Settings",
    "State",
    "step",
]

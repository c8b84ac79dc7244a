"""``config.yaml``: what it can say, and how it is read."""

from microscoped.daemon.config.engines import CellsEngineConfig, EngineConfig, EnginesConfig, HologramEngineConfig
from microscoped.daemon.config.lensfree import LensFreeReadingConfig
from microscoped.daemon.config.load import DEMO, ConfigError, load_config, parse_config, template
from microscoped.daemon.config.microscopes import (
    FieldConfig,
    HologramConfig,
    LensFreeConfig,
    MicroManagerConfig,
    OpdConfig,
    RecordedConfig,
    SimulatedConfig,
    SimulatedStageConfig,
)
from microscoped.daemon.config.models import (
    CameraConfig,
    Config,
    FocusConfig,
    FocusHoldConfig,
    FocusPairConfig,
    JournalConfig,
    LogConfig,
    NetworkConfig,
    OpticsConfig,
    RecordConfig,
    StageConfig,
    SupervisorConfig,
)
from microscoped.daemon.config.section import Section

__all__ = [
    "DEMO",
    "CameraConfig",
    "CellsEngineConfig",
    "Config",
    "ConfigError",
    "EngineConfig",
    "EnginesConfig",
    "FieldConfig",
    "FocusConfig",
    "FocusHoldConfig",
    "FocusPairConfig",
    "HologramConfig",
    "HologramEngineConfig",
    "JournalConfig",
    "LensFreeConfig",
    "LensFreeReadingConfig",
    "LogConfig",
    "MicroManagerConfig",
    "NetworkConfig",
    "OpdConfig",
    "OpticsConfig",
    "RecordConfig",
    "RecordedConfig",
    "Section",
    "SimulatedConfig",
    "SimulatedStageConfig",
    "StageConfig",
    "SupervisorConfig",
    "load_config",
    "parse_config",
    "template",
]

"""``config.yaml``: what it can say, and how it is read."""

from microscoped.daemon.config.load import DEMO, ConfigError, load_config, parse_config, template
from microscoped.daemon.config.models import (
    CameraConfig,
    Config,
    FieldConfig,
    FocusConfig,
    JournalConfig,
    LogConfig,
    MicroManagerConfig,
    NetworkConfig,
    OpticsConfig,
    RecordedConfig,
    SimulatedConfig,
    SimulatedStageConfig,
    StageConfig,
    SupervisorConfig,
)

__all__ = [
    "DEMO",
    "CameraConfig",
    "Config",
    "ConfigError",
    "FieldConfig",
    "FocusConfig",
    "JournalConfig",
    "LogConfig",
    "MicroManagerConfig",
    "NetworkConfig",
    "OpticsConfig",
    "RecordedConfig",
    "SimulatedConfig",
    "SimulatedStageConfig",
    "StageConfig",
    "SupervisorConfig",
    "load_config",
    "parse_config",
    "template",
]

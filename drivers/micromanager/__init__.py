"""The Micro-Manager backend: any configuration with a camera and a focus drive.

Importing this package loads Micro-Manager's core into the process; it is imported only where a microscope is built.
"""

from microscoped.drivers.micromanager._camera import MicroManagerCamera
from microscoped.drivers.micromanager._core import close_core, default_adapter_paths, demo_config_path
from microscoped.drivers.micromanager._microscope import MicroManagerMicroscope
from microscoped.drivers.micromanager._stage import MicroManagerStage

__all__ = [
    "MicroManagerCamera",
    "MicroManagerMicroscope",
    "MicroManagerStage",
    "close_core",
    "default_adapter_paths",
    "demo_config_path",
]

"""A process that records frames until it is killed, and says how far it promises them: ``_recorded.py FOLDER SEED``.

Each line on standard output is a number: `recorded_seq`. Frames are of a seed and their number, so that whoever finds
the recording knows what must be in it. Every tenth frame comes while the disk is said to be too slow.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.config import Config
from microscoped.daemon.core import Now, State, step
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.inputs import RecordingBegan
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.record import Facts, Layout, Recording, RecordingSettings
from microscoped.daemon.settings import core_settings
from microscoped.drivers.protocols import CameraInfo, CameraSettings, FocusDirection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.daemon.core import Input

SHAPE = (128, 160)
PIXEL_SIZE_UM = 0.325
FIRST_Z_UM = -3.5
PERIOD_S = 0.005
CONFIG: dict[str, Any] = {
    "optics": {"na": 0.5, "wavelength_nm": 550, "pixel_size_um": PIXEL_SIZE_UM},
    "stage": {"limits_um": [-20, 20], "focus_direction": "toward_sample"},
}


def pixels_of(seed: int, number: int) -> NDArray[np.uint16]:
    """Return the pixels of a frame."""
    return np.random.default_rng((seed, number)).integers(0, 4096, SHAPE, dtype=np.uint16)


def z_of(number: int) -> float:
    """Return the z of a frame, in µm."""
    return FIRST_Z_UM + 0.25 * ((number - 1) % 8)


def _frame(number: int) -> FrameData:
    return FrameData(
        frame=f"frame-{number}",
        camera="Camera",
        shape=list(SHAPE),
        dtype="uint16",
        bit_depth=12,
        exposure_start_ns=number * 5_000_000,
        exposure_start_error_ns=1000,
        exposure_ms=4.0,
        z_um=z_of(number),
        z_source="readback",
        moving=False,
        number=number,
        lost_before=0,
        streamed=True,
    )


class Life:
    """A reducer that hears frames."""

    def __init__(self) -> None:
        settings = core_settings(Config.model_validate(CONFIG), {})
        self.state = State(settings=settings, session=str(uuid.UUID(int=1)), began_ns=0)
        self.number = 0
        camera = CameraInfo("Camera", SHAPE[1], SHAPE[0], 1, "uint16", 12)
        self.hear(
            heard_of.HardwareOpened(
                camera, CameraSettings(exposure_ms=4.0), "Z", FIRST_Z_UM, FocusDirection.TOWARD_SAMPLE, {}
            )
        )

    def hear(self, heard: Input, recording: Recording | None = None, pixels: NDArray[Any] | None = None) -> None:
        """Hear an input, and have it recorded."""
        self.number += 1
        now = Now(self.number, self.number * 1_000_000, "2026-01-01T00:00:00.000000+00:00")
        self.state, effects = step(self.state, heard, now)
        if recording is not None:
            recording.record(heard, now, effects, self.state, pixels)


def main() -> None:
    """Record until the end."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    life = Life()
    began = threading.Event()
    settings = RecordingSettings(folder, Layout(pixel_size_um=PIXEL_SIZE_UM), reserve_mb=0.0)
    facts = Facts("benchmark", "1.0", CONFIG)
    recording = Recording(
        settings, facts, life.state, life.number, lambda news: began.set() if isinstance(news, RecordingBegan) else None
    )
    recording.start()
    began.wait(60)
    promised = number = 0
    while True:
        number += 1
        pixels = None if number % 10 == 0 else pixels_of(seed, number)
        life.hear(heard_of.FrameAdmitted(_frame(number)), recording, pixels)
        if recording.recorded_seq > promised:
            promised = recording.recorded_seq
            sys.stdout.write(f"{promised}\n")
            sys.stdout.flush()
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()

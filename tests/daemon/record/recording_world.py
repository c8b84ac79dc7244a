"""A life with frames whose pixels are known, and what records it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from microscoped.daemon.core import effects as to_do
from microscoped.daemon.core import inputs as heard_of
from microscoped.daemon.core.inputs import RecordingEnded
from microscoped.daemon.protocol.events import FrameData
from microscoped.daemon.record import Facts, Layout, Recording, RecordingSettings
from microscoped.drivers.protocols import CameraInfo, CameraSettings, FocusDirection
from microscoped.models.sharpness import SharpnessEngine
from tests.daemon.record.conftest import CONFIG, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.daemon.core import Effect, Input
    from microscoped.daemon.record.recording import News

LAYOUT = Layout(pixel_size_um=0.325)
FACTS = Facts("0.1", "1.0", CONFIG)
PATIENCE_S = 30.0
BIT_DEPTH = 12
Z_UM = 2.5


def pixels_of(number: int, shape: tuple[int, ...] = (48, 64), dtype: str = "uint16") -> NDArray[Any]:
    """Pixels of a frame: others for every number."""
    greatest = min(2**BIT_DEPTH, np.iinfo(dtype).max)
    return np.random.default_rng(number).integers(0, greatest, shape).astype(dtype)


def frame_of(number: int, pixels: NDArray[Any], z_um: float = Z_UM) -> FrameData:
    """The header of a frame."""
    return FrameData(
        frame=f"frame-{number}",
        camera="Camera",
        shape=list(pixels.shape),
        dtype=str(pixels.dtype),
        bit_depth=BIT_DEPTH,
        exposure_start_ns=number * 20_000_000,
        exposure_start_error_ns=1000,
        exposure_ms=10.0,
        z_um=z_um,
        z_source="readback",
        moving=False,
        number=number,
        lost_before=0,
        streamed=True,
    )


def open_world() -> World:
    """A reducer whose microscope is open."""
    world = World()
    info = CameraInfo("Camera", 64, 48, 1, "uint16", BIT_DEPTH)
    settings = CameraSettings(exposure_ms=10.0)
    world.hear(heard_of.HardwareOpened(info, settings, "Z", Z_UM, FocusDirection.TOWARD_SAMPLE, {}))
    return world


class Scene:
    """A world, its recording, and what became of it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.world = open_world()
        self.news: list[News] = []
        chosen: dict[str, Any] = {"layout": LAYOUT, "reserve_mb": 0.0, **settings}
        self.after = len(self.world.life)
        self.recording = Recording(
            RecordingSettings(folder, **chosen), FACTS, self.world.state, self.after, self.news.append
        )

    def hear(self, heard: Input, pixels: NDArray[Any] | None = None, at: tuple[int, int, int] | None = None) -> None:
        effects = self.world.hear(heard)
        _, now, _, state = self.world.life[-1]
        self.recording.record(heard, now, effects, state, pixels, at)
        self.measure(effects, pixels)

    def frame(
        self,
        number: int,
        pixels: NDArray[Any] | None = None,
        *,
        z_um: float = Z_UM,
        at: tuple[int, int, int] | None = None,
    ) -> None:
        pixels = pixels_of(number) if pixels is None else pixels
        self.hear(heard_of.FrameAdmitted(frame_of(number, pixels, z_um)), pixels, at)

    def measure(self, effects: Sequence[Effect], pixels: NDArray[Any] | None) -> None:
        """Answer what the reducer asks of the engine."""
        for effect in effects:
            if isinstance(effect, to_do.Offer) and effect.engine == "sharpness" and pixels is not None:
                values = SharpnessEngine().measure([pixels], effect.options)
                self.hear(heard_of.MeasureEnded("sharpness", effect.frame, None, values, 1.0))

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for the recording thread."""
        end_s = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < end_s, f"not in time; news: {self.news}"
            time.sleep(0.005)

    def close(self) -> RecordingEnded:
        """End it, and return what was said about the end."""
        assert self.recording.close(PATIENCE_S)
        (ended,) = (news for news in self.news if isinstance(news, RecordingEnded))
        return ended

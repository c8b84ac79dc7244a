"""The regression network of Jaferzadeh 2019, Fig. 3 and §2.3.

Five stages of convolution 5 × 5, batch normalisation, ReLU and max-pooling, the number of maps doubling with each; a
layer of 150 nodes; linear outputs. Beyond the paper it reads the phase too, and tells where the contrast is least and
how large its error is expected to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from microscoped.models.hologram.inputs import CHANNELS, CROP

STAGES = 5
FIRST_MAPS = 8
"""Maps of the first stage; the paper's number is not given."""
NODES = 150
UNIT_DOF = 5.0
"""Depths of field that an output of 1 stands for inside the network."""
HOLOGRAM_CROP = 128
"""Side in camera pixels of the unfiltered hologram that the variant ``unfiltered`` reads."""

Reads = Literal["field", "amplitude", "hologram"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the network reads.

    Parameters
    ----------
    reads
        ``field``: all of `inputs.crop_inputs`; ``amplitude``: its first channel, as in the paper; ``hologram``: pixels
        of the hologram as recorded, for comparison.
    """

    reads: Reads = "field"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the input."""
        return (1, HOLOGRAM_CROP, HOLOGRAM_CROP) if self.reads == "hologram" else (len(CHANNELS), CROP, CROP)


class DistanceNet(nn.Module):
    """Estimates the distance of the body in the middle of a crop.

    ``forward(crops)`` takes what `inputs.crop_inputs` gives, shape (n, 3, 64, 64). It returns, each of shape (n,): the
    distance of the body's middle in depths of field; how far beyond it the plane of least amplitude contrast lies, in
    depths of field; and the natural logarithm of the expected absolute error of the first, in depths of field.
    """

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        channels, side, _ = self.architecture.shape
        layers: list[nn.Module] = []
        for stage in range(STAGES):
            maps = FIRST_MAPS * 2**stage
            layers += [nn.Conv2d(channels, maps, 5, padding=2, bias=False), nn.BatchNorm2d(maps), nn.ReLU(inplace=True)]
            layers.append(nn.MaxPool2d(2))
            channels = maps
        self.features = nn.Sequential(*layers)
        self.nodes = nn.Sequential(nn.Linear(channels * (side // 2**STAGES) ** 2, NODES), nn.ReLU(inplace=True))
        self.outputs = nn.Linear(NODES, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.outputs.weight, 0.0, 0.01)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distance, offset of the least contrast, and logarithm of the expected error."""
        if self.architecture.reads == "amplitude":
            crops = torch.cat([crops[:, :1], torch.zeros_like(crops[:, 1:])], dim=1)
        found = self.outputs(self.nodes(self.features(crops).flatten(1)))
        return found[:, 0] * UNIT_DOF, found[:, 1], found[:, 2]


__all__ = ["HOLOGRAM_CROP", "Architecture", "DistanceNet", "Reads"]

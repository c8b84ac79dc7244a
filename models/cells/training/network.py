"""The networks of cells: the flat one of Allier 2022, §2.3, and a U-Net that is quick enough for live images.

The flat network keeps every pixel through 20 layers of 32 features and draws discs. The U-Net begins at a quarter of
the resolution, where a cell is still four pixels wide, does most of its work at a sixteenth, and answers at a half: a
cone for each cell, its quantities round the cone's middle, and how wrong they are expected to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional

from microscoped.models.cells.inputs import QUANTITIES, SIDE_PX

if TYPE_CHECKING:
    from torch import Tensor

FLAT_LAYERS, FLAT_MAPS = 20, 32
STEM_PX, STEM_STRIDE = 8, 4
STRIDE = 2
"""Pixels of the image on one of the U-Net's maps."""

Kind = Literal["unet", "flat"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Which network.

    Parameters
    ----------
    kind
        ``unet``, or ``flat``, the paper's.
    quantities
        Names of what it measures.
    maps
        Of the U-Net's levels, at a quarter, an eighth and a sixteenth of the resolution.
    coarse
        Its convolutions at the coarsest level.
    """

    kind: Kind = "unet"
    quantities: tuple[str, ...] = tuple(quantity.value for quantity in QUANTITIES)
    maps: tuple[int, int, int] = (16, 48, 96)
    coarse: int = 3

    @property
    def stride(self) -> int:
        """Pixels of the image on one of its maps."""
        return STRIDE if self.kind == "unet" else 1

    @property
    def outputs(self) -> int:
        """Number of maps: of the U-Net a cone, each quantity, and each expected error; of the flat one the discs."""
        count = len(self.quantities)
        return 1 + 2 * count if self.kind == "unet" else count


def _convolved(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class UNet(nn.Module):
    """The network for live images; see the module."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        fine, middle, coarse = architecture.maps
        self.stem = nn.Sequential(
            nn.Conv2d(1, fine, STEM_PX, STEM_STRIDE, (STEM_PX - STEM_STRIDE) // 2, bias=False),
            nn.BatchNorm2d(fine),
            nn.ReLU(inplace=True),
        )
        self.down = nn.Sequential(_convolved(fine, middle, 2), _convolved(middle, middle))
        self.bottom = nn.Sequential(
            _convolved(middle, coarse, 2), *(_convolved(coarse, coarse) for _ in range(architecture.coarse))
        )
        self.to_middle = nn.Conv2d(coarse, 4 * middle, 1)
        self.middle = _convolved(middle, middle)
        self.to_fine = nn.Conv2d(middle, 4 * fine, 1)
        self.fine = _convolved(fine, fine)
        self.out = nn.Conv2d(fine, architecture.outputs * (STEM_STRIDE // STRIDE) ** 2, 1)
        nn.init.normal_(self.out.weight, 0.0, 0.01)

    def forward(self, opd: Tensor) -> Tensor:
        """Return maps of shape (n, outputs, rows / 2, columns / 2) of images of shape (n, 1, rows, columns)."""
        fine = self.stem(opd)
        middle = self.down(fine)
        coarse = self.bottom(middle)
        middle = self.middle(torch.relu(middle + functional.pixel_shuffle(self.to_middle(coarse), 2)))
        fine = self.fine(torch.relu(fine + functional.pixel_shuffle(self.to_fine(middle), 2)))
        return functional.pixel_shuffle(self.out(fine), STEM_STRIDE // STRIDE)


class FlatNet(nn.Module):
    """The paper's network: 20 layers of 3 × 3 convolutions, batch normalisation and ReLU, with 32 features each."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        layers = [_convolved(1, FLAT_MAPS), *(_convolved(FLAT_MAPS, FLAT_MAPS) for _ in range(FLAT_LAYERS - 2))]
        self.layers = nn.Sequential(*layers, nn.Conv2d(FLAT_MAPS, architecture.outputs, 3, padding=1))

    def forward(self, opd: Tensor) -> Tensor:
        """Return maps of shape (n, outputs, rows, columns) of images of shape (n, 1, rows, columns)."""
        found: Tensor = self.layers(opd)
        return found


def make(architecture: Architecture) -> UNet | FlatNet:
    """Make a network with fresh weights."""
    return UNet(architecture) if architecture.kind == "unet" else FlatNet(architecture)


SHAPE = (1, SIDE_PX, SIDE_PX)
"""Of one image at run time; training may see others."""

__all__ = ["SHAPE", "STRIDE", "Architecture", "FlatNet", "UNet", "make"]

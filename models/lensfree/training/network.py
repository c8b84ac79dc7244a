"""The networks between the iterations: the paper's, of 20 layers at full resolution, and a lighter one at half.

Both take path difference and absorption and add to them the change that they predict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

MAPS = 2
"""Path difference and absorption."""

Kind = Literal["flat", "light"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Which network.

    Parameters
    ----------
    kind
        ``flat``, the paper's without resampling, or ``light``, which works on blocks of 2 × 2 pixels.
    layers, features
        Convolutions of 3 × 3 with batch normalisation and ReLU, and maps of each.
    """

    kind: Kind = "flat"
    layers: int = 20
    features: int = 16

    @property
    def block_px(self) -> int:
        """Side of the blocks of pixels that the network works on."""
        return 1 if self.kind == "flat" else 2

    @property
    def reach_px(self) -> int:
        """How far the network looks."""
        return (self.layers + 2) * self.block_px - 1


FLAT, LIGHT = Architecture(), Architecture("light", 8, 24)


class ChangeNet(nn.Module):
    """See the module."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        block, features = architecture.block_px, architecture.features
        # Kernels of 3 × 3 blocks first.
        convolutions = [nn.Conv2d(MAPS, features, 3 * block, block, block, bias=False)]
        convolutions += [
            nn.Conv2d(features, features, 3, padding=1, bias=False) for _ in range(architecture.layers - 1)
        ]
        layers: list[nn.Module] = []
        for convolution in convolutions:
            layers += [convolution, nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
        last = nn.Conv2d(features, MAPS * block**2, 3, padding=1)
        # A fresh network changes nothing.
        nn.init.normal_(last.weight, 0.0, 1e-3)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type] # there is one
        self.layers = nn.Sequential(*layers, last)
        self.block_px = block

    def forward(self, maps: Tensor) -> Tensor:
        """Return better maps of the same shape (n, 2, rows, columns), in the units of the network."""
        change: Tensor = self.layers(maps)
        if self.block_px > 1:
            change = functional.pixel_shuffle(change, self.block_px)
        return maps + change


__all__ = ["FLAT", "LIGHT", "MAPS", "Architecture", "ChangeNet"]

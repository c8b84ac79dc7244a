"""MobileNetV2 with width 0.4 and a linear head (Sandler 2018, table 2; Dastidar 2020, §3.5 and §4.5).

Beyond the paper a small branch reads the spectra of both images, and what is known of the microscope. What it finds is
added to the image's features before the last stage, and stands beside them at the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from microscoped.models.focus_pair.optics import CHARACTER_WIDTH
from microscoped.models.focus_pair.preprocess import TILE
from microscoped.models.focus_pair.spectra import BANDS, WIDTH

ALPHA = 0.4
LAST_CHANNELS = 640
"""The reference has 1280; the spectra take the place of the rest."""
SPECTRAL_HIDDEN, SPECTRAL = 256, 128
"""Units of the branch that reads the spectra."""
FEATURES = LAST_CHANNELS + SPECTRAL
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repeats and first stride of each stage."""
UNIT_DOF = 5.0
"""Depths of field that an output of 1 stands for inside the network."""

Variant = Literal["pair", "difference", "single"]
Head = Literal["pooled", "flattened"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What the network reads and how it ends.

    Parameters
    ----------
    variant
        ``pair``: difference and mean of the two images, their contrast ratio and spectra; ``difference``: the
        difference alone, as in the paper; ``single``: the second image and its spectrum alone, for comparison.
    head
        ``pooled``: features averaged over the tile; ``flattened``: one weight for every place.
    """

    variant: Variant = "pair"
    head: Head = "pooled"


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = cast("Tensor", self.layers(x))
        return x + y if self.residual else y


class FocusNetwork(nn.Module):
    """Estimates the defocus of the second image from tiles of a pair.

    ``forward(images, scalars, spectra, character)`` takes what ``inputs.pair_inputs`` gives: shapes (n, 6, 112, 112),
    (n, 2), (n, ``spectra.WIDTH``) and (n, ``optics.CHARACTER_WIDTH``). It returns the defocus of the second image in
    depths of field, shape (n,); the natural logarithm of its expected absolute error in depths of field, shape (n,);
    and the features that the linear head reads, shape (n, `FEATURES`).
    """

    second_only: Tensor

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        # Of a tile's spectra: first image, second image, coherence; each in three colours.
        self.register_buffer(
            "second_only", torch.tensor([0.0, 1.0, 0.0]).repeat_interleave(3 * BANDS), persistent=False
        )
        stem = _divisible(32 * ALPHA)
        # Difference and mean: six channels, and two planes that hold the scalars.
        layers: list[nn.Module] = [
            nn.Conv2d(8, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU6(inplace=True),
        ]
        channels = stem
        for expansion, outputs, repeats, stride in BLOCKS[:-1]:
            width = _divisible(outputs * ALPHA)
            for k in range(repeats):
                layers.append(_InvertedResidual(channels, width, stride if k == 0 else 1, expansion))
                channels = width
        self.body = nn.Sequential(*layers)
        self.spectral = nn.Sequential(
            nn.Linear(2 + WIDTH + CHARACTER_WIDTH, SPECTRAL_HIDDEN, bias=False),
            nn.BatchNorm1d(SPECTRAL_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(SPECTRAL_HIDDEN, SPECTRAL, bias=False),
            nn.BatchNorm1d(SPECTRAL),
            nn.ReLU(inplace=True),
        )
        self.join = nn.Linear(SPECTRAL, channels)
        expansion, outputs, _, stride = BLOCKS[-1]
        last = _divisible(outputs * ALPHA)
        self.top = nn.Sequential(
            _InvertedResidual(channels, last, stride, expansion),
            nn.Conv2d(last, LAST_CHANNELS, 1, bias=False),
            nn.BatchNorm2d(LAST_CHANNELS),
            nn.ReLU6(inplace=True),
        )
        places = (TILE // 32 + (TILE % 32 > 0)) ** 2 if self.architecture.head == "flattened" else 1
        self.head = nn.Linear(LAST_CHANNELS * places + SPECTRAL, 1)
        self.log_error = nn.Linear(FEATURES, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        for linear in (self.join, self.head, self.log_error):
            nn.init.normal_(linear.weight, 0.0, 0.01)
            nn.init.zeros_(linear.bias)

    def forward(
        self, images: Tensor, scalars: Tensor, spectra: Tensor, character: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return defocus, logarithm of the expected error, and features."""
        delta = (scalars[:, 0:1] - 2.0)[..., None, None]
        ratio = scalars[:, 1:2][..., None, None]
        difference, mean = images[:, :3], images[:, 3:]
        if self.architecture.variant == "difference":
            mean, ratio, spectra = mean * 0.0, ratio * 0.0, spectra * 0.0
        elif self.architecture.variant == "single":
            # The second image is the mean and half of the difference, each brought back to its own scale.
            mean = mean + 0.5 * torch.exp(ratio) * difference
            difference, delta, ratio = difference * 0.0, delta * 0.0, ratio * 0.0
            spectra = spectra * self.second_only
        plane = torch.ones_like(images[:, :1])
        told = self.spectral(torch.cat([delta[..., 0, 0], ratio[..., 0, 0], spectra, character], dim=1))
        x = self.body(torch.cat([difference, mean, delta * plane, ratio * plane], dim=1))
        x = self.top(x + self.join(told)[..., None, None])
        pooled = x.mean(dim=(2, 3))
        features = torch.cat([pooled, told], dim=1)
        read = torch.cat([x.flatten(1), told], dim=1) if self.architecture.head == "flattened" else features
        defocus = self.head(read)[:, 0] * UNIT_DOF
        return defocus, self.log_error(features)[:, 0], features


def _divisible(channels: float, by: int = 8) -> int:
    """Round to a multiple of 8, and not down by more than a tenth (as the reference implementations do)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


__all__ = ["FEATURES", "Architecture", "FocusNetwork", "Head", "Variant"]

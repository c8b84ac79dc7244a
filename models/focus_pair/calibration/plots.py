"""The picture of a calibration: what the network says over what is true, as an SVG without any library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from microscoped.models.focus_pair.calibration.figures import Told

SIDE, MARGIN, GAP = 320, 48, 24
REACH_DOF = 12.0
"""Both axes run from −REACH to +REACH depths of field."""


def scatter_svg(panels: dict[str, Told]) -> str:
    """Draw one panel for each set of estimates: truth to the right, estimate upwards, both in depths of field."""
    width = MARGIN + len(panels) * (SIDE + GAP)
    height = SIDE + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, told) in enumerate(panels.items()):
        parts += _panel(title, told, MARGIN + number * (SIDE + GAP), MARGIN)
    return "\n".join([*parts, "</svg>\n"])


def _panel(title: str, told: Told, left: float, top: float) -> list[str]:
    scale = SIDE / (2 * REACH_DOF)

    def place(value: float) -> float:
        return min(max(value, -REACH_DOF), REACH_DOF) * scale

    middle_x, middle_y = left + SIDE / 2, top + SIDE / 2
    parts = [
        f'<rect x="{left}" y="{top}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#888"/>',
        f'<text x="{left}" y="{top - 10}">{title}</text>',
        f'<text x="{left}" y="{top + SIDE + 28}">true defocus, DoF ({-REACH_DOF:g} … {REACH_DOF:g}); '
        "estimate upwards</text>",
        f'<path d="M{left} {top + SIDE}L{left + SIDE} {top}" stroke="#bbb"/>',
        f'<path d="M{left} {middle_y}H{left + SIDE}M{middle_x} {top}V{top + SIDE}" stroke="#eee"/>',
    ]
    for truth, value in zip(told.truth, told.value, strict=True):
        if np.isfinite(value):
            x, y = middle_x + place(float(truth)), middle_y - place(float(value))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="#1b7f4b" fill-opacity="0.6"/>')
        else:
            x = middle_x + place(float(truth))
            parts.append(f'<path d="M{x:.1f} {top + SIDE - 6}v6" stroke="#c00"/>')
    return parts


__all__ = ["scatter_svg"]

"""The picture of a calibration: distance over stage, and how far the places lie off the line, as an SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscoped.models.hologram.calibration.record import LineRecord

WIDTH, MARGIN, GAP = 480, 56, 44
HEIGHTS = (300, 120)
INK, GREEN = "#888", "#1b7f4b"


def line_svg(line: LineRecord) -> str:
    """Draw both panels: the stage's coordinate to the right, distance and residual upwards, all in µm."""
    stage = [place.stage_um for place in line.places]
    span = min(stage), max(stage)
    distances = [place.distance_um for place in line.places]
    residuals = [place.residual_um for place in line.places]
    most = max(*map(abs, residuals), 3 * line.repeatability_um, 1e-3)
    low, high = min(distances), max(distances)
    # The line runs through the residuals' zero.
    ends = [distance - residual for distance, residual in zip(distances, residuals, strict=True)]
    order = sorted(range(len(stage)), key=lambda k: stage[k])
    height = sum(HEIGHTS) + 2 * MARGIN + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 2 * MARGIN}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{MARGIN}" y="20">{line.slope:+.4f} ± {line.half_width:.4f} µm of distance per µm of stage; '
        f"repeats within {line.repeatability_um:.3f} µm</text>",
    ]
    upper = _Panel(MARGIN, HEIGHTS[0], span, (min(low, *ends), max(high, *ends)))
    parts += upper.frame("distance, µm")
    parts.append(upper.path([stage[order[0]], stage[order[-1]]], [ends[order[0]], ends[order[-1]]]))
    parts += upper.dots(stage, distances)
    lower = _Panel(MARGIN + HEIGHTS[0] + GAP, HEIGHTS[1], span, (-most, most))
    parts += lower.frame("residual, µm")
    parts.append(lower.path(list(span), [0.0, 0.0]))
    parts += lower.dots(stage, residuals)
    parts.append(f'<text x="{MARGIN}" y="{height - 12}">stage, µm ({span[0]:.2f} … {span[1]:.2f})</text>')
    return "\n".join([*parts, "</svg>\n"])


class _Panel:
    """One frame with its two scales."""

    def __init__(self, top: float, height: float, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._top, self._height, self._across, self._up = top, height, across, up

    def x(self, value: float) -> float:
        low, high = self._across
        return MARGIN + 8 + (value - low) / ((high - low) or 1.0) * (WIDTH - 16)

    def y(self, value: float) -> float:
        low, high = self._up
        return self._top + self._height - 8 - (value - low) / ((high - low) or 1.0) * (self._height - 16)

    def frame(self, title: str) -> list[str]:
        low, high = self._up
        return [
            f'<rect x="{MARGIN}" y="{self._top}" width="{WIDTH}" height="{self._height}" fill="none" stroke="{INK}"/>',
            f'<text x="{MARGIN}" y="{self._top - 6}">{title} ({low:.2f} … {high:.2f})</text>',
        ]

    def path(self, across: Sequence[float], up: Sequence[float]) -> str:
        ends = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in zip(across, up, strict=True))
        return f'<path d="M{ends}" stroke="{INK}" fill="none"/>'

    def dots(self, across: Sequence[float], up: Sequence[float]) -> list[str]:
        return [
            f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="3" fill="{GREEN}" fill-opacity="0.7"/>'
            for x, y in zip(across, up, strict=True)
        ]


__all__ = ["line_svg"]

"""How sharp one frame is: classical focus scores, normalised by brightness."""

from __future__ import annotations

from microscoped.models.sharpness._engine import SharpnessEngine, sharpness_settings
from microscoped.models.sharpness._measure import Colour, Sharpness, SharpnessSettings, measure_sharpness
from microscoped.models.sharpness._metrics import METRICS, Metric, MetricName

__all__ = [
    "METRICS",
    "Colour",
    "Metric",
    "MetricName",
    "Sharpness",
    "SharpnessEngine",
    "SharpnessSettings",
    "measure_sharpness",
    "sharpness_settings",
]

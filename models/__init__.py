"""Engines: what turns a frame into a measurement."""

from microscoped.models.protocols import Engine, Measurement, Part

__all__ = ["Engine", "Measurement", "Part"]

"""Engines: what turns a frame into a measurement."""

from microscoped.models.protocols import Engine

__all__ = ["Engine"]

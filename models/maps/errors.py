"""What can go wrong with frames in tiles."""

from __future__ import annotations


class TilesError(ValueError):
    """A setting of tiles is impossible, or a frame or the maps made of its tiles have a shape that they cannot have."""

    code = "maps.tiles"


__all__ = ["TilesError"]

"""Maps of any size: cut in tiles with a halo and put together again, and the background that they stand on."""

from microscoped.models.maps.background import common_level, smooth_background
from microscoped.models.maps.errors import TilesError
from microscoped.models.maps.tiles import Tile, TileSettings, padded_shape, plan_tiles, run_tiled

__all__ = [
    "Tile",
    "TileSettings",
    "TilesError",
    "common_level",
    "padded_shape",
    "plan_tiles",
    "run_tiled",
    "smooth_background",
]

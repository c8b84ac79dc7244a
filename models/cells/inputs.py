"""What the networks of cells see: one preprocessing for training and for the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from microscoped.models.cells.errors import MapError, ScaleError
from microscoped.models.cells.quantities import Quantity, require_pixel_um

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIXEL_UM: Final = 1.67
"""Of the images that the networks see, those of Allier 2022; others are brought to it."""
SIDE_PX: Final = 512
"""Of an image that the networks see; larger frames are cut into tiles, smaller ones filled up with nothing."""
UNIT_NM: Final = 75.0
"""Optical path difference that the networks see as 1."""
CENTRE_RADIUS_UM: Final = 7.5
"""Of the cones by which cells are found; wider than discs, because a cell's middle is known to a few micrometres."""
QUANTITIES: Final = (Quantity.DRY_MASS, Quantity.AREA, Quantity.MAX_OPD, Quantity.LENGTH)
"""In the order of the networks' maps."""
SAME_SCALE: Final = 0.02
"""Relative difference of pixel sizes up to which an image is not resampled."""
COARSEST_UM, FINEST_UM = 5.0, 0.05
"""Sizes of pixels beyond which cells cannot be seen, or a frame holds no cell."""


def network_image(opd_nm: NDArray[np.floating], pixel_um: float) -> tuple[NDArray[np.float32], float]:
    """Bring an image to the networks' unit and pixel size.

    Finer pixels are averaged, coarser ones interpolated.

    Parameters
    ----------
    opd_nm
        Optical path difference, shape (rows, columns).
    pixel_um
        Size of its pixels.

    Returns
    -------
    image, pixel_um
        What the networks see, and the size of its pixels, which is `PIXEL_UM` to within 2 % and rounding of the sides.

    Raises
    ------
    MapError
        The image has not two sides, or values that are not finite.
    ScaleError
        The pixel size is no positive number, or one at which cells cannot be seen.
    """
    image = np.asarray(opd_nm, np.float32)
    if image.ndim != 2 or min(image.shape) < 1:
        raise MapError(f"opd_nm: shape {image.shape}; must be (rows, columns), one optical path difference a pixel")
    if not np.isfinite(image).all():
        raise MapError("opd_nm: values that are not finite; leave out what could not be reconstructed, or set it to 0")
    factor = require_pixel_um(pixel_um) / PIXEL_UM
    if not FINEST_UM <= pixel_um <= COARSEST_UM:
        raise ScaleError(f"pixel_um {pixel_um}: cells are measured at {FINEST_UM} … {COARSEST_UM} µm per pixel")
    if abs(factor - 1.0) > SAME_SCALE:
        sides = [max(1, round(side * factor)) for side in image.shape]
        if factor < 1.0:
            # A box as wide as the new pixel; the spline is then read at its middles.
            image = ndimage.uniform_filter(image, max(1, round(1.0 / factor)), mode="nearest")
        zoom = [new / old for new, old in zip(sides, image.shape, strict=True)]
        image = ndimage.zoom(image, zoom, order=1, mode="nearest", grid_mode=True)
        pixel_um = pixel_um / zoom[0]
    return image * np.float32(1.0 / UNIT_NM), pixel_um


__all__ = ["CENTRE_RADIUS_UM", "PIXEL_UM", "QUANTITIES", "SIDE_PX", "UNIT_NM", "network_image"]

"""Images as Micro-Manager hands them out, made into the project's pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from microscoped.drivers.errors import CameraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Pixels


def normalise(image: NDArray[Any], components: int) -> Pixels:
    """Return an image that the caller owns: (height, width), or (height, width, 3) in the order red, green, blue.

    Colour cameras of Micro-Manager have four components in one 32- or 64-bit word per pixel, blue in its lowest part,
    then green, red and an unused one (``RGB32``, ``RGB64``). Cameras written in Python hand out red, green, blue as
    the last axis.

    Parameters
    ----------
    image
        Shape (height, width) of uint8, uint16, or packed words; or (height, width, 3 or 4).
    components
        Components of a pixel, as the core says.

    Raises
    ------
    CameraError
        The pixels are neither 8 nor 16 bits a component.
    """
    if image.ndim == 2 and components == 4 and image.dtype.itemsize in (4, 8):
        parts = np.ascontiguousarray(image).view(f"u{image.dtype.itemsize // 4}")
        image = parts.reshape(*image.shape, 4)[:, :, 2::-1]
    elif image.ndim == 3:
        image = image[:, :, :3]
    if image.dtype.type not in (np.uint8, np.uint16) or image.ndim not in (2, 3):
        raise CameraError(
            f"the camera delivers {image.dtype} pixels of shape {image.shape}: "
            "set its pixel type to 8 bit, 16 bit, 32bitRGB or 64bitRGB"
        )
    owned = image.flags.owndata and image.flags.writeable and image.flags.c_contiguous
    return cast("Pixels", image if owned else np.array(image, order="C"))


def pixel_format(bytes_per_pixel: int, components: int) -> tuple[int, str]:
    """Return channels and dtype of the frames that `normalise` makes.

    Raises
    ------
    CameraError
        The pixels are neither 8 nor 16 bits a component.
    """
    colour = components > 1
    # Cameras in C++ count all components, cameras in Python only one of them.
    depth = bytes_per_pixel // components if colour and bytes_per_pixel >= components else bytes_per_pixel
    if components not in (1, 3, 4) or depth not in (1, 2):
        raise CameraError(
            f"the camera is set to {bytes_per_pixel} bytes a pixel in {components} component(s): "
            "set its pixel type to 8 bit, 16 bit, 32bitRGB or 64bitRGB"
        )
    return (3 if colour else 1), ("uint8" if depth == 1 else "uint16")


__all__ = ["normalise", "pixel_format"]

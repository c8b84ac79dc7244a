"""The table of cells as a network reads it from an image of the optical path difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from microscoped.models.cells.errors import NetworkUnsuitableError
from microscoped.models.cells.heatmaps import DISC_RADIUS_UM
from microscoped.models.cells.inputs import CENTRE_RADIUS_UM, PIXEL_UM, SIDE_PX, UNIT_NM, network_image
from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.quantities import TYPICAL, Quantity
from microscoped.models.cells.reading import ReadingSettings, disc_medians, find_places
from microscoped.models.maps import TileSettings, run_tiled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes import Artefact, CompiledModel

HALO_PX: Final = 48
"""Rim of a tile that is not used. The network may look 84 pixels far, but what it tells hardly hangs on the outermost
ones."""
MULTIPLE_PX: Final = 16
"""Pixels of the image on one of the coarsest level."""
SCORED: Final = "interval_factors"
"""Name among a sidecar's scores: half of a 90 % interval over the expected error, of each quantity."""
CENTRES: Final = ReadingSettings(radius_um=CENTRE_RADIUS_UM)
LEAST_LOG_ERROR, MOST_LOG_ERROR = -8.0, 4.0
"""Of what the network tells, so that no half width overflows."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """What a network makes of an image; all maps of one shape.

    Parameters
    ----------
    pixel_um
        Size of the maps' pixels.
    offset_px
        Place in the image the networks see, in its pixels, of the middle of the maps' first pixel.
    stride
        Pixels of that image on one of the maps.
    quantities
        In each quantity's own unit. They hold near a cell's middle only.
    cones
        See `microscoped.models.cells.heatmaps.centre_map`; None where the network draws discs instead.
    half_widths
        Half of the 90 % interval of each quantity; empty where the network does not tell.
    """

    pixel_um: float
    offset_px: float
    stride: int
    quantities: Mapping[Quantity, NDArray[np.float32]]
    cones: NDArray[np.float32] | None
    half_widths: Mapping[Quantity, NDArray[np.float32]]

    def discs(self, quantity: Quantity) -> NDArray[np.float32]:
        """Return a quantity as the paper draws it: discs of 10 µm, nothing between them."""
        values = self.quantities[quantity]
        if self.cones is None:
            return values
        return np.where(self.cones >= 1.0 - DISC_RADIUS_UM / CENTRE_RADIUS_UM, values, np.float32(0.0))


class CellNetwork:
    """A network, ready to measure cells. Used by one thread at a time.

    Parameters
    ----------
    model
        The compiled network.
    artefact
        What it was compiled from.

    Raises
    ------
    NetworkUnsuitableError
        It was trained with another preprocessing than this version has.
    """

    def __init__(self, model: CompiledModel, artefact: Artefact) -> None:
        told = artefact.sidecar.preprocessing
        ours = {"pixel_um": PIXEL_UM, "side_px": SIDE_PX, "unit_nm": UNIT_NM, "centre_radius_um": CENTRE_RADIUS_UM}
        for name, value in ours.items():
            if told.get(name) != value:
                raise NetworkUnsuitableError(
                    f"{artefact.path}: preprocessing.{name} is {told.get(name)}, this version makes {value}: export "
                    "the network again, or install the version that it belongs to"
                )
        self.name = artefact.name
        self.sha256 = artefact.sidecar.sha256
        self.pixel_um = PIXEL_UM
        self.quantities = tuple(Quantity(name) for name in cast("list[str]", told["quantities"]))
        self._stride = int(cast("int", told["stride"]))
        self._offset_px = 0.5 * (self._stride - 1)
        self._cones = bool(told["cones"])
        names = [quantity.value for quantity in self.quantities]
        self._columns = (*names, *(f"{name}_half_width" for name in names))
        factors = cast("Mapping[str, float]", artefact.sidecar.scores.get(SCORED, {}))
        self._factors = {quantity: float(factors.get(quantity.value, 2.0)) for quantity in self.quantities}
        self._model = model
        self._tiles = TileSettings(SIDE_PX, HALO_PX, MULTIPLE_PX, self._stride)

    def table(self, opd_nm: NDArray[np.floating], pixel_um: float) -> CellTable:
        """Measure the cells of an image.

        Parameters
        ----------
        opd_nm
            Optical path difference, shape (rows, columns), any size; its background is at 0 to within what the network
            was trained on.
        pixel_um
            Size of its pixels.

        Returns
        -------
        A row for each cell whose middle is in the image. A cell at the border is estimated as a whole from the part
        that is seen, with an interval to match.

        Raises
        ------
        MapError
            The image has not two sides, or values that are not finite.
        ScaleError
            The pixel size is no positive number, or one at which cells cannot be seen.
        """
        image, seen_um = network_image(opd_nm, pixel_um)
        stacked = run_tiled(image, self._tile, self._tiles)
        map_um = seen_um * self._stride
        if self._cones:
            places = find_places(stacked[0], map_um, CENTRES, cones=True)
            heights = disc_medians(list(stacked[1:]), places, CENTRES.read_um / map_um)
        else:
            places = find_places(stacked.mean(axis=0), map_um)
            heights = disc_medians(list(stacked), places, ReadingSettings().read_um / map_um)
        in_image = (places * self._stride + self._offset_px + 0.5) * (seen_um / pixel_um) - 0.5
        inside = ((in_image >= -0.5) & (in_image <= np.array(opd_nm.shape) - 0.5)).all(axis=1)
        columns = dict(zip(self._columns, self._scaled(heights[inside].T), strict=False))
        return CellTable.of_columns(in_image[inside], columns, (opd_nm.shape[0], opd_nm.shape[1]), pixel_um)

    def maps(self, opd_nm: NDArray[np.floating], pixel_um: float) -> HeatMaps:
        """Return what the network makes of an image; parameters and errors as of `table`."""
        image, seen_um = network_image(opd_nm, pixel_um)
        stacked = run_tiled(image, self._tile, self._tiles)
        cones = stacked[0] if self._cones else None
        scaled = [one.astype(np.float32) for one in self._scaled(stacked[1:] if self._cones else stacked)]
        count = len(self.quantities)
        return HeatMaps(
            pixel_um=seen_um * self._stride,
            offset_px=self._offset_px,
            stride=self._stride,
            quantities=dict(zip(self.quantities, scaled[:count], strict=True)),
            cones=cones,
            half_widths=dict(zip(self.quantities, scaled[count:], strict=False)),
        )

    def factor(self, quantity: Quantity) -> float:
        """Return half of a quantity's 90 % interval over the error that the network expects."""
        return self._factors[quantity]

    def close(self) -> None:
        """Give back memory and devices."""
        self._model.close()

    def _scaled(self, told: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
        """Yield what the network tells, or was read of that, in units: quantities, then half widths."""
        for quantity, values in zip(self.quantities, told, strict=False):
            yield values * TYPICAL[quantity]
        for quantity, logarithms in zip(self.quantities, told[len(self.quantities) :], strict=False):
            yield (
                np.exp(np.clip(logarithms, LEAST_LOG_ERROR, MOST_LOG_ERROR)) * TYPICAL[quantity] * self.factor(quantity)
            )

    def _tile(self, tile: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, columns = tile.shape
        if tile.shape != (SIDE_PX, SIDE_PX):
            tile = np.pad(tile, ((0, SIDE_PX - rows), (0, SIDE_PX - columns)))
        told: NDArray[np.float32] = self._model.run({"opd": tile[None, None]})["maps"][0]
        return told[:, : rows // self._stride, : columns // self._stride]


__all__ = ["SCORED", "CellNetwork", "HeatMaps"]

"""Classical ways from an image to a table of cells: what a network has to beat.

Two of them. *Seeded growing*: cells are detected as blobs by a Laplacian of Gaussian (J.-Y. Tinevez et al., Methods
115, 80 (2017)), and grown from there to a threshold: the pipeline that gave Allier 2022 its reference (§2.3).
*Watershed*: threshold, watershed of the distance to the edge, and the properties of the regions, as scikit-image's
documentation has it (S. van der Walt et al., PeerJ 2, e453 (2014)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import regionprops_table
from skimage.segmentation import watershed

from microscoped.models.cells.errors import MapError, SettingsError
from microscoped.models.cells.measures import CellTable
from microscoped.models.cells.quantities import AREA_ABOVE_NM, Quantity, dry_mass_pg, require_pixel_um
from microscoped.models.cells.reading import local_maxima
from microscoped.models.maps import common_level, smooth_background

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOISE_THRESHOLD: Final = 3.0
"""Times the noise of the smoothed image, from which a pixel is a cell's where that is above 5 nm."""
NOISE_SMOOTHING_UM: Final = 2.5
"""Width of the Gaussian against noise."""
DISTANCE_SMOOTHING_UM: Final = 1.67
"""Width of the Gaussian over the distance to the edge, whose steps would be maxima each."""
PROPERTIES: Final = (
    "area",
    "axis_major_length",
    "bbox",
    "centroid_weighted",
    "intensity_max",
    "intensity_mean",
    "label",
)
PIXEL_MOMENT: Final = 1.0 / 12.0
"""Second moment of a pixel, a square of side 1."""


@dataclass(frozen=True, slots=True)
class BaselineSettings:
    """What both ways take for a cell.

    Parameters
    ----------
    threshold_nm
        Optical path difference from which a pixel is a cell's; ``None`` for 5 nm, or three times the noise of the
        smoothed image where that is more.
    smoothing_um
        Width of a Gaussian before the image is cut, and before the greatest value is taken; areas grow and heights
        shrink by it. ``None`` for none where three times the noise is below 5 nm, else 2.5 µm.
    diameter_um
        Of the blobs that detection looks for: of a cell's thick middle.
    apart_um
        Distance below which two middles are one cell.
    least_area_um2
        Smaller objects are debris.
    background_um
        Side of the blocks of which a smooth background is made and taken off; ``None`` leaves the image as it is.

    Raises
    ------
    SettingsError
        One is not positive.
    """

    threshold_nm: float | None = None
    smoothing_um: float | None = None
    diameter_um: float = 24.0
    apart_um: float = 14.0
    least_area_um2: float = 100.0
    background_um: float | None = None

    def __post_init__(self) -> None:
        for name in ("threshold_nm", "smoothing_um", "diameter_um", "apart_um", "least_area_um2", "background_um"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} {value}: must be a positive number")


def seeded_growing(
    opd_nm: NDArray[np.floating], pixel_um: float, settings: BaselineSettings = BaselineSettings()
) -> CellTable:
    """Detect cells as blobs, and grow each to the threshold.

    A pixel above the threshold goes to the cell from which it is reached first, the highest pixels being taken first.

    Parameters
    ----------
    opd_nm
        Optical path difference, shape (rows, columns).
    pixel_um
        Size of its pixels.
    settings
        What counts as a cell.

    Raises
    ------
    MapError
        The image has not two sides, or values that are not finite.
    ScaleError
        The pixel size is no positive number.
    """
    image, smooth, inside = _prepared(opd_nm, pixel_um, settings)
    width = settings.diameter_um / 2.0 / math.sqrt(2.0) / pixel_um
    blobs = -np.asarray(ndimage.gaussian_laplace(smooth, width, mode="nearest"), np.float32)
    apart = max(1.0, settings.apart_um / pixel_um)
    # The middle of a blob as high as the threshold: half of its height times 1/σ² at the matching width.
    least = 0.5 * float(_threshold(smooth, settings)) / width**2
    seeds = local_maxima(np.where(inside, blobs, -np.inf).astype(np.float32), apart, least)
    marks = np.zeros(image.shape, np.int32)
    marks[seeds[:, 0], seeds[:, 1]] = np.arange(1, len(seeds) + 1)
    labels = watershed(-smooth, marks, mask=inside)  # type: ignore[no-untyped-call] # has no types
    return measure_labels(image, labels, pixel_um, smooth_nm=smooth, least_area_um2=settings.least_area_um2)


def grow_regions(
    opd_nm: NDArray[np.floating],
    places_px: NDArray[np.floating],
    pixel_um: float,
    settings: BaselineSettings = BaselineSettings(),
) -> NDArray[np.int32]:
    """Return the region of each of given cells, grown as `seeded_growing` does: for pictures of what a network found.

    Parameters
    ----------
    opd_nm
        Optical path difference, shape (rows, columns).
    places_px
        Where the cells are (row, column), shape (cells, 2), in the image.
    pixel_um, settings
        As of `seeded_growing`; ``diameter_um``, ``apart_um`` and ``least_area_um2`` are not used.

    Returns
    -------
    Number of the place + 1, 0 where there is no cell; of the image's shape. A place that lies below the threshold has
    no region.
    """
    image, smooth, inside = _prepared(opd_nm, pixel_um, settings)
    marks = np.zeros(image.shape, np.int32)
    seeds = np.clip(np.rint(places_px).astype(np.int64).reshape(-1, 2), 0, np.array(image.shape) - 1)
    marks[seeds[:, 0], seeds[:, 1]] = np.arange(1, len(seeds) + 1)
    return np.asarray(watershed(-smooth, marks, mask=inside), np.int32)  # type: ignore[no-untyped-call] # has no types


def threshold_watershed(
    opd_nm: NDArray[np.floating], pixel_um: float, settings: BaselineSettings = BaselineSettings()
) -> CellTable:
    """Cut the image at the threshold, split what touches by the distance to the edge, and measure the regions.

    Parameters and errors as of `seeded_growing`; ``diameter_um`` is not used.
    """
    image, smooth, inside = _prepared(opd_nm, pixel_um, settings)
    if not inside.any():
        return CellTable.of_columns(np.zeros((0, 2)), {}, (image.shape[0], image.shape[1]), pixel_um)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), DISTANCE_SMOOTHING_UM / pixel_um)
    apart = max(1, round(settings.apart_um / pixel_um))
    objects, _ = ndimage.label(inside)
    seeds = peak_local_max(distance, min_distance=apart, labels=objects, exclude_border=False)  # type: ignore[no-untyped-call] # has no types
    marks = np.zeros(image.shape, np.int32)
    marks[seeds[:, 0], seeds[:, 1]] = np.arange(1, len(seeds) + 1)
    labels = watershed(-distance, marks, mask=inside)  # type: ignore[no-untyped-call] # has no types
    both = np.stack([image, smooth], axis=-1)
    told = regionprops_table(labels, intensity_image=both, properties=PROPERTIES)  # type: ignore[no-untyped-call] # has no types
    kept = told["area"] * pixel_um**2 >= settings.least_area_um2
    told = {name: column[kept] for name, column in told.items()}
    border = (told["bbox-0"] == 0) | (told["bbox-1"] == 0)
    border |= (told["bbox-2"] == image.shape[0]) | (told["bbox-3"] == image.shape[1])
    volume = told["area"] * told["intensity_mean-0"] * 1e-3 * pixel_um**2
    columns = {
        Quantity.DRY_MASS.value: dry_mass_pg(1.0) * volume,
        Quantity.AREA.value: told["area"] * pixel_um**2,
        Quantity.MAX_OPD.value: told["intensity_max-1"],
        # scikit-image takes a pixel for a point.
        Quantity.LENGTH.value: np.hypot(told["axis_major_length"], 4.0 * math.sqrt(PIXEL_MOMENT)) * pixel_um,
        "touching": np.isin(told["label"], _touching(labels)),
        "border": border,
    }
    places = np.stack([told["centroid_weighted-0-0"], told["centroid_weighted-1-0"]], axis=1)
    return CellTable.of_columns(places, columns, image.shape, pixel_um)


def measure_labels(
    opd_nm: NDArray[np.floating],
    labels: NDArray[np.integer],
    pixel_um: float,
    *,
    smooth_nm: NDArray[np.floating] | None = None,
    least_area_um2: float = 0.0,
) -> CellTable:
    """Measure the regions of an image.

    Parameters
    ----------
    opd_nm
        Optical path difference, shape (rows, columns).
    labels
        Which region each pixel belongs to, of the same shape; 0 is none.
    pixel_um
        Size of the pixels.
    smooth_nm
        The image smoothed, whose greatest value is a region's; ``None`` for the image itself.
    least_area_um2
        Smaller regions are left out.

    Returns
    -------
    In the order of the labels. The place is the centroid of the optical path difference, of its positive part.
    """
    rows, columns = np.nonzero(labels)
    cell = labels[rows, columns].astype(np.int64)
    values = np.asarray(opd_nm, np.float64)[rows, columns]
    count = int(cell.max(initial=0)) + 1

    def total(weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        return np.bincount(cell, weights, count).astype(np.float64)

    area = total()
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, across = total(rows.astype(float)) / area, total(columns.astype(float)) / area
        down, right = rows - middle[cell], columns - across[cell]
        rows2 = total(down * down) / area + PIXEL_MOMENT
        columns2 = total(right * right) / area + PIXEL_MOMENT
        mixed = total(down * right) / area
        greatest = 0.5 * (rows2 + columns2) + np.hypot(0.5 * (rows2 - columns2), mixed)
        positive = np.maximum(values, 0.0)
        weight = total(positive)
        # A region without any positive value has no centroid of mass: that of its area.
        place = np.where(weight > 0, total(positive * rows) / weight, middle)
        place_across = np.where(weight > 0, total(positive * columns) / weight, across)
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, cell, values if smooth_nm is None else np.asarray(smooth_nm, np.float64)[rows, columns])
    edge = (rows == 0) | (columns == 0) | (rows == labels.shape[0] - 1) | (columns == labels.shape[1] - 1)
    border = np.zeros(count, bool)
    border[cell[edge]] = True
    touching = np.zeros(count, bool)
    touching[_touching(labels)] = True
    kept = area * pixel_um**2 >= max(least_area_um2, 0.5 * pixel_um**2)
    kept[0] = False
    measured = {
        Quantity.DRY_MASS.value: dry_mass_pg(1.0) * total(values)[kept] * 1e-3 * pixel_um**2,
        Quantity.AREA.value: area[kept] * pixel_um**2,
        Quantity.MAX_OPD.value: peak[kept],
        Quantity.LENGTH.value: 4.0 * np.sqrt(greatest[kept]) * pixel_um,
        "touching": touching[kept],
        "border": border[kept],
    }
    places = np.stack([place[kept], place_across[kept]], axis=1)
    return CellTable.of_columns(places, measured, (labels.shape[0], labels.shape[1]), pixel_um)


def _prepared(
    opd_nm: NDArray[np.floating], pixel_um: float, settings: BaselineSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return the image without its background, the same smoothed, and which pixels are cells'."""
    require_pixel_um(pixel_um)
    image = np.asarray(opd_nm, np.float32)
    if image.ndim != 2 or not image.size or not np.isfinite(image).all():
        raise MapError(f"opd_nm: shape {image.shape}; must be (rows, columns) of finite values")
    if settings.background_um is not None:
        image = image - smooth_background(image, max(1, round(settings.background_um / pixel_um)))
        image = image - np.float32(common_level(image))
    width = settings.smoothing_um
    if width is None and NOISE_THRESHOLD * _noise(image) >= AREA_ABOVE_NM:
        width = NOISE_SMOOTHING_UM
    if width is None:
        smooth = image
    else:
        smooth = np.asarray(ndimage.gaussian_filter(image, width / pixel_um, mode="nearest"), np.float32)
    return image, smooth, smooth > _threshold(smooth, settings)


def _noise(image: NDArray[np.float32]) -> float:
    """Return the standard deviation of the background: told by what is darker than it, for cells are brighter."""
    level = common_level(image)
    below = level - image[image < level]
    return 1.4826 * float(np.median(below)) if below.size else 0.0


def _threshold(smooth: NDArray[np.float32], settings: BaselineSettings) -> float:
    if settings.threshold_nm is not None:
        return settings.threshold_nm
    return max(AREA_ABOVE_NM, common_level(smooth) + NOISE_THRESHOLD * _noise(smooth))


def _touching(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the labels that have another one beside them."""
    found = []
    for one, other in (
        (labels[1:], labels[:-1]),
        (labels[:, 1:], labels[:, :-1]),
        (labels[1:, 1:], labels[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:]),
    ):
        meet = (one != other) & (one > 0) & (other > 0)
        found += [one[meet], other[meet]]
    return np.unique(np.concatenate(found)).astype(np.int64)


__all__ = ["BaselineSettings", "grow_regions", "measure_labels", "seeded_growing", "threshold_watershed"]

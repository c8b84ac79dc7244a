"""The table of the cells of one field, and what it says in sum."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from scipy import spatial

from microscoped.models.cells.errors import TableError
from microscoped.models.cells.quantities import Quantity, require_pixel_um

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

QUANTILES: Final = (5, 25, 50, 75, 95)
"""Percentiles that tell a distribution."""
UNKNOWN_RADIUS_UM: Final = 14.3
"""Taken for a cell whose area is not measured: that of a typical one."""


class Truth(Protocol):
    """What is true of a simulated cell (`microscoped.simulators.cells`)."""

    @property
    def row_um(self) -> float: ...  # noqa: D102

    @property
    def column_um(self) -> float: ...  # noqa: D102

    @property
    def dry_mass_pg(self) -> float: ...  # noqa: D102

    @property
    def area_um2(self) -> float: ...  # noqa: D102

    @property
    def max_opd_nm(self) -> float: ...  # noqa: D102

    @property
    def length_um(self) -> float: ...  # noqa: D102

    @property
    def touching(self) -> bool: ...  # noqa: D102

    @property
    def border(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class CellTable:
    """The cells of one field: a row each.

    Parameters
    ----------
    shape_px
        Of the field's image (rows, columns).
    pixel_um
        Size of its pixels.
    row_px, column_px
        Centroid; 0 is the middle of the first pixel.
    row_um, column_um
        The same in µm.
    dry_mass_pg, area_um2, max_opd_nm, length_um
        See `microscoped.models.cells.Quantity`; NaN where it was not measured.
    dry_mass_pg_half_width, area_um2_half_width, max_opd_nm_half_width, length_um_half_width
        Half of the 90 % interval of each; NaN where it is not known.
    touching
        Whether it touches another cell.
    border
        Whether it reaches the image's border: its quantities are of the part in the image.
    track
        Number of the cell in a series of frames; -1 where it was not linked.
    """

    shape_px: tuple[int, int]
    pixel_um: float
    row_px: NDArray[np.float64]
    column_px: NDArray[np.float64]
    row_um: NDArray[np.float64]
    column_um: NDArray[np.float64]
    dry_mass_pg: NDArray[np.float64]
    area_um2: NDArray[np.float64]
    max_opd_nm: NDArray[np.float64]
    length_um: NDArray[np.float64]
    dry_mass_pg_half_width: NDArray[np.float64]
    area_um2_half_width: NDArray[np.float64]
    max_opd_nm_half_width: NDArray[np.float64]
    length_um_half_width: NDArray[np.float64]
    touching: NDArray[np.bool_]
    border: NDArray[np.bool_]
    track: NDArray[np.int64]

    def __post_init__(self) -> None:
        require_pixel_um(self.pixel_um)
        for name in COLUMNS:
            column = getattr(self, name)
            if column.shape != (len(self),):
                raise TableError(f"{name}: shape {column.shape}, but row_px has {self.row_px.shape}; a row is a cell")

    def __len__(self) -> int:
        return len(self.row_px)

    @classmethod
    def of_columns(
        cls,
        places_px: ArrayLike,
        columns: Mapping[str, ArrayLike],
        shape_px: tuple[int, int],
        pixel_um: float,
    ) -> CellTable:
        """Make a table of places and what was measured there.

        Parameters
        ----------
        places_px
            Shape (cells, 2): row, column.
        columns
            Of those of the table except places; those left out are not known. ``touching`` and ``border`` are else
            told from places and areas: discs of equal area that meet, or that reach over the image's border.
        shape_px, pixel_um
            Of the image.

        Raises
        ------
        TableError
            A column has no such name, or another length than the places.
        ScaleError
            The pixel size is no positive number.
        """
        require_pixel_um(pixel_um)
        places = np.asarray(places_px, np.float64).reshape(-1, 2)
        unknown = set(columns) - set(COLUMNS) | set(columns) & set(PLACES)
        if unknown:
            raise TableError(
                f"columns {sorted(unknown)}: not among those of a table, {sorted(set(COLUMNS) - set(PLACES))}"
            )
        count = len(places)
        given: dict[str, Any] = {name: np.full(count, np.nan) for name in MEASURED}
        given |= {name: np.asarray(column, _dtype(name)) for name, column in columns.items()}
        radius_px = np.sqrt(np.maximum(given[Quantity.AREA], 0.0) / np.pi) / pixel_um
        radius_px = np.where(np.isfinite(radius_px), radius_px, UNKNOWN_RADIUS_UM / pixel_um)
        if "touching" not in given:
            given["touching"] = _meeting(places, radius_px) if count else np.zeros(0, bool)
        if "border" not in given:
            ends = np.array(shape_px) - 0.5
            given["border"] = ((places - radius_px[:, None] < -0.5) | (places + radius_px[:, None] > ends)).any(axis=1)
        given.setdefault("track", np.full(count, -1, np.int64))
        around: dict[str, Any] = {
            "row_px": places[:, 0].copy(),
            "column_px": places[:, 1].copy(),
            "row_um": places[:, 0] * pixel_um,
            "column_um": places[:, 1] * pixel_um,
        }
        return cls(shape_px=shape_px, pixel_um=pixel_um, **around, **given)

    @classmethod
    def of_truths(cls, truths: Iterable[Truth], shape_px: tuple[int, int], pixel_um: float) -> CellTable:
        """Make the table that a perfect measurement would make of a simulated field."""
        cells = list(truths)
        places = np.array([(one.row_um, one.column_um) for one in cells]).reshape(-1, 2) / require_pixel_um(pixel_um)
        names = [quantity.value for quantity in Quantity] + ["touching", "border"]
        columns: dict[str, ArrayLike] = {
            name: np.array([getattr(one, name) for one in cells], _dtype(name)) for name in names
        }
        return cls.of_columns(places, columns, shape_px, pixel_um)

    @property
    def places_um(self) -> NDArray[np.float64]:
        """Centroids (row, column) in µm, shape (cells, 2)."""
        return np.stack([self.row_um, self.column_um], axis=1)

    @property
    def places_px(self) -> NDArray[np.float64]:
        """Centroids (row, column) in pixels, shape (cells, 2)."""
        return np.stack([self.row_px, self.column_px], axis=1)

    @property
    def field_mm2(self) -> float:
        """Area of the image."""
        return self.shape_px[0] * self.shape_px[1] * (1e-3 * self.pixel_um) ** 2

    def column(self, quantity: Quantity) -> NDArray[np.float64]:
        """Return the column of a quantity."""
        values: NDArray[np.float64] = getattr(self, quantity.value)
        return values

    def half_widths(self, quantity: Quantity) -> NDArray[np.float64]:
        """Return the column of the half widths of a quantity."""
        values: NDArray[np.float64] = getattr(self, f"{quantity.value}_half_width")
        return values

    def where(self, kept: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> CellTable:
        """Return the table of some of the rows: a mask, or their numbers."""
        return replace(self, **{name: getattr(self, name)[kept] for name in COLUMNS})

    def with_tracks(self, tracks: ArrayLike) -> CellTable:
        """Return the table with numbers of cells, -1 where one was not linked."""
        return replace(self, track=np.asarray(tracks, np.int64))

    def values(self) -> dict[str, Any]:
        """Return what the field says in sum, as plain JSON values with units in their names.

        Count and density are of all cells; distributions of those that do not reach the border, and only of what was
        measured: ``None`` where there is no such cell.
        """
        inner = self.where(~self.border)
        return {
            "count": len(self),
            "density_per_mm2": len(self) / self.field_mm2,
            "field_mm2": self.field_mm2,
            "pixel_um": self.pixel_um,
            "touching": int(self.touching.sum()),
            "border": int(self.border.sum()),
            **{quantity.value: distribution(inner.column(quantity)) for quantity in Quantity},
        }

    def rows(self) -> list[dict[str, float | int | bool | None]]:
        """Return the rows as plain JSON values; what is not known is ``None``."""
        told = []
        columns = {name: getattr(self, name).tolist() for name in COLUMNS}
        for k in range(len(self)):
            row = {name: column[k] for name, column in columns.items()}
            told.append({name: None if value != value else value for name, value in row.items()})
        return told


PLACES: Final = ("row_px", "column_px", "row_um", "column_um")
COLUMNS: Final = tuple(one.name for one in fields(CellTable) if one.name not in ("shape_px", "pixel_um"))
"""Names of the columns, in their order."""
MEASURED: Final = tuple(name for name in COLUMNS if name not in (*PLACES, "touching", "border", "track"))


def _dtype(name: str) -> type:
    return {"touching": np.bool_, "border": np.bool_, "track": np.int64}.get(name, np.float64)


def _meeting(places: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.bool_]:
    touching = np.zeros(len(places), bool)
    pairs = spatial.cKDTree(places).query_pairs(2.0 * float(radius.max()), output_type="ndarray")
    one, other = pairs.T
    meet = np.hypot(*(places[one] - places[other]).T) < radius[one] + radius[other]
    touching[pairs[meet].ravel()] = True
    return touching


def distribution(values: NDArray[np.float64]) -> dict[str, float | int] | None:
    """Return count, mean, standard deviation and percentiles of what is known, ``None`` where nothing is."""
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    told: dict[str, float | int] = {
        "count": int(known.size),
        "mean": math.fsum(known) / known.size,
        "sd": float(known.std()),
    }
    found = np.percentile(known, QUANTILES).tolist()
    return told | {f"p{q:02d}": value for q, value in zip(QUANTILES, found, strict=True)}


__all__ = ["COLUMNS", "CellTable", "Truth", "distribution"]

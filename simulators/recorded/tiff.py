"""TIFF, OME-TIFF, and the TIFF of ImageJ and Micro-Manager."""

from __future__ import annotations

import logging
import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tifffile

from microscoped.simulators.recorded.axes import Choice, FileContent, as_planes
from microscoped.simulators.recorded.errors import BrokenFileError, PlanesError, UnknownFormatError
from microscoped.simulators.recorded.units import micrometres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

MICROMANAGER_TAG = 51123


def read_tiff(path: Path, choice: Choice) -> FileContent:
    """Read the first image of a TIFF file with the z that its metadata give.

    Parameters
    ----------
    path
        The file.
    choice
        What to keep of the axes that do not belong to a z-stack.

    Raises
    ------
    UnknownFormatError
        Not a TIFF, or of a pixel type or compression that cannot be read here.
    BrokenFileError
        The file is cut short or damaged.
    PlanesError
        Its pages differ in size, or its axes do not form a z-stack.
    """
    with _complaints() as complaints:
        try:
            with tifffile.TiffFile(path) as file:
                content = _content(path, file, choice)
        except tifffile.TiffFileError as error:
            raise UnknownFormatError(f"{path}: cannot be read as TIFF ({error}); save it anew as TIFF") from error
        except (ValueError, KeyError) as error:
            if "imagecodecs" in str(error):
                raise UnknownFormatError(
                    f"{path}: its compression cannot be read here ({error}); save it uncompressed or with Deflate, "
                    "or install the package imagecodecs"
                ) from error
            raise BrokenFileError(f"{path}: the file is damaged ({error}); fetch or save it again") from error
        except (OSError, EOFError, zlib.error, IndexError, TypeError) as error:
            raise BrokenFileError(f"{path}: the file is cut short or damaged ({error}); fetch it again") from error
    if complaints:
        raise BrokenFileError(f"{path}: the file is cut short or damaged ({complaints[0]}); fetch it again")
    return content


def _content(path: Path, file: tifffile.TiffFile, choice: Choice) -> FileContent:
    if not file.series:
        raise BrokenFileError(f"{path}: holds no image; fetch it again")
    if len(file.series) > 1:
        sizes = ", ".join("×".join(str(n) for n in series.shape) for series in file.series[:4])
        raise PlanesError(
            f"{path}: holds {len(file.series)} images of their own ({sizes} …), not one z-stack: planes of unequal "
            "size, or several fields; save the wanted stack alone"
        )
    series = file.series[0]
    planes = as_planes(path.name, series.asarray(), tuple(series.axes), choice)
    if file.is_ome and file.ome_metadata:
        ome = _ome_pixels(file.ome_metadata)
        bits = ome.get("SignificantBits")
        bits = int(bits) if bits is not None and 1 <= int(bits) <= planes.dtype.itemsize * 8 else None
        return FileContent(planes, bits, _ome_z_um(ome, choice, len(planes)))
    z_um = _micromanager_z_um(file, len(planes))
    if z_um is None and file.is_imagej and file.imagej_metadata:
        z_um = _spaced(file.imagej_metadata, "spacing", "unit", len(planes))
    return FileContent(planes, None, z_um)


def _micromanager_z_um(file: tifffile.TiffFile, n_planes: int) -> tuple[float, ...] | None:
    """Return z from the metadata that Micro-Manager writes beside each page, or None."""
    if len(file.pages) != n_planes:
        return None
    found: list[float] = []
    for page in file.pages:
        tag = page.tags.get(MICROMANAGER_TAG) if isinstance(page, tifffile.TiffPage) else None
        z_um = tag.value.get("ZPositionUm") if tag is not None and isinstance(tag.value, dict) else None
        if not isinstance(z_um, (int, float)):
            return None
        found.append(float(z_um))
    return tuple(found)


def _ome_pixels(xml: str) -> Mapping[str, Any]:
    """Return the Pixels element of the first image as a dictionary."""
    root: Any = tifffile.xml2dict(xml)
    image = root["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    return pixels if isinstance(pixels, dict) else {}


def _ome_z_um(pixels: Mapping[str, Any], choice: Choice, n_planes: int) -> tuple[float, ...] | None:
    """Return z from the planes' PositionZ where they are distinct, else from PhysicalSizeZ."""
    listed = pixels.get("Plane", [])
    found: dict[int, float] = {}
    for plane in listed if isinstance(listed, list) else [listed]:
        wanted = plane.get("TheC", 0) == choice.select.get("C", 0) and plane.get("TheT", 0) == choice.select.get("T", 0)
        unit = micrometres(plane.get("PositionZUnit", "reference frame"))
        if wanted and unit is not None and "PositionZ" in plane:
            found[int(plane.get("TheZ", 0))] = float(plane["PositionZ"]) * unit
    if set(found) == set(range(n_planes)) and (n_planes == 1 or len(set(found.values())) > 1):
        return tuple(found[index] for index in range(n_planes))
    return _spaced({"PhysicalSizeZUnit": "µm", **pixels}, "PhysicalSizeZ", "PhysicalSizeZUnit", n_planes)


def _spaced(metadata: Mapping[str, Any], step: str, unit: str, n_planes: int) -> tuple[float, ...] | None:
    """Return z at equal steps from 0, or None where step or unit are not known."""
    factor = micrometres(str(metadata.get(unit)))
    size = metadata.get(step)
    if n_planes < 2 or factor is None or not isinstance(size, (int, float)) or not size or not math.isfinite(size):
        return None
    return tuple(index * size * factor for index in range(n_planes))


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile only logs: it goes on after a broken page, and would give fewer pages or empty ones."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    collector = Collector(level=logging.ERROR)
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)


__all__ = ["read_tiff"]

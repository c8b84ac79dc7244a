"""A live camera of optical path differences before adherent cells that move, grow and divide."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from microscoped.simulators.cells._debris import add_grain
from microscoped.simulators.cells._degradation import QUALITY_LEVELS, Degradation
from microscoped.simulators.cells._library import CellLibrary, CutOut
from microscoped.simulators.cells._placing import Dish
from microscoped.simulators.cells._population import PopulationParameters, draw_mitotic
from microscoped.simulators.sensor import NoiseBank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.drivers.protocols import Clock, Pixels
    from microscoped.simulators.cells._defocus import Defocus
    from microscoped.simulators.cells._mitosis import Mitosis
    from microscoped.simulators.optics import FloatArray

MARGIN_UM = 40.0
"""Cells are set so far beyond the frame."""
LIBRARY = 32
"""Different cells in a field; each lies there in up to eight ways."""
CIRCLE_UM = (4.0, 10.0)
"""Radii of the circles on which cells move: they stay near their places, and the density what it is."""
STILL_PX = 0.02
"""The map of the cells is kept until one has moved by so much."""
STILL_GROWTH = 1e-3
"""Or has grown by this part."""
STILL_ROUNDING = 2e-3
"""Or a cell that rounds up has come so far in it."""
MITOTIC_AREA = 0.45
"""Area of a cell that has rounded up over that of the spread one."""
NS_PER_HOUR = 3.6e12
BIT_DEPTH = 16


@dataclass(frozen=True, slots=True)
class OpdSetup:
    """Everything that determines the frames.

    Parameters
    ----------
    parameters
        Which cells.
    seed
        Which of all such fields, and which noise.
    shape_px, pixel_um
        Of a frame.
    quality
        Noise and background.
    nm_per_count, zero_count
        What a count is, and the count of the medium.
    speed_um_per_h
        How fast each cell moves, on a circle of its own.
    growth_per_h
        How fast its dry mass grows. It divides where it has doubled, and one of the daughters stays; the mass is that
        of the drawn cell times 0.71 … 1.41. With 0 it stays that of the drawn cell.
    mitosis
        How cells round up before they divide: the cell's map turns into that of a round cell of equal mass, which lies
        at the same place; cells that the population draws as rounded are dead, and neither grow nor divide. ``None``:
        no cell rounds up.
    defocus
        What is left of the maps out of focus; ``None``: they do not change with the stage.

    Raises
    ------
    ValueError
        A figure is not in its range.
    """

    parameters: PopulationParameters = field(default_factory=PopulationParameters.matched)
    seed: int = 1
    shape_px: tuple[int, int] = (512, 512)
    pixel_um: float = 1.67
    quality: Degradation = QUALITY_LEVELS[0]
    nm_per_count: float = 0.1
    zero_count: int = 2000
    speed_um_per_h: float = 15.0
    growth_per_h: float = 0.035
    mitosis: Mitosis | None = None
    defocus: Defocus | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_um", "nm_per_count"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be positive")
        for name in ("speed_um_per_h", "growth_per_h"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but cannot be negative")
        if not 0 <= self.zero_count < 1 << BIT_DEPTH:
            raise ValueError(f"zero_count is {self.zero_count}, but must lie within the camera's {BIT_DEPTH} bits")
        if self.mitosis is not None and self.mitosis.whole_min > self.cycle_h * 60.0:
            raise ValueError(
                f"growth_per_h {self.growth_per_h}: a cell divides every {60.0 * self.cycle_h:.3g} min, and a mitosis "
                f"takes {self.mitosis.whole_min:g}; lower the growth, or shorten the mitosis"
            )

    @property
    def cycle_h(self) -> float:
        """Time from one division of a cell to the next; infinite without growth."""
        return math.log(2.0) / self.growth_per_h if self.growth_per_h else math.inf


@dataclass(frozen=True, slots=True)
class CellState:
    """What is true of a cell at a time; its place is that of its centroid of mass, as of `CellTruth`.

    `roundness` is 0 where it lies as it was drawn, and 1 where it has rounded up to divide.
    """

    row_um: float
    column_um: float
    dry_mass_pg: float
    roundness: float = 0.0


@dataclass(frozen=True, slots=True)
class Division:
    """A cell divides: when, and which one by its place in `OpdScene.states`."""

    hours: float
    cell: int


class OpdScene:
    """Living cells before a camera of 16 bits whose frames are maps; satisfies ``Scene``. Any thread may call.

    The specimen lies at the optical position 0; without `OpdSetup.defocus` maps are those of a microscope in focus.
    Time is that of the clock, so that cells live also while no frame is taken. A map is the sum of cells that were
    rendered once, moved between the pixels by linear interpolation: their mass is exact, their greatest value to about
    1 %.

    Parameters
    ----------
    setup
        The frames.
    clock
        Nanoseconds; the scene begins when it is made.
    """

    def __init__(self, setup: OpdSetup | None = None, clock: Clock = time.perf_counter_ns) -> None:
        self.setup = setup if setup is not None else OpdSetup()
        given = self.setup
        self._clock = clock
        self._began_ns = clock()
        rng = np.random.default_rng((given.seed, 41))
        source = CellLibrary(given.parameters, given.pixel_um, LIBRARY, given.seed)
        dish = Dish(given.shape_px, math.ceil(MARGIN_UM / given.pixel_um))
        grains = dish.populate(given.parameters, source, rng)
        self._cells: tuple[CutOut, ...] = tuple(one.cell for one in dish.placed)
        self._ringed = tuple(np.pad(cell.opd_nm, 1) for cell in self._cells)
        count = len(self._cells)
        self._home_px = np.array([(one.top, one.left) for one in dish.placed], float).reshape(-1, 2)
        self._radius_px = rng.uniform(*CIRCLE_UM, count) / given.pixel_um
        self._phase = rng.uniform(0.0, 2.0 * np.pi, count)
        self._turn = rng.choice((-1.0, 1.0), count)
        self._age = rng.uniform(0.0, 1.0, count)
        self._round = self._rounded(rng) if given.mitosis is not None else ()
        self._alive = np.array([given.mitosis is None or cell.shape.kind == "spread" for cell in self._cells], bool)
        still: FloatArray = np.zeros(given.shape_px, np.float32)
        for grain in grains:
            add_grain(grain, still, given.pixel_um, (0.0, 0.0))
        self._still = replace(given.quality, noise_nm=0.0).apply(still, rng)
        self._bank = NoiseBank(given.shape_px[0] * given.shape_px[1], given.seed)
        self._lock = threading.Lock()
        self._last: tuple[float, FloatArray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of an image: (height, width)."""
        return self.setup.shape_px

    @property
    def bit_depth(self) -> int:
        """Significant bits of a pixel."""
        return BIT_DEPTH

    def hours(self) -> float:
        """Return how long the scene has been there."""
        return (self._clock() - self._began_ns) / NS_PER_HOUR

    def opd_nm(self, hours: float) -> FloatArray:
        """Return the map at a time, without noise, shape ``shape``; not to be written to."""
        with self._lock:
            last = self._last
        if last is not None and abs(hours - last[0]) <= self._still_h():
            return last[1]
        drawn = self._drawn(hours)
        with self._lock:
            self._last = hours, drawn
        return drawn

    def states(self, hours: float) -> tuple[CellState, ...]:
        """Return what is true of each cell at a time; among them those beyond the frame."""
        places, factors, rounds = self._moved(hours), self._factors(hours), self._roundness(hours)
        pixel_um = self.setup.pixel_um
        return tuple(
            CellState(
                float(row + cell.measures.row_px) * pixel_um,
                float(column + cell.measures.column_px) * pixel_um,
                float(factor) * cell.measures.dry_mass_pg,
                float(roundness),
            )
            for cell, (row, column), factor, roundness in zip(self._cells, places, factors, rounds, strict=True)
        )

    def divisions(self, begin_h: float, end_h: float) -> tuple[Division, ...]:
        """Return the divisions within a time, in their order; among them those beyond the frame."""
        cycle_h = self.setup.cycle_h
        found: list[Division] = []
        if math.isinf(cycle_h):
            return ()
        for cell, age in enumerate(self._age):
            if not self._alive[cell]:
                continue
            number = math.floor(begin_h / cycle_h + age) + 1
            while (hours := (number - age) * cycle_h) <= end_h:
                found.append(Division(hours, cell))
                number += 1
        return tuple(sorted(found, key=lambda one: (one.hours, one.cell)))

    def expose(self, z_um: float, exposure_ms: float, shot: int) -> Pixels:
        """Return a fresh frame of this moment; see ``Scene``. The exposure time changes nothing."""
        given = self.setup
        opd_nm = self.opd_nm(self.hours())
        if given.defocus is not None:
            opd_nm = given.defocus.apply(opd_nm, given.pixel_um, z_um)
        counts = opd_nm * np.float32(1.0 / given.nm_per_count)
        if given.quality.noise_nm:
            noise = np.empty(counts.size, np.float32)
            self._bank.draw(np.random.default_rng((given.seed, 42, shot)), noise)
            noise *= np.float32(given.quality.noise_nm / given.nm_per_count)
            counts += noise.reshape(counts.shape)
        counts += np.float32(given.zero_count + 0.5)
        np.clip(counts, 0, (1 << BIT_DEPTH) - 1, out=counts)
        return counts.astype(np.uint16)

    def describe(self) -> Mapping[str, str]:
        """Return what this is, for people."""
        given = self.setup
        field_mm2 = np.prod(given.shape_px) * (1e-3 * given.pixel_um) ** 2
        beyond = np.prod([n + 2.0 * MARGIN_UM / given.pixel_um for n in given.shape_px]) / np.prod(given.shape_px)
        return {
            "scene": "simulated optical path differences",
            "specimen": (
                f"adherent cells, about {len(self._cells) / beyond / field_mm2:.0f} per mm² (seed {given.seed}), "
                f"{given.speed_um_per_h:g} µm/h, growth {given.growth_per_h:g} per hour"
                f"{', rounding up before they divide' if given.mitosis is not None else ''}"
            ),
            "optics": (
                f"{given.pixel_um:g} µm/pixel, {given.nm_per_count:g} nm per count from {given.zero_count}, noise "
                f"{given.quality.noise_nm:g} nm, background ±{given.quality.background_nm:g} nm"
            ),
        }

    def _still_h(self) -> float:
        """For how long nothing moves or grows that could be seen."""
        given = self.setup
        return min(
            STILL_PX * given.pixel_um / given.speed_um_per_h if given.speed_um_per_h else math.inf,
            STILL_GROWTH / given.growth_per_h if given.growth_per_h else math.inf,
            STILL_ROUNDING * given.mitosis.rounding_min / 60.0 if given.mitosis is not None else math.inf,
        )

    def _moved(self, hours: float) -> NDArray[np.float64]:
        """Return where the cut-outs begin, in pixels (row, column)."""
        angle = self._phase + self._turn * hours * self.setup.speed_um_per_h / self.setup.pixel_um / self._radius_px
        circle = np.stack([np.sin(angle) - np.sin(self._phase), np.cos(angle) - np.cos(self._phase)], axis=1)
        return np.asarray(self._home_px + self._radius_px[:, None] * circle)

    def _factors(self, hours: float) -> NDArray[np.float64]:
        """Return each cell's mass over that of the drawn one."""
        if not self.setup.growth_per_h:
            return np.ones(len(self._cells))
        return np.asarray(np.where(self._alive, 2.0 ** (self._ages(hours) - 0.5), 1.0))

    def _ages(self, hours: float) -> NDArray[np.float64]:
        """Return which part of its cycle each cell has behind it."""
        return np.asarray(np.mod(self._age + hours / self.setup.cycle_h, 1.0))

    def _roundness(self, hours: float) -> NDArray[np.float64]:
        """Return how far each cell has rounded up to divide."""
        given = self.setup
        if given.mitosis is None or not given.growth_per_h:
            return np.zeros(len(self._cells))
        return self._alive * given.mitosis.roundness(self._ages(hours), 60.0 * given.cycle_h)

    def _rounded(self, rng: np.random.Generator) -> tuple[tuple[FloatArray, float, tuple[float, float]], ...]:
        """Return each cell as it is when it has rounded up.

        Returns
        -------
        For each cell: its map with a ring of nothing, the factor that gives it the mass of the spread one, and how far
        its first pixel lies from that of the spread one, where the centroids are the same (row, column).
        """
        found = []
        for cell in self._cells:
            spread = cell.measures
            shape = draw_mitotic(rng, MITOTIC_AREA * spread.area_um2, spread.dry_mass_pg)
            dome = CutOut.of(shape, self.setup.pixel_um, rng)
            round_ = dome.measures
            away = spread.row_px - round_.row_px, spread.column_px - round_.column_px
            found.append((np.pad(dome.opd_nm, 1), spread.dry_mass_pg / round_.dry_mass_pg, away))
        return tuple(found)

    def _drawn(self, hours: float) -> FloatArray:
        drawn = self._still.copy()
        rounds = self._roundness(hours)
        for at, (place, factor) in enumerate(zip(self._moved(hours), self._factors(hours), strict=True)):
            row, column, roundness = float(place[0]), float(place[1]), float(rounds[at])
            if roundness < 1.0:
                _add(drawn, self._ringed[at], (row, column), float(factor) * (1.0 - roundness))
            if roundness > 0.0:
                dome, mass, (down, across) = self._round[at]
                _add(drawn, dome, (row + down, column + across), float(factor) * mass * roundness)
        return drawn


def _add(drawn: FloatArray, ringed: FloatArray, place: tuple[float, float], factor: float) -> None:
    """Add a cut-out times a factor, its first pixel at a place between the pixels.

    Parameters
    ----------
    drawn
        Changed.
    ringed
        The cut-out with a ring of nothing, one pixel wide.
    place
        Row and column.
    factor
        Of its values.
    """
    top, left = math.floor(place[0]), math.floor(place[1])
    down, across = np.float32(place[0] - top), np.float32(place[1] - left)
    windows, parts = [], []
    for first, size, limit in zip((top, left), ringed.shape, drawn.shape, strict=True):
        low, high = max(first, 0), min(first + size - 1, limit)
        if low >= high:
            return
        windows.append(slice(low, high))
        parts.append(slice(low - first, high - first + 1))
    seen = ringed[parts[0], parts[1]]
    moved = seen[1:] * np.float32(1.0 - down) + seen[:-1] * down
    moved = moved[:, 1:] * np.float32(factor * (1.0 - across)) + moved[:, :-1] * np.float32(factor * across)
    drawn[windows[0], windows[1]] += moved


__all__ = ["CellState", "Division", "OpdScene", "OpdSetup"]

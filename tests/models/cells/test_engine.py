"""The engine of cells: what it tells of a frame, the tables beside it, and cells that keep their numbers."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from microscoped.models.cells import CellTable, LinkSettings, MapError, Motion, SettingsError, from_arrow
from microscoped.models.cells.arrow import CONTENT_TYPE, MOTIONS_FORMAT, motions_to_arrow
from microscoped.models.cells.engine import CellsEngine, CellsEngineSettings, WatershedReader
from microscoped.models.cells.opd import CountedOpd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscoped.models import Measurement

    Step = tuple[tuple[int, int], dict[str, float]]

HOUR_NS = 3_600_000_000_000
SHAPE = (200, 240)
PIXEL_UM = 1.5


class Listed:
    """A reader that finds, in each frame, the next cells of a list."""

    name = "listed"

    def __init__(self, *frames: tuple[list[tuple[float, float]], list[float]]) -> None:
        self.frames = list(frames)
        self.seen: list[tuple[NDArray[np.float32], float]] = []

    def table(self, opd_nm: NDArray[np.float32], pixel_um: float) -> CellTable:
        self.seen.append((opd_nm, pixel_um))
        places, masses = self.frames.pop(0)
        shape = opd_nm.shape[0], opd_nm.shape[1]
        columns = {
            "dry_mass_pg": np.array(masses),
            "max_opd_nm": np.array(masses) / 2,
            "area_um2": [400.0] * len(masses),
        }
        return CellTable.of_columns(np.array(places, float).reshape(-1, 2), columns, shape, pixel_um)


def frame(shape: tuple[int, int] = SHAPE) -> NDArray[np.uint16]:
    return np.full(shape, 1000, np.uint16)


def options(k: float | None, **more: float) -> dict[str, Any]:
    """Options of a frame that was exposed k hours after the first."""
    start = {} if k is None else {"exposure_start_ns": round(k * HOUR_NS) + 17}
    return {"bit_depth": 16, "pixel_size_um": PIXEL_UM, **start, **more}


def parts(found: Measurement) -> dict[str, bytes]:
    assert all(part.content_type == CONTENT_TYPE for part in found.parts)
    return {part.name: part.data for part in found.parts}


def columns(stream: bytes) -> tuple[bytes, dict[str, list[Any]]]:
    import nanoarrow
    import nanoarrow.ipc

    with nanoarrow.ipc.InputStream.from_readable(io.BytesIO(stream)) as source:
        table = nanoarrow.ArrayStream(source).read_all()
    said = dict(table.schema.metadata.items())[b"format"]
    return said, {field.name: list(table.child(k).iter_py()) for k, field in enumerate(table.schema.fields)}


MIDDLE = ([(90.0, 100.0), (60.0, 180.0)], [200.0, 300.0])


def test_a_frame_is_told_in_sum_and_cell_by_cell() -> None:
    reader = Listed((MIDDLE[0] + [(1.0, 1.0)], MIDDLE[1] + [1000.0]))
    found = CellsEngine(CountedOpd(0.1, 1000), reader).measure([frame()], options(None))
    values = json.loads(json.dumps(found.values, allow_nan=False))
    field_mm2 = SHAPE[0] * SHAPE[1] * (PIXEL_UM / 1000) ** 2
    assert (values["count"], values["border"], values["touching"]) == (3, 1, 0)
    assert values["density_per_mm2"] == pytest.approx(3 / field_mm2)
    assert (values["shape_px"], values["pixel_um"], values["read_by"]) == ([*SHAPE], PIXEL_UM, "listed")
    # The cell at the border is counted, and in no distribution.
    assert (values["dry_mass_pg"]["count"], values["dry_mass_pg"]["mean"]) == (2, 250.0)
    assert values["length_um"] is None
    assert values["source"] == {"kind": "opd", "zero_count": 1000.0, "clipped_share": 0.0}
    assert values["tracks"] is None
    table = from_arrow(parts(found)["cells"])
    assert list(parts(found)) == ["cells"]
    assert (table.shape_px, table.pixel_um) == (SHAPE, PIXEL_UM)
    assert table.dry_mass_pg.tolist() == [200.0, 300.0, 1000.0]
    assert table.row_um.tolist() == [135.0, 90.0, 1.5]
    assert np.isnan(table.length_um).all()
    assert table.track.tolist() == [-1, -1, -1]
    assert table.border.tolist() == [False, False, True]
    ((opd, pixel_um),) = reader.seen
    assert (opd.shape, float(opd.max()), pixel_um) == (SHAPE, 0.0, PIXEL_UM)


def test_an_empty_field_is_an_answer() -> None:
    engine = CellsEngine(CountedOpd(0.1), Listed(([], []), ([], [])))
    for k in range(2):
        found = engine.measure([frame()], options(k))
        assert (found.values["count"], found.values["density_per_mm2"], found.values["dry_mass_pg"]) == (0, 0.0, None)
        tracks = found.values["tracks"]
        assert (tracks["linked"], tracks["new"], tracks["growth_per_h"]) == (0, 0, None)
        assert len(from_arrow(parts(found)["cells"])) == 0
        assert columns(parts(found)["motions"])[1]["track"] == []
        json.dumps(found.values, allow_nan=False)


def test_cells_keep_their_numbers_and_it_is_told_how_they_grow_and_move() -> None:
    frames = [
        ([(90.0 + 2 * k, 100.0), (60.0, 180.0)][:: 1 if k % 2 else -1], [200.0 * 1.05**k, 300.0]) for k in range(5)
    ]
    frames = [(places, masses if k % 2 else masses[::-1]) for k, (places, masses) in enumerate(frames)]
    engine = CellsEngine(CountedOpd(0.1), Listed(*frames))
    for k in range(5):
        found = engine.measure([frame()], options(k))
        tracks = found.values["tracks"]
        assert (tracks["linked"], tracks["new"]) == ((0, 2) if k == 0 else (2, 0))
        assert tracks["series"] == 1
    table = from_arrow(parts(found)["cells"])
    said, motions = columns(parts(found)["motions"])
    assert said == MOTIONS_FORMAT
    assert motions["track"] == [0, 1]
    grew = motions["track"].index(int(table.track[np.argmax(table.row_px)]))
    assert motions["growth_per_h"][grew] == pytest.approx(np.log(1.05))
    assert motions["growth_per_h"][1 - grew] == pytest.approx(0.0, abs=1e-12)
    assert motions["speed_um_per_h"][grew] == pytest.approx(2 * PIXEL_UM)
    assert (motions["points"], motions["duration_h"]) == ([5, 5], [4.0, 4.0])
    assert tracks["growth_per_h"]["mean"] == pytest.approx(np.log(1.05) / 2)
    assert tracks["speed_um_per_h"]["count"] == 2


@pytest.mark.parametrize(
    ("second", "third"),
    [
        (((200, 241), {}), ((200, 241), {})),
        ((SHAPE, {"pixel_size_um": 3.0}), (SHAPE, {"pixel_size_um": 3.0})),
    ],
)
def test_another_grid_begins_another_series(second: Step, third: Step) -> None:
    engine = CellsEngine(CountedOpd(0.1), Listed(*[MIDDLE] * 3))
    told = [
        engine.measure([frame(shape)], options(k, **more)).values["tracks"]
        for k, (shape, more) in enumerate([(SHAPE, {}), second, third])
    ]
    assert [(one["series"], one["linked"], one["new"]) for one in told] == [(1, 0, 2), (2, 0, 2), (2, 2, 0)]


def test_a_frame_that_comes_late_is_measured_but_not_linked() -> None:
    engine = CellsEngine(CountedOpd(0.1), Listed(*[MIDDLE] * 4))
    told = [engine.measure([frame()], options(k)) for k in (1.0, 0.5, 1.0, 2.0)]
    assert [one.values["count"] for one in told] == [2, 2, 2, 2]
    assert [one.values["tracks"] is None for one in told] == [False, True, True, False]
    assert from_arrow(parts(told[3])["cells"]).track.tolist() == from_arrow(parts(told[0])["cells"]).track.tolist()


def test_cells_are_not_linked_where_nobody_asks_for_it() -> None:
    engine = CellsEngine(CountedOpd(0.1), Listed(MIDDLE, MIDDLE), CellsEngineSettings(link=None))
    assert [engine.measure([frame()], options(k)).values["tracks"] for k in range(2)] == [None, None]


def test_the_reach_of_links_is_that_of_the_settings() -> None:
    apart = ([(90.0, 108.0), (60.0, 188.0)], MIDDLE[1])
    for reach_um, linked in ((11.0, 0), (13.0, 2)):
        engine = CellsEngine(
            CountedOpd(0.1), Listed(MIDDLE, apart), CellsEngineSettings(link=LinkSettings(reach_um=reach_um))
        )
        told = [engine.measure([frame()], options(k)).values["tracks"] for k in range(2)]
        assert told[1]["linked"] == linked


@pytest.mark.parametrize(("least_opd_nm", "count"), [(0.0, 3), (120.0, 2), (151.0, 1)])
def test_flat_cells_are_left_out_but_not_those_whose_height_is_unknown(least_opd_nm: float, count: int) -> None:
    reader = Listed((MIDDLE[0] + [(120.0, 30.0)], MIDDLE[1] + [float("nan")]))
    engine = CellsEngine(CountedOpd(0.1), reader, CellsEngineSettings(least_opd_nm=least_opd_nm))
    assert engine.measure([frame()], options(0)).values["count"] == count


@pytest.mark.parametrize("shape", [(96, 96), (97, 131), (64, 257)])
def test_a_frame_of_any_shape_is_measured_without_a_network(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    opd_nm = 80.0 * np.exp(-(((rows - 40) ** 2 + (columns - 50) ** 2) / 90.0))
    counts = (1000 + opd_nm / 0.1).round().astype(np.uint16)
    found = CellsEngine(CountedOpd(0.1, 1000), WatershedReader()).measure([counts], options(0))
    table = from_arrow(parts(found)["cells"])
    assert (found.values["count"], found.values["read_by"]) == (1, "watershed")
    assert (table.row_px[0], table.column_px[0]) == pytest.approx((40, 50), abs=0.5)
    assert table.max_opd_nm[0] == pytest.approx(80, abs=0.2)
    inside = opd_nm > 5
    assert table.dry_mass_pg[0] == pytest.approx(opd_nm[inside].sum() * 1e-3 * PIXEL_UM**2 / 0.18, rel=0.01)
    assert table.area_um2[0] == pytest.approx(inside.sum() * PIXEL_UM**2, rel=0.02)


@pytest.mark.parametrize(
    ("frames", "given", "error", "says"),
    [
        ([frame(), frame()], {}, ValueError, "2 frames"),
        ([frame()], {"z_um": 1.0}, ValueError, "z_um: no such option"),
        ([frame().astype(np.float32)], {"pixel_size_um": 1.0}, MapError, "float32"),
        ([frame()], {}, ValueError, "pixel_um is unknown"),
    ],
)
def test_frames_and_options_that_do_not_suit_are_named(
    frames: list[NDArray[Any]], given: dict[str, Any], error: type[ValueError], says: str
) -> None:
    with pytest.raises(error, match=says):
        CellsEngine(CountedOpd(0.1), Listed()).measure(frames, given)


def test_columns_that_are_asked_for_stand_in_json_too() -> None:
    reader = Listed((MIDDLE[0] + [(1.0, 1.0)], [200.123456, 300.0, float("nan")]))
    told = ("track", "dry_mass_pg", "row_um", "border")
    found = CellsEngine(CountedOpd(0.1), reader, CellsEngineSettings(told=told)).measure([frame()], options(0))
    assert json.loads(json.dumps(found.values["cells"], allow_nan=False)) == {
        "track": [0, 1, 2],
        "dry_mass_pg": [200.1235, 300.0, None],
        "row_um": [135.0, 90.0, 1.5],
        "border": [False, False, True],
    }
    with pytest.raises(SettingsError, match=r"told.*mass_kg.*dry_mass_pg"):
        CellsEngineSettings(told=("mass_kg",))


def test_the_least_path_is_not_negative() -> None:
    with pytest.raises(SettingsError, match="least_opd_nm -1"):
        CellsEngineSettings(least_opd_nm=-1)


def test_motions_survive_the_way_through_arrow() -> None:
    given = [Motion(7, 2, 0.5, None, None, 12.5, 3.0), Motion(9, 40, 2.0, 0.03, 0.01, 8.0, 1.0)]
    said, found = columns(motions_to_arrow(given))
    assert said == b"microscoped.motions.1"
    assert found["growth_per_h"] == [None, 0.03]
    assert [Motion(*row) for row in zip(*found.values(), strict=True)] == given

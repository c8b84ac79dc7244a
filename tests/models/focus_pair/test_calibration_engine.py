"""The calibration engine, frame by frame, with a network whose answers the test decides."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage

from microscoped.models.focus_pair.calibration import (
    VISITS,
    CalibrationEngine,
    CalibrationFileError,
    CalibrationSetup,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from microscoped.models.focus_pair import Correction, EstimateSettings
    from microscoped.models.runtimes import CompiledModel

NA, WAVELENGTH_NM = 0.5, 500.0
DOF_UM = 2.0
PIXEL_UM = 0.5  # two pixels per λ/NA
SIDE = 224


class Network:
    """A network that knows the truth, with an offset and a little noise; read the other way round it guesses."""

    def __init__(self, offset: float = 0.0, *, useless: bool = False) -> None:
        self.truth = 0.0
        self.offset = offset
        self.useless = useless
        self.both = True
        self._calls = 0
        self._rng = np.random.default_rng(0)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        tiles = len(inputs["images"])
        right = not self.both or self._calls % 2 == 0
        self._calls += self.both
        said = self.truth + self.offset if right and not self.useless else self._rng.normal(0.0, 5.0)
        return {
            "defocus_dof": (said + self._rng.normal(0.0, 0.1, tiles)).astype(np.float32),
            "log_error": np.full(tiles, np.log(0.1), np.float32),
            "features": self._rng.normal(0.0, 1.0, (tiles, 8)).astype(np.float32),
        }


@lru_cache(maxsize=160)
def texture(field: int, blur_px: float) -> NDArray[np.float64]:
    """What a field shows, blurred by so much; not to be changed."""
    noise = np.random.default_rng(field).normal(0.0, 1.0, (SIDE, SIDE))
    sharp = ndimage.gaussian_filter(noise, 1.5, mode="wrap") * 4
    return ndimage.gaussian_filter(sharp, blur_px, mode="wrap")


class Slide:
    """Fields whose images blur with their distance from the focus."""

    def __init__(self, focus_um: float = 3.0) -> None:
        self.focus_um = focus_um
        self._rng = np.random.default_rng(7)

    def expose(self, field: int, z_um: float) -> NDArray[np.uint16]:
        blurred = texture(field, 0.5 * abs(z_um - self.focus_um))
        return (2000 + 300 * blurred + self._rng.normal(0.0, 3.0, blurred.shape)).clip(0, 4095).astype(np.uint16)


class Calibrating:
    """An engine, what it looks at, and what it has taught."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.network, self.slide = network, Slide()
        self.learned: list[tuple[EstimateSettings, Correction, CompiledModel | None]] = []
        setup = CalibrationSetup(NA, WAVELENGTH_NM, 1.0, "20x/0.5", "a" * 64, "1.0", folder)
        self.engine = CalibrationEngine(setup, network, lambda *told: self.learned.append(told))  # type: ignore[arg-type]

    def ask(self, action: str, shown: int = 1, at_um: float = 3.0, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        frame = self.slide.expose(shown, at_um)
        return dict(self.engine.measure([frame], {"action": action, **options}))

    def sweep(self, field: int, shown: int | None = None, *, begin: bool | None = None) -> dict[str, Any]:
        for k in range(41):
            z_um = self.slide.focus_um + (k - 20) * 0.5 * DOF_UM
            self.network.truth = (z_um - self.slide.focus_um) / DOF_UM
            first = k == 0
            begins = first and (field == 1 if begin is None else begin)
            where = {
                "run": "a",
                "field": field,
                "near_um": self.slide.focus_um,
                "z_um": z_um,
                "t_s": 10.0 * field + 0.1 * k,
            }
            camera = {"apart": 4, "pixel_size_um": PIXEL_UM, "sign": 1}
            self.ask("sweep", shown or field, z_um, begin=begins, first=first, **where, **camera)
        role = "fit" if field < 3 else "judge"
        return self.ask("field", extremum="max", near_um=self.slide.focus_um, role=role)

    def watch(self, flank_um: float) -> dict[str, Any]:
        for k, kind in enumerate(VISITS):
            off = -0.5 if kind == "reverse" else 0.0
            self.ask("visit", 1, flank_um + off, kind=kind, t_s=20.0 + k)
        return self.ask("stage", approach_sign=1, overshoot_um=1.0)

    def fit(self) -> dict[str, Any]:
        for _ in range(100):
            if (told := self.ask("fit"))["done"]:
                return told
        raise AssertionError("it never ends")

    def move(self, field: int, z_um: float) -> float | None:
        self.network.both = False
        self.network.truth = (z_um - self.slide.focus_um) / DOF_UM
        frames = [self.slide.expose(field, z_um - 4.0), self.slide.expose(field, z_um)]
        told = self.engine.measure(frames, {"action": "pair", "delta_um": 4.0, "bit_depth": 12})
        defocus: float | None = told["defocus_um"]
        return None if defocus is None else z_um - defocus - self.slide.focus_um

    def finish(self, moves: list[float | None], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        conditions = {
            "pixel_size_um": PIXEL_UM,
            "binning": 1,
            "channel": None,
            "delta_um": 4.0,
            "approach": "increasing",
        }
        told: dict[str, Any] = {"moves_um": moves, "reasons": [], "unswept": [], "conditions": conditions}
        told |= {"made": "2026-01-01T00:00:00+00:00", "images": 200, "dose_ms": 2000.0}
        return self.ask("finish", **{**told, **changes})


def calibrated(folder: Path, network: Network) -> tuple[Calibrating, dict[str, Any]]:
    made = Calibrating(folder, network)
    found = made.sweep(1)
    assert found["focus_um"] == pytest.approx(made.slide.focus_um, abs=0.3)
    assert made.watch(found["flank_um"])["faults"] == []
    made.sweep(2)
    made.fit()
    made.sweep(3)
    moves = [made.move(3, made.slide.focus_um + way) for way in np.linspace(-15, 15, 20)]
    return made, made.finish(moves)


def test_a_good_network_is_accepted_written_and_used_at_once(tmp_path: Path) -> None:
    made, verdict = calibrated(tmp_path, Network(offset=1.5))
    assert verdict["accepted"], verdict["reasons"]
    assert verdict["rung"] == "line"
    assert verdict["offset_dof"] == pytest.approx(-1.5, abs=0.2)
    assert verdict["before"]["mean_dof"] > 1.0 > verdict["after"]["mean_dof"]
    assert verdict["moves"]["within"] == 1.0
    assert [field["role"] for field in verdict["fields"]] == ["fit", "fit", "judge"]
    [(settings, correction, tuned)] = made.learned
    assert tuned is None
    assert settings.interval_factor == verdict["interval_factor"]
    assert correction.offset_dof == verdict["offset_dof"]
    assert correction.long is not None
    assert correction.long.correction.offset_dof == pytest.approx(-1.5, abs=0.2)
    assert correction.long.interval_factor == verdict["long"]["interval_factor"]
    assert "head" not in verdict["long"]
    assert verdict["long"]["before"]["mean_dof"] > 1.0 > verdict["long"]["after"]["mean_dof"]
    assert verdict["long"]["after"]["pairs"] == 20
    written = load(next(tmp_path.glob("*.json")))
    assert written.accepted
    assert written.conditions.objective == "20x/0.5"
    assert written.stage is not None
    assert written.stage.backlash_um == pytest.approx(0.5, abs=0.25)


def test_a_useless_network_is_rejected_with_reasons_and_nothing_is_learned(tmp_path: Path) -> None:
    made, verdict = calibrated(tmp_path, Network(useless=True))
    assert not verdict["accepted"]
    assert any("mean error" in reason for reason in verdict["reasons"])
    assert made.learned == []
    assert "rejected" in next(tmp_path.glob("*.json")).name


def test_a_field_that_shows_the_same_place_is_rejected(tmp_path: Path) -> None:
    made = Calibrating(tmp_path, Network())
    made.sweep(1)
    again = made.sweep(2, shown=1)
    assert again["focus_um"] is None
    assert "same place as field 1" in again["reason"]
    assert made.sweep(3)["focus_um"] is not None


def test_an_end_before_the_fit_is_written_with_its_reason(tmp_path: Path) -> None:
    made = Calibrating(tmp_path, Network())
    made.sweep(1)
    verdict = made.finish([], reasons=["drift"], unswept=[[2, "the search finds no focus"]])
    assert (verdict["accepted"], verdict["reasons"]) == (False, ["drift"])
    assert [field["number"] for field in verdict["fields"]] == [1, 2]
    with pytest.raises(ValueError, match="not under way"):
        made.finish([])


@pytest.mark.parametrize(
    ("action", "options", "words"),
    [
        ("dance", {}, "there are sweep, field"),
        ("visit", {"kind": "rest", "t_s": 0.0}, "sweep a field first"),
        ("stage", {"approach_sign": 1, "overshoot_um": 1.0}, "visit the flank first"),
        ("pair", {"delta_um": 4.0}, "nothing was fitted"),
        ("fit", {}, "0 fields"),
        ("field", {"extremum": "max"}, "near_um: is missing"),
    ],
)
def test_what_is_asked_for_too_early_or_by_halves_is_refused(
    tmp_path: Path, action: str, options: dict[str, Any], words: str
) -> None:
    made = Calibrating(tmp_path, Network())
    told = {"run": "a", "begin": True, "field": 1, "first": True, "near_um": 0.0, "z_um": 0.0, "t_s": 0.0, "apart": 4}
    made.ask("sweep", **told, pixel_size_um=PIXEL_UM, sign=1)
    with pytest.raises(ValueError, match=words):
        made.ask(action, **options)


def test_an_engine_that_was_started_anew_knows_nothing_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not under way"):
        Calibrating(tmp_path, Network()).sweep(2)


def test_a_folder_that_cannot_be_written_to_is_no_acceptance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = Calibrating(tmp_path / "file", Network())
    made.sweep(1)
    with pytest.raises(CalibrationFileError):
        made.finish([], reasons=["drift"])
    assert made.learned == []

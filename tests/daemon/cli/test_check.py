"""``check``: what is known, from where, and what follows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from microscoped.daemon.cli._findings import Finding, findings
from microscoped.daemon.config import Config, parse_config

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., subprocess.CompletedProcess[str]]

FULL = """\
optics: {na: 0.5, wavelength_nm: 550, pixel_size_um: 0.325}
stage: {limits_um: [-20, 20], focus_direction: toward_sample, overshoot_um: 1}
"""
FACTS: dict[str, Any] = {
    "stage": {"name": "Z", "approach": "increasing"},
    "camera": {
        "name": "C",
        "height_px": 512,
        "width_px": 512,
        "channels": 1,
        "dtype": "uint16",
        "bit_depth": 12,
        "pixel_size_um": None,
        "settings": {"exposure_ms": 10.0, "auto_exposure": False, "auto_gain": None, "auto_white_balance": None},
    },
    "readings_um": [0.0, 0.01, 0.0],
    "driver_direction": "unknown",
}


def find(config: Config, facts: dict[str, Any], name: str) -> Finding:
    """The finding of this name."""
    return next(finding for finding in findings(config, facts) if finding.name == name)


def changed(path: str, value: object) -> dict[str, Any]:
    """The facts, one of them otherwise."""
    facts: dict[str, Any] = copy.deepcopy(FACTS)
    *above, last = path.split(".")
    place = facts
    for key in above:
        place = place[key]
    place[last] = value
    return facts


def test_a_complete_configuration_leaves_nothing_to_remark() -> None:
    found = findings(parse_config(FULL), FACTS)
    assert [finding for finding in found if finding.warning] == []
    assert {finding.source for finding in found} == {"measured", "configured", "default", "computed"}


@pytest.mark.parametrize(
    ("name", "value", "source"),
    [
        ("numerical aperture", "0.5", "configured"),
        ("immersion index", "1", "default"),
        ("depth of field", "2.2 µm", "computed"),
        ("sampling", "3.38 px per wavelength/NA", "computed"),
        ("bit depth", "12 (uint16)", "measured"),
        ("limits", "-20 … 20 µm", "configured"),
        ("auto gain", "the camera has none", "measured"),
    ],
)
def test_each_figure_says_where_it_comes_from(name: str, value: str, source: str) -> None:
    finding = find(parse_config(FULL), FACTS, name)
    assert (finding.value, finding.source) == (value, source)


@pytest.mark.parametrize(
    ("config", "facts", "name", "words"),
    [
        ("", FACTS, "numerical aperture", ["unknown", "optics.na"]),
        ("", FACTS, "pixel size", ["unknown", "optics.pixel_size_um"]),
        ("", FACTS, "limits", ["nothing moves", "stage.limits_um"]),
        ("", FACTS, "focus direction", ["stage.focus_direction"]),
        (FULL.replace("0.325", "1.2"), FACTS, "sampling", ["below 1 pixel"]),
        (FULL, changed("camera.pixel_size_um", 0.65), "pixel size", ["driver says 0.65"]),
        (FULL, changed("driver_direction", "away"), "focus direction", ["driver says 'away'"]),
        (FULL, changed("readings_um", [0.0, 0.5]), "readings at rest", ["scatter", "raise it"]),
        (FULL, changed("readings_um", [30.0]), "limits", ["outside"]),
        (FULL, changed("camera.settings.auto_exposure", True), "auto exposure", ["camera.auto_exposure", "false"]),
        (FULL.replace("overshoot_um: 1", "overshoot_um: 0"), FACTS, "approach", ["backlash"]),
        (FULL, changed("stage.approach", None), "approach", ["backlash", "stage.approach"]),
        (FULL.replace("overshoot", "arrival_tolerance_um: 2, overshoot"), FACTS, "arrival tolerance", ["0.55"]),
    ],
)
def test_what_is_amiss_is_told_with_the_remedy(config: str, facts: dict[str, Any], name: str, words: list[str]) -> None:
    warning = find(parse_config(config), facts, name).warning
    assert [word for word in words if word not in warning] == [], warning


def test_the_drivers_pixel_size_serves_where_the_configuration_has_none() -> None:
    config = parse_config(FULL.replace("0.325", "null"))
    facts = changed("camera.pixel_size_um", 0.55)
    assert find(config, facts, "pixel size").source == "measured"
    assert find(config, facts, "sampling").value == "2 px per wavelength/NA"


SIMULATED = FULL + "microscope: {kind: simulated, shape_px: [128, 128], stage: {start_um: 4.0}}\n"


@pytest.mark.parametrize(
    ("text", "code", "out", "err"),
    [
        (SIMULATED, 0, ["simulated brightfield", "Z, at 4 µm", "nothing to remark"], []),
        ("microscope: {kind: micromanager}", 0, ["DemoCamera/DCam", "limits: nothing moves", "toward_sample"], []),
        ("microscope: {kind: micromanager, config_file: no.cfg}", 1, [], ["cannot be opened", "no.cfg"]),
        ("microscope: {kind: micromanager, camera: Nikon}", 1, [], ["cannot be opened", "'Nikon'"]),
        ("optics: {na: two}", 2, [], ["c.yaml:1: optics.na"]),
    ],
)
def test_check_opens_the_microscope_and_tells(
    cli: Cli, tmp_path: Path, text: str, code: int, out: list[str], err: list[str]
) -> None:
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    ended = cli("check", "c.yaml")
    assert ended.returncode == code, ended.stderr
    assert [word for word in out if word not in ended.stdout] == [], ended.stdout
    assert [word for word in err if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.stderr


HOLOGRAM: dict[str, Any] = {
    "scale_known": True,
    "stage_per_focus": 0.749,
    "why_not": "",
    "refocus": "stage",
    "calibrated": True,
}


@pytest.mark.parametrize(
    ("told", "name", "source", "warning"),
    [
        ({}, "hologram, stage", "measured", ""),
        ({"calibrated": False}, "hologram, stage", "configured", ""),
        ({"stage_per_focus": None, "why_not": "there is none"}, "hologram, stage", "unknown", "calibrate hologram"),
        ({"stage_per_focus": None, "refocus": "numerical"}, "hologram, stage", "unknown", ""),
        ({"scale_known": False}, "hologram, distances", "unknown", "optics.wavelength_nm"),
    ],
)
def test_it_says_what_holograms_give(told: dict[str, Any], name: str, source: str, warning: str) -> None:
    found = find(parse_config(FULL), {**FACTS, "hologram": {**HOLOGRAM, **told}}, name)
    assert found.source == source
    assert warning in found.warning
    assert bool(warning) == bool(found.warning)


def test_without_holograms_it_says_nothing_of_them() -> None:
    assert [one for one in findings(parse_config(FULL), {**FACTS, "hologram": None}) if "hologram" in one.name] == []


CELLS: dict[str, Any] = {"source": "opd", "network": "cells_b", "network_sha256": "0123456789abcdef"}
PLAIN: dict[str, Any] = {"network": "watershed", "network_sha256": ""}


@pytest.mark.parametrize(
    ("section", "told", "name", "value", "warning"),
    [
        ("nm_per_count: 0.1", {}, "cells, read by", "cells_b (0123456789ab)", ""),
        ("nm_per_count: 0.1, network: none", PLAIN, "cells, read by", "watershed", "set engines.cells.network"),
        ("nm_per_count: 0.1", {}, "cells, frames", "0.1 nm per count", ""),
        ("nm_per_count: 0.1", {}, "cells, count of the medium", "most frequent", ""),
        ("nm_per_count: 0.1, zero_count: 2000", {}, "cells, count of the medium", "2000", ""),
        ("nm_per_count: 0.1, zero_count: 50", {}, "cells, count of the medium", "50", "more than 5 nm are cut off"),
        ("nm_per_count: 0.1", {}, "cells, pixel", "0.325 µm", ""),
        ("nm_per_count: 0.1, pixel_size_um: 1.67", {}, "cells, pixel", "1.67 µm", ""),
        ("source: hologram", {"source": "hologram"}, "cells, frames", "off-axis holograms", ""),
    ],
)
def test_it_says_how_cells_are_measured(
    section: str, told: dict[str, Any], name: str, value: str, warning: str
) -> None:
    config = parse_config(FULL + f"engines: {{cells: {{enabled: true, {section}}}}}\n")
    found = find(config, {**FACTS, "cells": {**CELLS, **told}}, name)
    assert value in found.value
    assert warning in found.warning
    assert bool(warning) == bool(found.warning)


def test_cells_that_cannot_be_measured_are_remarked_on() -> None:
    config = parse_config("engines: {cells: {enabled: true, nm_per_count: 0.1}}")
    camera = {**FACTS["camera"], "pixel_size_um": None}
    assert (
        "engines.cells.pixel_size_um"
        in find(config, {**FACTS, "camera": camera, "cells": CELLS}, "cells, pixel").warning
    )
    found = find(config, {**FACTS, "cells": None, "no_cells": "the network cannot be used: gone"}, "cells")
    assert (found.value, found.source) == ("-", "unknown")
    assert "gone" in found.warning


def test_without_cells_it_says_nothing_of_them() -> None:
    assert [one for one in findings(parse_config(FULL), FACTS) if "cells" in one.name] == []

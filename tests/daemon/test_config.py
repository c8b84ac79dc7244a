"""What a configuration may say, and what is told to whoever wrote a wrong one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from microscoped.daemon.config import (
    Config,
    ConfigError,
    FieldConfig,
    HologramConfig,
    LensFreeConfig,
    MicroManagerConfig,
    OpdConfig,
    RecordedConfig,
    SimulatedConfig,
    load_config,
    parse_config,
    template,
)
from microscoped.daemon.config.engines import CellColumn
from microscoped.daemon.settings import camera_settings, core_settings, motion_settings
from microscoped.drivers.protocols import FocusDirection

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
OPTICS = "optics: {na: 0.5, wavelength_nm: 550, pixel_size_um: 0.3}\n"

BAD = {
    "unknown section": ("optic:\n  na: 0.5", 1, ["optic", "no such key", "did you mean optics"]),
    "unknown key": ("stage:\n  limit_um: [0, 1]", 2, ["stage.limit_um", "did you mean limits_um", "max_step_um"]),
    "key of a section at the top": ("na: 0.5", 1, ["na", "belongs under", "optics:"]),
    "unknown key of a simulated stage": (
        OPTICS + "microscope:\n  kind: simulated\n  stage:\n    speed: 3",
        5,
        ["microscope.stage.speed", "speed_um_s"],
    ),
    "key of another kind of microscope": (
        OPTICS + "microscope:\n  kind: simulated\n  config_file: x.cfg",
        4,
        ["microscope.config_file", "specimen"],
    ),
    "key that is a number": ("1: 2", 1, ["1", "no such key"]),
    "key that is a list": ("optics:\n  ? [a, b]\n  : 1", 2, ["key is one word"]),
    "key given twice": ("optics:\n  na: 0.5\n  na: 0.6", 3, ["'na'", "second time", "line 2"]),
    "section given twice": ("stage: {}\n\nstage: {}", 3, ["'stage'", "second time", "line 1"]),
    "no kind": ("microscope:\n  seed: 1", 1, ["microscope.kind", "required", "micromanager, simulated", "hologram"]),
    "wrong kind": ("microscope:\n  kind: real", 2, ["microscope.kind", "'real'", "micromanager, simulated"]),
    "recording without a path": ("microscope:\n  kind: recorded", 1, ["microscope.path", "required"]),
    "two sources of z": (
        "microscope:\n  kind: recorded\n  path: a\n  step_um: 1\n  z_file: b",
        5,
        ["step_um and z_file", "keep one"],
    ),
    "step of nothing": ("microscope:\n  kind: recorded\n  path: a\n  step_um: 0", 4, ["step_um is 0", "spacing"]),
    "pattern that is none": (
        "microscope:\n  kind: recorded\n  path: a\n  z_pattern: 'z(['",
        4,
        ["z_pattern", "regular expression"],
    ),
    "pattern without a group": (
        "microscope:\n  kind: recorded\n  path: a\n  z_pattern: 'z'",
        4,
        ["z_pattern", "no group", "parentheses"],
    ),
    "simulated without optics": ("microscope:\n  kind: simulated", 1, ["optics.na", "pixel_size_um", "add them"]),
    "simulated start out of reach": (
        OPTICS + "microscope:\n  kind: simulated\n  stage:\n    start_um: 900",
        5,
        ["start_um 900", "-300 … 300"],
    ),
    "simulated travel that falls": (
        OPTICS + "microscope:\n  kind: simulated\n  stage:\n    low_um: 5\n    high_um: -5",
        6,
        ["high_um -5", "above low_um 5"],
    ),
    "points that are not offered": (
        "microscope:\n  kind: field\n  path: a\n  wavelength_nm: 1\n  pixel_size_um: 1\n  n_points: 14",
        6,
        ["n_points", "14", "13"],
    ),
    "depths that fall": (
        OPTICS + "microscope:\n  kind: hologram\n  depth_um: [3, -3]",
        4,
        ["microscope.depth_um", "[3.0, -3.0]", "must rise"],
    ),
    "holograms of an unknown specimen": (
        OPTICS + "microscope:\n  kind: hologram\n  specimen: yeast",
        4,
        ["microscope.specimen", "'yeast'", "red_cells"],
    ),
    "simulated holograms without optics": ("microscope:\n  kind: hologram", 1, ["optics.na", "add them"]),
    "an aperture that the simulated medium does not have": (
        "optics: {na: 1.4, wavelength_nm: 550, pixel_size_um: 0.1, immersion_index: 1.515}\n"
        "microscope:\n  kind: hologram\n  medium_index: 1.34",
        4,
        ["microscope.medium_index", "1.4", "below", "1.34"],
    ),
    "an aperture that the medium of holograms does not have": (
        "optics: {na: 1.4, immersion_index: 1.515}\nengines:\n  hologram:\n    enabled: true\n    medium_index: 1.34",
        5,
        ["engines.hologram.medium_index", "1.4", "below", "1.34"],
    ),
    "distances that fall": (
        "engines:\n  hologram:\n    range_um: [10, -10]",
        3,
        ["engines.hologram.range_um", "[10.0, -10.0]", "must rise"],
    ),
    "a stage that changes nothing": (
        "engines:\n  hologram:\n    stage_per_focus: 0",
        3,
        ["engines.hologram.stage_per_focus", "null"],
    ),
    "an unknown network of holograms": (
        "engines:\n  hologram:\n    network: resnet",
        3,
        ["engines.hologram.network", "'resnet'", "hologram_cells"],
    ),
    "simulated maps without a pixel size": (
        "microscope:\n  kind: opd",
        1,
        ["optics", "optics.pixel_size_um", "1.67"],
    ),
    "a population that is not known": (
        "optics: {pixel_size_um: 1.67}\nmicroscope:\n  kind: opd\n  density_per_mm2: 200",
        4,
        ["microscope.density_per_mm2", "200", "183, 255"],
    ),
    "an eighth level of quality": (
        "optics: {pixel_size_um: 1.67}\nmicroscope:\n  kind: opd\n  quality: 8",
        4,
        ["microscope.quality", "8", "less than or equal to 7"],
    ),
    "cells in counts without their unit": (
        "engines:\n  cells:\n    enabled: true",
        2,
        ["engines.cells.nm_per_count", "required with source opd"],
    ),
    "counts of holograms": (
        "engines:\n  cells:\n    source: hologram\n    nm_per_count: 0.1",
        4,
        ["engines.cells.nm_per_count", "0.1", "source hologram", "take it out"],
    ),
    "a distance of maps": (
        "engines:\n  cells:\n    distance_um: 0",
        3,
        ["engines.cells.distance_um", "source opd", "take it out"],
    ),
    "cells of holograms without a wavelength": (
        "optics: {na: 0.5}\nengines:\n  cells:\n    enabled: true\n    source: hologram",
        1,
        ["optics", "optics.wavelength_nm", "engines.cells"],
    ),
    "cells of an aperture that the medium does not have": (
        "optics: {na: 1.4, immersion_index: 1.515, wavelength_nm: 600}\n"
        "engines:\n  hologram:\n    medium_index: 1.34\n  cells:\n    enabled: true\n    source: hologram",
        4,
        ["engines.hologram.medium_index", "1.4", "below", "1.34"],
    ),
    "simulated lens-free frames without a pixel size": (
        "microscope:\n  kind: lensfree",
        1,
        ["optics", "kind lensfree", "optics.pixel_size_um"],
    ),
    "lens-free frames without a distance": (
        "engines:\n  cells:\n    enabled: true\n    source: lensfree",
        2,
        ["engines.cells.lensfree", "lensfree.z_um is required"],
    ),
    "how lens-free frames are read, of maps": (
        "engines:\n  cells:\n    lensfree:\n      z_um: 900",
        3,
        ["engines.cells.lensfree", "source opd", "take it out"],
    ),
    "counts of lens-free frames": (
        "engines:\n  cells:\n    source: lensfree\n    zero_count: 5",
        4,
        ["engines.cells.zero_count", "5", "source lensfree", "take it out"],
    ),
    "a pinhole at no distance": (
        "engines:\n  cells:\n    source: lensfree\n    lensfree:\n      led_um: 50",
        4,
        ["engines.cells.lensfree.led_distance_um", "give both"],
    ),
    "a distance that is looked for beyond the sensor": (
        "engines:\n  cells:\n    source: lensfree\n    lensfree:\n      z_um: 30",
        4,
        ["engines.cells.lensfree.focus_range_um", "40", "below z_um 30"],
    ),
    "wavelengths in micrometres": (
        "engines:\n  cells:\n    source: lensfree\n    lensfree:\n      wavelengths_nm: [0.63, 0.53, 0.45]",
        5,
        ["engines.cells.lensfree.wavelengths_nm", "0.63", "greater than or equal to 200"],
    ),
    "two of three wavelengths": (
        "engines:\n  cells:\n    source: lensfree\n    lensfree:\n      wavelengths_nm: [630, 530]",
        5,
        ["engines.cells.lensfree.wavelengths_nm"],
    ),
    "an accelerator of the reference reconstruction": (
        "engines:\n  cells:\n    source: lensfree\n    lensfree:\n      method: reference\n"
        "      accelerator: lensfree_accelerate",
        6,
        ["engines.cells.lensfree.accelerator", "method reference"],
    ),
    "a source of cells that does not exist": (
        "engines:\n  cells:\n    source: brightfield",
        3,
        ["engines.cells.source", "'brightfield'", "'opd', 'hologram' or 'lensfree'"],
    ),
    "an unknown network of cells": (
        "engines:\n  cells:\n    network: resnet",
        3,
        ["engines.cells.network", "'resnet'", "cells_b"],
    ),
    "a frame that is never measured": ("engines:\n  cells:\n    every: 0", 3, ["engines.cells.every", "0", "1"]),
    "a column that no table has": (
        "engines:\n  cells:\n    columns: [mass]",
        3,
        ["engines.cells.columns", "'mass'", "dry_mass_pg"],
    ),
    "negative aperture": ("optics:\n  na: -0.5", 2, ["optics.na", "-0.5", "greater than 0"]),
    "a condenser without aperture": ("optics:\n  condenser_na: 0", 2, ["optics.condenser_na", "0", "greater than 0"]),
    "aperture above the index": ("optics:\n  wavelength_nm: 550\n  na: 1.3", 3, ["na 1.3", "immersion_index", "oil"]),
    "a word for a number": ("optics:\n  na: half", 2, ["optics.na", "'half'", "number"]),
    "yes for a number": ("optics:\n  na: yes", 2, ["optics.na", "switch", "null"]),
    "a number for a switch": ("camera:\n  auto_gain: 7", 2, ["camera.auto_gain", "7", "boolean"]),
    "limits that fall": ("stage:\n\n  limits_um: [5, -5]", 3, ["limits_um", "[5.0, -5.0]", "must rise"]),
    "one limit": ("stage:\n  limits_um: [5]", 2, ["stage.limits_um", "required"]),
    "not a number": ("stage:\n  max_step_um: .nan", 2, ["stage.max_step_um", "nan", "finite"]),
    "infinity": ("stage:\n  limits_um: [-.inf, 3]", 2, ["stage.limits_um.0", "-inf", "finite"]),
    "unknown direction word": ("stage:\n  focus_direction: up", 2, ["'up'", "toward_sample", "away"]),
    "unknown approach": ("stage: {approach: left}", 1, ["stage.approach", "'left'", "increasing"]),
    "polling without pause": ("stage:\n  position_interval_s: 0", 2, ["position_interval_s", "0.05"]),
    "tiny region": ("camera:\n  roi: [0, 0, 4, 64]", 2, ["camera.roi.2", "4", "16"]),
    "too few images": ("focus:\n  max_images: 3", 2, ["focus.max_images", "3", "8"]),
    "unknown score": ("focus:\n  metric: tenengrad", 2, ["focus.metric", "'tenengrad'", "vollath"]),
    "int8 of a backend that has none": (
        "focus:\n  pair:\n    precision: int8",
        3,
        ["focus.pair.precision", "onnxruntime", "set both"],
    ),
    "bf16 of a backend that has none": (
        "engines:\n  cells:\n    precision: bf16\n    backend: auto",
        3,
        ["engines.cells.precision", "bf16", "not auto", "set both"],
    ),
    "a precision that cells have not": (
        "engines:\n  cells:\n    backend: openvino\n    precision: int8",
        4,
        ["engines.cells.precision", "'int8'", "bf16"],
    ),
    "unknown precision": ("focus:\n  pair:\n    precision: int4", 3, ["focus.pair.precision", "'int4'", "fp32"]),
    "a word for a section": ("stage: fast", 1, ["stage", "'fast'", "is a section"]),
    "open to the network": (
        "network:\n  control: tcp://0.0.0.0:5770",
        2,
        ["network.control", "this computer only", "microscoped keys new", "network.curve"],
    ),
    "one socket open to the network": (
        "network:\n  control: tcp://127.0.0.1:5770\n  frames: tcp://[::]:5772",
        3,
        ["network.frames", "tcp://[::]:5772", "microscoped keys new"],
    ),
    "an address that only looks like this computer": (
        "network:\n  events: tcp://127.0.0.1.example.org:5771",
        2,
        ["network.events", "other computers"],
    ),
    "no TCP": ("network:\n  events: ipc:///tmp/x", 2, ["network.events", "tcp://127.0.0.1:5770"]),
    "keys that are not used": ("network:\n  keys_folder: keys", 2, ["network.keys_folder", "network.curve"]),
    "port out of range": ("network:\n  events: tcp://127.0.0.1:99999", 2, ["99999", "65535"]),
    "one port for two": (
        "network:\n  control: tcp://127.0.0.1:7000\n  frames: tcp://127.0.0.1:7000",
        3,
        ["network.frames", "port 7000", "control"],
    ),
    "a list": ("- stage", 1, ["mapping of sections"]),
    "a word": ("hello", 1, ["mapping of sections"]),
    "bracket left open": ("optics:\n  na: [0.5", 2, ["not YAML", "quotes"]),
    "tabulator": ("stage:\n\tlimits_um: [0, 1]", 2, ["not YAML", "tabs"]),
    "code": ("stage: !!python/object/apply:os.system [ls]", 1, ["not YAML"]),
    "anchor in itself": ("optics: &a [*a]", 1, ["anchor", "itself"]),
    "two documents": ("stage: {}\n---\nstage: {}", 2, ["not YAML", "another document"]),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_names_file_line_key_value_and_remedy(name: str) -> None:
    text, line, words = BAD[name]
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "scope.yaml")
    message = str(caught.value)
    assert message.startswith(f"scope.yaml:{line}: "), message
    assert [word for word in words if word not in message] == [], message


def test_every_problem_is_told_at_once_each_on_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("optics:\n  na: -1\nstage:\n  timeout_s: 0\ncamera:\n  colour: red\n", "c")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["c:2", "c:4", "c:6"]


def test_a_long_wrong_value_is_shown_short() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(f"optics:\n  na: {'x' * 5000}", "c")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no such file", "microscoped init"]),
        (b"stage: {settle_ms: 1} # \xb5", ["not UTF-8", "save it as UTF-8"]),
        (b"stage: \x00", ["not YAML", "plain text"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert [word for word in [str(path), *words] if word not in str(caught.value)] == []


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "stage:\nfocus:\n", "\ufeffstage: {}\n"])
def test_what_is_not_said_is_the_default(text: str) -> None:
    assert parse_config(text) == Config()


@pytest.mark.parametrize(
    "text",
    [
        "microscope: {kind: micromanager, config_file: a.cfg, adapter_paths: [x, y], camera: C, buffer_mb: 64}",
        OPTICS + "microscope: {kind: simulated, specimen: cells, shape_px: [64, 128], stage: {backlash_um: 1}}",
        "microscope: {kind: recorded, path: a.tif, step_um: -0.5}",
        "microscope: {kind: field, path: a.npz, wavelength_nm: 633, pixel_size_um: 0.1}",
        OPTICS + "microscope: {kind: hologram, specimen: beads, depth_um: [-1, 2], fields: 3, stage: {jitter_um: 0.1}}",
        "engines: {hologram: {enabled: true, side: minus, range_um: [-5, 5], stage_per_focus: -1, refocus: numerical}}",
        "optics: {pixel_size_um: 1.67}\nmicroscope: {kind: opd, density_per_mm2: 527, quality: 7, zero_count: 0}",
        "optics: {pixel_size_um: 1.67}\nmicroscope: {kind: lensfree, z_um: 700, z_error_um: 0, shape_px: [64, 96]}",
        "engines: {cells: {enabled: true, nm_per_count: 0.1, zero_count: 0, every: 3, link: false, columns: [track]}}",
        "optics: {wavelength_nm: 600}\nengines: {cells: {enabled: true, source: hologram, distance_um: -2}}",
        "engines: {cells: {enabled: true, source: lensfree, pixel_size_um: 1.67, lensfree: {z_um: 900, led_um: 50, "
        "led_distance_um: 50000, shifts_um: [[1, 2], [0, 0], [-1, -2]], iterations: 12, unwrapper: none}}}",
        "stage: {limits_um: [-3, 4], focus_direction: away, approach: decreasing}\nfocus: {offsets_um: {GFP: 0.5}}",
        "network: {control: 'tcp://127.0.0.1:*', events: 'tcp://localhost:1', frames: 'tcp://127.0.0.1:*'}",
        "network: {control: 'tcp://0.0.0.0:1', events: 'tcp://*:2', frames: 'tcp://[::]:3', curve: true}",
    ],
)
def test_a_configuration_survives_the_round_trip(text: str) -> None:
    config = parse_config(text)
    assert parse_config(yaml.safe_dump(config.model_dump(mode="json"))) == config


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("microscope: {kind: recorded, path: stacks/a.tif}", encoding="utf-8")
    microscope = load_config(tmp_path / "c.yaml").microscope
    assert isinstance(microscope, RecordedConfig)
    assert microscope.path == tmp_path / "stacks" / "a.tif"
    (tmp_path / "c.yaml").write_text("network: {curve: true, keys_folder: keys}", encoding="utf-8")
    assert load_config(tmp_path / "c.yaml").network.keys_folder == tmp_path / "keys"
    (tmp_path / "c.yaml").write_text("engines: {hologram: {calibration: kept}}", encoding="utf-8")
    assert load_config(tmp_path / "c.yaml").engines.hologram.calibration == tmp_path / "kept"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().stage.settle_ms = 3.0  # type: ignore[misc] # what is tested


# --- the packaged configuration --------------------------------------------------------------------------------------


def _alternatives() -> list[str]:
    """The packaged configuration, and it once more with each kind of microscope that it holds as a comment."""
    text = template()
    active = re.search(r"^microscope:\n(?:  .*\n)+", text, re.MULTILINE)
    assert active is not None
    commented = re.findall(r"^#microscope:\n(?:#  .*\n)+", text, re.MULTILINE)
    uncommented = ["".join(line[1:] for line in block.splitlines(keepends=True)) for block in commented]
    return [text, *(text.replace(active[0], block) for block in uncommented)]


def _missing(model: type[BaseModel], content: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key not in content:
            yield above + key
            continue
        options = get_args(field.annotation) or (field.annotation,)
        models = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        if len(models) > 1:
            models = [
                option for option in models if content[key]["kind"] in str(option.model_fields["kind"].annotation)
            ]
        # A stage written as {} is that of the simulated microscope, which is written out; null leaves a section out.
        if models and content[key] not in ({}, [], None):
            yield from _missing(models[0], content[key], f"{above}{key}.")


def test_the_packaged_configuration_is_the_one_of_the_repository() -> None:
    assert (REPOSITORY / "config.yaml").read_text(encoding="utf-8") == template()


def test_the_packaged_configuration_holds_each_kind_of_microscope() -> None:
    kinds = {type(parse_config(text).microscope) for text in _alternatives()}
    assert kinds == {
        SimulatedConfig,
        MicroManagerConfig,
        RecordedConfig,
        FieldConfig,
        HologramConfig,
        OpdConfig,
        LensFreeConfig,
    }


def test_the_columns_of_cells_are_those_of_their_tables() -> None:
    from microscoped.models.cells import COLUMNS

    assert get_args(CellColumn) == COLUMNS


@pytest.mark.parametrize("text", _alternatives(), ids=lambda text: yaml.safe_load(text)["microscope"]["kind"])
def test_the_packaged_configuration_holds_every_key(text: str) -> None:
    assert list(_missing(Config, yaml.safe_load(text))) == []


def test_every_key_of_the_packaged_configuration_is_explained() -> None:
    keys = [line for line in template().splitlines() if re.match(r"#?  +\w+:", line)]
    assert len(keys) > 60
    assert [line for line in keys if not re.search(r" # \S+ *\S", line)] == []


def test_lengths_and_times_are_explained_with_their_units() -> None:
    units = {"_um": "um", "_ms": "milliseconds", "_s": "seconds", "_nm": "nanometres", "_px": "pixels"}
    lines = [re.match(r"#?  +(\w+):.* # (.*)", line) for line in template().splitlines()]
    for found in filter(None, lines):
        unit = next((unit for suffix, unit in units.items() if found[1].endswith(suffix)), "")
        assert unit in found[2] or "um per second" in found[2], found[0]


def test_the_packaged_configuration_can_move_and_focus() -> None:
    config = parse_config(template())
    motion, core = motion_settings(config), core_settings(config, {})
    assert motion.limits_um is not None
    assert motion.focus_direction is not FocusDirection.UNKNOWN
    assert core.optics is not None
    assert motion.arrival_tolerance_um <= core.focus.tolerance_um
    assert camera_settings(config).auto_exposure is False

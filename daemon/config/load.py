"""From a YAML file to a `Config`; every error names line, key, value and remedy."""

from __future__ import annotations

import difflib
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from microscoped.daemon.config.microscopes import FieldConfig, MicroManagerConfig, RecordedConfig
from microscoped.daemon.config.models import Config
from microscoped.daemon.config.section import KeyProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DEMO = "demo"
"""A ``config_file`` of this name is the packaged demonstration microscope, not a file."""

TEMPLATE_NAME = "template.yaml"
KINDS = "micromanager, simulated, recorded, field, hologram, opd"
"""The kinds of microscope."""
PLAIN = ("dose_ms_per_h", "rules")
"""Keys at the top that are no sections."""
SHOWN = 80
"""Characters of a wrong value that are shown."""


class ConfigError(Exception):
    """The configuration cannot be used; the message has one line for each thing that is wrong with it."""


def template() -> str:
    """Return the packaged configuration: complete, commented, and that of the demonstration microscope."""
    return resources.files("microscoped.daemon.config").joinpath(TEMPLATE_NAME).read_text(encoding="utf-8")


def load_config(path: Path) -> Config:
    """Read and check a configuration.

    Raises
    ------
    ConfigError
        For each problem: file and line, key, value, and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; 'microscoped init {path}' writes one to begin with") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8 in your editor") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give the path of a readable file") from None
    config = parse_config(text, str(path))
    return _with_absolute_paths(config, path.resolve().parent)


def parse_config(text: str, name: str = "configuration") -> Config:
    """Check a configuration given as YAML text; paths in it stay as they are.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    root, content = _read_yaml(text, name)
    if root is None:
        return Config()
    try:
        # An empty section is one with all defaults.
        given = {key: {} if value is None else value for key, value in content.items() if key not in PLAIN}
        plain = {key: content[key] for key in PLAIN if content.get(key) is not None}
        return Config.model_validate({**given, **plain})
    except ValidationError as error:
        problems = [_problem(root, item, name) for item in error.errors(include_url=False)]
        # The demand for a tag is said once; what follows from the lack of it is noise.
        raise ConfigError("\n".join(dict.fromkeys(problems))) from None


def _read_yaml(text: str, name: str) -> tuple[yaml.MappingNode | None, dict[str, Any]]:
    """Return the nodes, which know their lines, and the content; ``None`` for an empty file."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            return None, {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(
                f"{name}:{root.start_mark.line + 1}: a configuration is a mapping of sections like 'stage:'"
            )
        _refuse_odd_keys(root, name, [])
        content: dict[str, Any] = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{name}:{mark.line + 1}" if mark is not None else name
        raise ConfigError(
            f"{line}: not YAML: {error.problem}; check indentation (spaces, no tabs), colons and quotes"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: not YAML: {str(error).splitlines()[0]}; save it anew as plain text") from None
    return root, content


def _refuse_odd_keys(node: yaml.Node, name: str, above: list[yaml.Node]) -> None:
    """Refuse keys that stand twice or are no words, and anchors that contain themselves."""
    if any(node is other for other in above):
        line = node.start_mark.line + 1
        raise ConfigError(f"{name}:{line}: this anchor contains itself; write the values out")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(
                    f"{name}:{line}: a key is one word followed by a colon; this one is a list or a mapping"
                )
            if key.value in seen:
                raise ConfigError(
                    f"{name}:{line}: the key {key.value!r} stands here a second time "
                    f"(first in line {seen[key.value]}); keep one of them"
                )
            seen[key.value] = line
            _refuse_odd_keys(value, name, [*above, node])
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_odd_keys(value, name, [*above, node])


def _problem(root: yaml.MappingNode, item: Any, name: str) -> str:  # noqa: ANN401 - pydantic's error
    where: Sequence[str | int] = item["loc"]
    # A choice between kinds of microscope stands in pydantic's path, but not in the file.
    parts = [part for at, part in enumerate(where) if not (at == 1 and where[0] == "microscope")]
    kind, found = item["type"], item.get("ctx", {}).get("error")
    if isinstance(found, KeyProblemError):
        parts.extend(int(part) if part.isdigit() else part for part in found.key.split("."))
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        parts.append("kind")
    key = ".".join(map(str, parts)) or "configuration"
    place = f"{name}:{_line(root, parts)}: {key}"
    if kind in ("extra_forbidden", "invalid_key"):
        return f"{place}: there is no such key{_hint(parts, item)}"
    if kind == "missing":
        return f"{place}: is required; add it"
    if kind == "union_tag_not_found":
        return f"{place}: is required: one of {KINDS}"
    if kind == "union_tag_invalid":
        return f"{place} = {_shown(item['input'].get('kind'))}: must be one of {KINDS}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{place} = {_shown(item['input'])}: is a section; put its keys below it, indented, or take it out"
    message = item["msg"].removeprefix("Value error, ")
    if isinstance(found, KeyProblemError):
        return f"{place}: {message}"
    return f"{place} = {_shown(item['input'])}: {message[:1].lower()}{message[1:]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _hint(parts: Sequence[str | int], item: Any) -> str:  # noqa: ANN401 - pydantic's error
    """What to write instead of an unknown key."""
    wrong, known = str(parts[-1]), _siblings(parts[:-1], item)
    if len(parts) == 1:
        homes = [section for section, keys in _sections() if wrong in keys]
        if homes:
            return f"; it belongs under {' or '.join(f'{home}:' for home in homes)}"
    near = difflib.get_close_matches(wrong, known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{meant}; known here: {', '.join(known)}" if known else f"{meant}; take it out"


def _sections() -> Iterator[tuple[str, set[str]]]:
    for section, field in Config.model_fields.items():
        yield section, {key for model in _models(field.annotation) for key in model.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    """The models among the alternatives of an annotation."""
    options = getattr(annotation, "__args__", (annotation,))
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _siblings(parts: Sequence[str | int], item: Any) -> list[str]:  # noqa: ANN401 - pydantic's error
    """Keys that are allowed where an unknown one stands."""
    kinds: list[type[BaseModel]] = [Config]
    for at, part in enumerate(parts):
        kinds = [
            model
            for kind in kinds
            if str(part) in kind.model_fields
            for model in _models(kind.model_fields[str(part)].annotation)
        ]
        if at == 0 and part == "microscope":
            tag = str(item["loc"][1])
            kinds = [kind for kind in kinds if tag in str(kind.model_fields["kind"].annotation)]
    return [name for kind in kinds for name in kind.model_fields]


def _line(root: yaml.Node, parts: Sequence[str | int]) -> int:
    """Line of the key at the end of a path, or of the nearest one above it that exists."""
    node, line = root, root.start_mark.line
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    microscope = config.microscope
    changes: dict[str, Any] = {}
    match microscope:
        case RecordedConfig() | FieldConfig():
            changes["path"] = folder / microscope.path
        case MicroManagerConfig():
            if microscope.config_file != DEMO:
                changes["config_file"] = str(folder / microscope.config_file)
            changes["adapter_paths"] = tuple(folder / path for path in microscope.adapter_paths)
    updated: dict[str, Any] = {"microscope": microscope.model_copy(update=changes)}
    pair = config.focus.pair
    if pair.calibration is not None:
        pair = pair.model_copy(update={"calibration": folder / pair.calibration})
        updated["focus"] = config.focus.model_copy(update={"pair": pair})
    hologram = config.engines.hologram
    if hologram.calibration is not None:
        hologram = hologram.model_copy(update={"calibration": folder / hologram.calibration})
        updated["engines"] = config.engines.model_copy(update={"hologram": hologram})
    if config.journal.folder is not None:
        updated["journal"] = config.journal.model_copy(update={"folder": folder / config.journal.folder})
    if config.record.folder is not None:
        updated["record"] = config.record.model_copy(update={"folder": folder / config.record.folder})
    if config.log.folder is not None:
        updated["log"] = config.log.model_copy(update={"folder": folder / config.log.folder})
    if config.network.keys_folder is not None:
        updated["network"] = config.network.model_copy(update={"keys_folder": folder / config.network.keys_folder})
    return config.model_copy(update=updated)


__all__ = ["DEMO", "ConfigError", "load_config", "parse_config", "template"]

"""From a YAML file to a `Config`; every error names line, key, value and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from microscoped.daemon.config.models import Config, FieldConfig, MicroManagerConfig, RecordedConfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEMO = "demo"
"""A ``config_file`` of this name is the packaged demonstration microscope, not a file."""


class ConfigError(Exception):
    """The configuration cannot be used; the message has one line for each thing that is wrong with it."""


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
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    config = parse_config(text, str(path))
    return _with_absolute_paths(config, path.resolve().parent)


def parse_config(text: str, name: str = "configuration") -> Config:
    """Check a configuration given as YAML text; paths in it stay as they are.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{name}:{mark.line + 1}" if mark is not None else name
        raise ConfigError(f"{line}: not YAML: {error.problem}; check indentation, colons and quotes") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {error}") from None
    if root is None:
        return Config()
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}:1: a configuration is a mapping of sections such as 'stage:'")
    _refuse_duplicates(root, name)
    content: dict[str, Any] = yaml.safe_load(text)
    try:
        return Config.model_validate({key: {} if value is None else value for key, value in content.items()})
    except ValidationError as error:
        problems = [_problem(root, item["loc"], item, name) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from None


def _refuse_duplicates(node: yaml.Node, name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if key.value in seen:
                raise ConfigError(
                    f"{name}:{key.start_mark.line + 1}: the key {key.value!r} stands here a second time "
                    f"(first in line {seen[key.value]}); keep one of them"
                )
            seen[key.value] = key.start_mark.line + 1
            _refuse_duplicates(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, name)


def _problem(root: yaml.MappingNode, where: Sequence[str | int], item: Any, name: str) -> str:  # noqa: ANN401 - pydantic
    # A choice between kinds of microscope stands in pydantic's path, but not in the file.
    parts = [part for at, part in enumerate(where) if not (at == 1 and where[0] == "microscope")]
    line = _line(root, parts)
    key = ".".join(map(str, parts)) or "configuration"
    kind = item["type"]
    if kind == "extra_forbidden":
        known = ", ".join(_siblings(parts[:-1], item)) or "see 'microscoped init'"
        return f"{name}:{line}: {key}: there is no such key; known here: {known}"
    if kind == "missing":
        return f"{name}:{line}: {key}: is required; add it"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return f"{name}:{line}: {key}.kind: must be one of micromanager, simulated, recorded, field"
    message = item["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{name}:{line}: {key}: {message}"
    return f"{name}:{line}: {key} = {item['input']!r}: {message[:1].lower()}{message[1:]}"


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


def _siblings(parts: Sequence[str | int], item: Any) -> list[str]:  # noqa: ANN401 - pydantic's error
    """Keys that are allowed where an unknown one stands."""
    kinds: list[Any] = [Config]
    for part in parts:
        fields = [kind.model_fields[str(part)].annotation for kind in kinds if str(part) in kind.model_fields]
        kinds = [
            option
            for annotation in fields
            for option in (annotation.__args__ if hasattr(annotation, "__args__") else (annotation,))
            if hasattr(option, "model_fields")
        ]
    if len(kinds) > 1:
        tag = str(item["loc"][1])
        kinds = [kind for kind in kinds if tag in str(kind.model_fields["kind"].annotation)]
    return [name for kind in kinds for name in kind.model_fields]


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
    return config.model_copy(update={"microscope": microscope.model_copy(update=changes)})


__all__ = ["DEMO", "ConfigError", "load_config", "parse_config"]

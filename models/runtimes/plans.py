"""Plans that were built once are kept, under the hash of everything that made them.

A plan is two files: ``KEY.plan``, and beside it ``KEY.json``, which says what it was made from and what its hash is.
Both are replaced whole. Whatever does not fit (a damaged file, a card of another plan, a stranger's file) is said in
the log and costs a new build. Nothing is unpickled. A plan is code that runs on the GPU: the hash tells damage, not
malice, so the folder must belong to the user who runs the daemon.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from microscoped.models.runtimes._artefact import replace_file, sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("microscoped.models")

DIGEST_SIZE = 32


class PlanKey(BaseModel):
    """Everything that a plan depends on.

    Parameters
    ----------
    onnx_sha256
        Hash of the network.
    library, version
        What builds it, with its exact version.
    targets
        The GPUs that it is for: compute capabilities, or ``portable``.
    system
        Operating system and processor where the plan depends on them, else empty.
    shapes
        By input: smallest, usual and largest shape.
    flags
        Whatever else changes the build.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    onnx_sha256: str
    library: str
    version: str
    targets: tuple[str, ...]
    system: str
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
    flags: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The hash over all of it, which names the files."""
        return sha256_of(self.model_dump_json().encode())


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    key: PlanKey
    plan_sha256: str


@dataclass(frozen=True)
class Plan:
    """A plan that may be run.

    Parameters
    ----------
    content
        What the library built.
    built_s
        How long that took; None if it came from the cache.
    path
        Where it is kept; None if it is not.
    """

    content: bytes
    built_s: float | None
    path: Path | None


class PlanCache:
    """A folder of plans, for any number of processes at once.

    Parameters
    ----------
    folder
        Made if absent. None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get_or_build(self, key: PlanKey, build: Callable[[], bytes], *, anew: bool = False) -> Plan:
        """Return the plan of a key, building it if it is not here.

        Parameters
        ----------
        key
            What the plan is made from.
        build
            Makes it.
        anew
            Build it also if it is here.
        """
        path = self.path(key)
        if path is not None and not anew and (found := self._read(path, key)) is not None:
            log.debug("plan %s comes from the cache", path)
            return Plan(found, None, path)
        start = perf_counter()
        content = build()
        seconds = perf_counter() - start
        log.info("built a plan with %s %s in %.1f s (%d bytes)", key.library, key.version, seconds, len(content))
        return Plan(content, seconds, path if path is not None and self._write(path, key, content) else None)

    def path(self, key: PlanKey, suffix: str = ".plan") -> Path | None:
        """Return where the plan of a key is kept, or another file that belongs to it."""
        return self.folder / f"{key.digest}{suffix}" if self.folder is not None else None

    def _read(self, path: Path, key: PlanKey) -> bytes | None:
        card_path = path.with_suffix(".json")
        try:
            card = _Card.model_validate_json(card_path.read_bytes())
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.warning("the plan %s cannot be used and is built anew: %s", path, _first_line(error))
            return None
        if card.key != key:
            log.warning("the plan %s was made from something else, says %s; it is built anew", path, card_path.name)
            return None
        if sha256_of(content) != card.plan_sha256:
            log.warning("the plan %s is damaged: its hash differs from %s; it is built anew", path, card_path.name)
            return None
        return content

    def _write(self, path: Path, key: PlanKey, content: bytes) -> bool:
        card = _Card(key=key, plan_sha256=sha256_of(content))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
            replace_file(path.with_suffix(".json"), (card.model_dump_json(indent=1) + "\n").encode())
        except OSError as error:
            log.warning("the plan cannot be kept in %s (%s); it will be built at every start", path.parent, error)
            return False
        return True


def read_sealed(path: Path) -> bytes | None:
    """Read a file that `write_sealed` wrote; None if there is none, or it is damaged, which is said in the log."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read and is not used: %s", path, error)
        return None
    seal, content = stored[:DIGEST_SIZE], stored[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != seal:
        log.warning("%s is damaged and is not used", path)
        return None
    return content


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file after its own hash; a failure is said in the log, because the file only saves time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, hashlib.sha256(content).digest() + content)
    except OSError as error:
        log.warning("%s cannot be written: %s", path, error)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


__all__ = ["Plan", "PlanCache", "PlanKey", "read_sealed", "write_sealed"]

"""What is shipped: the wheel holds the tree and nothing else, and the client needs only three packages."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDERS = ("daemon", "drivers", "models", "simulators")
SHIPPED = {".py", ".typed", ".onnx", ".json", ".cfg", ".yaml"}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_wheel_holds_the_tree_and_nothing_else(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(REPOSITORY),
        "--no-deps",
        "--quiet",
        "--wheel-dir",
        str(tmp_path),
    ]
    subprocess.run(build, check=True, capture_output=True, timeout=170)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (top_level,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))
        assert archive.read(top_level).split() == [b"microscoped"]
    tree = {
        f"microscoped/{path.relative_to(REPOSITORY).as_posix()}"
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in SHIPPED or path.name == "py.typed"
        if "__pycache__" not in path.parts
    }
    assert names == tree
    assert {f"microscoped/{folder}/py.typed" for folder in FOLDERS} <= names


def closure(names: set[str]) -> set[str]:
    """These distributions and all that they require, here and now."""
    found: set[str] = set()
    todo = set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        requirements = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        needed = {r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
        todo |= needed - found
    return found


def test_the_client_needs_only_pyzmq_numpy_and_pydantic(tmp_path: Path) -> None:
    """An environment that holds nothing else, and of microscoped only the folder that the client lives in."""
    for name in closure({"pyzmq", "numpy", "pydantic"}):
        files = importlib.metadata.files(name) or []
        for part in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            source = Path(str(files[0].locate())).parents[len(files[0].parts) - 1] / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, tmp_path / part)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "daemon", tmp_path / "microscoped" / "daemon", ignore=ignored)
    script = f"""
    import sys
    sys.path.append({str(tmp_path)!r})
    from microscoped.daemon.client import Scope
    Scope("tcp://127.0.0.1:9").close()
    assert "microscoped.drivers" not in sys.modules
    """
    subprocess.run([sys.executable, "-I", "-S", "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_the_plain_folder_names_are_never_imported() -> None:
    script = """
    import sys
    import microscoped.daemon.compose
    assert not {"daemon", "drivers", "models", "simulators"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)

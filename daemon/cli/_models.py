"""``microscoped models``: the networks that measure, their training, and what runs them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from microscoped.daemon.cli._console import FAILED, WRONG_USE, console, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from microscoped.models.registry import ModelSpec
    from microscoped.models.runtimes import (
        Artefact,
        CompiledLower,
        CompiledModel,
        CompiledPlan,
        Deviation,
        Sidecar,
    )
    from microscoped.models.training import Progress, Training

    Builder = Callable[[ModelSpec, Artefact, Path, bool], tuple[CompiledPlan | CompiledLower, tuple[Deviation, ...]]]

TRAIN_EXTRA = "training needs the extra: pip install 'microscoped[train]'"
TRAIN_PACKAGES = frozenset({"torch", "onnx", "onnxscript", "onnx_ir"})

models = typer.Typer(
    no_args_is_help=True, help="List, train, export, compile, evaluate and time the networks that measure."
)
Name = Annotated[str, typer.Argument(help="The model; 'microscoped models list' has them.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Processes = Annotated[int, typer.Option(help="Processes that render samples.", min=1)]
Network = Annotated[
    Path | None, typer.Option("--artefact", help="The ONNX file.", show_default="the one that is shipped")
]


@models.command(name="list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")] = False,
) -> None:
    """List the models: name, state of the weights, title. Exit code: 0."""
    from microscoped.models.registry import MODELS

    rows = [(spec, artefact, _state(spec, artefact)) for spec in MODELS.values() for artefact in spec.artefacts]
    if as_json:
        for spec, artefact, state in rows:
            document = {"name": spec.name, "title": spec.title, "artefact": artefact, "state": state}
            typer.echo(json.dumps(document, ensure_ascii=False))
        return
    _table(("model", "weights", "state", "title"), [(s.name, a, state, s.title) for s, a, state in rows])


@models.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show a model: what it is for, what it takes and gives with units, and its scores.

    Exit code: 0, 1 if weights of it are missing or altered, 2 if there is no such model.
    """
    from microscoped.models.runtimes import ArtefactError

    spec = _spec(name)
    sidecars: list[Sidecar] = []
    problems: list[str] = []
    for artefact in spec.artefacts:
        try:
            sidecars.append(spec.load(artefact).sidecar)
        except ArtefactError as error:
            problems.append(str(error))
    if as_json:
        known = {"name": spec.name, "title": spec.title, "purpose": spec.purpose, "training": spec.training}
        cards = [sidecar.model_dump(mode="json") for sidecar in sidecars]
        typer.echo(json.dumps({**known, "artefacts": cards}, indent=1, ensure_ascii=False))
    else:
        console().print(f"{spec.title}\n{spec.purpose}\ntraining code: {spec.training}", markup=False)
        for sidecar in sidecars:
            _print_sidecar(sidecar)
    if problems:
        fail("\n".join(problems), FAILED)


@models.command()
def train(
    name: Name,
    folder: Annotated[
        Path | None, typer.Option(help="Where checkpoints go.", show_default="NAME in the system's data folder")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(help="Simulated samples in all.", min=1, show_default="the recipe's number")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in the folder.")] = False,
    processes: Processes = 1,
    variant: Annotated[
        str | None, typer.Option(help="Which of the model's networks.", show_default="the one that is shipped")
    ] = None,
) -> None:
    """Train a model on this project's own simulations; prints the last checkpoint.

    Exit code: 0 when it is trained, 1 if it failed or the extra [train] is not installed, 2 for a wrong option.
    """
    from microscoped.models.training import TrainOptions

    spec = _spec(name)
    if device not in {"auto", "cpu", "cuda"}:
        fail(f"--device {device}: must be auto, cpu or cuda", WRONG_USE)
    with _training(spec) as (code, progress):
        checkpoint = code.train(
            TrainOptions(
                folder=folder or _folder("training", spec.name),
                draws=draws,
                device=device,
                seed=seed,
                resume=resume,
                processes=processes,
                variant=variant,
                progress=progress,
            )
        )
    typer.echo(f"{checkpoint}: the trained network; 'microscoped models export {name} {checkpoint}' makes it usable.")


@models.command()
def export(
    name: Name,
    checkpoint: Annotated[Path, typer.Argument(help="What train has printed.", show_default=False)],
    folder: Annotated[
        Path | None, typer.Option(help="Where the files go.", show_default="the checkpoint's folder")
    ] = None,
) -> None:
    """Make an ONNX file with its sidecar from a checkpoint.

    Exit code: 0 when it is made, 1 if it failed or the extra [train] is not installed, 2 for a wrong option.
    """
    from microscoped.models.training import ExportOptions

    spec = _spec(name)
    if not checkpoint.exists():
        fail(f"{checkpoint}: there is no such checkpoint; 'microscoped models train {name}' makes one", WRONG_USE)
    with _training(spec) as (code, progress):
        path = code.export(ExportOptions(checkpoint, folder or checkpoint.parent, progress))
    typer.echo(f"{path}: {path.stat().st_size / 1024:.0f} KiB; its sidecar is beside it.")


@models.command()
def evaluate(
    name: Name,
    artefact: Network = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the report goes.", show_default="NAME in the system's data folder")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="An evaluation set; may be repeated.", show_default="all")
    ] = None,
    fields: Annotated[
        int | None, typer.Option(help="Fields of each specimen.", min=1, show_default="all of the set")
    ] = None,
    processes: Processes = 1,
    as_json: AsJson = False,
) -> None:
    """Score a network on simulations that no training has seen.

    Exit code: 0 when it is scored, 1 if it failed or something is not installed, 2 for a wrong option.
    """
    from microscoped.models.training import EvaluateOptions

    spec = _spec(name)
    loaded = _load(spec, artefact)
    with _training(spec) as (code, progress):
        scores = code.evaluate(
            EvaluateOptions(
                folder=folder or _folder("evaluation", spec.name),
                artefact=loaded.path,
                splits=tuple(split or ()),
                fields=fields,
                processes=processes,
                progress=progress,
            )
        )
    if as_json:
        typer.echo(json.dumps(scores, indent=1, ensure_ascii=False))
        return
    _table(("figure", "value"), _flat(scores))


@models.command(name="compile")
def compile_models(
    name: Annotated[str | None, typer.Argument(help="The model.", show_default="all")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="A GPU's compute capability, as SM89; may be repeated.", show_default="Ampere and later"),
    ] = None,
    backend: Annotated[str, typer.Option(help="tensorrt_rtx; or openvino, for bf16 and int8.")] = "tensorrt_rtx",
    precision: Annotated[str, typer.Option(help="fp32 with tensorrt_rtx; bf16 or int8 with openvino.")] = "fp32",
    artefact: Network = None,
    folder: Annotated[
        Path | None, typer.Option(help="The plan cache.", show_default="plans in the system's data folder")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Build also what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one document a line, for programs.")] = False,
) -> None:
    """Build the plan of every shipped network: for TensorRT-RTX, without a GPU, or in bf16 or int8 for this processor.

    A network in bf16 or int8 is compared with ONNX Runtime's single precision on samples, and kept only if it is
    accurate enough. Samples are rendered first, for int8 also those that it is made from, which takes minutes.
    Exit code: 0 if all were built, 1 if one could not be, or nothing is shipped, 2 if there is no such model.
    """
    from microscoped.models.registry import MODELS
    from microscoped.models.runtimes import ArtefactError, BackendError

    if (backend, precision) not in {("tensorrt_rtx", "fp32"), ("openvino", "bf16"), ("openvino", "int8")}:
        fail(
            f"--backend {backend} --precision {precision}: there are plans for tensorrt_rtx in fp32, and for"
            " openvino in bf16 and int8; everything else needs none",
            WRONG_USE,
        )
    if target and backend != "tensorrt_rtx":
        fail(f"--target {target[0]}: only plans of tensorrt_rtx are for a GPU", WRONG_USE)
    build: Builder = (
        partial(_build_plan, target or ()) if backend == "tensorrt_rtx" else partial(_build_lower, precision)
    )
    cache = folder or _folder("plans")
    specs = [_spec(name)] if name is not None else list(MODELS.values())
    if artefact is not None and name is None:
        fail("--artefact needs the name of its model", WRONG_USE)
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    problems: list[str] = []
    for spec, network in [(s, n) for s in specs for n in ((None,) if artefact else s.artefacts)]:
        try:
            loaded = _load(spec, artefact) if artefact else spec.load(network)
            plan, more = build(spec, loaded, cache, anew)
        except (ArtefactError, BackendError) as error:
            problems.append(str(error))
            continue
        built = "from the cache" if plan.built_s is None else f"{plan.built_s:.2f} s"
        rows.append((loaded.name, f"{plan.size / 1024:.0f} KiB", built, str(plan.path or "not kept")))
        notes += [f"{loaded.name}: {deviation}" for deviation in more]
        if as_json:
            document = {"name": loaded.name, "size": plan.size, "built_s": plan.built_s, "version": plan.version}
            figures = {"deviations": [asdict(deviation) for deviation in more]} if more else {}
            typer.echo(json.dumps({**document, "path": str(plan.path) if plan.path else None, **figures}))
    if rows and not as_json:
        _table(("network", "plan", "time", "file"), rows)
        for note in notes:
            console().print(note, markup=False)
    if problems:
        fail("\n".join(problems), FAILED)


def _build_plan(
    targets: Sequence[str], _: ModelSpec, artefact: Artefact, cache: Path, anew: bool
) -> tuple[CompiledPlan, tuple[Deviation, ...]]:
    from microscoped.models.runtimes import compile_artefact

    return compile_artefact(artefact, "tensorrt_rtx", targets, cache, anew=anew), ()


def _build_lower(
    precision: str, spec: ModelSpec, artefact: Artefact, cache: Path, anew: bool
) -> tuple[CompiledLower, tuple[Deviation, ...]]:
    from microscoped.models.runtimes import compile_lower

    lower = spec.in_precision(precision)
    assert lower is not None  # noqa: S101 - fp32 was refused; narrows the type
    with _Bar() as bar:
        plan = compile_lower(artefact, lower, cache, anew=anew, progress=bar)
    return plan, plan.deviations


@models.command()
def bench(
    name: Name,
    backend: Annotated[
        list[str] | None, typer.Option(help="A backend; may be repeated.", show_default="all that can be used")
    ] = None,
    artefact: Network = None,
    batch: Annotated[int | None, typer.Option(help="Batch size.", min=1, show_default="the network's usual")] = None,
    rounds: Annotated[int, typer.Option(help="How often each runs.", min=1)] = 50,
    threads: Annotated[int, typer.Option(help="Threads of the processor.", min=1)] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="The plan cache.", show_default="plans in the system's data folder")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time a network on every backend that can be used, in turns in one process.

    The ratio says how many times as fast as ONNX Runtime a backend is; on a busy computer it means more than the times.
    OpenVINO is timed in lower precision, too, where that was compiled and is accurate enough.
    Exit code: 0, 1 if a backend that was named cannot be used or the weights are missing, 2 for a wrong option.
    """
    from microscoped.models.runtimes import BACKENDS, REFERENCE, bench_models

    spec = _spec(name)
    if unknown := sorted(set(backend or ()) - set(BACKENDS)):
        fail(f"--backend {unknown[0]}: must be one of {', '.join(BACKENDS)}", WRONG_USE)
    loaded = _load(spec, artefact)
    profile = loaded.sidecar.batch
    size = batch or profile.opt
    if not profile.min <= size <= profile.max:
        fail(f"--batch {size}: {loaded.name} takes {profile.min} to {profile.max}", WRONG_USE)
    wanted = [REFERENCE, *(b for b in backend or BACKENDS if b != REFERENCE)]
    opened, refused, beside = _open_all(spec, loaded, wanted, threads, folder or _folder("plans"))
    try:
        if REFERENCE in refused:
            fail(refused[REFERENCE], FAILED)
        speeds = bench_models(opened, loaded, batch=size, rounds=rounds)
    finally:
        for model in opened:
            model.close()
    if as_json:
        figures = {"name": loaded.name, "batch": size, "rounds": rounds, "threads": threads}
        document = {**figures, "backends": [asdict(speed) for speed in speeds], "unusable": {**refused, **beside}}
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        console().print(f"{loaded.name}, batch {size}, {rounds} rounds", markup=False)
        rows = [(s.backend, f"{s.ratio:.2f}", f"{s.median_ms:.3f}", f"{s.smallest_ms:.3f}", s.device) for s in speeds]
        _table(("backend", f"speed / {REFERENCE}", "median ms", "smallest ms", "device"), rows)
        for reason in (*refused.values(), *beside.values()):
            console().print(f"not timed: {reason}", markup=False)
    if backend and refused:
        fail(f"{', '.join(refused)} cannot be used here", FAILED)


def _open_all(
    spec: ModelSpec, artefact: Artefact, backends: Iterable[str], threads: int, cache: Path
) -> tuple[list[CompiledModel], dict[str, str], dict[str, str]]:
    """Open what can be used; say why not of the rest, and of lower precisions, which nobody has named."""
    from microscoped.models.runtimes import ModelError, open_model

    opened: list[CompiledModel] = []
    refused: dict[str, str] = {}
    beside: dict[str, str] = {}
    for backend in dict.fromkeys(backends):
        try:
            opened.append(open_model(artefact, backend, threads=threads, cache_folder=cache))
        except ModelError as error:
            refused[backend] = str(error)
            continue
        for lower in spec.lower if backend == "openvino" else ():
            try:
                opened.append(open_model(artefact, backend, threads=threads, cache_folder=cache, lower=lower))
            except ModelError as error:
                beside[f"{backend} {lower.precision}"] = str(error)
    return opened, refused, beside


def _spec(name: str) -> ModelSpec:
    from microscoped.models.registry import UnknownModelError, model_spec

    try:
        return model_spec(name)
    except UnknownModelError as error:
        fail(str(error), WRONG_USE)


def _load(spec: ModelSpec, path: Path | None) -> Artefact:
    """Read a file, or what is shipped; end with exit code 1 where it cannot be used."""
    from microscoped.models.runtimes import ArtefactError, load_artefact

    try:
        return load_artefact(path) if path is not None else spec.load()
    except ArtefactError as error:
        fail(str(error), FAILED)


def _state(spec: ModelSpec, artefact: str) -> str:
    from microscoped.models.runtimes import ArtefactError
    from microscoped.models.runtimes.errors import ArtefactMissingError

    try:
        return f"version {spec.load(artefact).sidecar.version}"
    except ArtefactMissingError:
        return "missing"
    except ArtefactError:
        return "damaged"


def _folder(*parts: str) -> Path:
    from microscoped.daemon.record.journal import data_folder

    return data_folder().joinpath(*parts)


@contextmanager
def _training(spec: ModelSpec) -> Iterator[tuple[Training, Progress]]:
    """Import a model's training code, and show its progress; what fails becomes a message and an exit code."""
    from microscoped.models.runtimes import ModelError

    try:
        code = spec.load_training()
        with _Bar() as bar:
            yield code, bar
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in TRAIN_PACKAGES:
            raise
        fail(f"{error.name} is not installed; {TRAIN_EXTRA}", FAILED)
    except ValueError as error:
        fail(str(error), WRONG_USE)
    except (OSError, ModelError) as error:
        fail(str(error), FAILED)


class _Bar:
    """A progress bar on standard error; standard output is for results."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console(stderr=True))
        self._task = self._bar.add_task("", total=None, visible=False)

    def update(self, done: int, total: int, **figures: float) -> None:
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self._bar.update(self._task, completed=done, total=total, description=told, visible=True)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _print_sidecar(sidecar: Sidecar) -> None:
    batch = sidecar.batch
    screen = console()
    screen.print(f"\n{sidecar.name} {sidecar.version}: {sidecar.title}", markup=False, style="bold")
    screen.print(f"batch {batch.min} to {batch.max}, usually {batch.opt}; licence {sidecar.licence}", markup=False)
    screen.print(f"SHA-256 {sidecar.sha256}", markup=False)
    rows = [
        (kind, t.name, " × ".join(["n", *map(str, t.shape[1:])]), t.dtype, t.unit, t.meaning)
        for kind, tensors in (("input", sidecar.inputs), ("output", sidecar.outputs))
        for t in tensors
    ]
    _table(("", "name", "shape", "dtype", "unit", "meaning"), rows)
    if sidecar.scores:
        _table(("score", "value"), _flat(sidecar.scores))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as lines: ``split.figure`` and value."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)


__all__ = ["models"]

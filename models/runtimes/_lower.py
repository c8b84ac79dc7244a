"""A network in lower precision in OpenVINO: made on the computer that runs it, kept as a plan, used past a gate only.

The plan is an archive of numpy arrays: the ONNX file that runs, in int8 a quantised one, and the samples of the gate,
which are not those that it was quantised with. The gate is passed when the plan is made and at every opening.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

from microscoped.models.runtimes._artefact import sha256_of
from microscoped.models.runtimes._gate import Deviation, Judge, Limit, measure_deviations, require_accuracy
from microscoped.models.runtimes._onnxruntime import OnnxRuntimeModel
from microscoped.models.runtimes._openvino import OpenVinoModel, import_openvino, processor_name, require_native
from microscoped.models.runtimes._quantise import convolutions, quantise
from microscoped.models.runtimes._tensorrt import profile_of
from microscoped.models.runtimes.errors import BuildFailedError, InaccurateError, NotCompiledError, WrongPlanError
from microscoped.models.runtimes.plans import PlanCache, PlanKey
from microscoped.models.training import Silence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from microscoped.models.runtimes._artefact import Artefact
    from microscoped.models.training import Progress

log = logging.getLogger("microscoped.models")

QUANTISED_WITH = 128
"""Samples that a network is quantised with."""
SEEN, UNSEEN = 0, 1
"""Seeds of those, and of the samples of the gate."""
LADDER = (0, 1, 2, 4, 6, 8, 12, 16, 24)
"""How many convolutions, those that int8 harms most, stay in single precision: the first number that passes."""
TRIED_WITH = 32
"""Samples, of those that it is quantised with, that tell how much int8 in one convolution alone harms the outputs."""
NETWORK, SAMPLE = "network", "sample."
"""Names of the arrays in a plan."""


class SampleMaker(Protocol):
    """What a module of samples offers."""

    def samples(self, count: int, seed: int, progress: Progress) -> Mapping[str, NDArray[Any]]:
        """Return typical inputs of a model's networks: by name, the batch axis first.

        Other seeds give samples that share nothing. There may be more inputs than a network has, and their numbers may
        be kept shorter (float16 for float32).
        """
        ...


@dataclass(frozen=True)
class LowerPrecision:
    """How a model's networks run in a lower precision, and how accurate they must be then.

    Parameters
    ----------
    precision
        ``bf16``, the whole network in bfloat16; or ``int8``, its convolutions in 8-bit integers.
    samples
        Dotted name of the module that makes samples, a `SampleMaker`. It needs no more than the base install, and is
        imported only where a plan is made.
    limits
        By output, or by what the judge tells: how far it may be from single precision.
    judged_by
        Samples of the gate.
    judge
        Dotted name of the module that compares what is read from the outputs, a `Judge`; None: the outputs themselves.
    """

    precision: Literal["bf16", "int8"]
    samples: str
    limits: Mapping[str, Limit]
    judged_by: int = 128
    judge: str | None = None


@dataclass(frozen=True)
class CompiledLower:
    """A network in lower precision that has passed the gate and lies in a cache.

    Parameters
    ----------
    path
        Where; None if it could not be written.
    size
        In bytes, the samples of the gate included.
    built_s
        How long making it took; None if it was there.
    version
        OpenVINO's.
    deviations
        How far each figure is from single precision.
    """

    path: Path | None
    size: int
    built_s: float | None
    version: str
    deviations: tuple[Deviation, ...]


def compile_lower(
    artefact: Artefact,
    lower: LowerPrecision,
    folder: Path | None = None,
    *,
    anew: bool = False,
    progress: Progress | None = None,
) -> CompiledLower:
    """Make a network's version in lower precision for this computer.

    Parameters
    ----------
    artefact
        The network.
    lower
        How.
    folder
        The plan cache; None keeps nothing.
    anew
        Make it also if it is there.
    progress
        Who is told how far it is: rendering samples, in int8 of both kinds, then trying convolutions.

    Raises
    ------
    BackendMissingError
        OpenVINO is not installed, or onnx, which int8 needs.
    UnsupportedProcessorError
        The processor does not compute in this precision by itself.
    BuildFailedError
        The network cannot be quantised, or the samples are not those of its inputs.
    InaccurateError
        It is not accurate enough, in int8 with all that may be kept in single precision; nothing is kept.
    """
    key = _key(artefact, lower)

    def build() -> bytes:
        return _build(artefact, lower, progress or Silence())

    plan = PlanCache(folder).get_or_build(key, build, anew=anew)
    model, found = _judged(artefact, lower, plan.content, 1)
    model.close()
    return CompiledLower(plan.path, len(plan.content), plan.built_s, key.version, found)


def open_lower(
    artefact: Artefact, lower: LowerPrecision, threads: int, folder: Path | None
) -> tuple[OpenVinoModel, tuple[Deviation, ...]]:
    """Open the version that `compile_lower` has made, and pass the gate.

    Raises
    ------
    BackendMissingError
        OpenVINO is not installed.
    UnsupportedProcessorError
        The processor does not compute in this precision by itself.
    NotCompiledError
        It was not made for this network, this computer and these versions.
    InaccurateError
        It is not accurate enough.
    """

    def build() -> bytes:
        raise NotCompiledError(
            f"there is no {lower.precision} version of {artefact.name} for this processor and these versions; make it"
            f" with: {_command(lower)}"
        )

    plan = PlanCache(folder).get_or_build(_key(artefact, lower), build)
    return _judged(artefact, lower, plan.content, threads)


def _command(lower: LowerPrecision) -> str:
    return f"microscoped models compile --backend openvino --precision {lower.precision}"


def _key(artefact: Artefact, lower: LowerPrecision) -> PlanKey:
    """Return what a plan depends on, if the processor can run it; the samples' module is read, not imported."""
    import onnxruntime

    openvino = import_openvino()
    require_native(lower.precision)
    found = importlib.util.find_spec(lower.samples)
    if found is None or found.origin is None:
        raise BuildFailedError(f"the module of samples {lower.samples} does not exist; reinstall the package")
    limits = (f"{name} {limit.mean:g} {limit.p99:g}" for name, limit in sorted(lower.limits.items()))
    return PlanKey(
        onnx_sha256=artefact.sidecar.sha256,
        library="openvino",
        version=openvino.__version__,
        targets=(lower.precision,),
        system=processor_name(),
        shapes=profile_of(artefact),
        flags=(
            f"onnxruntime {onnxruntime.__version__}",
            f"samples {sha256_of(Path(found.origin).read_bytes())} {lower.judged_by}",
            *((f"quantised with {QUANTISED_WITH}", f"kept {LADDER}") if lower.precision == "int8" else ()),
            *limits,
        ),
    )


def _build(artefact: Artefact, lower: LowerPrecision, progress: Progress) -> bytes:
    """Render samples, and return the plan that passes the gate."""
    maker = cast("SampleMaker", importlib.import_module(lower.samples))

    def made(count: int, seed: int) -> dict[str, NDArray[Any]]:
        return _chosen(artefact, maker.samples(count, seed, progress))

    if lower.precision == "int8":
        seen = _typed(artefact, made(QUANTISED_WITH, SEEN))
        return _climb(artefact, lower, seen, made(lower.judged_by, UNSEEN), progress)
    content = _packed(artefact.onnx, made(lower.judged_by, UNSEEN))
    model, _ = _judged(artefact, lower, content, 1)
    model.close()
    return content


def _climb(
    artefact: Artefact,
    lower: LowerPrecision,
    seen: Mapping[str, NDArray[Any]],
    unseen: Mapping[str, NDArray[Any]],
    progress: Progress,
) -> bytes:
    """Climb the ladder: quantise, judge, and keep more in single precision where that is not accurate enough."""
    count = len(convolutions(artefact.onnx))
    rungs = [kept for kept in LADDER if kept < count] or [0]
    names: tuple[str, ...] = ()
    for kept in rungs:
        if kept > 0 and not names:
            names = _most_harmed(artefact, lower, seen, progress)
        content = _packed(quantise(artefact.onnx, seen, names[:kept]), unseen)
        try:
            model, _ = _judged(artefact, lower, content, 1)
        except InaccurateError as error:
            log.info("with %d of %d convolutions in single precision: %s", kept, count, error)
            if kept == rungs[-1]:
                raise
            continue
        model.close()
        break
    return content


def _most_harmed(
    artefact: Artefact, lower: LowerPrecision, samples: Mapping[str, NDArray[Any]], progress: Progress
) -> tuple[str, ...]:
    """Return the convolutions in the order of how much int8 in each alone harms the figures, the worst first."""
    names = convolutions(artefact.onnx)
    few = {name: values[:TRIED_WITH] for name, values in samples.items()}
    harm: dict[str, float] = {}
    with OnnxRuntimeModel(artefact, 1) as reference:
        for number, name in enumerate(names):
            network = quantise(artefact.onnx, few, [other for other in names if other != name])
            with OpenVinoModel(artefact, 1, lower.precision, network) as model:
                found = measure_deviations(model, reference, artefact, few, lower.limits, _judge(lower))
            harm[name] = max(deviation.mean / deviation.limit.mean for deviation in found)
            progress.update(number + 1, len(names))
    return tuple(sorted(names, key=lambda name: -harm[name]))


def _judge(lower: LowerPrecision) -> Judge | None:
    return None if lower.judge is None else cast("Judge", importlib.import_module(lower.judge))


def _judged(
    artefact: Artefact, lower: LowerPrecision, content: bytes, threads: int
) -> tuple[OpenVinoModel, tuple[Deviation, ...]]:
    """Open a plan and pass the gate."""
    network, kept_samples = _unpacked(artefact, lower, content)
    samples = _typed(artefact, kept_samples)
    model = OpenVinoModel(artefact, threads, lower.precision, network)
    try:
        with OnnxRuntimeModel(artefact, threads) as reference:
            found = measure_deviations(model, reference, artefact, samples, lower.limits, _judge(lower))
        require_accuracy(model, found, len(next(iter(samples.values()))))
    except BaseException:
        model.close()
        raise
    return model, found


def _chosen(artefact: Artefact, samples: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the samples of this network's inputs."""
    names = [tensor.name for tensor in artefact.sidecar.inputs]
    if missing := [name for name in names if name not in samples]:
        raise BuildFailedError(
            f"the samples hold {', '.join(samples)}, but {artefact.name} also reads {', '.join(missing)}; reinstall the"
            " package, or leave the precision at fp32"
        )
    return {name: samples[name] for name in names}


def _typed(artefact: Artefact, samples: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return samples in the dtypes that the network takes."""
    return {tensor.name: np.asarray(samples[tensor.name], tensor.numpy_dtype) for tensor in artefact.sidecar.inputs}


def _packed(network: bytes, samples: Mapping[str, NDArray[Any]]) -> bytes:
    archive = io.BytesIO()
    arrays = {NETWORK: np.frombuffer(network, np.uint8), **{f"{SAMPLE}{name}": part for name, part in samples.items()}}
    np.savez(archive, **arrays)  # type: ignore[arg-type] # the stubs take one of them for the option allow_pickle
    return archive.getvalue()


def _unpacked(artefact: Artefact, lower: LowerPrecision, content: bytes) -> tuple[bytes, dict[str, NDArray[Any]]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            samples = {tensor.name: archive[f"{SAMPLE}{tensor.name}"] for tensor in artefact.sidecar.inputs}
            return archive[NETWORK].tobytes(), samples
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WrongPlanError(
            f"the {lower.precision} version of {artefact.name} cannot be read ({error}); make it again with:"
            f" {_command(lower)} --anew"
        ) from error


__all__ = ["CompiledLower", "LowerPrecision", "SampleMaker", "compile_lower", "open_lower"]

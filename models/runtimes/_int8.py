"""A network in int8 in OpenVINO: made on the computer that runs it, kept as a plan, used only past the accuracy gate.

The plan is an archive of numpy arrays: the quantised ONNX file, and the samples of the gate, which are not those
that it was quantised with. The gate is passed when the plan is made and at every opening.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from microscoped.models.runtimes._artefact import sha256_of
from microscoped.models.runtimes._gate import Deviation, Limit, measure_deviations, require_accuracy
from microscoped.models.runtimes._onnxruntime import OnnxRuntimeModel
from microscoped.models.runtimes._openvino import OpenVinoInt8Model, import_openvino
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

QUANTISED_WITH, JUDGED_BY = 128, 128
"""Samples that a network is quantised with, and samples of the gate."""
SEEDS = (0, 1)
"""Of the former and of the latter."""
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
class Quantisation:
    """How a model's networks are brought to int8.

    Parameters
    ----------
    samples
        Dotted name of the module that makes samples, a `SampleMaker`. It needs no more than the base install, and is
        imported only where a network is quantised.
    limits
        By output: how far int8 may be from single precision.
    """

    samples: str
    limits: Mapping[str, Limit]


@dataclass(frozen=True)
class CompiledInt8:
    """An int8 network that has passed the gate and lies in a cache.

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
        How far each output is from single precision.
    """

    path: Path | None
    size: int
    built_s: float | None
    version: str
    deviations: tuple[Deviation, ...]


def compile_int8(
    artefact: Artefact,
    quantisation: Quantisation,
    folder: Path | None = None,
    *,
    anew: bool = False,
    progress: Progress | None = None,
) -> CompiledInt8:
    """Make a network's int8 version for this computer.

    Parameters
    ----------
    artefact
        The network.
    quantisation
        How.
    folder
        The plan cache; None keeps nothing.
    anew
        Make it also if it is there.
    progress
        Who is told how far it is: rendering samples of both kinds, then trying convolutions.

    Raises
    ------
    BackendMissingError
        OpenVINO or onnx is not installed.
    BuildFailedError
        The network cannot be quantised, or the samples are not those of its inputs.
    InaccurateError
        With all that may be kept in single precision, it is still not accurate enough; nothing is kept.
    """
    key = _key(artefact, quantisation)

    def build() -> bytes:
        return _build(artefact, quantisation, progress or Silence())

    plan = PlanCache(folder).get_or_build(key, build, anew=anew)
    model, found = _judged(artefact, quantisation, plan.content, 1)
    model.close()
    return CompiledInt8(plan.path, len(plan.content), plan.built_s, key.version, found)


def open_int8(
    artefact: Artefact, quantisation: Quantisation, threads: int, folder: Path | None
) -> tuple[OpenVinoInt8Model, tuple[Deviation, ...]]:
    """Open the int8 version that `compile_int8` has made, and pass the gate.

    Raises
    ------
    BackendMissingError
        OpenVINO is not installed.
    NotCompiledError
        It was not made for this network, this computer and these versions.
    InaccurateError
        It is not accurate enough.
    """

    def build() -> bytes:
        raise NotCompiledError(
            f"there is no int8 version of {artefact.name} for this processor and these versions; make it with:"
            " microscoped models compile --backend openvino --precision int8"
        )

    plan = PlanCache(folder).get_or_build(_key(artefact, quantisation), build)
    return _judged(artefact, quantisation, plan.content, threads)


def _key(artefact: Artefact, quantisation: Quantisation) -> PlanKey:
    """Return what an int8 version depends on; the samples' module is read, not imported."""
    import onnxruntime

    openvino = import_openvino()
    found = importlib.util.find_spec(quantisation.samples)
    if found is None or found.origin is None:
        raise BuildFailedError(f"the module of samples {quantisation.samples} does not exist; reinstall the package")
    limits = (f"{name} {limit.mean:g} {limit.p99:g}" for name, limit in sorted(quantisation.limits.items()))
    return PlanKey(
        onnx_sha256=artefact.sidecar.sha256,
        library="openvino",
        version=openvino.__version__,
        targets=("int8",),
        system=str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")),
        shapes=profile_of(artefact),
        flags=(
            f"onnxruntime {onnxruntime.__version__}",
            f"samples {sha256_of(Path(found.origin).read_bytes())} {QUANTISED_WITH} {JUDGED_BY}",
            f"kept {LADDER}",
            *limits,
        ),
    )


def _build(artefact: Artefact, quantisation: Quantisation, progress: Progress) -> bytes:
    """Climb the ladder: quantise, judge, and keep more in single precision where that is not accurate enough."""
    maker = cast("SampleMaker", importlib.import_module(quantisation.samples))
    counts = (QUANTISED_WITH, JUDGED_BY)
    seen, unseen = (
        _chosen(artefact, maker.samples(count, seed, progress)) for count, seed in zip(counts, SEEDS, strict=True)
    )
    seen = _typed(artefact, seen)
    count = len(convolutions(artefact.onnx))
    rungs = [kept for kept in LADDER if kept < count] or [0]
    names: tuple[str, ...] = ()
    for kept in rungs:
        if kept > 0 and not names:
            names = _most_harmed(artefact, quantisation, seen, progress)
        content = _packed(quantise(artefact.onnx, seen, names[:kept]), unseen)
        try:
            model, _ = _judged(artefact, quantisation, content, 1)
        except InaccurateError as error:
            log.info("with %d of %d convolutions in single precision: %s", kept, count, error)
            if kept == rungs[-1]:
                raise
            continue
        model.close()
        break
    return content


def _most_harmed(
    artefact: Artefact, quantisation: Quantisation, samples: Mapping[str, NDArray[Any]], progress: Progress
) -> tuple[str, ...]:
    """Return the convolutions in the order of how much int8 in each alone harms the outputs, the worst first."""
    names = convolutions(artefact.onnx)
    few = {name: values[:TRIED_WITH] for name, values in samples.items()}
    harm: dict[str, float] = {}
    with OnnxRuntimeModel(artefact, 1) as reference:
        for number, name in enumerate(names):
            network = quantise(artefact.onnx, few, [other for other in names if other != name])
            with OpenVinoInt8Model(artefact, 1, network) as model:
                found = measure_deviations(model, reference, artefact, few, quantisation.limits)
            harm[name] = max(deviation.mean / deviation.limit.mean for deviation in found)
            progress.update(number + 1, len(names))
    return tuple(sorted(names, key=lambda name: -harm[name]))


def _judged(
    artefact: Artefact, quantisation: Quantisation, content: bytes, threads: int
) -> tuple[OpenVinoInt8Model, tuple[Deviation, ...]]:
    """Open a plan and pass the gate."""
    network, kept_samples = _unpacked(artefact, content)
    samples = _typed(artefact, kept_samples)
    model = OpenVinoInt8Model(artefact, threads, network)
    try:
        with OnnxRuntimeModel(artefact, threads) as reference:
            found = measure_deviations(model, reference, artefact, samples, quantisation.limits)
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


def _unpacked(artefact: Artefact, content: bytes) -> tuple[bytes, dict[str, NDArray[Any]]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            samples = {tensor.name: archive[f"{SAMPLE}{tensor.name}"] for tensor in artefact.sidecar.inputs}
            return archive[NETWORK].tobytes(), samples
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise WrongPlanError(
            f"the int8 version of {artefact.name} cannot be read ({error}); make it again with: microscoped models"
            " compile --backend openvino --precision int8 --anew"
        ) from error


__all__ = ["CompiledInt8", "Quantisation", "SampleMaker", "compile_int8", "open_int8"]

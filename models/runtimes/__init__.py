"""What runs a trained network, whichever it is; see ``docs/engines.md``.

Importing this loads none of the backends' packages; `open_model` imports the one that it needs.
"""

from microscoped.models.runtimes._artefact import (
    Artefact,
    BatchProfile,
    Sidecar,
    Tensor,
    load_artefact,
    sha256_of,
    write_artefact,
)
from microscoped.models.runtimes._bench import Speed, bench_models
from microscoped.models.runtimes._compare import Difference, compare_models, random_inputs
from microscoped.models.runtimes._compile import CompiledPlan, compile_artefact
from microscoped.models.runtimes._gate import Deviation, Judge, Limit
from microscoped.models.runtimes._lower import CompiledLower, LowerPrecision, SampleMaker, compile_lower
from microscoped.models.runtimes._model import Choice, CompiledModel
from microscoped.models.runtimes._onnx_torch import TorchNetwork
from microscoped.models.runtimes._open import AUTO, BACKENDS, REFERENCE, open_model
from microscoped.models.runtimes.errors import ArtefactError, BackendError, InputError, ModelError

__all__ = [
    "AUTO",
    "BACKENDS",
    "REFERENCE",
    "Artefact",
    "ArtefactError",
    "BackendError",
    "BatchProfile",
    "Choice",
    "CompiledLower",
    "CompiledModel",
    "CompiledPlan",
    "Deviation",
    "Difference",
    "InputError",
    "Judge",
    "Limit",
    "LowerPrecision",
    "ModelError",
    "SampleMaker",
    "Sidecar",
    "Speed",
    "Tensor",
    "TorchNetwork",
    "bench_models",
    "compare_models",
    "compile_artefact",
    "compile_lower",
    "load_artefact",
    "open_model",
    "random_inputs",
    "sha256_of",
    "write_artefact",
]

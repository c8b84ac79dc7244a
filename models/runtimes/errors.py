"""What can go wrong between an artefact and its answers.

Every error has a stable ``code``, and a message that says what happened, with which value, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class ModelError(Exception):
    """A network cannot be opened or run; the base of all errors here."""

    code: ClassVar[str] = "model"


class ArtefactError(ModelError):
    """The files of an artefact cannot be used."""

    code = "model.artefact"


class ArtefactMissingError(ArtefactError):
    """The ONNX file or its sidecar does not exist. Reinstall the package, or export the model again."""

    code = "model.artefact_missing"


class ArtefactAlteredError(ArtefactError):
    """The ONNX file is not the one that its sidecar describes: its hash, or its inputs and outputs, differ."""

    code = "model.artefact_altered"


class SidecarError(ArtefactError):
    """The sidecar cannot be read or is not valid. The message names the field."""

    code = "model.sidecar"


class InputError(ModelError):
    """An input's name, shape or dtype is not what the model takes."""

    code = "model.input"


class ClosedError(ModelError):
    """The model was closed, and cannot run any more."""

    code = "model.closed"


class BackendError(ModelError):
    """A backend cannot be used here; the base of all reasons to fall back to another."""

    code = "backend"


class UnknownBackendError(BackendError):
    """There is no backend of this name. This is a wrong use, so nothing falls back."""

    code = "backend.unknown"


class BackendMissingError(BackendError):
    """The backend's package is not installed, or its libraries do not load. The message names the extra."""

    code = "backend.missing"


class BackendVersionError(BackendError):
    """The installed package is too old, or does not offer what is needed."""

    code = "backend.version"


class DriverAbsentError(BackendError):
    """There is no NVIDIA driver, it does not start, or it finds no GPU."""

    code = "backend.driver_absent"


class UnsupportedGpuError(BackendError):
    """The backend does not run on GPUs of this compute capability."""

    code = "backend.gpu_unsupported"


class UnsupportedProcessorError(BackendError):
    """The processor has no arithmetic of this precision, and it is not emulated. The message names the remedy."""

    code = "backend.processor_unsupported"


class BuildFailedError(BackendError):
    """The backend cannot make a plan, or load the network. The message holds what the backend itself said."""

    code = "backend.build_failed"


class WrongPlanError(BackendError):
    """A plan cannot be used here: made by another version, for another GPU, or damaged."""

    code = "backend.wrong_plan"


class DisagreementError(BackendError):
    """The backend's answers differ from those of ONNX Runtime by more than the sidecar's tolerance."""

    code = "backend.disagreement"


class NotCompiledError(BackendError):
    """A version of the network that must be made beforehand was not made on this computer. The message says how."""

    code = "backend.not_compiled"


class InaccurateError(BackendError):
    """A version in lower precision is farther from single precision than is allowed. The message holds the figures."""

    code = "backend.inaccurate"


class ExecutionError(BackendError):
    """The backend failed while it ran, for example because the GPU's memory is full."""

    code = "backend.execution"


__all__ = [
    "ArtefactAlteredError",
    "ArtefactError",
    "ArtefactMissingError",
    "BackendError",
    "BackendMissingError",
    "BackendVersionError",
    "BuildFailedError",
    "ClosedError",
    "DisagreementError",
    "DriverAbsentError",
    "ExecutionError",
    "InaccurateError",
    "InputError",
    "ModelError",
    "NotCompiledError",
    "SidecarError",
    "UnknownBackendError",
    "UnsupportedGpuError",
    "UnsupportedProcessorError",
    "WrongPlanError",
]

"""What a section of the configuration is, and what two of its keys say that do not fit together."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]


class KeyProblemError(ValueError):
    """Values that do not fit together; `key` is the one to be pointed at, within its section."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Section(BaseModel):
    """A part of the configuration: frozen, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_switch_as_number(cls, values: Any) -> Any:  # noqa: ANN401 - whatever stands there
        """Refuse ``yes``, ``no``, ``on`` and ``off`` where a number belongs: pydantic would read 1 and 0."""
        for key, field in cls.model_fields.items():
            value = values.get(key) if isinstance(values, dict) else None
            if isinstance(value, bool) and field.annotation is not bool and bool not in get_args(field.annotation):
                raise KeyProblemError(
                    key, f"{key} is a switch here (YAML reads yes, no, on, off as true and false); give a value or null"
                )
        return values


def require_backend_of(precision: str, backend: str) -> None:
    """Check the keys ``precision`` and ``backend`` of a section against each other.

    Raises
    ------
    KeyProblemError
        The backend has single precision only.
    """
    if precision != "fp32" and backend != "openvino":
        raise KeyProblemError(
            "precision", f"precision {precision} needs the backend openvino, not {backend}; set both, or fp32"
        )


__all__ = ["KeyProblemError", "Positive", "Section", "require_backend_of"]

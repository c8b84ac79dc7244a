"""What can be wrong with a calibration."""

from __future__ import annotations


class CalibrationError(Exception):
    """A calibration cannot be used."""

    code = "calibration"


class CalibrationFileError(CalibrationError):
    """A calibration file cannot be read or written, is not one, or was altered; the message names it and the remedy."""

    code = "calibration.file"


class FineTuningError(CalibrationError):
    """The network could not be fine-tuned; the message says why. The calibration goes on without."""

    code = "calibration.deep"


__all__ = ["CalibrationError", "CalibrationFileError", "FineTuningError"]

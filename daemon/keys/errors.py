"""What can go wrong with keys."""

from __future__ import annotations


class KeysError(Exception):
    """A key cannot be used or made; the message names the file and the remedy, and never a secret."""


__all__ = ["KeysError"]

"""The command line: ``microscoped``. Commands import what they need when they run, so that ``--help`` comes at once."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    from microscoped.daemon.cli._app import app
    from microscoped.daemon.cli._console import never_fail_on_characters

    never_fail_on_characters(sys.stdout, sys.stderr)
    app(prog_name="microscoped")


__all__ = ["main"]

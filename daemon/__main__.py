"""``python -m microscoped.daemon``: the same as ``microscoped``."""

from __future__ import annotations

from microscoped.daemon.cli import main

if __name__ == "__main__":
    main()

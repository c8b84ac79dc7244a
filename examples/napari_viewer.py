"""The live camera in napari, from the daemon's socket `frames`.

    python examples/napari_viewer.py [--address tcp://127.0.0.1:5770]

Needs napari with a Qt of its own: pip install "napari[all]". A viewer that is too slow loses frames; nobody else does.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from microscoped.daemon.client import DEFAULT_ADDRESS, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Show frames as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default=DEFAULT_ADDRESS, help="where the daemon listens")
    chosen = parser.parse_args()
    try:
        import napari
        from napari.qt.threading import thread_worker
    except ImportError as error:
        sys.exit(f'this example needs napari: pip install "napari[all]" ({error})')
    viewer = napari.Viewer(title=f"microscoped at {chosen.address}")

    def show(frame: tuple[dict[str, Any], Any] | None) -> None:
        if frame is None:
            return
        header, pixels = frame
        name = header["camera"]
        if name in viewer.layers:
            viewer.layers[name].data = pixels
        else:
            viewer.add_image(pixels, name=name, rgb=pixels.ndim == 3)
        z = "?" if header["z_um"] is None else f"{header['z_um']:.2f}"
        viewer.status = f"z {z} µm{', moving' if header['moving'] else ''}"

    @thread_worker(connect={"yielded": show})  # type: ignore[untyped-decorator] # napari is not installed everywhere
    def watch() -> Iterator[tuple[dict[str, Any], Any] | None]:
        with Scope(chosen.address) as scope:  # it belongs to this thread
            while True:
                yield from scope.frames(timeout_s=1.0)
                yield None  # here it can be told to end, also while no frame comes

    watch()
    napari.run()


if __name__ == "__main__":
    main()

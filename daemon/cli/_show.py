"""The play of ``demo``: every step a message to the daemon, as any client would send it."""

from __future__ import annotations

import io
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscoped.daemon import __version__
from microscoped.daemon.cli._child import daemon_process
from microscoped.daemon.cli._screen import Screen, Step
from microscoped.daemon.client import NoAnswerError, Scope
from microscoped.daemon.config import template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from microscoped.daemon.protocol import Event

REFRESH_HZ = 8
PICTURE_S = 0.25
"""How often the stream's newest frame is fetched for the screen."""
PORTS = ("5770", "5771", "5772")
SVG_COLUMNS, SVG_LINES = 128, 44
READY_S = 60.0
SILENCE_S = 10.0
OPENING_POLL_S = 0.05
CONFIRMED = {
    "pair": "confirmed by a second pair",
    "another_pair": "confirmed by one more pair",
    "corrected": "corrected by a second pair",
    None: "by the search, which took over",
}
"""What the report says of a focus run by pairs, in words."""


def play(console: Console, *, with_pictures: bool, seconds: float, away_um: float) -> tuple[Screen, int]:
    """Play the whole demonstration.

    Parameters
    ----------
    console
        Shows it live where it is a terminal; else gets a line for each step.
    with_pictures
        Whether frames are shown.
    seconds, away_um
        How long to stream; how far to move out of focus.

    Returns
    -------
    The final screen, and the daemon's exit code.

    Raises
    ------
    DaemonFailedError, ClientError
        The daemon did not start, refused, or fell silent.
    """
    show = _Show(console, with_pictures=with_pictures)
    with tempfile.TemporaryDirectory(prefix="microscoped-", ignore_cleanup_errors=True) as folder, show.live():
        step = show.begin("$ microscoped run config.yaml", "starting; the first start renders the specimen")
        began = time.monotonic()
        with daemon_process(demo_config(), Path(folder)) as (address, process):
            show.end(step, f"a process of its own, listening after {time.monotonic() - began:.1f} s")
            with Scope(address) as scope:
                _greet(show, scope)
                _defocus(show, scope, away_um)
                _focus(show, scope, away_um)
                _stream(show, scope, seconds, away_um)
                show.end(show.begin("shutdown"), scope.request("shutdown")["state"])
        show.screen.summary.append(("daemon's exit code", str(process.returncode)))
    show.tell_summary()
    return show.screen, process.returncode


def demo_config() -> str:
    """Return the packaged configuration on free ports."""
    text = template()
    for port in PORTS:
        text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:*")
    return text


def save_svg(screen: Screen, path: Path) -> None:
    """Write a screen as SVG."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console

    recorder = Console(
        record=True,
        file=io.StringIO(),
        width=SVG_COLUMNS,
        height=SVG_LINES,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    recorder.print(screen)
    # rich's own frame, without the web fonts that it would load: a picture on a page asks nobody for anything.
    frame = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    path.write_text(recorder.export_svg(title="microscoped demo", code_format=frame), encoding="utf-8")


class _Show:
    """Tells what happens: on a live screen, or in plain lines."""

    def __init__(self, console: Console, *, with_pictures: bool) -> None:
        self.screen = Screen(title=f"microscoped {__version__}: a simulated microscope", with_pictures=with_pictures)
        self._console = console

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the screen while the body runs, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        from rich.live import Live

        with Live(get_renderable=lambda: self.screen, console=self._console, refresh_per_second=REFRESH_HZ):
            yield

    def begin(self, request: str, answer: str = "") -> Step:
        """Show a message that is being sent."""
        step = Step(request, answer)
        self.screen.steps.append(step)
        return step

    def end(self, step: Step, answer: str) -> None:
        """Show what came of it."""
        step.answer = answer
        if not self._console.is_terminal:
            self._console.print(f"{step.request}: {answer}", markup=False)

    def tell_summary(self) -> None:
        """Print the summary where no screen has shown it."""
        if not self._console.is_terminal:
            for name, value in self.screen.summary:
                self._console.print(f"{name}: {value}", markup=False)


def _greet(show: _Show, scope: Scope) -> None:
    step = show.begin("hello")
    hello = scope.hello()
    until = time.monotonic() + READY_S
    while scope.request("ping")["state"] == "STARTING":
        if time.monotonic() > until:
            raise NoAnswerError(f"the microscope did not open within {READY_S:g} s")
        time.sleep(OPENING_POLL_S)
    about = scope.request("describe")["microscope"]
    show.end(step, f"protocol {hello['protocol']}, {len(hello['ops'])} ops; driver {about['driver']}")


def _defocus(show: _Show, scope: Scope, away_um: float) -> None:
    step = show.begin(f"stage.move z_um={away_um:g}")
    arrival = scope.move(away_um)
    show.end(step, f"arrived at {arrival['z_um']:.2f} µm after {arrival['duration_ms']:.0f} ms: out of focus")
    step = show.begin("camera.snap, frame.get")
    header, show.screen.before = scope.snap()
    show.end(step, f"{header['frame']}, {_size(header)}")


def _focus(show: _Show, scope: Scope, away_um: float) -> None:
    """Focus by pairs of images; then by the search, which needs more of them, to see what it says of the same field."""
    step = show.begin("focus.run method=pair")
    start_um = scope.position()
    pair = scope.focus(method="pair")
    found_um = scope.position()
    show.end(step, f"in focus at {found_um:.2f} µm: {_cost(pair)}; {CONFIRMED[pair['confirmation']]}")
    step = show.begin("camera.snap, frame.get")
    header, show.screen.after = scope.snap()
    show.end(step, f"{header['frame']}, {_size(header)}")
    step = show.begin(f"stage.move z_um={away_um:g}, focus.run method=search")
    scope.move(away_um)
    search = _watched_search(show, scope, step)
    show.screen.best_um = found_um
    show.end(step, f"for comparison: {search['z_um']:.2f} µm, {_cost(search)}")
    scope.move(found_um)
    show.screen.summary += [
        ("z", f"{start_um:.2f} µm → {found_um:.2f} µm; the search says {search['z_um']:.2f} µm"),
        ("cost of the pair", f"{_cost(pair)}, {pair['travel_um']:.0f} µm of travel"),
        ("cost of the search", f"{_cost(search)}, {search['travel_um']:.0f} µm of travel"),
    ]


def _watched_search(show: _Show, scope: Scope, step: Step) -> dict[str, Any]:
    """Search, and draw the curve as it grows; return the report."""
    events = scope.events("v1.task.", timeout_s=SILENCE_S)
    task = scope.request("focus.run", method="search")["task"]
    for heard in events:
        data: dict[str, Any] = dict(heard.data)
        if data["task"] != task:
            continue
        progress = data["progress"]
        if data["state"] == "running" and progress and len(show.screen.samples) < progress["images"]:
            show.screen.samples.append((progress["z_um"], progress["score"]))
            step.answer = f"image {progress['images']} at {progress['z_um']:.2f} µm"
        elif data["state"] != "running" and data["state"] != "accepted":
            break
    report = scope.wait(task, timeout_s=60.0)
    show.screen.samples[:] = [(z_um, score) for z_um, score in report["curve"]]
    return report


def _cost(report: dict[str, Any]) -> str:
    return f"{report['images']} images, {report['moves']} moves, {report['duration_ms'] / 1000:.2f} s"


def _stream(show: _Show, scope: Scope, seconds: float, away_um: float) -> None:
    """Stream; in the middle leave the focus and come back, so that there is something to see."""
    show.screen.after_title = "live"
    focus_um = scope.position()
    pending = [(seconds / 3, focus_um + away_um / 2), (2 * seconds / 3, focus_um)]
    events = scope.events("v1.measure.sharpness.", "v1.heartbeat.", timeout_s=SILENCE_S)
    before = scope.status()
    step = show.begin("camera.start")
    scope.request("camera.start")
    seen = _Seen()
    began = time.monotonic()
    picture_s = 0.0
    for heard in events:
        now_s = time.monotonic() - began
        seen.hear(heard)
        if seen.scores:
            show.screen.sharpness.append(seen.scores[-1])
            show.screen.stream = (
                f"{seen.measured / max(now_s, 0.1):.0f} frames/s   sharpness {seen.scores[-1]:.3g}   "
                f"z {seen.z_um:.2f} µm   loop lag p99 {seen.lag_ms:.1f} ms"
            )
        if pending and now_s >= pending[0][0]:
            scope.request("stage.move", z_um=pending.pop(0)[1])
        if now_s >= picture_s:
            _, show.screen.after = scope.frame()
            picture_s = now_s + PICTURE_S
        if now_s >= seconds:
            break
    else:
        raise NoAnswerError(f"no event for {SILENCE_S:g} s: the daemon hangs or has gone")
    elapsed_s = time.monotonic() - began
    scope.request("camera.stop")
    show.screen.after_title = "in focus"
    after = scope.status()
    frames = after["camera"]["frames"] - before["camera"]["frames"]
    lost = after["camera"]["lost"] - before["camera"]["lost"]
    show.end(step, f"streamed {elapsed_s:.1f} s, meanwhile stage.move there and back; camera.stop")
    show.screen.summary += [
        ("stream", f"{frames} frames, {frames / elapsed_s:.0f} per second, {lost} lost, {seen.measured} measured"),
        ("loop lag", f"p99 {seen.lag_ms:.2f} ms in the worst second"),
    ]


class _Seen:
    """What the stream's events have said."""

    def __init__(self) -> None:
        self.measured = 0
        self.scores: list[float] = []
        self.z_um = 0.0
        self.lag_ms = 0.0

    def hear(self, event: Event) -> None:
        data: dict[str, Any] = dict(event.data)
        if event.topic == "v1.heartbeat.":
            self.lag_ms = max(self.lag_ms, data["loop_lag_ms"]["p99"])
        elif not data["skipped"]:
            self.measured += 1
            self.scores.append(data["values"]["score"])
            self.z_um = data["z_um"] if data["z_um"] is not None else self.z_um


def _size(header: dict[str, Any]) -> str:
    return " x ".join(map(str, header["shape"])) + f", {header['bit_depth']} bit"


__all__ = ["demo_config", "play", "save_svg"]

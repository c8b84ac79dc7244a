"""What ``demo`` shows: one screen, rendered anew from what is known so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from microscoped.daemon.cli._picture import Picture, grey_range, shrink
from microscoped.daemon.cli._plots import bars, curve

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

LARGEST_COLUMNS = 48
THREE_ABREAST = 76
"""Columns from which both pictures and the curve stand side by side."""
NARROWEST = 30
"""Columns below which no pictures are shown."""
LINES_BESIDE = 15
"""Lines of the screen that are no picture."""


@dataclass(slots=True)
class Step:
    """One message to the daemon: its op and parameters, and what came of it."""

    request: str
    answer: str = ""


@dataclass(slots=True)
class Screen:
    """All that is shown.

    Parameters
    ----------
    title
        First line.
    with_pictures
        Whether frames are shown.
    steps
        Messages so far.
    before, after
        Frames; `after` is also where the stream plays.
    after_title
        Which of both it is.
    samples, best_um
        z in µm and score of the search, and the focus that it found.
    sharpness, stream
        Scores of streamed frames, and a line about the stream.
    summary
        What it came to: name and value.
    """

    title: str = "microscoped"
    with_pictures: bool = True
    steps: list[Step] = field(default_factory=list)
    before: NDArray[Any] | None = None
    after: NDArray[Any] | None = None
    after_title: str = "in focus"
    samples: list[tuple[float, float]] = field(default_factory=list)
    best_um: float | None = None
    sharpness: list[float] = field(default_factory=list)
    stream: str = ""
    summary: list[tuple[str, str]] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for rich."""
        width = options.max_width
        yield Text(self.title, "bold")
        yield self._steps()
        yield self._views(width, options.size.height, ascii_only=options.ascii_only)
        yield Text(self.stream or " ", overflow="crop", no_wrap=True)
        yield Text(bars(self.sharpness, width, ascii_only=options.ascii_only) or " ", "green", no_wrap=True)
        if self.summary:
            yield self.summary_table()

    def summary_table(self) -> Table:
        """What it came to, as a table."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column()
        for name, value in self.summary:
            table.add_row(name, value)
        return table

    def _steps(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="cyan")
        table.add_column()
        for step in self.steps:
            table.add_row(step.request, step.answer or "…")
        return table

    def _views(self, width: int, height: int, *, ascii_only: bool) -> RenderableType:
        abreast = 3 if width >= THREE_ABREAST else 2
        # A frame is square: half as many lines as columns. What does not fit below the other lines is not drawn.
        columns = min(width // abreast - 4, LARGEST_COLUMNS, 2 * max(6, height - LINES_BESIDE))
        pictures = self.with_pictures and width >= NARROWEST
        rows = columns // 2 if pictures and abreast == 3 else 7
        wide = (width - 2 * (columns + 4) if abreast == 3 else width) - 4 if pictures else width - 4
        score = Panel(
            curve(self.samples, wide, rows - 1, best_um=self.best_um, ascii_only=ascii_only),
            title="sharpness over z",
            width=wide + 4,
        )
        if not pictures:
            return score
        shown = [picture for picture in (self.before, self.after) if picture is not None]
        grey = grey_range(shown) if shown else (0.0, 1.0)
        panels = [
            Panel(
                _picture(picture, rows if abreast == 3 else columns // 2, columns, grey), title=title, width=columns + 4
            )
            for picture, title in ((self.before, "out of focus"), (self.after, self.after_title))
        ]
        grid = Table.grid()
        if abreast == 3:
            grid.add_row(*panels, score)
            return grid
        grid.add_row(*panels)
        return Group(grid, score)


def _picture(pixels: NDArray[Any] | None, rows: int, columns: int, grey: tuple[float, float]) -> Picture | Text:
    if pixels is None:
        return Text("\n" * (rows - 1))
    return Picture(shrink(pixels, (2 * rows, columns), grey))


__all__ = ["Screen", "Step"]

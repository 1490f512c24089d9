"""The console on which traces, tables and the flow of `tradewind dev` are printed."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from app.visible import visible


class Terminal(Console):
    """No text that is printed here moves the cursor, names the window or colours what follows."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

"""What commands print: a table for people, JSON for programs, progress for who watches. Colours only where somebody
sees them."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import naming
from app.visible import escaped, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

AsJson = Annotated[bool, typer.Option("--json", help="Answer JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many rows at most, newest first.")]
Workspace = Annotated[
    str,
    typer.Option("--workspace", "-w", help="One merchant's part of the hub.", autocompletion=naming.workspaces),
]

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")


def moment(text: str | None) -> str | None:
    """A moment as people type it: a date is its midnight, and without a zone this machine's is meant. What cannot be
    read is left to the hub, which says what is wrong with it."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return text
    return text if found.tzinfo else found.astimezone().isoformat()


def print_json(value: Any) -> None:
    sys.stdout.write(escaped(json.dumps(value, indent=2, default=str, ensure_ascii=False)) + "\n")


def say(text: str, colour: str | None = None, *, bold: bool = False, err: bool = False) -> None:
    """A line, in colour on a terminal that wants it (https://no-color.org)."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    typer.secho(visible(text), fg=colour, bold=bold or None, err=err, color=False if plain else None)


def tell(answer: Any, as_json: bool, text: str, colour: str | None = None) -> None:
    """What was done: JSON for programs, a sentence for people."""
    print_json(answer) if as_json else say(text, colour)


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, *, empty: str, red: Sequence[str] = ()) -> None:
    """Rows with the same keys as a table, or as JSON; `red` names the cells that mean trouble. Where a table would be
    wider than the terminal, each row is a block of lines."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        say(empty)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        cells = (cell(value) for value in row.values())
        table.add_row(*(Text(text, style="red" if text in red else "") for text in cells))
    console, wide = console_for(table)
    if wide <= console.width:
        console.print(table)
    else:
        _print_blocks(console, rows, red)


def console_for(thing: "RenderableType") -> tuple["Console", int]:
    """Where to print it, and how wide it would be. A file or another program gets lines as long as they are."""
    from app.terminal import Terminal

    console = Terminal()
    wide = console.measure(thing, options=console.options.update(max_width=100_000)).maximum
    if not console.is_terminal:
        console.width = max(console.width, wide)
    return console, wide


def _print_blocks(console: "Console", rows: Sequence[Mapping[str, Any]], red: Sequence[str]) -> None:
    from rich.text import Text

    widest = max(map(len, rows[0])) + 2
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, value in row.items():
            if text := cell(value):
                line = Text.assemble(
                    (name.replace("_", " ").ljust(widest), "bold"), (text, "red" if text in red else "")
                )
                console.print(line, overflow="fold", soft_wrap=False)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    return visible(_written(value))


def _written(value: Any) -> str:
    match value:
        case None:
            return ""
        case True:
            return "yes"
        case False:
            return "no"
        case str() if at := _MOMENT.fullmatch(value):
            return f"{at[1]} {at[2]}Z"
        case {"amount": amount, "currency": currency}:
            return f"{amount} {currency}"
        case list() | tuple():
            return ", ".join(map(_written, value))
        case dict():
            return ", ".join(f"{key}: {_written(item)}" for key, item in value.items())
        case _:
            return str(value)


@contextmanager
def progress(about: str, unit: str = "") -> Iterator[Callable[[float, float, int], None]]:
    """A bar on stderr while somebody watches: tell it (done, of how much, how many of `unit`)."""
    if not sys.stderr.isatty():
        yield lambda done, whole, count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
               TextColumn("{task.fields[count]}"), TimeRemainingColumn())  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(about, total=None, count="")
        yield lambda done, whole, count: bar.update(
            task, completed=done, total=whole or None, count=f"{count} {unit}" if unit else ""
        )

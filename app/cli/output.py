"""Lists: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Answer JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many rows at most, newest first.")]
Workspace = Annotated[str, typer.Option("--workspace", "-w", help="One merchant's part of the hub.")]


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, *, empty: str, red: Sequence[str] = ()) -> None:
    """Rows with the same keys as a table, or as JSON; `red` names the cells that mean trouble."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        cells = (cell(value) for value in row.values())
        table.add_row(*(Text(text, style="red" if text in red else "") for text in cells))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 180)
    console.print(table)


def cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case True:
            return "yes"
        case False:
            return "no"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)

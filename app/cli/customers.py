"""Customers: who they are, all that is held of one, and erasing one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli import session
from app.cli.output import AsJson, Limit, Workspace, cell, print_json, print_rows

if TYPE_CHECKING:
    from app.hub import Hub

app = typer.Typer(help="Who bought, what is held of them, and erasing them.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="Their id with us, e-mail address, phone number, or id at a shop.")]
ACTOR = "command line"


@app.command("list")
def list_customers(
    text: Annotated[
        str | None, typer.Argument(help="An e-mail address, phone number, sender's id, or part of a name.")
    ] = None,
    limit: Limit = 20,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """List customers, newest first."""
    from app.byhand import people
    from app.store.lists import Page

    async def work(hub: Hub) -> list[people.CustomerShown]:
        return await people.find(hub, workspace, Page(limit), text)

    found = session.in_hub(work)[:limit]
    rows = [each.model_dump(mode="json") if as_json else _line(each) for each in found]
    print_rows(rows, as_json, empty="There are no such customers.")


@app.command()
def show(who: Who, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Show one customer: profile, identities, orders, lifetime value, what recipes remembered."""
    from app.byhand import people

    async def work(hub: Hub) -> people.CustomerDetail:
        return await people.show(hub, workspace, await _one(hub, workspace, who))

    found = session.in_hub(work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    said = {**_line(found), **found.profile, "tags": found.tags, "attributes": found.attributes}
    said["known as"] = ", ".join(f"{each.id} at {each.connection}" for each in found.identities)
    if not found.past_known:
        said["note"] = "what was sold before the connections were made is not counted"
    for name, value in said.items():
        if value:
            typer.echo(f"{name.replace('_', ' '):<16} {cell(value)}")
    typer.echo("")
    names = ("number", "id", "connection", "nth", "paid", "refunded", "ordered_at")
    print_rows([{name: getattr(each, name) for name in names} for each in found.orders], False, empty="No orders.")


@app.command()
def export(
    who: Who,
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead of stdout.")] = None,
    workspace: Workspace = "main",
) -> None:
    """Write all that is held of one customer, as JSON."""
    from app.byhand import people

    async def work(hub: Hub) -> people.Export:
        return await people.export(hub, workspace, await _one(hub, workspace, who), ACTOR)

    found = session.in_hub(work)
    if out is None:
        print_json(found.model_dump(mode="json"))
    else:
        out.write_text(found.model_dump_json(indent=2) + "\n")
        typer.echo(f"{out}: {len(found.events)} events, {len(found.webhooks)} webhooks, {len(found.runs)} runs")


@app.command()
def erase(
    who: Who,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Remove a person from everything that is kept, and end their waiting runs. It cannot be undone. Exit code 1 while
    something of it is left to the workers."""
    from app.byhand import people

    async def look(hub: Hub) -> people.CustomerDetail:
        return await people.show(hub, workspace, await _one(hub, workspace, who))

    found = session.in_hub(look)
    if not yes:
        typer.confirm(f"Erase {found.email or found.name or found.id}? It cannot be undone.", abort=True, err=True)

    async def work(hub: Hub) -> people.Erased:
        return await people.erase(hub, workspace, found.id, ACTOR)

    erased = session.in_hub(work)
    if as_json:
        print_json(erased.model_dump(mode="json"))
    else:
        typer.echo(f"{found.id} is removed from {erased.events} events and {erased.webhooks} further webhooks.")
        if not erased.done:
            typer.echo(f"Workers do the rest: {erased.open_calls} calls have not ended yet.", err=True)
    raise typer.Exit(0 if erased.done else 1)


async def _one(hub: Hub, workspace: str, who: str) -> UUID:
    """Raises NotFoundError for nobody, or several."""
    from app.byhand import people
    from app.store.lists import Page

    try:
        return UUID(who)
    except ValueError:
        return people.one_of(await people.find(hub, workspace, Page(5), who), who)


def _line(each: Any) -> dict[str, Any]:
    shown = {name: getattr(each, name) for name in ("id", "email", "name", "phone")}
    value = ", ".join(str(money) for money in each.lifetime_value)
    return {**shown, "orders": each.orders_count, "lifetime value": value, "last order": each.last_order_at}

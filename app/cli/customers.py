"""Customers: who they are, all that is held of one, and erasing one."""

import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli import asking
from app.cli.asking import Client
from app.cli.output import AsJson, Limit, Workspace, cell, print_json, print_rows, say

app = typer.Typer(help="Who bought, what is held of them, and erasing them.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="Their id with us, e-mail address, phone number, or id at a shop.")]


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
    found = asking.rows("/v1/customers", limit, workspace=workspace, q=text)
    rows = found if as_json else [_line(each) for each in found]
    print_rows(rows, as_json, empty="There are no such customers.")


@app.command()
def show(who: Who, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Show one customer: profile, identities, orders, lifetime value, what recipes remembered."""
    found = _about(who, workspace)
    if as_json:
        print_json(found)
        return
    said = {**_line(found), **found["profile"], "tags": found["tags"], "attributes": found["attributes"]}
    said["known as"] = ", ".join(f"{each['id']} at {each['connection']}" for each in found["identities"])
    if not found["past_known"]:
        said["note"] = "what was sold before the connections were made is not counted"
    for name, value in said.items():
        if value:
            say(f"{name.replace('_', ' '):<16} {cell(value)}")
    say("")
    names = ("number", "id", "connection", "nth", "paid", "refunded", "ordered_at")
    print_rows([{name: each[name] for name in names} for each in found["orders"]], False, empty="No orders.")


@app.command()
def export(
    who: Who,
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead of stdout.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Write all that is held of one customer, as JSON."""
    found = _about(who, workspace, "/export")
    if out is None:
        print_json(found)
        return
    out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    counts = {name: len(found[name]) for name in ("events", "webhooks", "runs")}
    if as_json:
        print_json({"file": str(out), **counts})
    else:
        say(f"{out}: {', '.join(f'{number} {name}' for name, number in counts.items())}")


@app.command()
def erase(
    who: Who,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Remove a person from everything that is kept, and end their waiting runs. It cannot be undone. Exit code 1 while
    something of it is left to the workers."""
    found = _about(who, workspace)
    named = found["email"] or found["name"] or found["id"]
    if not yes:
        typer.confirm(f"Erase {named}? It cannot be undone.", abort=True, err=True)
    erased = asking.ask("POST", f"/v1/customers/{found['id']}/erase", workspace=workspace)
    if as_json:
        print_json(erased)
    else:
        counts = f"{erased['events']} events and {erased['webhooks']} further webhooks"
        say(f"{found['id']} is removed from {counts}.")
        if not erased["done"]:
            say(f"Workers do the rest: {erased['open_calls']} calls have not ended yet.", err=True)
    raise typer.Exit(0 if erased["done"] else 1)


def _about(who: str, workspace: str, what: str = "") -> Any:
    """What the hub tells of the one customer that is meant."""

    async def work(client: Client) -> Any:
        return await client("GET", f"/v1/customers/{await _one(client, who)}{what}")

    return asking.asking(work, workspace)


async def _one(client: Client, who: str) -> str:
    """Their id. Raises ConfigError for nobody, or several."""
    from app.errors import ConfigError

    try:
        return str(UUID(who))
    except ValueError:
        found = (await client("GET", "/v1/customers", params={"q": who, "limit": 5}))["items"]
    if len(found) == 1:
        return str(found[0]["id"])
    several = ", ".join(f"{each['id']} ({each['email'] or each['name'] or 'no address'})" for each in found)
    raise ConfigError(f"{who!r} finds several customers: {several}." if found else f"No customer is {who!r}.")


def _line(each: Any) -> dict[str, Any]:
    shown = {name: each[name] for name in ("id", "email", "name", "phone")}
    return {**shown, "orders": each["orders_count"], "lifetime value": each["lifetime_value"],
            "last order": each["last_order_at"]}  # fmt: skip

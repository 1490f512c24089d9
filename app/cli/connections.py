"""Connections: configured accounts at outside systems."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import asking, naming, session
from app.cli.output import AsJson, Workspace, print_json, print_rows, say, tell

if TYPE_CHECKING:
    from app.cli.asking import Client

app = typer.Typer(help="Connections: configured accounts at outside systems.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The connection's slug.", autocompletion=naming.connections)]


@app.command("list")
def list_connections(workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """List the connections of a workspace."""

    found = asking.rows("/v1/connections", asking.ALL, workspace=workspace)
    shown = ("slug", "connector", "account", "role", "paused", "authorised_until", "days_left", "base_url", "origin")
    rows = [
        {name: each[name] for name in shown} | {"works": False if each["problem"] else each["probe_works"]}
        for each in found
    ]
    if as_json:
        rows = [row | {"recipes": each["recipes"]} for row, each in zip(rows, found, strict=True)]
    print_rows(rows, as_json, empty="There are no connections; see `tradewind connections apply --help`.")
    for each in found if not as_json else ():
        if why := _at_risk(each):
            say(f"{each['slug']}: {why}; it is called by {', '.join(each['recipes']) or 'no recipe'}", "red")


SOON = 14
"""Days before their end from which on credentials are spoken of."""


def _at_risk(connection: Mapping[str, Any]) -> str | None:
    """What is or soon will be wrong with a connection's credentials."""
    if connection["problem"] or connection["probe_works"] is False:
        return str(connection["problem"] or connection["probe_said"])
    days = connection["days_left"]
    return f"authorise it again within {days} days" if days is not None and days <= SOON else None


@app.command()
def apply(
    file: Annotated[Path | None, typer.Argument(help="connections.yaml; TRADEWIND_CONNECTIONS if not said.")] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Also what another file owns, and in the place of all that one of this path brought in before.",
        ),
    ] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Bring the connections of a file into the hub and test each; those that it no longer names are removed."""
    from app.errors import ConfigError

    path = file or session.settings().connections
    if path is None:
        raise ConfigError("Say which file: `tradewind connections apply connections.yaml`.")
    entries = _entries(path)
    wanted = {"file": str(path.resolve()), "connections": entries, "take_over": take_over}

    async def work(client: Client) -> list[str]:
        lines: list[str] = (await client("POST", "/v1/connections/apply", body=wanted))["lines"]
        for slug in entries:
            lines.append(f"{slug}: {(await client('POST', f'/v1/connections/{slug}/test'))['said']}")
        return lines

    lines = asking.asking(work, workspace)
    tell(lines, as_json, "\n".join(lines) or "The file names no connection.")


def _entries(path: Path) -> dict[str, Any]:
    """What a file declares, filled in from this machine's environment. Raises ConfigError with each fault's place."""
    from app.domain.connections import split_secrets
    from app.domain.connections_file import read_connections
    from app.registry import Registry

    entries = {}
    for one in read_connections(path, Registry.of(session.settings())):
        plain, secret = split_secrets(one.settings)
        entries[one.slug] = {
            "connector": one.connector.slug, "settings": plain | secret, "role": one.role, "base_url": one.base_url,
            "as": one.alias, "history": one.history,
        }  # fmt: skip
    return entries


@app.command("test")
def prove_connection(slug: Slug, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Prove the credentials by a cheap read at the system. Exit code 1 if they do not work."""
    proof = asking.ask("POST", f"/v1/connections/{slug}/test", workspace=workspace)
    if as_json:
        print_json({"connection": slug, **proof})
    else:
        say(f"{slug}: {proof['said']}", None if proof["works"] else "red")
        if proof["authorised_until"] is not None:
            say(f"authorise it again before {proof['authorised_until'][:10]}")
        say(f"recipes that call it: {', '.join(proof['recipes']) or 'none'}")
    raise typer.Exit(0 if proof["works"] else 1)


@app.command()
def rotate(
    slug: Slug,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Which secret; may be left out where there is only one. Repeated: several at once."),
    ] = None,
    generate: Annotated[bool, typer.Option("--generate", help="Make the new secret and show it once.")] = False,
    forget_old: Annotated[bool, typer.Option("--forget-old", help="Take only the newest secret from now on.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Ask for an old secret, and take it no more.")] = False,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Give a connection a new secret, asked for or read from standard input; the two before it are taken meanwhile.
    A key and its secret go together: --setting consumer_key --setting consumer_secret, a line of input each."""
    if setting and len(setting) > 1:
        if generate or forget_old or forget:
            raise typer.BadParameter("several settings at once take new secrets alone")
        body: dict[str, Any] = {"values": {name: _secret(f"The new {name}") for name in setting}}
        _told(
            slug, asking.ask("POST", f"/v1/connections/{slug}/rotate", workspace=workspace, body=body), "new", as_json
        )
        return
    made = secrets.token_urlsafe(32) if generate else None
    gone = _secret("The secret that goes") if forget else None
    value = made or (None if forget_old or forget else _secret("The new secret"))
    body = {"setting": setting[0] if setting else None, "value": value, "forget_old": forget_old, "forget": gone}
    done = asking.ask("POST", f"/v1/connections/{slug}/rotate", workspace=workspace, body=body)
    is_now = "new" if value is not None else "without it" if forget else "down to the newest"
    _told(slug, done, is_now, as_json, made)


def _told(slug: str, done: dict[str, Any], is_now: str, as_json: bool, made: str | None = None) -> None:
    if as_json:
        print_json({"connection": slug, **done, **({"value": made} if made else {})})
        return
    for name, taken in done["settings"].items():
        older = taken - 1
        also = f"; {older} older {'is' if older == 1 else 'are'} taken until forgotten" if older else ""
        say(f"{slug}: {name} is {is_now}{also}")
    if made:
        say(f"the new secret, shown once: {made}")
    if done["said"]:
        say(done["said"], "red" if done["works"] is False else None)


def _secret(name: str) -> str:
    """Never an argument: those stand in the list of processes and in the shell's history."""
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True))
    return sys.stdin.readline().rstrip("\r\n")


LaneOnly = Annotated[bool, typer.Option("--lane", help="Only its lane, apart from the connection.")]


@app.command()
def pause(slug: Slug, lane: LaneOnly = False, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Make no more calls at a connection; they wait, in order. Webhooks are still taken in."""
    stands = _pause(slug, workspace, True, lane)
    again = f"tradewind connections resume {slug}{' --lane' if lane else ''}"
    tell(stands, as_json, f"{'The lane of ' if lane else ''}{slug} is paused: calls wait until `{again}`.")


@app.command()
def resume(slug: Slug, lane: LaneOnly = False, workspace: Workspace = "main", as_json: AsJson = False) -> None:
    """Make the calls that waited, in order."""
    stands = _pause(slug, workspace, False, lane)
    tell(stands, as_json, f"{'The lane of ' if lane else ''}{slug} goes on.")


def _pause(slug: str, workspace: str, paused: bool, lane: bool) -> Any:
    verb = "pause" if paused else "resume"
    return asking.ask("POST", f"/v1/connections/{slug}/{'lane/' if lane else ''}{verb}", workspace=workspace)

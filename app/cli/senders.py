"""Standing in for a platform: a signed webhook of a connection, and fixtures of what came in."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, Workspace, print_json

Slug = Annotated[str, typer.Argument(help="The connection's slug.")]


def send(
    connection: Slug,
    topic: Annotated[str, typer.Option(help="The sender's topic, as orders/paid.")],
    file: Annotated[Path | None, typer.Option(help="The body; a sample of the connector if not said.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many; samples differ from each other.")] = 1,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="How many a second; as fast as they go if not said.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where the hub is; this machine if not said.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Sign webhooks as the platform does, and send them to the hub. Exit code 1 if one is not taken."""
    from app.hub import Hub
    from app.sending import Sent, send_webhooks

    async def work(hub: Hub) -> Sent:
        found = session.connection_of(hub, workspace, connection)
        body = file.read_bytes() if file else None
        place = url or f"http://{session.host_of(hub.settings)}:{hub.settings.port}"
        return await send_webhooks(found, topic, body, count, rate, place.rstrip("/"))

    sent = session.in_hub(work)
    if as_json:
        print_json({"statuses": sent.statuses, "seconds": round(sent.seconds, 3)})
    else:
        said = ", ".join(f"{number} x {status}" for status, number in sorted(sent.statuses.items()))
        typer.echo(f"{connection} {topic}: {said} in {sent.seconds:.2f} s")
    raise typer.Exit(0 if sent.taken else 1)


def capture(
    connection: Annotated[str, typer.Option(help="The connection's slug.")],
    out: Annotated[Path, typer.Option(help="Folder for the fixtures, one a webhook, by topic.")],
    last: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Write what came in as fixtures, with people's names, addresses, e-mails, phones and tokens replaced."""
    from app.hub import Hub
    from app.sending import capture_webhooks

    async def work(hub: Hub) -> list[Path]:
        found = session.connection_of(hub, workspace, connection)
        return await capture_webhooks(hub.database, found, last, out)

    paths = session.in_hub(work)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        typer.echo("\n".join(map(str, paths)) or f"Nothing came in at {connection} yet.")
        if paths:
            typer.echo("Read them before you share them: free text may still name somebody.", err=True)

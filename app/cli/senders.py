"""Standing in for a platform: a signed webhook of a connection, and fixtures of what came in."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import asking, naming, session
from app.cli.asking import Client
from app.cli.output import AsJson, Workspace, print_json, progress, say

AT_ONCE = 20
SIGNED, SIGNED_BYTES = 100, 5_000_000
"""Webhooks that are signed by one request, and their bytes together."""
FRESH = 5.0
"""Seconds for which webhooks are signed ahead: some signatures carry a time."""


@dataclass
class Sent:
    """How the hub answered, and how long it all took (seconds)."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def taken(self) -> bool:
        return bool(self.statuses) and all(status.startswith("2") for status in self.statuses)


def send(
    connection: Annotated[str, typer.Argument(help="The connection's slug.", autocompletion=naming.connections)],
    topic: Annotated[str, typer.Option(help="The sender's topic, as orders/paid.", autocompletion=naming.topics)],
    file: Annotated[
        Path | None, typer.Option(help="The body; a sample of the connector if not said.", exists=True, dir_okay=False)
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many; samples differ from each other.")] = 1,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="How many a second; as fast as they go if not said.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where webhooks go; the hub itself if not said.")] = None,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Sign webhooks as the platform does, and send them to the hub. Exit code 1 if one is not taken."""
    wanted: dict[str, Any] = {"topic": topic}
    ahead = SIGNED if rate is None else max(1, min(SIGNED, int(rate * FRESH)))
    if file is not None:
        body = file.read_bytes()
        wanted["body"] = base64.b64encode(body).decode()
        ahead = max(1, min(ahead, SIGNED_BYTES // max(1, len(body))))
    place = (url or asking.address() or session.own_address()).rstrip("/")

    async def work(client: Client) -> Sent:
        return await _send(_signed(client, connection, wanted, count, ahead), place, count, rate)

    sent = asking.asking(work, workspace)
    if as_json:
        print_json({"statuses": sent.statuses, "seconds": round(sent.seconds, 3)})
    else:
        said = ", ".join(f"{number} x {status}" for status, number in sorted(sent.statuses.items()))
        say(f"{connection} {topic}: {said} in {sent.seconds:.2f} s")
    raise typer.Exit(0 if sent.taken else 1)


async def _signed(client: Client, slug: str, wanted: Any, count: int, ahead: int) -> AsyncIterator[Any]:
    """Requests as the platform would send them, signed shortly before they are: so many at a time."""
    first, done = int(time.time()) % 10_000_000, 0
    while done < count:
        body = {**wanted, "count": min(ahead, count - done), "first": first + done}
        for each in (await client("POST", f"/v1/connections/{slug}/sign", body=body))["requests"]:
            yield each
        done += body["count"]


async def _send(signed: AsyncIterator[Any], url: str, count: int, rate: float | None) -> Sent:
    import asyncio

    import httpx

    sent, began, number = Sent(), time.monotonic(), 0
    turns = asyncio.Semaphore(AT_ONCE)
    with progress("sending", "webhooks") as bar:
        async with httpx.AsyncClient(timeout=15, trust_env=False) as http:
            tasks = []

            async def one(each: Any) -> None:
                try:
                    sent.statuses[await _post(http, url, each)] += 1
                    bar(sent.statuses.total(), count, sent.statuses.total())
                finally:
                    turns.release()

            async for each in signed:
                if rate:
                    await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                await turns.acquire()
                tasks.append(asyncio.create_task(one(each)))
                number += 1
            await asyncio.gather(*tasks)
    sent.seconds = time.monotonic() - began
    return sent


async def _post(http: Any, url: str, each: Any) -> str:
    """Send one; the status, or why none came."""
    import httpx

    body = base64.b64decode(each["body"])
    try:
        answer = await http.post(url + each["path"], content=body, headers=each["headers"], params=each["query"])
    except (httpx.TransportError, httpx.InvalidURL) as e:
        return f"no answer ({type(e).__name__})"
    return str(answer.status_code)


def capture(
    connection: Annotated[str, typer.Option(help="The connection's slug.", autocompletion=naming.connections)],
    out: Annotated[Path, typer.Option(help="Folder for the fixtures, one a webhook, by topic.", file_okay=False)],
    last: Annotated[int, typer.Option(min=1, max=200, help="How many of the newest.")] = 10,
    workspace: Workspace = "main",
    as_json: AsJson = False,
) -> None:
    """Write what came in as fixtures, with people's names, addresses, e-mails, phones and tokens replaced."""
    found = asking.ask("GET", f"/v1/connections/{connection}/fixtures", workspace=workspace, last=last)["items"]
    paths = [_written(out, each) for each in found]
    if as_json:
        print_json([str(path) for path in paths])
    else:
        say("\n".join(map(str, paths)) or f"Nothing came in at {connection} yet.")
        if paths:
            say("Read them before you share them: free text may still name somebody.", err=True)


def _written(out: Path, fixture: Any) -> Path:
    folder = out / (fixture["topic"].replace("/", "-").lstrip(".") or "no-topic")
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while (path := folder / f"captured-{number}.{fixture['ending']}").exists():
        number += 1
    path.write_text(fixture["body"])
    return path

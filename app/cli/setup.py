"""Whether everything is set up rightly."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import asking, session
from app.cli.output import AsJson, print_json, say

if TYPE_CHECKING:
    from app.cli.asking import Client
    from app.doctor import Finding

_STYLES = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red")}
_VERDICTS = {"ok": "ok", "paused": "warning", "degraded": "warning", "failing": "fault"}


def doctor(
    url: Annotated[str | None, typer.Option(help="Where senders reach the hub; the hub itself if not said.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check database, Redis, schema, clock, secrets, folder, connections, recipes, webhooks. Exit code 1 on a fault."""
    import asyncio
    from dataclasses import asdict

    place = url.rstrip("/") if url else None
    findings = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            _say(finding.verdict, finding.about, finding.said, finding.mend)

    async def here() -> None:
        from app.doctor import examine

        async for finding in examine(session.settings(), place):
            tell(finding)

    async def there(client: Client) -> None:
        async for finding in _far(client, place or os.environ["TRADEWIND_URL"].rstrip("/")):
            tell(finding)

    if os.environ.get("TRADEWIND_URL") and not os.environ.get("TRADEWIND_DATABASE_URL"):
        asking.asking(there)
    else:
        session.log_to_stderr(errors_only=True)
        asyncio.run(here())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.verdict == "fault" for finding in findings) else 0)


async def _far(client: Client, url: str) -> AsyncIterator[Finding]:
    """What can be seen of a hub from another machine: that it takes webhooks in, and how its connections and recipes
    do."""
    from httpx import TransportError

    from app.doctor import Finding, reachable

    yield await reachable(url)
    try:
        connections = await asking.pages(client, "/v1/connections")
        recipes = await asking.pages(client, "/v1/recipes")
    except asking.RefusedError as e:
        mend = "Make one where the hub runs, by `tradewind keys new`, and set TRADEWIND_KEY."
        yield Finding("key", "fault", str(e), mend)
        return
    except TransportError as e:
        yield Finding("hub", "fault", f"it does not answer: {type(e).__name__}", "Is TRADEWIND_URL its address?")
        return
    yield Finding("key", "ok", "it opens what it should")
    for slug in (each["slug"] for each in connections):
        told = await client("GET", f"/v1/connections/{slug}/health")
        verdict = _VERDICTS[told["verdict"]]
        mend = "" if verdict == "ok" else f"`tradewind connections test {slug}` tries its credentials."
        yield Finding(f"connection {slug}", verdict, "; ".join(told["reasons"]) or "ok", mend)  # type: ignore[arg-type]
    for name in (each["name"] for each in recipes if not each["usable"]):
        yield Finding(
            f"recipe {name}", "fault", "its text no longer loads", "Bring in one that does: `tradewind recipes sync`."
        )
    yield Finding("elsewhere", "ok", "database, Redis, schema, clock and secrets: run this where the hub runs")


def _say(verdict: str, about: str, said: str, mend: str) -> None:
    mark, colour = _STYLES[verdict]
    say(f"{mark} {about:<22} {said}", None if verdict == "ok" else colour)
    if mend:
        say(f"  {'':<22} {mend}")

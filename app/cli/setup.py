"""Whether everything is set up rightly."""

from typing import Annotated

import typer

from app.cli import session
from app.cli.output import AsJson, print_json, say

_STYLES = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "fault": ("✗", "red")}


def doctor(
    url: Annotated[str | None, typer.Option(help="Where senders reach the hub; this machine if not said.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check database, Redis, schema, clock, secrets, connections, recipes and webhooks. Exit code 1 on a fault."""
    import asyncio
    from dataclasses import asdict

    from app.doctor import Finding, examine

    async def work() -> list[Finding]:
        found = []
        async for finding in examine(session.settings(), url.rstrip("/") if url else None):
            found.append(finding)
            if not as_json:
                _say(finding.verdict, finding.about, finding.said, finding.mend)
        return found

    findings = asyncio.run(work())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    raise typer.Exit(1 if any(finding.verdict == "fault" for finding in findings) else 0)


def _say(verdict: str, about: str, said: str, mend: str) -> None:
    mark, colour = _STYLES[verdict]
    say(f"{mark} {about:<22} {said}", None if verdict == "ok" else colour)
    if mend:
        say(f"  {'':<22} {mend}")

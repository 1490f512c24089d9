"""What the shell completes: names that the hub knows. A hub that does not answer completes nothing."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import typer

SCOPES = ("read", "replay", "recipes", "connections", "admin")


def recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, "/v1/recipes", "name", incomplete)


def connections(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, "/v1/connections", "slug", incomplete)


def templates(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, "/v1/templates", "name", incomplete)


def workspaces(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, "/v1/workspaces", "name", incomplete)


def event_types(incomplete: str) -> list[str]:
    from app.events import EVENT_TYPES

    return [name for name in EVENT_TYPES if name.startswith(incomplete)]


def scopes(incomplete: str) -> list[str]:
    return [name for name in SCOPES if name.startswith(incomplete)]


def topics(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the connection that stands before it."""
    slug = ctx.params.get("connection") or ""
    with _quietly():
        at = _ask(ctx, f"/v1/connections/{slug}")
        return [
            topic for topic in _ask(ctx, f"/v1/connectors/{at['connector']}")["topics"] if topic.startswith(incomplete)
        ]
    return []


def _known(ctx: typer.Context, path: str, name: str, incomplete: str) -> list[str]:
    from app.cli import asking

    with _quietly():
        found = asking.rows(path, asking.ALL, workspace=_workspace(ctx))
        return [each[name] for each in found if each[name].startswith(incomplete)]
    return []


def _ask(ctx: typer.Context, path: str) -> Any:
    from app.cli import asking

    return asking.ask("GET", path, workspace=_workspace(ctx))


def _workspace(ctx: typer.Context) -> str:
    return ctx.params.get("workspace") or "main"


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """A shell that completes shows no errors."""
    with contextlib.suppress(Exception, SystemExit), contextlib.redirect_stderr(io.StringIO()):
        yield

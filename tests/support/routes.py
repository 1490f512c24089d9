"""The API's routes, made once for a process of tests: making them outweighs most tests."""

from functools import cache
from pathlib import Path
from typing import Any

import orjson

from app.main import App, described_app, make_app
from app.registry import Registry
from app.settings import Settings

DESCRIPTION: dict[str, Any] = orjson.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_bytes())
"""The description as it is exported; that it is what the routes say has a test of its own."""


@cache
def described() -> App:
    """The routes without a hub behind them. For reading only: all hubs of the process answer by them."""
    return described_app()


def hub_app(settings: Settings, registry: Registry | None = None) -> App:
    """What `make_app` makes, with the routes of `described`."""
    app = make_app(settings, registry)
    app.router.routes[:] = described().router.routes
    app.openapi = described().openapi  # type: ignore[method-assign]
    return app

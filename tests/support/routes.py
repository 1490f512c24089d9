"""The API's routes and their description, made once for a process of tests: making them outweighs most tests."""

from functools import cache

from app.main import App, described_app, make_app
from app.registry import Registry
from app.settings import Settings


@cache
def described() -> App:
    """The routes without a hub behind them. For reading only: all hubs of the process answer by them."""
    return described_app()


def hub_app(settings: Settings, registry: Registry | None = None) -> App:
    """What `make_app` makes, with the routes of `described`."""
    app = make_app(settings, registry)
    app.router.routes[:] = described().router.routes
    return app

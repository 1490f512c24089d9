"""HTTP: requests to any API, and the hooks of Zapier and Make."""

import base64
from collections.abc import Mapping
from urllib.parse import urlsplit

from app.connector import Connector, HeaderAuth, HttpOptions, Limit
from connectors.http.actions import ACTIONS
from connectors.http.models import Settings
from connectors.http.sandbox import sandbox


def _base_url(settings: Settings) -> str:
    url = urlsplit(settings.url.get_secret_value())
    return f"{url.scheme}://{url.netloc}"


def _headers(settings: Settings) -> Mapping[str, str]:
    token = settings.token.get_secret_value() if settings.token else ""
    password = settings.password.get_secret_value() if settings.password else ""
    match settings.auth:
        case "bearer":
            return {"authorization": f"Bearer {token}"}
        case "header":
            return {settings.header.lower(): token}
        case "basic":
            proof = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
            return {"authorization": f"Basic {proof}"}
        case _:
            return {}


connector = Connector(
    slug="http",
    title="HTTP",
    category="other",
    settings=Settings,
    account="name",
    actions=ACTIONS,
    auth=HeaderAuth(_headers),
    http=HttpOptions(base_url=_base_url, at_once=10, limits=(Limit(30, 1.0),), timeout=30, redirects=3),
    sandbox=sandbox,
    outgoing="send_event",
)

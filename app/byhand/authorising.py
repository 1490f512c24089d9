"""OAuth 2 by hand: a person says yes at the system, and the hub takes the tokens (authorisation code with PKCE)."""

import base64
import hashlib
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from app.connector import OAuth2
from app.domain.connections import Connection
from app.errors import ConfigError, ConflictError, MalformedError, TradewindError, UnavailableError
from app.hub import Hub
from app.store.byhand import Deed
from app.store.changes.audit import note_change

WITHIN = timedelta(minutes=10)
_ABOUT = b"oauth state"


def start(hub: Hub, connection: Connection, redirect_uri: str, actor: str) -> str:
    """The address at which a person says yes. Raises ConflictError for a connector without OAuth 2."""
    auth = _auth(connection)
    verifier = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    until = (hub.clock.now() + WITHIN).timestamp()
    about = {"id": str(connection.id), "until": until, "verifier": verifier, "to": redirect_uri, "actor": actor}
    state = base64.urlsafe_b64encode(hub.ring.seal_json(about, _ABOUT)).decode()
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": auth.client(connection.settings)[0],
        "redirect_uri": redirect_uri,
        "scope": " ".join(auth.scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{_place(connection, auth)}?{urlencode(asked)}"


async def finish(hub: Hub, state: str, code: str, error: str, said: Mapping[str, str]) -> str:
    """Exchange the code for tokens and keep them; answers the connection's slug. Raises MalformedError for a state that
    is none of ours or too old, and where the person or the system said no."""
    about = _opened(hub, state)
    if error or not code:
        raise MalformedError(f"the system did not authorise: {error or 'it sent no code'}")
    connection = hub.connections.get(UUID(str(about["id"])))
    if connection is None:
        raise MalformedError("the connection was removed meanwhile")
    auth = _auth(connection)
    account = said.get(auth.account_parameter) if auth.account_parameter else None
    if account is not None and account != connection.account:
        raise MalformedError(f"this authorises the account {account}; the connection is of {connection.account}")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": str(about["to"]),
            "code_verifier": str(about["verifier"])}  # fmt: skip
    from app.domain.credentials import Credentials  # with all that a process needs which calls outside systems
    from app.http import Transport

    async with Transport() as transport:
        credentials = Credentials(hub.database, hub.ring, transport, hub.clock)
        try:
            await credentials.authorise(connection, form)
        except TradewindError as e:
            raise UnavailableError(f"the tokens could not be had: {e}") from e
    async with hub.database.begin() as db:
        deed = Deed(connection.workspace, str(about["actor"]), "authorise", f"connection/{connection.slug}", {})
        await note_change(db, deed)
    hub.bells.ring(f"lane:{connection.id}", elsewhere=True)
    return connection.slug


def _opened(hub: Hub, state: str) -> dict[str, Any]:
    try:
        about = hub.ring.open_json(base64.urlsafe_b64decode(state), _ABOUT)
    except (ValueError, ConfigError, IndexError):
        raise MalformedError("this state is none of this hub: begin again with oauth/start") from None
    if float(str(about["until"])) < hub.clock.now().timestamp():
        raise MalformedError("this was begun too long ago: begin again with oauth/start")
    return about


def _auth(connection: Connection) -> OAuth2[Any]:
    auth = connection.connector.auth
    if not isinstance(auth, OAuth2):
        raise ConflictError(
            f"{connection.connector.title} is not authorised by OAuth 2: its settings hold all it needs"
        )
    return auth


def _place(connection: Connection, auth: OAuth2[Any]) -> str:
    """The vendor's address, or the same path under the operator's `base_url`."""
    if connection.base_url is None:
        return auth.authorize_url
    return connection.base_url.rstrip("/") + urlsplit(auth.authorize_url).path

"""Credentials of connections: headers from settings, or OAuth 2 tokens that are refreshed by one process at a time."""

import base64
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from app.clock import Clock
from app.connector import HeaderAuth, OAuth2
from app.crypto import KeyRing
from app.domain.connections import Connection
from app.errors import CredentialError, RetryableError, UnsureError
from app.http import Request, Response, Timeouts, Transport
from app.store import connections as store
from app.store.database import Connection as Db
from app.store.database import Database

EARLY = 120.0
"""Seconds before its end at which an access token is renewed."""

USUAL = timedelta(hours=1)
"""How long an access token is taken to live where its answer does not say."""

LONGEST = 10 * 366 * 86400.0
"""Seconds: more than any authorisation lives."""


class Credentials:
    """Answers the headers that prove us to an outside system."""

    def __init__(self, database: Database, ring: KeyRing, transport: Transport, clock: Clock) -> None:
        self._database = database
        self.ring = ring
        self._transport = transport
        self._clock = clock
        self._tokens: dict[UUID, tuple[int, str, float]] = {}

    async def headers(self, connection: Connection, fresh: bool = False) -> Mapping[str, str]:
        """Headers for a request. `fresh`: the last ones were refused. Raises CredentialError when there are none."""
        auth = connection.connector.auth
        if isinstance(auth, HeaderAuth):
            return auth.headers(connection.settings)
        version, token, ends = self._tokens.get(connection.id, (-1, "", 0.0))
        if fresh or time.monotonic() > ends - EARLY:
            token = await self._refresh(connection, auth, version)
        return auth.header(token)

    async def _refresh(self, connection: Connection, auth: OAuth2[Any], known: int) -> str:
        """Refresh under the row's lock, unless another process already did."""
        async with self._database.transaction() as db:
            sealed, version = await store.lock_credentials(db, connection.id)
            held = self.ring.open_json(sealed, connection.id.bytes) if sealed else {}
            if version > known and (token := self._still_good(held)):
                self._keep(connection, version, held)
                return token
            refresh = str(held.get("refresh_token") or auth.first(connection.settings) or "")
            if not refresh:
                raise CredentialError(f"{connection.slug} is not connected: authorise it first")
            answer = await self._ask(connection, auth, {"grant_type": "refresh_token", "refresh_token": refresh})
            kept = await self._save(db, connection, answer, refresh)
        self._keep(connection, version + 1, kept)
        return str(kept["access_token"])

    async def authorise(self, connection: Connection, form: Mapping[str, str]) -> None:
        """Exchange what a person's yes gave (the form of the token request) for tokens, and keep those. Raises
        CredentialError where the system refuses, RetryableError where it does not answer."""
        auth = connection.connector.auth
        if isinstance(auth, HeaderAuth):
            raise CredentialError(f"{connection.slug} is not authorised by OAuth 2")
        async with self._database.transaction() as db:
            await store.lock_credentials(db, connection.id)
            await self._save(db, connection, await self._ask(connection, auth, form), "")

    async def _save(self, db: Db, connection: Connection, answer: Mapping[str, Any], refresh: str) -> dict[str, Any]:
        expires = self._clock.now() + (_span(answer.get("expires_in")) or USUAL)
        rotated = answer.get("refresh_token")
        kept = {
            "access_token": answer["access_token"],
            "refresh_token": rotated if rotated and isinstance(rotated, str) else refresh,
            "expires_at": expires.timestamp(),
        }
        sealed, until = self.ring.seal_json(kept, connection.id.bytes), _until(answer, self._clock.now())
        await store.save_credentials(db, connection.id, sealed, expires, until)
        return kept

    def _still_good(self, held: Mapping[str, Any]) -> str | None:
        good = held.get("access_token") and float(held.get("expires_at") or 0) > self._clock.now().timestamp() + EARLY
        return str(held["access_token"]) if good else None

    def _keep(self, connection: Connection, version: int, held: Mapping[str, Any]) -> None:
        left = float(held["expires_at"]) - self._clock.now().timestamp()
        self._tokens[connection.id] = (version, str(held["access_token"]), time.monotonic() + left)

    async def _ask(self, connection: Connection, auth: OAuth2[Any], form: Mapping[str, str]) -> dict[str, Any]:
        client, secret = auth.client(connection.settings)
        request = Request(
            "POST",
            token_url(connection, auth),
            (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")),
            urlencode(form).encode(),
        )
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        try:
            reply = await self._transport.send(
                request,
                credentials={"authorization": f"Basic {basic}"},
                timeouts=Timeouts(total=15),
                allowed=connection.allowed,
            )
        except UnsureError as e:
            raise RetryableError(f"the credentials could not be refreshed: {e}", 5) from e
        if reply.status >= 500 or reply.status == 429:
            raise RetryableError(f"the credentials could not be refreshed: status {reply.status}", 10, reply.status)
        if reply.status >= 400:
            raise CredentialError(f"{connection.slug}: {_refused(reply)}", reply.status)
        try:
            answer = reply.json()
        except UnsureError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise RetryableError("the credentials could not be refreshed: the answer holds no token", 10, reply.status)
        return answer


def _refused(reply: Response) -> str:
    """RFC 6749 section 5.2: `invalid_client` is about our own id and secret, not about what somebody authorised."""
    if b"invalid_client" in reply.body:
        return "its client id or client secret is refused; correct them on the connection"
    return "the refresh token is refused; connect it again"


def _until(answer: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the refresh token of an answer ends, where it says so (Intuit's `x_` name, and Microsoft's)."""
    for name in ("x_refresh_token_expires_in", "refresh_token_expires_in"):
        if span := _span(answer.get(name)):
            return now + span
    return None


def _span(seconds: object) -> timedelta | None:
    """A time to live, which some send as text; None where it says nothing. An answer that cannot be read must not cost
    the rotated token in it: the one before may be spent."""
    try:
        return timedelta(seconds=min(float(str(seconds)), LONGEST)) if float(str(seconds)) > 0 else None
    except ValueError:
        return None


def token_url(connection: Connection, auth: OAuth2[Any]) -> str:
    """Where tokens come from: the vendor's address, or the same path under the operator's `base_url`."""
    return connection.base_url.rstrip("/") + urlsplit(auth.token_url).path if connection.base_url else auth.token_url

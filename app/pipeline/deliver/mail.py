"""The `Mail` that an action is given: the connection's server, its limits and marks, and the suppression list."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from app.connector import Envelope, SmtpOptions, Suppression
from app.domain.connections import Connection
from app.domain.suppressions import Suppressions
from app.errors import PermanentError, UnsureError
from app.mail import Door
from app.mail.reply import RefusedRecipientError


class Tried(Protocol):
    """What is kept of an attempt at a call."""

    requests: list[bytes]
    sent: bool


class LaneMail:
    """One call's way to the mail server."""

    def __init__(
        self,
        connection: Connection,
        door: Door,
        suppressions: Suppressions | None,
        turn: Callable[[], Awaitable[None]],
        mark: Callable[[], Awaitable[None]],
        attempt: Tried,
        within: float,
    ) -> None:
        self._connection = connection
        self._door = door
        self._suppressions = suppressions
        self._turn = turn
        self._mark = mark
        self._attempt = attempt
        self._within = within

    async def send(self, envelope: Envelope) -> str:
        server, options = self._connection.mail_server, self._options
        self._attempt.requests.append(dump(server.host, server.port, envelope))
        await self._turn()
        try:
            return await self._door.send(
                server,
                envelope,
                timeout=options.timeout,
                within=self._within,
                allowed=self._connection.allowed,
                before_send=self._mark,
            )
        except UnsureError:
            self._attempt.sent = True
            raise
        except RefusedRecipientError as e:
            if e.gone and self._suppressions is not None:
                await self._suppressions.add(self._connection.workspace, e.address, "bounced", str(e))
            raise

    async def greet(self) -> str:
        timeout = self._options.timeout
        return await self._door.greet(self._connection.mail_server, timeout=timeout, allowed=self._connection.allowed)

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, Suppression]:
        if self._suppressions is None:
            return {}
        return await self._suppressions.find(self._connection.workspace, addresses)

    def unsubscribe_url(self, address: str) -> str | None:
        if self._suppressions is None:
            return None
        return self._suppressions.unsubscribe_url(self._connection.workspace, address)

    @property
    def _options(self) -> SmtpOptions[Any]:
        options = self._connection.connector.smtp
        if options is None:
            raise PermanentError(f"{self._connection.connector.slug} sends no mail")
        return options


def dump(host: str, port: int, envelope: Envelope) -> bytes:
    """The message as an attempt keeps it: a line of JSON that names server and envelope, then its bytes."""
    headers = [["mail-from", envelope.sender], *(["rcpt-to", address] for address in envelope.recipients)]
    head = {"v": 1, "method": "SMTP", "url": f"smtp://{host}:{port}", "headers": headers, "reads": False}
    return orjson.dumps(head) + b"\n" + envelope.content

"""One conversation with a mail server: greet, encrypt, log in, name sender and recipients, hand the message over."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

import aiosmtplib
import httpx
from aiosmtplib.protocol import normalize_message_line_endings

from app.connector import Envelope, MailServer
from app.errors import ConfigError, PermanentError, RetryableError, TradewindError, UnsureError
from app.http import Address, boottime, is_refused
from app.mail.dial import Lookup, dial
from app.mail.reply import login_meaning, meaning, recipient_meaning

OUR_NAME = "tradewind"
"""What we call ourselves to servers: our machine's own name is nobody's business."""
_ADDRESS = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]+@[A-Za-z0-9.\-\[\]:]+")
_BROKEN = (aiosmtplib.SMTPException, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Door:
    """tls: a context that verifies (more trusted roots); lookup: getaddrinfo. Each message has its own connection."""

    tls: ssl.SSLContext | None = None
    lookup: Lookup = socket.getaddrinfo

    def __post_init__(self) -> None:
        if self.tls is not None and (self.tls.verify_mode != ssl.CERT_REQUIRED or not self.tls.check_hostname):
            raise ConfigError("mail servers are only called with their certificates verified")

    async def send(
        self,
        server: MailServer,
        envelope: Envelope,
        *,
        timeout: float = 30.0,
        within: float | None = None,
        allowed: Collection[Address] = (),
        before_send: Callable[[], Awaitable[object]] | None = None,
    ) -> str:
        """Hands a message over once; the server's last words. before_send is awaited once, when the server waits for
        the content, which goes `within` seconds of it or not at all. timeout: seconds up to there, and again from
        there. allowed: private addresses that the operator named.

        Raises RetryableError or PermanentError where the server surely did not take it, UnsureError where it may have,
        and what before_send raises."""
        for address in (envelope.sender, *envelope.recipients):
            check_address(address)
        async with self._talk(server, timeout, allowed) as client:
            await _begin(client, envelope, timeout)
            if before_send is not None:
                deadline = boottime() + within if within is not None else None
                await before_send()
                if deadline is not None and boottime() > deadline:
                    raise RetryableError(f"{_where(server)}: the message was not sent: its deadline had passed")
            return await _content(client, server, envelope.content, timeout)

    async def greet(self, server: MailServer, *, timeout: float = 15.0, allowed: Collection[Address] = ()) -> str:
        """Log in and leave. Raises as `send` does before the content."""
        async with self._talk(server, timeout, allowed):
            secured = {"tls": "TLS", "starttls": "STARTTLS", "none": "no encryption"}[server.security]
            return f"{_where(server)} answers, with {secured}" + (f", as {server.username}" if server.username else "")

    @asynccontextmanager
    async def _talk(
        self, server: MailServer, timeout: float, allowed: Collection[Address]
    ) -> AsyncIterator[aiosmtplib.SMTP]:
        """A client that is connected, encrypted and logged in."""
        client: aiosmtplib.SMTP | None = None
        try:
            try:
                async with asyncio.timeout(timeout):
                    made = await dial(server.host, server.port, allowed, self.lookup)
                    _check_encryption(server, made)
                    client = self._client(server, made, timeout)
                    await _open(client, server)
            except TradewindError:
                raise
            except _BROKEN as e:
                raise _not_sent(server, e) from e
            yield client
        except BaseException:
            if client is not None:
                _cut(client)
            raise
        _leave(client)

    def _client(self, server: MailServer, made: socket.socket, timeout: float) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=server.host,
            sock=made,
            local_hostname=OUR_NAME,
            timeout=timeout,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=self.tls or _public_tls(),
        )


def check_address(address: str) -> None:
    """Raises PermanentError for what could not stand in an SMTP command."""
    if not _ADDRESS.fullmatch(address) or len(address) > 254:
        raise PermanentError(f"{address[:100]!r} is not an address that mail can be sent to")


@lru_cache(maxsize=1)
def _public_tls() -> ssl.SSLContext:
    """The roots that certifi brings, as for HTTP."""
    return httpx.create_ssl_context(trust_env=False)


def _check_encryption(server: MailServer, made: socket.socket) -> None:
    if server.security == "none" and not is_refused(str(made.getpeername()[0])):
        made.close()
        raise PermanentError(
            f"{_where(server)} is a public address: mail goes there encrypted only; set security to starttls or tls"
        )


async def _open(client: aiosmtplib.SMTP, server: MailServer) -> None:
    try:
        await client.connect()
        await client.ehlo()
        if server.security == "starttls":
            await client.starttls()
            await client.ehlo()
    except aiosmtplib.SMTPResponseException as e:
        raise meaning(e.code, e.message, "the connection") from e
    if server.username and server.password is not None:
        try:
            await client.login(server.username, server.password.get_secret_value())
        except aiosmtplib.SMTPResponseException as e:
            raise login_meaning(e.code, e.message) from e


async def _begin(client: aiosmtplib.SMTP, envelope: Envelope, timeout: float) -> None:
    """Up to the server's `354`: nothing of the message has left."""
    try:
        async with asyncio.timeout(timeout):
            sized = [f"SIZE={len(envelope.content)}"] if client.supports_extension("size") else []
            code, said = await client.execute_command(
                b"MAIL", f"FROM:<{envelope.sender}>".encode(), *map(str.encode, sized)
            )
            if code != 250:
                raise meaning(code, said, f"the sender {envelope.sender}")
            for address in envelope.recipients:
                code, said = await client.execute_command(b"RCPT", f"TO:<{address}>".encode())
                if code not in (250, 251):
                    raise recipient_meaning(code, said, address)
            code, said = await client.execute_command(b"DATA")
            if code != 354:
                raise meaning(code, said, "the message")
    except TradewindError:
        raise
    except _BROKEN as e:
        raise RetryableError(f"the mail server stopped answering before the message was sent: {_said(e)}") from e


async def _content(client: aiosmtplib.SMTP, server: MailServer, content: bytes, timeout: float) -> str:
    """The message and its final dot; from the first byte on nobody can know, until the answer is read."""
    protocol = client.protocol
    if protocol is None or not protocol.is_connected:
        raise RetryableError(f"{_where(server)} closed the connection before the message was sent")
    stuffed = re.sub(rb"(?m)^\.", b"..", normalize_message_line_endings(content))
    try:
        async with asyncio.timeout(timeout):
            protocol.write(stuffed + b".\r\n")
            code, said = await protocol.read_response(timeout)
    except _BROKEN as e:
        raise UnsureError(f"{_where(server)} gave no usable answer to the message: {_said(e)}") from e
    if 200 <= code < 300:
        return f"{code} {said}"
    if 400 <= code < 600:
        raise meaning(code, said, "the message")
    raise UnsureError(f"{_where(server)} answered the message with {code}, which says nothing", status=code)


def _leave(client: aiosmtplib.SMTP) -> None:
    """Say goodbye without waiting for the answer: nothing depends on it."""
    with suppress(*_BROKEN):
        if client.protocol is not None and client.protocol.is_connected:
            client.protocol.write(b"QUIT\r\n")
    client.close()


def _cut(client: aiosmtplib.SMTP) -> None:
    """End the connection at once. Closed politely it would first send what is still buffered, and so give a message
    its end long after we gave it up."""
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


def _not_sent(server: MailServer, error: Exception) -> TradewindError:
    """Before the first command: the certificate, the handshake, the greeting."""
    verification = error if isinstance(error, ssl.SSLCertVerificationError) else error.__cause__
    if isinstance(verification, ssl.SSLCertVerificationError):
        return RetryableError(f"{_where(server)}: its certificate is not valid ({verification.verify_message})")
    if isinstance(error, aiosmtplib.SMTPException) and "not supported" in str(error):
        return PermanentError(f"{_where(server)}: {error}")
    return RetryableError(f"{_where(server)} was not reached: {_said(error)}")


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _where(server: MailServer) -> str:
    return f"{server.host}:{server.port}"

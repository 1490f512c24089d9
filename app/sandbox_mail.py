"""The sandboxes' mail server: speaks SMTP on a port of its own, and lets the same faults strike as over HTTP.

A fault's `method` is the SMTP verb (CONNECT, EHLO, AUTH, MAIL, RCPT, DATA, and END for the final dot), its `path` part
of the verb's argument; `status` is the reply's code, `after_acting` keeps the message first.
"""

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from app.connector import Envelope, Mailbox

LARGEST_MESSAGE = 32 * 1024 * 1024
_PATH = re.compile(r"(?:FROM|TO):\s*<([^<>\s]*)>", re.IGNORECASE)
_IDLE = 300.0


class Strike(Protocol):
    """What a told fault does, as far as mail is concerned."""

    @property
    def status(self) -> int | None: ...
    @property
    def slow(self) -> float | None: ...
    @property
    def after_acting(self) -> bool: ...
    @property
    def close(self) -> str | None: ...
    @property
    def malformed(self) -> bool: ...


class GoneError(Exception):
    """The conversation is over."""


@dataclass
class Listener:
    """mailbox: the fake behind it, asked for anew each time (a reset makes another). struck: the fault that strikes a
    verb, its argument and content. noted: told of each message."""

    mailbox: Callable[[], Mailbox]
    struck: Callable[[str, str, bytes], Strike | None]
    noted: Callable[[Envelope], None]
    _server: asyncio.Server | None = None
    _talking: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (0 chooses one)."""
        self._server = await asyncio.start_server(self._talk, host, port, limit=LARGEST_MESSAGE)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._talking):
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._talking.add(task)
        try:
            await _Conversation(self, reader, writer).go()
        except (GoneError, ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            pass  # by `stop`, which ends this task: asyncio would print a traceback of it (streams.py, 3.11)
        finally:
            if task is not None:
                self._talking.discard(task)
            with suppress(OSError):
                writer.close()


@dataclass
class _Conversation:
    listener: Listener
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    user: str | None = None
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)

    async def go(self) -> None:
        await self.answer("CONNECT", "", lambda: "220 sandbox.tradewind.test ESMTP")
        while True:
            line = (await self.line()).rstrip("\r\n")
            verb, _, rest = line.partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                await self.say("221 2.0.0 bye")
                return
            if verb == "AUTH":
                proof = await self.proof(rest)
                await self.answer(verb, rest.partition(" ")[0], lambda proof=proof: self.log_in(proof))  # type: ignore[misc]
            elif verb == "DATA":
                await self.data()
            else:
                await self.answer(verb, rest, lambda verb=verb, rest=rest: self.done(verb, rest))  # type: ignore[misc]

    async def answer(self, verb: str, argument: str, act: Callable[[], str], content: bytes = b"") -> str:
        """Act and answer, or let a told fault strike. The answer as it was given."""
        fault = self.listener.struck(verb, argument, content)
        if fault is None:
            return await self.say(act())
        if fault.after_acting:
            act()
        if fault.slow is not None:
            await asyncio.sleep(fault.slow)
        if fault.close is not None:
            if fault.close == "half":
                self.writer.write(b"25")
            raise GoneError
        if fault.malformed:
            return await self.say("what did you say?")
        if fault.status is not None:
            return await self.say(f"{fault.status} as told")
        return await self.say(act() if not fault.after_acting else "250 2.0.0 done")

    def done(self, verb: str, rest: str) -> str:
        """The plain verbs: what they change, and the reply."""
        match verb:
            case "EHLO":
                return "250-sandbox.tradewind.test\r\n250-SIZE 33554432\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"
            case "HELO" | "NOOP":
                return "250 sandbox.tradewind.test"
            case "RSET":
                self.sender, self.recipients = None, []
                return "250 2.0.0 forgotten"
            case "MAIL" | "RCPT":
                return self.named(verb, rest)
            case _:
                return "502 5.5.1 not implemented"

    def named(self, verb: str, rest: str) -> str:
        found = _PATH.match(rest)
        if self.user is None:
            return "530 5.7.0 authentication required"
        if found is None or "@" not in found[1]:
            return "501 5.1.3 that is not an address"
        if verb == "RCPT" and self.sender is None:
            return "503 5.5.1 MAIL first"
        if (refusal := self.listener.mailbox().judge(verb, found[1])) is not None:
            return refusal
        if verb == "MAIL":
            self.sender, self.recipients = found[1], []
            return "250 2.1.0 sender ok"
        self.recipients.append(found[1])
        return "250 2.1.5 recipient ok"

    async def data(self) -> None:
        def ready() -> str:
            if self.user is None:
                return "530 5.7.0 authentication required"
            return "354 go on" if self.recipients else "503 5.5.1 RCPT first"

        if not (await self.answer("DATA", "", ready)).startswith("354"):
            return
        content = await self.content()
        envelope = Envelope(self.sender or "", tuple(self.recipients), content)
        self.sender, self.recipients = None, []

        def keep() -> str:
            self.listener.noted(envelope)
            return self.listener.mailbox().receive(envelope)

        await self.answer("END", ",".join(envelope.recipients), keep, content)

    async def content(self) -> bytes:
        async with asyncio.timeout(_IDLE):
            whole = await self.reader.readuntil(b"\r\n.\r\n")
        return re.sub(rb"(?m)^\.\.", b".", whole[: -len(b".\r\n")])

    # --- login ---------------------------------------------------------------------------------------------------

    async def proof(self, rest: str) -> tuple[str, str]:
        """(user, password) of an AUTH, asked for as its method says; empty where it makes no sense."""
        method, _, initial = rest.partition(" ")
        try:
            if method.upper() == "PLAIN":
                _, user, password = _plain(initial or await self.ask("334 ")).split("\0")
                return user, password
            if method.upper() == "LOGIN":
                user = _plain(initial or await self.ask("334 VXNlcm5hbWU6"))
                return user, _plain(await self.ask("334 UGFzc3dvcmQ6"))
        except (ValueError, binascii.Error):
            pass
        return "", ""

    def log_in(self, proof: tuple[str, str]) -> str:
        user, password = proof
        known = self.listener.mailbox().users.get(user)
        if known is None or not hmac.compare_digest(known.encode(), password.encode()):
            return "535 5.7.8 username and password not accepted"
        self.user = user
        return "235 2.7.0 welcome"

    async def ask(self, reply: str) -> str:
        await self.say(reply)
        return (await self.line()).strip()

    async def say(self, reply: str) -> str:
        self.writer.write(reply.encode() + b"\r\n")
        await self.writer.drain()
        return reply

    async def line(self) -> str:
        async with asyncio.timeout(_IDLE):
            line = await self.reader.readline()
        if not line:
            raise GoneError
        return line.decode(errors="replace")


def _plain(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()

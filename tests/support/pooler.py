"""A pooler in transaction mode, as PgBouncer is one: many clients on few server connections, which a client keeps only
from its first message to the server's "ready, and in no transaction"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_SSL_REQUEST = 80877103
_CANCEL_REQUEST = 80877102


@dataclass
class _Server:
    """One connection to PostgreSQL, past its start."""

    answers: asyncio.Queue[bytes]
    writer: asyncio.StreamWriter
    greeting: bytes
    """What it said at its start, from "authenticated" to "ready"."""
    reading: asyncio.Task[None]


@dataclass
class Pooler:
    """`url` is what clients connect to. served: transactions; moved: those on another server connection than the same
    client's last one."""

    servers: asyncio.Queue[_Server]
    greeting: bytes
    url: str = ""
    served: int = 0
    moved: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked: asyncio.Queue[bytes] = asyncio.Queue()
        reading: asyncio.Task[None] | None = None
        try:
            if await _started(reader, writer):
                writer.write(self.greeting)
                reading = asyncio.create_task(_read(reader, asked))
                await self._transactions(asked, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            if reading is not None:
                reading.cancel()

    async def _transactions(self, asked: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        last: _Server | None = None
        while (first := await asked.get())[:1] != b"X":
            server = await self.servers.get()
            self.served += 1
            self.moved += last is not None and last is not server
            last = server
            try:
                await _one(first, asked, writer, server)
            finally:
                self.servers.put_nowait(server)


async def _one(first: bytes, asked: asyncio.Queue[bytes], writer: asyncio.StreamWriter, server: _Server) -> None:
    """Carry messages both ways until the server is ready, in no transaction, and owes no further "ready" (one for each
    query and sync)."""
    server.writer.write(first)
    owed = int(first[:1] in b"QS")
    question, answer = asyncio.create_task(asked.get()), asyncio.create_task(server.answers.get())
    try:
        while True:
            await asyncio.wait((question, answer), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                message = answer.result()
                writer.write(message)
                owed -= message[:1] == b"Z"
                if message[:1] == b"Z" and message[5:6] == b"I" and not owed:
                    return
                answer = asyncio.create_task(server.answers.get())
            elif question.done():
                message = question.result()
                if message[:1] == b"X":
                    raise ConnectionResetError
                owed += message[:1] in b"QS"
                server.writer.write(message)
                question = asyncio.create_task(asked.get())
    finally:
        answer.cancel()
        if question.done() and not question.cancelled():
            asked._queue.appendleft(question.result())  # type: ignore[attr-defined]
        question.cancel()


async def _read(reader: asyncio.StreamReader, into: asyncio.Queue[bytes]) -> None:
    try:
        while True:
            into.put_nowait(await _message(reader))
    except (OSError, asyncio.IncompleteReadError):
        into.put_nowait(b"X")


async def _started(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read a client's start; False for what is none."""
    while True:
        size = int.from_bytes(await reader.readexactly(4))
        body = await reader.readexactly(size - 4)
        code = int.from_bytes(body[:4])
        if code != _SSL_REQUEST:
            return code != _CANCEL_REQUEST
        writer.write(b"N")


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:]) - 4)


async def _server(host: str, port: int, user: str, database: str) -> _Server:
    reader, writer = await asyncio.open_connection(host, port)
    pairs = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    body = (196608).to_bytes(4) + pairs
    writer.write((len(body) + 4).to_bytes(4) + body)
    greeting, message = b"", b""
    while message[:1] != b"Z":
        message = await _message(reader)
        greeting += message
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    return _Server(answers, writer, greeting, asyncio.create_task(_read(reader, answers)))


@asynccontextmanager
async def pooling(database_url: str, size: int) -> AsyncIterator[Pooler]:
    """A pooler before a server that trusts its clients, with `size` connections to it."""
    parts = urlsplit(database_url)
    database = parts.path.lstrip("/")
    servers: asyncio.Queue[_Server] = asyncio.Queue()
    opened = []
    for _ in range(size):
        opened.append(await _server(parts.hostname or "", parts.port or 5432, parts.username or "", database))
        servers.put_nowait(opened[-1])
    pooler = Pooler(servers, opened[0].greeting)
    listening = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    pooler.url = f"postgresql://{parts.username}@127.0.0.1:{listening.sockets[0].getsockname()[1]}/{database}"
    try:
        yield pooler
    finally:
        listening.close()
        for each in opened:
            each.reading.cancel()
            each.writer.close()

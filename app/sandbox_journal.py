"""What the sandboxes were asked and what they answered, written down for whoever checks it against a description.

A JSON line each, in a file of this process in the folder `TRADEWIND_SANDBOX_JOURNAL`; without that setting, nothing.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.types import Message, Send

from app.connector import Json

LONGEST = 4 * 1024 * 1024
"""Bytes of an answer from which on no more of it is kept."""


@dataclass
class Exchange:
    """One request as it came, and its answer as far as it got. told: a fault was told to happen, and its answer is not
    kept."""

    connector: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str
    told: bool = False
    status: int | None = None
    answer_headers: list[tuple[str, str]] | None = None
    answer: str = ""

    def hears(self, send: Send) -> Send:
        """The `send` that also notes what is answered."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.answer_headers = _texts(message.get("headers", ()))
            elif not self.told and len(self.answer) < LONGEST:
                self.answer += message.get("body", b"").decode("latin-1")
            await send(message)

        return noting


class Journal:
    """The file; bytes stand as latin-1 in it, so that none is lost."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def begin(self, connector: str, noted: Mapping[str, Json], body: bytes) -> Exchange:
        """noted: what people are shown of the request: no credentials among its headers."""
        return Exchange(
            connector, noted["method"], noted["path"], list(noted["headers"].items()), body.decode("latin-1")
        )

    def end(self, exchange: Exchange) -> None:
        os.write(self._file, orjson.dumps(exchange) + b"\n")


def _texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]

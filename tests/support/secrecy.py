"""What no test may show: every secret that its hubs sealed, searched for in all that it logged, printed, answered,
stored and counted, as it is and as JSON, URLs and base64 write it.

Nobody has to mark a secret: what the key ring seals as a connection's settings or tokens is one. The tests of this
process are searched with the databases that `Databases.fresh` gives; a stage of fault tests searches its own logs,
tables, answers and metrics when it ends, and the test of `tradewind dev` what that answers: `search_hub` asks a hub
that runs as a process.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import prometheus_client
import pytest
import zstandard

from app.domain.connections import written

_ROW_ID = 16
"""Bytes of what a secret is sealed about, where that is a row that keeps secrets."""
_BY_DESIGN = re.compile(
    r"POST /v1/connections/[^/]+/sign"  # shows an admin the token that an unsigned sender's address holds
    r"|(POST|PUT) /v1/webhook-subscriptions(/[^/]+)?"  # shows once the secret that it made
)
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd")
_TABLES = """
select oid::regclass::text from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 0
"""


@dataclass
class Secrecy:
    """The secrets of the running test, and where any of them was found."""

    forms: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    """Where -> the secret that stood there."""

    def learn(self, kept: object) -> None:
        """Every text among the values of a JSON value is a secret."""
        if isinstance(kept, str) and kept not in self.forms:
            self.forms[kept] = tuple(_shortest(form.encode(errors="replace") for form in written(kept)))
        elif isinstance(kept, Mapping | list):
            for each in kept.values() if isinstance(kept, Mapping) else kept:
                self.learn(each)

    def search(self, where: str, text: bytes) -> None:
        for secret, forms in self.forms.items():
            if any(form in text for form in forms):
                self.found[where] = secret

    def end(self) -> dict[str, str]:
        """What was found in the test that ends; the next one begins with nothing."""
        found, self.found, self.forms = self.found, {}, {}
        return found


SECRECY = Secrecy()


def _shortest(forms: Iterable[bytes]) -> Iterator[bytes]:
    """Without those that hold another: where that is not, they are not."""
    kept: list[bytes] = []
    for form in sorted(forms, key=len):
        if not any(each in form for each in kept):
            kept.append(form)
            yield form


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A test that showed a secret fails at its end: what pytest captured of it is searched last. One that is marked
    `shows_secrets("where", ...)` fails unless it did, there."""
    report: pytest.TestReport = yield
    if call.when != "teardown" or not SECRECY.forms:
        return report
    for title, text in report.sections:
        SECRECY.search(title, text.encode(errors="replace"))
    SECRECY.search("the metrics", prometheus_client.generate_latest())
    found, wanted = SECRECY.end(), [place for mark in item.iter_markers("shows_secrets") for place in mark.args]
    wrong = [f"{place} holds the secret {secret!r}" for place, secret in found.items() if place not in wanted]
    wrong += [f"nothing was found in {place}" for place in wanted if place not in found]
    if wrong and report.passed:
        report.outcome, report.longrepr = "failed", "\n".join(wrong)
    return report


def listen(patch: pytest.MonkeyPatch) -> None:
    """Learn what is sealed from now on, and search what the API answers."""
    from app.crypto import KeyRing
    from app.main import App

    seal, answer = KeyRing.seal_json, App.__call__

    def sealing(ring: KeyRing, value: Mapping[str, object], about: bytes = b"") -> bytes:
        if len(about) == _ROW_ID:
            SECRECY.learn(value)
        return seal(ring, value, about)

    async def answering(app: App, scope: Any, receive: Any, send: Any) -> None:
        await answer(app, scope, receive, searched(scope, send) if scope["type"] == "http" else send)

    patch.setattr(KeyRing, "seal_json", sealing)
    patch.setattr(App, "__call__", answering)


def searched(scope: Any, send: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """`send`, with everything that goes through it searched; a secret may lie across two parts."""
    last = b""

    async def searching(message: Any) -> None:
        nonlocal last
        text = message.get("body", b"") or b"\n".join(b"%b: %b" % each for each in message.get("headers", ()))
        asked = f"{scope['method']} {scope['path']}"
        if SECRECY.forms and not _BY_DESIGN.fullmatch(asked):
            SECRECY.search(f"the answer to {asked}", last + text)
        last = text[-256:]
        await send(message)

    return searching


def search_hub(address: str, key: str) -> int:
    """Ask a hub for every page, list and metric that has an address of its own, and search what it answers; how many
    were answered. 0: it is not there."""
    answered = 0
    with httpx.Client(base_url=address, verify=False, timeout=20) as client, suppress(httpx.TransportError):
        for path in sorted(_addresses()):
            answer = client.get(path, headers={"authorization": f"Bearer {key}"})
            SECRECY.search(f"the answer to GET {path}", answer.content + str(answer.headers).encode())
            answered += answer.status_code == 200
    return answered


@cache
def _addresses() -> list[str]:
    description = orjson.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_bytes())
    return [path for path, item in description["paths"].items() if "get" in item and "{" not in path]


def search_tables(url: str) -> None:
    """Search every row of a database, what is packed unpacked."""
    if SECRECY.forms:
        asyncio.run(_search_tables(url))


async def _search_tables(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        names = [name for (name,) in await connection.fetch(_TABLES)]
        if _holds_one(await _rows(connection, names)):
            for name in names:
                whole = re.sub(r"_\d{8}$", "", name)  # and not the partition of a day
                SECRECY.search(f"the table {whole}", b"\n".join(await _rows(connection, [name])))
    finally:
        await connection.close()


def _holds_one(texts: list[bytes]) -> bool:
    return any(form in text for text in texts for forms in SECRECY.forms.values() for form in forms)


async def _rows(connection: Any, names: list[str]) -> list[bytes]:
    """Every row of the tables as bytes, in one statement, and what of it is packed."""
    if not names:
        return []
    rows = BytesIO()
    every = " union all ".join(f"select record_send(t) from {name} t" for name in names)
    await connection.copy_from_query(every, output=rows, format="binary")
    return list(_unpacked(rows.getvalue()))


def _unpacked(rows: bytes) -> Iterator[bytes]:
    yield rows
    for frame in _ZSTD.finditer(rows):
        try:
            yield zstandard.ZstdDecompressor().decompressobj().decompress(rows[frame.start() :])
        except zstandard.ZstdError:  # four bytes that only look like one
            continue

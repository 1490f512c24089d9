"""What normalising one order costs: microseconds of this process's CPU by step, and their sum.

`python -m bench.normalise [orders]`: an 8 KB Shopify order through the stage's own functions, each after the other as
the stage calls them; and through the whole stage against a real PostgreSQL (whose own CPU is not counted here, nor is
what matching makes of recipes). *Normalising* is the way from a stored body to canonical events.
"""

import gc
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import uvloop

from app.crypto import Hasher
from app.domain import customers, derived
from app.domain.connections import Connection
from app.domain.facts import fact_of
from app.embedded import Embedded
from app.ids import new_id
from app.pipeline.match import Matched
from app.pipeline.normalise import Normaliser
from app.pipeline.normalise.publish import _row
from app.pipeline.normalise.reading import Work, normalise, read
from app.pipeline.normalise.states import States
from app.registry import Registry
from app.store import webhooks
from app.store.database import Database
from app.store.migrating import migrate
from app.store.packing import pack
from app.store.webhooks import NewWebhook
from tests.support.orders import shopify_order

ROUNDS = 5


def bodies(first: int, count: int, size: int = 8000) -> list[bytes]:
    """Paid orders, each of another buyer, padded by a note to `size` bytes."""
    made = []
    for number in range(first, first + count):
        body = shopify_order(number, email=f"buyer{number}@example.com")
        body["note"] = "x" * max(0, size - len(orjson.dumps(body)) - 12)
        made.append(orjson.dumps(body))
    return made


def connection() -> Connection:
    connector = Registry()["shopify"]
    settings = connector.settings.model_validate({"shop": "bench", "webhook_secrets": ["bench"]})
    now = datetime.now(UTC)
    return Connection(new_id(), "main", "store", connector, "bench", "shop", settings, None, False, "bench", now)


def row(id_: Any, connection_id: Any, body: bytes) -> dict[str, Any]:
    headers = webhooks.pack_headers([("x-shopify-topic", "orders/paid"), ("content-type", "application/json")])
    return {"id": id_, "at": datetime.now(UTC), "workspace": "main", "connection_id": connection_id,
            "topic": "orders/paid", "headers": headers, "body": pack(body), "reads": None, "test": False}  # fmt: skip


def steps(count: int) -> dict[str, float]:
    """Microseconds of CPU of the pure steps of one order: the best of some rounds over many (what else runs on the
    machine only adds, by the caches that it takes)."""
    mine, hasher = connection(), Hasher(b"k" * 32)
    rows = [row(new_id(), mine.id, body) for body in bodies(1, count)]
    rounds = [_round(mine, hasher, rows) for _ in range(ROUNDS)]
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


NORMALISING = ("unpack, parse, clean", "connector and what follows")


def normalising(count: int = 1000) -> float:
    """Milliseconds of CPU from a stored 8 KB order to its event."""
    found = steps(count)
    return sum(found[name] for name in NORMALISING) / 1000


def _round(mine: Connection, hasher: Hasher, rows: list[dict[str, Any]]) -> dict[str, float]:
    states, matched, now = States(hasher), Matched(), time.process_time_ns
    spent = [0, 0, 0, 0]
    for each in rows:
        began, work = now(), Work(each, mine)
        read(work)
        parsed = now()
        normalise(work, states)
        told = now()
        fact = fact_of(hasher, mine, work.events[0], False, each["at"], None)
        _known(hasher, fact)
        known = now()
        _row(fact, matched)
        ended = now()
        for step, took in enumerate((parsed - began, told - parsed, known - told, ended - known)):
            spent[step] += took
    names = (*NORMALISING, "fact, keys, profile", "dump, pack, row")
    return dict(zip(names, (took / len(rows) / 1000 for took in spent), strict=True))


def _known(hasher: Hasher, fact: Any) -> None:
    from app.store.customers import CustomerRow

    told = customers._told(fact)
    customers._keys(hasher, told)
    customers._learn(CustomerRow(id=fact.id, workspace="main", new=True), told)
    derived.timer(hasher, fact)


async def whole(count: int) -> float:
    """Microseconds of CPU an order of the whole stage in batches, all statements included."""
    with tempfile.TemporaryDirectory(prefix="tw-bench-") as folder, Embedded(Path(folder)) as embedded:
        migrate(embedded.database_url)
        database = await Database(embedded.database_url).open()
        mine = connection()
        known, matcher, clock = Mock(), Mock(), Mock()
        known.get = lambda _: mine
        known.__iter__ = lambda _: iter([mine])
        clock.now = lambda: datetime.now(UTC)
        matcher.match, matcher.after_commit = _nothing_matched, _nothing_rung
        stage = Normaliser(database, known, clock, Hasher(b"k" * 32), matcher)
        rounds = []
        for turn in range(3):
            await _receive(database, mine, bodies(1 + count * turn, count))
            began = time.process_time()
            while await stage.drain():
                pass
            rounds.append((time.process_time() - began) / count * 1e6)
        await database.close()
        return statistics.median(rounds)


async def _nothing_matched(db: Any, facts: Any) -> Matched:
    return Matched(decisions={fact.id: {} for fact in facts})


async def _nothing_rung(matched: Matched) -> None:
    return None


async def _receive(database: Database, mine: Connection, each: list[bytes]) -> None:
    headers = webhooks.pack_headers([("x-shopify-topic", "orders/paid"), ("content-type", "application/json")])
    async with database.acquire() as db:
        for start in range(0, len(each), 200):
            news = [
                NewWebhook(new_id(), "main", mine.id, "orders/paid", headers, pack(body), len(body), None)
                for body in each[start : start + 200]
            ]
            await webhooks.store(db, news, flushed=True)


def main() -> None:
    gc.set_threshold(50_000, 20, 100)  # as the hub does
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    found = steps(count)
    for name, micros in found.items():
        print(f"{name:28} {micros:7.1f} us")
    print(f"{'normalising: body to event':28} {sum(found[name] for name in NORMALISING):7.1f} us")
    print(f"{'sum of the pure steps':28} {sum(found.values()):7.1f} us")
    print(f"{'the whole stage':28} {uvloop.run(whole(max(count, 400))):7.1f} us, PostgreSQL's own work apart")


if __name__ == "__main__":
    main()

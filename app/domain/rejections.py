"""The log of refused webhooks: counted, the body not kept, bounded in rate and in length."""

import asyncio
import time

from app.ids import new_id
from app.store import rejected
from app.store.database import AWAY, Database

A_SECOND = 20
"""Rows written in a second at most; the rest is only counted."""
KEPT = 10_000
"""Rows kept in all."""


class Rejections:
    """Notes refusals without making the sender wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._second = 0
        self._written = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, workspace: str, slug: str, status: int, reason: str, size: int) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= A_SECOND:
            return
        self._written += 1
        row = rejected.Rejected(new_id(), _plain(workspace), _plain(slug), status, _plain(reason), size)
        task = asyncio.create_task(self._write(row))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, row: rejected.Rejected) -> None:
        try:
            async with self._database.begin() as db:
                await rejected.insert_row(db, row)
                await rejected.trim(db, KEPT)
        except AWAY:
            pass


def _plain(text: str) -> str:
    return text.replace("\x00", "").encode(errors="replace").decode()[:200]

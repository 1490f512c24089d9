"""Shared commits: many calls ask for one write each, and one statement does them all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from app.store.database import AWAY

T = TypeVar("T")
R = TypeVar("R")


class Shared(Generic[T, R]):
    """Gathers items while up to `at_once` batches are being written. `write` answers one result per item, in order.

    Nobody waits for a timer. A batch that fails for one item's bytes is halved until that item stands alone; while
    the database is away, the error goes to everyone in the batch.
    """

    def __init__(self, write: Callable[[list[T]], Awaitable[list[R]]], *, most: int = 200, at_once: int = 1) -> None:
        self._write = write
        self._most = most
        self._at_once = at_once
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._writing = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, item: T) -> R:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._writing < self._at_once:
            self._writing += 1
            task = asyncio.create_task(self._write_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def settle(self) -> None:
        """Wait until nothing is being written."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write_all(self) -> None:
        """Counts itself out in the same step that finds nothing waiting: whoever asks next starts another."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._write_batch(batch)
        finally:
            self._writing -= 1

    async def _write_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except Exception as e:
            if len(batch) == 1 or isinstance(e, AWAY):
                _fail(batch, e)
            else:
                half = len(batch) // 2
                await self._write_batch(batch[:half])
                await self._write_batch(batch[half:])
        except BaseException as e:
            _fail(batch, e)
            raise
        else:
            for (_, done), result in zip(batch, results, strict=True):
                if not done.done():
                    done.set_result(result)


def _fail(batch: list[tuple[T, asyncio.Future[R]]], error: BaseException) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)

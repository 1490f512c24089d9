"""The floor: one durable PostgreSQL insert and one HTTP POST per order, and nothing else, on one core's event loop."""

import asyncio
import sys
import time

import aiohttp
import asyncpg
import uvloop

from bench.load import FIRST_ID, request, template

AT_ONCE = 50


async def main(url: str, sink_port: int, count: int) -> None:
    body = request(template(), 1).split(b"\r\n\r\n", 1)[1]
    pool = await asyncpg.create_pool(url, min_size=8, max_size=8)
    await pool.execute("create table if not exists floor (id bigint primary key, body bytea not null)")
    first = await pool.fetchval("select coalesce(max(id), 0) + 1 from floor")
    numbers = iter(range(first, first + count))
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            for number in numbers:
                await pool.execute("insert into floor values ($1, $2)", number, body)
                url = f"http://127.0.0.1:{sink_port}/floor/{FIRST_ID * 2 + number}"
                async with session.post(url, data=body[:300]) as answer:
                    await answer.read()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))
        sys.stdout.write(f"{count / (time.perf_counter() - began):.0f}")
    await pool.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""Questions wait for their turn, so that they hold up nothing else."""

import asyncio

import httpx

from app.main import QUESTIONS, App


async def test_so_many_questions_at_once_and_no_more_while_commands_pass() -> None:
    app, gone_on = App(), asyncio.Event()
    inside = most = 0

    @app.get("/v1/slow")
    async def slow() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await gone_on.wait()
        inside -= 1

    @app.post("/v1/change")
    async def change() -> None:
        return None

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        asked = [asyncio.create_task(client.get("/v1/slow")) for _ in range(3 * QUESTIONS)]
        async with asyncio.timeout(10):
            while inside < QUESTIONS:
                await asyncio.sleep(0)
            assert (await client.post("/v1/change")).status_code == 200
            gone_on.set()
            answers = await asyncio.gather(*asked)

    assert most == QUESTIONS
    assert {each.status_code for each in answers} == {200}

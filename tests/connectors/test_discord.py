"""Discord: what others wrote shows as it is."""

from collections.abc import AsyncIterator

import orjson
import pytest

from connectors.discord import PostMessage
from tests.connectors.conftest import REGISTRY, Bench, open_bench


@pytest.fixture
async def discord() -> AsyncIterator[Bench]:
    async for bench in open_bench(REGISTRY["discord"]):
        yield bench


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("*Ada* <@everyone>", r"\*Ada\* \<\@everyone\>"),
        ("see https://shop.example/a_b-c?x=_1 _now_", r"see https://shop.example/a_b-c?x=_1 \_now\_"),
        ("https://a.example)[pay](https://b.example)", r"https://a.example\)\[pay\]\(https://b.example\)"),
        ("*" * 2000, r"\*" * 1000),
    ],
    ids=["markup", "a link stays one", "no link under other words", "long"],
)
async def test_markup_of_others_is_escaped_and_their_links_are_not(discord: Bench, text: str, sent: str) -> None:
    await discord.ok("post_message", PostMessage(text=text))
    body = orjson.loads(discord.recorder.seen[-1][0].content)
    assert body["content"] == sent
    assert body["allowed_mentions"] == {"parse": []}

"""docs/sources/topics.md: for each topic, by the connectors' own fixtures, which events come of it with which object,
amount and currency. `python -m tests.unit.test_topics` writes it anew."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.events import EVENT_TYPES
from app.registry import Registry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/sources/topics.md"
SOURCES = ("shopify", "woocommerce", "stripe", "gumroad")
HEAD = """# What becomes what, topic by topic

Made from the connectors' own fixtures (`connectors/<name>/payloads`), each of which is a test; the names of the cases
are theirs. An object is (kind, sender's id). "-" says that the event states no amount. What follows from events
without a topic of its own (a guest's first order, stock that ran out, a late parcel) is in
[how a webhook travels](../how-a-webhook-travels.md).

A topic that a source knows and makes nothing of stands at the end of its table, with the reason.
"""


def topics(slug: str) -> Iterator[tuple[str, Path]]:
    """(topic, its folder of fixtures)."""
    source = Registry()[slug].source
    assert source is not None
    for topic in source.topics:
        folder = ROOT / "connectors" / slug / "payloads" / topic.replace("/", "-")
        yield topic, folder


def amount_of(type_: str, data: dict[str, Any]) -> str:
    """The amount that an event states, with its currency: an order's total, a refund's own, a payment's ..."""
    noun = data.get(EVENT_TYPES[type_].noun) or {}
    totals = noun.get("totals") or {}
    for money in (noun.get("amount"), noun.get("total"), totals.get("total"), noun.get("price")):
        if isinstance(money, dict) and "amount" in money:
            return f"{money['amount']} {money['currency']}"
    return "-"


def rows(slug: str, topic: str, folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.events.json")):
        case = path.name.removesuffix(".events.json")
        for event in json.loads(path.read_text()):
            if "type" not in event:
                continue
            kind, id_ = event["object"]
            amount = amount_of(event["type"], event["data"])
            yield f"| `{topic}` | {case} | `{event['type']}` | {kind} {id_} | {amount} |"


def page() -> str:
    parts = [HEAD]
    for slug in SOURCES:
        connector = Registry()[slug]
        assert connector.source is not None
        parts.append(f"## {connector.title}\n")
        parts.append("| topic | case | event | object | amount |\n|---|---|---|---|---|")
        for topic, folder in topics(slug):
            parts.extend(rows(slug, topic, folder))
        if connector.source.ignored:
            parts.append("\nKnown and ignored:\n")
            parts.extend(f"* `{topic}`: {reason}" for topic, reason in sorted(connector.source.ignored.items()))
        parts.append("")
    return "\n".join(parts)


def test_the_table_of_topics_is_what_the_fixtures_say() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.unit.test_topics`"


def test_every_topic_that_becomes_events_has_a_row() -> None:
    text = page()
    missing = [f"{slug} {topic}" for slug in SOURCES for topic, _ in topics(slug) if f"| `{topic}` |" not in text]
    assert not missing


if __name__ == "__main__":
    PAGE.write_text(page())

"""A history may come shuffled, late and twice: the same milestones, identities and effects come of it."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.events import event_type
from app.registry import Registry
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

START = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
RECIPES = {
    "order.created": "created-orders",
    "order.paid": "paid-orders",
    "order.fulfilled": "fulfilled-orders",
    "refund.created": "refunds",
    "payment.succeeded": "payments",
    "dispute.opened": "disputes",
}
SHUFFLES = 12
Message = tuple[str, str, dict[str, Any]]
"""(connection, topic, body)."""


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path, testconnector.connector) as hub:
        hub.hub.bells.lane = lambda connection_id: None  # calls are made, and wait
        registry, hush = Registry(), ["hush-hush"]
        await hub.connect(
            "shopify", registry["shopify"], {"shop": "demo.myshopify.com", "webhook_secrets": hush}, role="shop"
        )
        await hub.connect("woo", registry["woocommerce"], {"site": "https://w.example", "webhook_secrets": hush})
        await hub.connect("stripe", registry["stripe"], {"account": "acct_1", "webhook_secrets": ["whsec_1"]})
        await hub.connect("sink", testconnector.connector, {}, base_url="http://127.0.0.1:9")
        for type_, name in RECIPES.items():
            step = 'use: testbench.put_upsert\n    with: {id: "{{ event.id }}", note: said}'
            await hub.recipe(name, f"title: Answer {type_}\non: {type_}\nsteps:\n  - {step}\n")
        yield hub


def at(minutes: int) -> str:
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def shopify_history(n: int) -> list[Message]:
    def order(minute: int, **more: Any) -> dict[str, Any]:
        buyer = {"id": 9_000_000 + n, "email": f"s{n}@example.com"}
        return shopify_order(
            n, email=f"s{n}@example.com", customer=buyer, created_at=at(0), updated_at=at(minute), **more
        )

    id_ = order(0)["id"]
    refund = {"id": n * 10 + 1, "order_id": id_, "created_at": at(5), "refund_line_items": [], "order_adjustments": [],
              "transactions": [{"id": n * 10 + 2, "kind": "refund", "status": "success", "amount": "5.00",
                                "currency": "EUR"}]}  # fmt: skip
    second = refund | {"id": n * 10 + 3, "created_at": at(6)}
    parcel = {"id": n * 10 + 4, "order_id": id_, "status": "success", "created_at": at(4), "updated_at": at(4),
              "line_items": [], "tracking_numbers": ["T1"]}  # fmt: skip
    return [
        ("shopify", "orders/create", order(0, financial_status="pending")),
        ("shopify", "orders/updated", order(1, financial_status="pending")),
        ("shopify", "orders/paid", order(2)),
        ("shopify", "orders/updated", order(3, note="ring twice")),
        ("shopify", "fulfillments/create", parcel),
        ("shopify", "orders/fulfilled", order(4, fulfillment_status="fulfilled", note="ring twice")),
        ("shopify", "refunds/create", refund),
        ("shopify", "refunds/create", second),
    ]


def woo_history(n: int) -> list[Message]:
    def order(minute: int, status: str, **more: Any) -> dict[str, Any]:
        return {"id": n, "number": str(n), "status": status, "currency": "EUR", "total": "20.00", "total_tax": "0.00",
                "shipping_total": "0.00", "discount_total": "0.00", "date_created_gmt": at(0)[:-1],
                "date_modified_gmt": at(minute)[:-1], "billing": {"email": f"w{n}@example.com"},
                "line_items": [{"id": 1, "name": "Mug", "quantity": 2, "total": "20.00", "subtotal": "20.00",
                                "taxes": []}], **more}  # fmt: skip

    paid = {"date_paid_gmt": at(1)[:-1]}
    done = paid | {"date_completed_gmt": at(2)[:-1]}
    refunds = [{"id": n * 10, "reason": "", "total": "-5.00"}]
    return [
        ("woo", "order.created", order(0, "pending")),
        ("woo", "order.updated", order(1, "processing", **paid)),
        ("woo", "order.updated", order(2, "completed", **done)),
        ("woo", "order.updated", order(3, "completed", **done, refunds=refunds)),
    ]


def stripe_history(n: int) -> list[Message]:
    created = int(START.timestamp())

    def event(topic: str, minute: int, said: dict[str, Any]) -> Message:
        body = {"id": f"evt_{n}_{topic}_{minute}", "object": "event", "type": topic, "created": created + 60 * minute,
                "livemode": True, "api_version": "2025-09-30.clover", "data": {"object": said}}  # fmt: skip
        return "stripe", topic, body

    common = {"currency": "eur", "created": created, "livemode": True, "metadata": {}}
    intent = {"id": f"pi_{n}", "object": "payment_intent", "status": "succeeded", "amount": 2000,
              "amount_received": 2000, "capture_method": "automatic", "latest_charge": f"ch_{n}", **common}  # fmt: skip
    charge = {"id": f"ch_{n}", "object": "charge", "payment_intent": f"pi_{n}", "captured": True, "paid": True,
              "amount": 2000, "status": "succeeded", "amount_captured": 2000, "amount_refunded": 0,
              **common}  # fmt: skip
    refund = {"id": f"re_{n}", "object": "refund", "amount": 500, "charge": f"ch_{n}", "payment_intent": f"pi_{n}",
              "status": "succeeded", **common}  # fmt: skip
    dispute = {"id": f"dp_{n}", "object": "dispute", "amount": 2000, "charge": f"ch_{n}", "status": "needs_response",
               "payment_intent": f"pi_{n}", "reason": "fraudulent", **common}  # fmt: skip
    return [
        event("charge.succeeded", 0, charge),
        event("payment_intent.succeeded", 0, intent),
        event("refund.created", 2, refund),
        event("charge.dispute.created", 3, dispute),
        event("charge.dispute.closed", 9, dispute | {"status": "lost"}),
    ]


HISTORIES = {"shopify": shopify_history, "woo": woo_history, "stripe": stripe_history}


def shuffled(messages: list[Message], random: Random) -> list[Message]:
    """In any order, some twice."""
    again = random.sample(messages, random.randint(0, len(messages)))
    told = [*messages, *again]
    random.shuffle(told)
    return told


async def tell(hub: Harness, messages: list[Message], random: Random) -> None:
    """Send, normalising now and then, so that batches are of any size. Every message is a delivery of its own."""
    for slug, topic, body in messages:
        key = f"{random.getrandbits(60)}"
        if slug == "stripe":
            body = body | {"id": f"evt_{key}"}
        headers = {"x-shopify-webhook-id": key, "x-wc-webhook-delivery-id": key}
        answer = await hub.send(slug, topic, body, headers=headers)
        assert answer.status_code == 200, answer.text
        if random.random() < 0.5:
            await drain(hub)
    await drain(hub)


async def drain(hub: Harness) -> None:
    while await hub.normaliser.drain():
        pass


DATA = (
    "webhook delivery event event_identity object_state timer customer customer_key customer_order order_link run once"
)
DATA += " step waiter heard remembered call attempt effect"


async def forget(hub: Harness) -> None:
    """As if nothing had come in yet: the same history is told anew to the same connections and recipes."""
    await hub.rows(f"truncate {', '.join(DATA.split())}")


@dataclass(frozen=True)
class Outcome:
    """What came of a history: the timelines of its orders, each sorted by the sender's time; milestones by what makes
    them one; calls by their effect keys; the newest versions, and what the customer is worth."""

    timelines: dict[str, list[tuple[str, str, str, str | None]]]
    milestones: Counter[tuple[str, str, str]]
    effects: Counter[bytes]
    newest: set[tuple[str, str, str | None]]
    customers: list[tuple[int, str]]


async def outcome(hub: Harness) -> Outcome:
    rows = await hub.rows("select * from event order by occurred_at, type, object_id, version")
    orders: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        if row["subject_kind"] == "order":
            version = None if event_type(row["type"]).milestone else row["version"]  # of whatever body proved it first
            orders[row["subject_id"]].append((row["occurred_at"].isoformat(), row["type"], row["object_id"], version))
    once = [row for row in rows if event_type(row["type"]).milestone and row["subject_kind"] == "order"]
    states = await hub.rows("select kind, object_id, version from object_state")
    people = await hub.rows("select orders, lifetime from customer where merged_into is null")
    return Outcome(
        dict(orders),
        Counter((row["type"], row["object_kind"], row["object_id"]) for row in once),
        Counter(row["effect_key"] for row in await hub.rows("select effect_key from call")),
        {(row["kind"], row["object_id"], row["version"]) for row in states},
        [(row["orders"], str(row["lifetime"])) for row in people],
    )


@pytest.mark.parametrize("sender", HISTORIES)
async def test_any_order_of_arrival_comes_to_the_same_timeline_milestones_and_calls(hub: Harness, sender: str) -> None:
    """The same history in order, then shuffled, delayed and doubled: nothing of the three differs."""
    history, random = HISTORIES[sender](7_100_000), Random(sender)
    await tell(hub, history, random)
    expected = await outcome(hub)
    assert len(expected.milestones) >= 3
    assert set(expected.milestones.values()) == set(expected.effects.values()) == {1}
    assert sum(map(len, expected.timelines.values())) >= len(history) - 1
    for _ in range(SHUFFLES):
        await forget(hub)
        await tell(hub, shuffled(history, random), random)
        assert await outcome(hub) == expected


async def test_a_late_update_stands_on_the_timeline_and_runs_nothing(hub: Harness) -> None:
    await hub.recipe("updates", "title: Updates\non: order.updated\nsteps:\n  - stop: true\n")
    first, second = (each for each in shopify_history(7_200_000) if each[1] == "orders/updated")
    for delivery, message in enumerate((second, first)):
        await tell(hub, [message], Random(delivery))
    late, told_ = await hub.rows("select * from event where type = 'order.updated' order by occurred_at")
    assert (late["historical"], told_["historical"]) == (True, False)
    assert "stale" in late["note"]
    assert await hub.one("select count(*) from run where recipe = 'updates'") == 1
    assert await hub.one("select event_id from run where recipe = 'updates'") == told_["id"]
    (row,) = await hub.rows("select * from webhook where reason is not null")
    assert (row["state"], row["events"]) == ("normalised", 1)

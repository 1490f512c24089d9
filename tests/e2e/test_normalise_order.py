"""A history may come shuffled, late and twice: the same milestones, identities and effects come of it."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

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


async def told(hub: Harness, slug: str) -> tuple[Any, Any, Any]:
    """(milestones and what repeats but for updates, the newest version of each object, effects), of one connection."""
    connection = hub.hub.connections.find("main", slug)
    assert connection is not None
    rows = await hub.rows("select * from event where connection_id = $1", connection.id)
    facts = Counter(
        (row["type"], row["object_kind"], row["object_id"], row["subject_id"])
        for row in rows
        if not row["type"].endswith((".updated", ".changed"))
    )
    states = await hub.rows("select * from object_state where connection_id = $1", connection.id)
    newest = {(row["kind"], row["object_id"], row["version"]) for row in states}
    effects = await hub.rows("select c.recipe, r.once_value, c.effect_key from call c join run r on r.id = c.run_id")
    return facts, newest, Counter((row["recipe"], row["once_value"], row["effect_key"]) for row in effects)


def of(number: int, said: Any) -> set[str]:
    """What was said of one history, in words without its number."""
    return {str(each).replace(str(number), "N") for each in said if str(number) in str(each)}


@pytest.mark.parametrize("sender", HISTORIES)
async def test_any_order_of_arrival_comes_to_the_same_milestones_and_effects(hub: Harness, sender: str) -> None:
    history, random = HISTORIES[sender], Random(sender)
    numbers = [7_100_000 + 1_000 * each for each in range(SHUFFLES + 1)]
    for place, number in enumerate(numbers):
        messages = history(number)
        await tell(hub, shuffled(messages, random) if place else messages, random)
    facts, newest, effects = await told(hub, sender)
    expected = of(numbers[0], facts)
    assert len(expected) >= 3
    for number in numbers[1:]:
        assert of(number, facts) == expected
        assert of(number, newest) == of(numbers[0], newest)
        assert of(number, [each[:2] for each in effects]) == of(numbers[0], [each[:2] for each in effects])
    assert set(facts.values()) == {1}
    assert set(effects.values()) == {1}, "an effect was wanted twice"
    assert len({key for _, _, key in effects}) == len(effects)
    if sender != "stripe":
        orders = await hub.rows("select orders, lifetime from customer where merged_into is null")
        assert {(row["orders"], str(row["lifetime"])) for row in orders} == {(1, str(orders[0]["lifetime"]))}

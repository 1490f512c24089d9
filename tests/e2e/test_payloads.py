"""Every body of ../shared/payloads, freshly signed, through the real endpoint of its sender: nothing is an error, and
each ends as events, ignored, unknown or malformed, with a reason wherever no event came of it."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest

from app.registry import Registry
from app.store.packing import unpack
from tests.support.harness import Harness, running

SHARED = Path(__file__).parents[3] / "shared/payloads"
NO_BODIES = ("_objects", "_data_only", "_headers", "_vectors", "_api", "ping")

NAMED = {
    "shopify": """
        orders/create orders/updated orders/paid orders/partially_fulfilled orders/fulfilled orders/cancelled
        orders/edited orders/delete orders/risk_assessment_changed refunds/create order_transactions/create
        fulfillments/create fulfillments/update fulfillment_events/create fulfillment_events/delete
        fulfillment_orders/placed_on_hold fulfillment_orders/hold_released returns/request returns/approve
        returns/decline returns/cancel returns/close returns/reopen returns/update returns/process
        checkouts/create checkouts/update checkouts/delete customers/create customers/update customers/delete
        customers/enable customers/disable customer.tags_added customer.tags_removed products/create
        products/update products/delete inventory_levels/update inventory_levels/connect
        inventory_levels/disconnect disputes/create disputes/update app/uninstalled customers/data_request
        customers/redact shop/redact
    """,
    "woocommerce": """
        order.created order.updated order.deleted order.restored product.created product.updated
        product.deleted product.restored customer.created customer.updated customer.deleted
        subscription.created subscription.updated subscription.deleted
    """,
    "stripe": """
        checkout.session.completed checkout.session.async_payment_succeeded
        checkout.session.async_payment_failed checkout.session.expired payment_intent.succeeded
        payment_intent.payment_failed payment_intent.canceled payment_intent.amount_capturable_updated
        charge.succeeded charge.failed charge.captured charge.refunded charge.refund.updated refund.created
        refund.updated refund.failed charge.dispute.created charge.dispute.updated charge.dispute.closed
        invoice.created invoice.paid invoice.payment_failed customer.subscription.created
        customer.subscription.updated customer.subscription.deleted customer.created customer.updated
        customer.deleted product.created product.updated product.deleted price.updated price.deleted
        payout.paid payout.failed
    """,
    "gumroad": """
        sale refund dispute dispute_won cancellation subscription_updated subscription_ended
        subscription_restarted
    """,
}
"""The topics that must become events."""


@dataclass(frozen=True)
class Sent:
    """One file as it is sent."""

    sender: str
    slug: str
    topic: str
    body: bytes
    path: str


def bodies() -> Iterator[Sent]:
    seen: Counter[str] = Counter()
    for path in sorted(SHARED.glob("*/**/*")):
        sender, folder = path.relative_to(SHARED).parts[:2]
        if path.is_file() and sender in NAMED and folder not in NO_BODIES:
            raw = path.read_bytes()
            if path.stem.endswith("-with-headers"):
                raw = orjson.dumps(orjson.loads(raw)["body"])
            topic = folder.replace("-", "/", 1) if sender == "shopify" else folder
            slug = seller(raw) if sender == "gumroad" else sender
            if sender == "stripe":
                slug = account(raw, seen)
            yield Sent(sender, slug, topic, raw, f"{sender}/{folder}/{path.name}")


def account(raw: bytes, seen: Counter[str]) -> str:
    """The slug of the first account that did not send an event of this id yet (files share made-up ids)."""
    event = str(orjson.loads(raw).get("id"))
    seen[event] += 1
    return f"stripe-{seen[event]}"


def seller(form: bytes) -> str:
    """The slug of the connection for the seller that a ping names."""
    return "gumroad-" + parse_qs(form.decode()).get("seller_id", ["nobody"])[0].lower().strip("=")[:20]


@pytest.fixture
def files() -> list[Sent]:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            raise RuntimeError("../shared/payloads is required in CI")
        pytest.skip("../shared/payloads is not here")
    return list(bodies())


async def connect(hub: Harness, files: list[Sent]) -> None:
    secret = ["payload-secret"]
    settings: dict[str, dict[str, Any]] = {
        "shopify": {"shop": "payloads.myshopify.com", "webhook_secrets": secret, "currency": "USD"},
        "woocommerce": {"site": "https://payloads.example", "webhook_secrets": secret, "currency": "USD"},
    }
    registry = Registry()
    for slug, each in settings.items():
        await hub.connect(slug, registry[slug], each)
    for slug in sorted({file.slug for file in files if file.sender == "stripe"}):
        each = {"account": f"acct_{slug[7:]}", "webhook_secrets": ["whsec_payloads"]}
        await hub.connect(slug, registry["stripe"], each)
    for slug, form in {file.slug: file.body for file in files if file.sender == "gumroad"}.items():
        named = parse_qs(form.decode()).get("seller_id", ["nobody"])[0]
        await hub.connect(slug, registry["gumroad"], {"seller_id": named, "tokens": ["a-long-enough-token"]})


async def test_every_known_body_ends_with_events_or_a_reason(
    files: list[Sent], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running(database_url, redis_url, tmp_path) as hub:
        await connect(hub, files)
        for number, file in enumerate(files):
            key = {"x-shopify-webhook-id": f"file-{number}", "x-wc-webhook-delivery-id": f"file-{number}"}
            answer = await hub.send(file.slug, file.topic, file.body, headers=key)
            assert answer.status_code == 200, f"{file.path}: {answer.status_code} {answer.text}"
        await hub.settle(60)
        rows = await hub.rows("select topic, body, state, reason, events, connection_id from webhook")
        slugs = {connection.id: connection.slug for connection in hub.hub.connections}
        ended = {(slugs[row["connection_id"]], row["topic"], unpack(row["body"])): row for row in rows}
        problems = [text for file in files if (text := problem(file, ended))]
        assert not problems, "\n".join(problems)
        assert len(rows) == len(files)


def problem(file: Sent, ended: dict[Any, Any]) -> str | None:
    row = ended.get((file.slug, file.topic, file.body))
    if row is None:
        return f"{file.path} was dropped"
    if not row["events"] and not row["reason"]:
        return f"{file.path} ended {row['state']} without a reason"
    if named(file) and row["state"] != "normalised" and not excused(file, row["reason"]):
        return f"{file.path} ended {row['state']}: {row['reason']}"
    if row["state"] in ("due", "reading"):
        return f"{file.path} never ended"
    return None


def named(file: Sent) -> bool:
    return file.topic in NAMED[file.sender].split()


def excused(file: Sent, reason: str) -> bool:
    """Bodies in which somebody wrote "example string" over all values are no facts; nor are those that say that the
    sender itself failed."""
    return b'"example string"' in file.body or "reports a problem" in reason

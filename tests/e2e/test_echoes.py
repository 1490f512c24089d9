"""What a recipe changes at a shop comes back as a webhook: the event is marked, and a recipe may leave it out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from app.sandbox import make_app
from connectors.shopify.sample import order
from connectors.shopify.sample_later import changed, stock
from tests.support.harness import Harness, running
from tests.support.serving import serving

TAG = """
title: Tag
on: order.paid
steps:
  - use: store.tag_order
    with: {order_id: "{{ order.id }}", tags: [invoiced]}
"""
EVERY_CHANGE = """
title: Every change
on: order.updated
steps: [{emit: seen.it}]
"""
CHANGES_OF_OTHERS = """
title: Changes of others
on: order.updated
where: not event.echo
steps: [{emit: seen.other}]
"""
STOCK = """
title: Count
on: order.paid
steps:
  - use: store.set_stock
    with: {sku: "{{ order.line_items[0].sku }}", location_id: "7100042001", quantity: 3}
"""
PRODUCT = """
title: Offer
on: order.paid
steps:
  - use: shopify.upsert_product
    with: {handle: "gift-{{ order.id }}", title: Gift, variants: [{sku: "GIFT-{{ order.id }}"}]}
"""
KEY = {"authorization": "Bearer test-admin-key-of-good-length"}


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path) as hub, serving(make_app(hub.hub.registry)) as outside:
        shopify = hub.hub.registry["shopify"]
        assert shopify.sandbox is not None
        await hub.connect("store", shopify, shopify.sandbox().settings, role="shop", base_url=f"{outside}/shopify")
        for name, source in (("tag", TAG), ("every-change", EVERY_CHANGE), ("others", CHANGES_OF_OTHERS)):
            await hub.recipe(name, source)
        yield hub


async def test_an_echo_is_marked_and_a_recipe_can_leave_it_out(hub: Harness) -> None:
    now = datetime.now(UTC)
    mine, theirs = (order(number, at=now, rng=Random(number), paid=True) for number in (1001, 1002))
    await hub.send("store", "orders/paid", mine)
    await hub.settle()
    for body in (mine, theirs):
        later = datetime.now(UTC) + timedelta(seconds=2)
        await hub.send("store", "orders/updated", changed(body, later, tags="invoiced"))
        await hub.settle()
    events = (await hub.client.get("/v1/events?type=order.updated", headers=KEY)).json()["items"]
    assert {event["subject"]["id"]: event["echo"] for event in events} == {
        str(mine["id"]): "shopify.tag_order",
        str(theirs["id"]): None,
    }
    runs = [row["recipe"] for row in await hub.rows("select recipe from run where recipe <> 'tag' order by id")]
    assert sorted(runs) == ["every-change", "every-change", "others"]


async def test_what_comes_late_or_of_another_kind_is_no_echo(hub: Harness) -> None:
    body = order(1001, at=datetime.now(UTC), rng=Random(1001), paid=True)
    await hub.send("store", "orders/paid", body)
    await hub.settle()
    await hub.send(
        "store", "orders/cancelled", {**body, "cancelled_at": body["created_at"], "cancel_reason": "customer"}
    )
    await hub.rows("update echo set at = at - interval '6 minutes'")
    await hub.send("store", "orders/updated", changed(body, datetime.now(UTC), tags="invoiced"))
    await hub.settle()
    marks = await hub.rows("select type, echo from event where type in ('order.updated', 'order.cancelled')")
    assert {(row["type"], row["echo"]) for row in marks} == {("order.updated", None), ("order.cancelled", None)}


async def test_stock_that_is_set_by_its_sku_is_an_echo_too(hub: Harness) -> None:
    await hub.recipe("count", STOCK)
    now = datetime.now(UTC)
    body = order(1001, at=now, rng=Random(1001), paid=True)
    sku = body["line_items"][0]["sku"]
    await hub.send("store", "inventory_levels/update", stock(sku, 0, now - timedelta(minutes=1)))
    await hub.settle()
    await hub.send("store", "orders/paid", body)
    await hub.settle()
    assert await hub.one("select state from call where recipe = 'count'") == "done"
    await hub.send("store", "inventory_levels/update", stock(sku, 3, datetime.now(UTC)))
    await hub.settle()
    marks = await hub.rows("select type, echo from event where type like 'inventory.%' order by id")
    assert [(row["type"], row["echo"]) for row in marks] == [
        ("inventory.changed", None),
        ("inventory.changed", "shopify.set_inventory"),
        ("inventory.back_in_stock", "shopify.set_inventory"),
    ]


async def test_a_product_that_a_call_made_is_an_echo_though_only_its_answer_told_the_id(hub: Harness) -> None:
    await hub.recipe("offer", PRODUCT)
    now = datetime.now(UTC)
    body = order(1001, at=now, rng=Random(1001), paid=True)
    await hub.send("store", "orders/paid", body)
    await hub.settle()
    made = await hub.one("select output from call where recipe = 'offer'")
    at = datetime.now(UTC).isoformat()
    for number in (int(made["id"]), 77):
        product = {"id": number, "title": "Gift", "handle": made["handle"], "created_at": at, "updated_at": at}
        await hub.send("store", "products/create", {**product, "status": "active", "variants": []})
    await hub.settle()
    marks = await hub.rows("select object_id, echo from event where type = 'product.created'")
    assert {(row["object_id"], row["echo"]) for row in marks} == {
        (made["id"], "shopify.upsert_product"),
        ("77", None),
    }

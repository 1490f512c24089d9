"""Calls to Shopify: what is sent fits Shopify's own schema and acts once; errors end in the right class."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import parse, validate
from pydantic import BaseModel, ValidationError

from app.connector import EffectKey, Pause, Reply
from app.errors import PermanentError, RetryableError, UnsureError
from app.events import Money
from app.pipeline.deliver.attempt import Attempt
from connectors.shopify import connector, documents
from connectors.shopify.actions import (
    AddNote,
    CancelOrder,
    CreateFulfillment,
    HoldOrder,
    OfOrder,
    ParcelLine,
    ReleaseOrder,
    TagOrder,
)
from connectors.shopify.actions_shop import (
    TOPICS,
    AdjustStock,
    CreateDiscountCode,
    MetafieldOf,
    RegisterWebhooks,
    SetMetafields,
    SetStock,
    UpsertProduct,
    VariantOf,
    in_graphql,
)
from connectors.shopify.graphql import RefusedError, gid, idempotency_key, learn, plain_id, problem
from connectors.shopify.sandbox import BUCKET, sandbox
from tests.connectors.conftest import Bench, due_call, open_bench
from tests.support.contracts import GraphQl, description

HERE = Path(__file__).parents[2]
ORDER = "5600001067975"
OTHER = b"another key here"


@pytest.fixture
async def shop() -> AsyncIterator[Bench]:
    async for bench in open_bench(connector):
        yield bench


async def order_state(shop: Bench) -> Any:
    return (await shop.state())["orders"][gid("Order", ORDER)]


# --- documents --------------------------------------------------------------------------------------------------

MADE = {
    "hold": documents.hold(2),
    "release": documents.release(2),
    "fulfill": documents.fulfill(2),
    "subscribe": documents.subscribe([in_graphql(topic) for topic in TOPICS]),
}


@pytest.mark.parametrize("name", [*documents.FIXED, *MADE])
def test_every_document_is_valid_by_shopifys_own_schema(name: str) -> None:
    shopify = description("shopify")
    if shopify is None:
        pytest.skip("the vendor's description does not lie beside the checkout")
    assert isinstance(shopify, GraphQl)
    assert validate(shopify.schema, parse((documents.FIXED | MADE)[name])) == []


# --- orders -----------------------------------------------------------------------------------------------------


async def test_tags_gather_and_go(shop: Bench) -> None:
    await shop.ok("tag_order", TagOrder(order_id=ORDER, tags=["vip", "invoiced"]))
    assert (await shop.ok("tag_order", TagOrder(order_id=ORDER, tags=["vip"]))).tags == ["invoiced", "vip"]
    assert (await shop.ok("untag_order", TagOrder(order_id=ORDER, tags=["vip"]))).tags == ["invoiced"]


@pytest.mark.parametrize("tags", [[], [""], ["a,b"]])
def test_tags_that_shopify_would_split_are_refused(tags: list[str]) -> None:
    with pytest.raises(ValidationError):
        TagOrder(order_id=ORDER, tags=tags)


async def test_a_note_is_added_to_what_the_staff_wrote_and_only_once(shop: Bench) -> None:
    await shop.ok("add_note", AddNote(order_id=ORDER, note="Fragile"))
    await shop.ok("add_note", AddNote(order_id=ORDER, note="Invoice 7"), key=OTHER)
    again = await shop.ok("add_note", AddNote(order_id=ORDER, note="Invoice 7"), key=OTHER)
    assert again.note == "Fragile\nInvoice 7"


async def test_a_release_takes_our_hold_and_leaves_those_of_others(shop: Bench) -> None:
    await shop.ok("hold_order", HoldOrder(order_id=ORDER, reason="incorrect address", note="Asked"))
    await shop.ok("hold_order", HoldOrder(order_id=ORDER, reason="Looks odd", handle="review"), key=OTHER)
    held = (await order_state(shop))["holds"]
    assert [(each["reason"], each["reasonNotes"]) for each in held] == [
        ("INCORRECT_ADDRESS", "Asked"),
        ("OTHER", "Looks odd"),
    ]
    await shop.ok("release_order", ReleaseOrder(order_id=ORDER))
    assert [each["handle"] for each in (await order_state(shop))["holds"]] == ["review"]


async def test_holding_twice_is_holding_once(shop: Bench) -> None:
    await shop.ok("hold_order", HoldOrder(order_id=ORDER))
    await shop.ok("hold_order", HoldOrder(order_id=ORDER), key=OTHER)
    assert len((await order_state(shop))["holds"]) == 1


async def test_an_order_cancelled_already_is_refused_with_shopifys_words(shop: Bench) -> None:
    cancel = CancelOrder(order_id=ORDER, refund=False, restock=True, reason="customer", note="Called us")
    await shop.ok("cancel_order", cancel)
    failed = await shop.failed("cancel_order", cancel, key=OTHER)
    assert failed.kind == "permanent"
    assert "already been cancelled" in failed.error


async def test_after_a_lost_answer_the_cancelled_order_is_found(shop: Bench) -> None:
    cancel = CancelOrder(order_id=ORDER, refund=True, restock=True)
    await shop.ok("cancel_order", cancel)
    found = await shop.perform("cancel_order", cancel, if_found=True)
    assert getattr(found, "found", False) is True


async def test_a_part_of_an_order_is_sent_then_the_rest_then_nothing_is_left(shop: Bench) -> None:
    part = [ParcelLine(line_item_id=str(int(ORDER) * 2), quantity=1)]
    some = await shop.ok("create_fulfillment", CreateFulfillment(order_id=ORDER, tracking_number="A1", lines=part))
    rest = await shop.ok("create_fulfillment", CreateFulfillment(order_id=ORDER, tracking_number="A2"), key=OTHER)
    assert len({*some.ids, *rest.ids}) == 2
    none = await shop.failed(
        "create_fulfillment", CreateFulfillment(order_id=ORDER, tracking_number="A3"), key=b"3" * 16
    )
    assert (none.kind, none.error) == ("permanent", "nothing of the order is left to send")


async def test_an_unknown_order_is_refused_for_good(shop: Bench) -> None:
    for action, given in (
        ("tag_order", TagOrder(order_id="1404", tags=["a"])),
        ("add_note", AddNote(order_id="1404", note="a")),
        ("hold_order", HoldOrder(order_id="1404")),
        ("archive_order", OfOrder(order_id="1404")),
    ):
        assert (await shop.failed(action, given)).kind == "permanent"


# --- the shop ---------------------------------------------------------------------------------------------------


async def test_a_code_of_somebody_else_is_not_taken_for_ours(shop: Bench) -> None:
    wanted = CreateDiscountCode(code="WELCOME", percent="12.5", minimum_amount=Money(amount=50, currency="USD"))
    await shop.ok("create_discount_code", wanted)
    assert getattr(await shop.perform("create_discount_code", wanted, if_found=True), "found", False) is True
    failed = await shop.perform("create_discount_code", wanted, if_found=True, key=OTHER)
    assert getattr(failed, "kind", None) == "permanent"


async def test_a_code_is_made_of_the_key_and_ends_in_time(shop: Bench) -> None:
    wanted = CreateDiscountCode(prefix="BACK-", amount=Money(amount="5.00", currency="USD"), valid_days=7)
    made = await shop.ok("create_discount_code", wanted)
    assert made.code == "BACK-00010203"
    kept = (await shop.state())["discounts"]["back-00010203"]["codeDiscount"]
    assert kept["endsAt"] == "2026-11-27T12:00:00Z"
    assert kept["customerGets"]["value"]["discountAmount"]["amount"] == "5.00"


@pytest.mark.parametrize(
    "given", [{}, {"percent": "10", "amount": {"amount": "1", "currency": "USD"}}, {"percent": "0"}]
)
def test_a_code_takes_off_either_a_share_or_an_amount(given: Any) -> None:
    with pytest.raises(ValidationError):
        CreateDiscountCode.model_validate(given)


async def test_an_adjustment_under_one_key_moves_stock_once(shop: Bench) -> None:
    down = AdjustStock(variant_id="44100000000000", location_id="7100042001", delta=-2)
    first = await shop.ok("adjust_inventory", down)
    assert await shop.ok("adjust_inventory", down) == first
    await shop.ok("adjust_inventory", down, key=OTHER)
    assert (await shop.state())["inventory"] == {"46200000000000:7100042001": -4}


async def test_one_key_for_another_amount_is_refused(shop: Bench) -> None:
    place = {"inventory_item_id": "46200000000000", "location_id": "7100042001"}
    await shop.ok("adjust_inventory", AdjustStock(**place, delta=-2))
    assert (await shop.failed("adjust_inventory", AdjustStock(**place, delta=-3))).kind == "permanent"


async def test_stock_that_changed_meanwhile_is_not_overwritten_if_so_wished(shop: Bench) -> None:
    place = {"inventory_item_id": "46200000000000"}
    await shop.ok("set_inventory", SetStock(**place, quantity=5))
    failed = await shop.failed("set_inventory", SetStock(**place, quantity=9, expected=4), key=OTHER)
    assert "CHANGE_FROM_QUANTITY_STALE" in failed.error
    await shop.ok("set_inventory", SetStock(**place, quantity=9, expected=5), key=b"3" * 16)


async def test_stock_finds_its_item_by_sku_variant_or_only_variant(shop: Bench) -> None:
    mug = UpsertProduct(handle="mug", title="Mug", variants=[VariantOf(sku="MUG", price="18.00")])
    made = await shop.ok("upsert_product", mug)
    ways: list[dict[str, Any]] = [{"sku": "MUG"}, {"variant_id": made.variants["MUG"]}, {"product_id": made.id}]
    items = {
        (await shop.ok("set_inventory", SetStock(**way, quantity=n), key=bytes([n]) * 16)).inventory_item_id
        for n, way in enumerate(ways, 1)
    }
    assert len(items) == 1
    assert (await shop.failed("set_inventory", SetStock(sku="NONE", quantity=1), key=OTHER)).kind == "permanent"


async def test_stock_without_a_place_says_what_to_set(shop: Bench) -> None:
    failed = await shop.failed("set_inventory", SetStock(sku="A", quantity=1), location_id=None)
    assert "location_id" in failed.error


async def test_a_product_is_made_once_and_then_changed(shop: Bench) -> None:
    both = [VariantOf(sku=f"M-{name}", price="18.00", options={"Colour": name}) for name in ("Blue", "Sand")]
    made = await shop.ok("upsert_product", UpsertProduct(handle="mug", title="Mug", tags=["new"], variants=both))
    draft = UpsertProduct(handle="mug", status="draft")
    upsert = next(each for each in connector.actions if each.name == "upsert_product")
    attempt = Attempt(due_call(connector, upsert, draft.model_dump(mode="json", exclude_none=True), OTHER))
    again = await shop.ok("upsert_product", draft, attempt=attempt)
    assert (again.id, again.variants) == (made.id, made.variants)
    assert attempt.touches == [made.id], "what the shop tells of it is an echo"
    nameless = await shop.failed("upsert_product", UpsertProduct(handle="none"), key=b"3" * 16)
    assert nameless.kind == "permanent"


async def test_metafields_keep_their_id(shop: Bench) -> None:
    fields = SetMetafields(owner_id=ORDER, metafields=[MetafieldOf(key="invoice", value="7")])
    assert await shop.ok("set_metafields", fields) == await shop.ok("set_metafields", fields, key=OTHER)


async def test_webhooks_are_registered_where_missing(shop: Bench) -> None:
    address = "https://hub.example.com/webhooks/tea"
    first = await shop.ok("register_webhooks", RegisterWebhooks(address=address, topics=["orders/paid"]))
    whole = await shop.ok("register_webhooks", RegisterWebhooks(address=address), key=OTHER)
    assert first.made == whole.there == ["orders/paid"]
    assert {*whole.made, *whole.there} == set(TOPICS)
    refused = await shop.failed("register_webhooks", RegisterWebhooks(address=address, topics=["shop/redact"]))
    assert refused.kind == "permanent"


# --- the sandbox is strict --------------------------------------------------------------------------------------


async def sent(shop: Bench, query: str, variables: Any = None, token: str = "shpat_sandbox") -> Any:
    path = "/shopify/admin/api/2026-07/graphql.json"
    headers = {"x-shopify-access-token": token}
    return (await shop.people.post(path, json={"query": query, "variables": variables}, headers=headers)).json()


async def test_the_sandbox_refuses_what_shopify_refuses(shop: Bench) -> None:
    assert "Invalid API key" in (await sent(shop, documents.SHOP, token="wrong"))["errors"]
    assert (await sent(shop, "query {"))["errors"]
    assert (await sent(shop, "{ shop { nmae } }"))["errors"]
    assert (await sent(shop, documents.TAGS_ADD, {"id": gid("Order", "1")}))["errors"]
    keyless = documents.INVENTORY_SET.replace(" @idempotent(key: $key)", "").replace(", $key: String!", "")
    level = {"inventoryItemId": gid("InventoryItem", "1"), "locationId": gid("Location", "1"), "quantity": 1}
    given = {"name": "available", "reason": "correction", "quantities": [level]}
    assert "idempotent" in (await sent(shop, keyless, {"input": given}))["errors"][0]["message"]
    unsaid = await sent(shop, documents.INVENTORY_SET, {"input": given, "key": "k"})
    assert "changeFromQuantity" in unsaid["data"]["inventorySetQuantities"]["userErrors"][0]["message"]


async def test_a_shop_that_asks_for_more_than_it_restores_is_throttled() -> None:
    now = [0.0]
    fake = sandbox(lambda: now[0])
    client = httpx.AsyncClient(transport=httpx.ASGITransport(_app(fake.routes)), base_url="http://x")
    whole = {"query": MADE["subscribe"], "variables": {"uri": "https://x"}}
    headers = {"x-shopify-access-token": "shpat_sandbox"}
    answers = []
    for _ in range(6):
        reply = await client.post("/admin/api/2026-07/graphql.json", json=whole, headers=headers)
        answers.append(Reply(reply.status_code, {}, reply.content))
    refused = problem(answers[-1])
    assert isinstance(refused, RetryableError)
    assert refused.status == 429
    assert refused.retry_after is not None
    now[0] += refused.retry_after
    reply = await client.post("/admin/api/2026-07/graphql.json", json=whole, headers=headers)
    assert "errors" not in reply.json()
    assert BUCKET == 2000


def _app(routes: Any) -> Any:
    from starlette.applications import Starlette

    return Starlette(routes=list(routes))


# --- what an answer means ---------------------------------------------------------------------------------------


def reply(answer: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(answer).encode()
    )


def cost(available: float, requested: float = 10) -> Any:
    status = {"maximumAvailable": 2000, "currentlyAvailable": available, "restoreRate": 100}
    return {"cost": {"requestedQueryCost": requested, "throttleStatus": status}}


def error(code: str | None, path: list[str] | None = None) -> Any:
    return {"message": "No", "extensions": {"code": code}, **({"path": path} if path else {})}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"errors": [error("THROTTLED")]}, RetryableError),
        ({"errors": [error("ACCESS_DENIED", ["tagsAdd"])], "data": None}, PermanentError),
        ({"errors": [error("undefinedField")]}, PermanentError),
        ({"errors": [error(None)]}, PermanentError),
        ({"errors": "Not Found"}, PermanentError),
        ({"errors": [error("INTERNAL_SERVER_ERROR")]}, UnsureError),
        ({"errors": [error("ACCESS_DENIED", ["tagsAdd", "node", "tags"])], "data": {"tagsAdd": None}}, UnsureError),
        ({"data": {"tagsAdd": {"userErrors": [{"message": "No", "field": ["id"]}]}}}, RefusedError),
        ({"data": {"a": {"userErrors": [{"message": "No", "code": "SERVICE_UNAVAILABLE"}]}}}, RetryableError),
        (
            {"data": {"a": {"userErrors": [{"message": "No", "code": "IDEMPOTENCY_CONCURRENT_REQUEST"}]}}},
            RetryableError,
        ),
        ({"data": {"a": {"orderCancelUserErrors": [{"message": "No", "code": "INTERNAL_ERROR"}]}}}, UnsureError),
        ({"data": {"a": {"userErrors": []}}}, type(None)),
        ({"data": None}, type(None)),
    ],
)
def test_each_layer_of_errors_ends_in_its_class(answer: Any, kind: type[Exception]) -> None:
    assert type(problem(reply(answer))) is kind


def test_statuses_speak_for_themselves() -> None:
    assert problem(reply({"errors": "[API] Invalid API key"}, 401)) is None
    assert problem(Reply(200, {}, b'{"half')) is None
    assert problem(Reply(200, {}, b"<html>")) is None


def test_a_throttled_call_waits_until_there_are_points_enough() -> None:
    throttled = problem(reply({"errors": [error("THROTTLED")], "extensions": cost(0, 500)}))
    assert isinstance(throttled, RetryableError)
    assert (throttled.retry_after, throttled.status) == (5.0, 429)


@pytest.mark.parametrize(("available", "pause"), [(2000, None), (100, None), (50, Pause(0.5)), (0, Pause(1.0))])
def test_a_lane_waits_before_the_bucket_is_empty(available: float, pause: Pause | None) -> None:
    assert learn(reply({"data": {}, "extensions": cost(available)})) == pause


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"extensions": null, "throttleStatus": 1}', b'["throttleStatus"]', b"x"]
)
def test_nothing_is_learnt_of_an_answer_without_a_cost(body: bytes) -> None:
    assert learn(Reply(200, {}, body)) is None


def test_ids_and_keys_have_shopifys_form() -> None:
    assert gid("Order", "7") == gid("Order", "gid://shopify/Order/7") == "gid://shopify/Order/7"
    assert plain_id("gid://shopify/InventoryLevel/7?inventory_item_id=8") == "7"
    assert idempotency_key(EffectKey("000102030405060708090a0b0c0d0e0f")) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_every_action_says_what_it_sets_off_and_how_it_is_safe() -> None:
    kinds = {action.name: type(action.safe).__name__ for action in connector.actions}
    assert kinds["adjust_inventory"] == "NativeKey"
    assert kinds["cancel_order"] == "Lookup"
    assert "Unsafe" not in kinds.values()
    assert all(isinstance(action.example(), BaseModel) for action in connector.actions)
    assert timedelta(hours=24) == next(a for a in connector.actions if a.name == "adjust_inventory").safe.valid_for  # type: ignore[union-attr]

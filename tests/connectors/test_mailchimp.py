"""Mailchimp: nobody who left is subscribed again, orders find their products, requests are as Mailchimp describes."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import Action, RawWebhook, Reply
from app.errors import CredentialError, MalformedError, NotFoundError, PermanentError, RetryableError, TradewindError
from app.events import Address, Checkout, Consent, Customer, LineItem, Money, Order, Product, Totals, Variant
from connectors.mailchimp.faults import LATER, problem
from connectors.mailchimp.models import (
    AddEvent,
    AddTags,
    ArchiveMember,
    RemoveTags,
    Settings,
    UpsertCart,
    UpsertCustomer,
    UpsertMember,
    UpsertOrder,
    UpsertProduct,
    hash_of,
)
from connectors.mailchimp.shop import example_checkout, example_line, example_order, example_product
from connectors.mailchimp.source import source
from tests.connectors.conftest import NOW, REGISTRY, Bench, open_bench
from tests.support.vendorspecs import spec

CONNECTOR = REGISTRY["mailchimp"]
CUSTOMER = Customer(id="7", email="Robin@Example.com", first_name="Robin")


@pytest.fixture
async def mailchimp() -> AsyncIterator[Bench]:
    async for bench in open_bench(CONNECTOR):
        yield bench


def keyed(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def member(bench: Bench, email: str) -> Any:
    return (await bench.state())["members"].get(email)


def buyer(**changes: Any) -> UpsertMember:
    return UpsertMember(customer=CUSTOMER.model_copy(update=changes))


# --- members ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "double_opt_in", "status"),
    [
        (True, False, "subscribed"),
        (True, True, "pending"),
        (False, False, "transactional"),
        (None, False, "transactional"),
        (None, True, "transactional"),
    ],
)
async def test_only_who_consented_is_subscribed(
    mailchimp: Bench, granted: bool | None, double_opt_in: bool, status: str
) -> None:
    input = buyer(email_consent=Consent(granted=granted))
    made = await mailchimp.ok("upsert_member", input, double_opt_in=double_opt_in)
    assert (made.status, made.mailable) == (status, status == "subscribed")


@pytest.mark.parametrize(("name", "status"), [("left", "unsubscribed"), ("bounced", "cleaned")])
async def test_who_left_is_not_subscribed_again(mailchimp: Bench, name: str, status: str) -> None:
    input = buyer(email=f"{name}@example.com", email_consent=Consent(granted=True))
    made = await mailchimp.ok("upsert_member", input.model_copy(update={"status_if_new": "subscribed"}))
    assert (made.status, made.mailable) == (status, False)
    kept = await member(mailchimp, f"{name}@example.com")
    assert (kept["status"], kept["merge_fields"]) == (status, {"FNAME": "Robin"})


async def test_no_request_ever_says_the_status_of_a_known_member(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_member", buyer())
    for request, _ in mailchimp.recorder.seen:
        assert b'"status":' not in request.content


async def test_an_order_says_consent_before_its_customer(mailchimp: Bench) -> None:
    customer = CUSTOMER.model_copy(update={"email_consent": Consent(granted=True)})
    order = Order(id="1", customer=customer, email_consent=Consent(granted=False))
    assert (await mailchimp.ok("upsert_member", UpsertMember(order=order))).status == "transactional"


async def test_a_guest_is_named_by_the_address_of_the_bill(mailchimp: Bench) -> None:
    order = Order(id="1", email="guest@example.com", billing_address=Address(first_name="Kim", last_name="Guest"))
    await mailchimp.ok("upsert_member", UpsertMember(order=order, merge_fields={"SHOP": "main"}))
    kept = await member(mailchimp, "guest@example.com")
    assert kept["merge_fields"] == {"FNAME": "Kim", "LNAME": "Guest", "SHOP": "main"}


async def test_one_address_is_one_member_however_it_is_written(mailchimp: Bench) -> None:
    first = await mailchimp.ok("upsert_member", buyer())
    again = await mailchimp.ok("upsert_member", buyer(email=" robin@example.com"), key=keyed(1))
    assert first.id == again.id == hash_of("ROBIN@example.com ")


async def test_what_is_not_known_of_a_member_blanks_nothing(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_member", buyer(last_name="Buyer"))
    await mailchimp.ok("upsert_member", buyer(last_name=None), key=keyed(1))
    assert (await member(mailchimp, "Robin@Example.com"))["merge_fields"] == {"FNAME": "Robin", "LNAME": "Buyer"}


async def test_nobody_is_added_without_an_address(mailchimp: Bench) -> None:
    failed = await mailchimp.failed("upsert_member", buyer(email=None))
    assert (failed.kind, await mailchimp.requests()) == ("permanent", [])


async def test_a_member_in_compliance_state_is_said_to_be(mailchimp: Bench) -> None:
    failed = await mailchimp.failed("upsert_member", buyer(email="forgotten@example.com"))
    assert failed.kind == "permanent"
    assert "only the person can come back" in failed.error


async def test_a_member_of_too_many_lists_is_tried_hours_later(mailchimp: Bench) -> None:
    failed = await mailchimp.failed("upsert_member", buyer(email="eager@example.com"))
    assert (failed.kind, failed.retry_after) == ("retryable", LATER)


async def test_tags_are_added_to_those_there_and_taken_alone(mailchimp: Bench) -> None:
    email = "ada@example.com"
    await mailchimp.ok("add_tags", AddTags(email=email, tags=["buyer", "vip"]))
    await mailchimp.ok("add_tags", AddTags(email=email, tags=["vip", "eu"]), key=keyed(1))
    await mailchimp.ok("remove_tags", RemoveTags(email=email, tags=["buyer", "never had"]), key=keyed(2))
    assert sorted((await member(mailchimp, email))["tags"]) == ["eu", "vip"]


@pytest.mark.parametrize("starts", [True, False])
async def test_tags_can_be_caught_up_without_starting_automations(mailchimp: Bench, starts: bool) -> None:
    await mailchimp.ok("add_tags", AddTags(email="ada@example.com", tags=["x"], start_automations=starts))
    assert (b'"is_syncing":true' in mailchimp.recorder.seen[-1][0].content) is not starts


async def test_tags_of_a_stranger_say_what_to_do_first(mailchimp: Bench) -> None:
    failed = await mailchimp.failed("add_tags", AddTags(email="nobody@example.com", tags=["x"]))
    assert "upsert_member" in failed.error


async def test_two_events_of_one_name_are_both_kept(mailchimp: Bench) -> None:
    for number in range(2):
        await mailchimp.ok("add_event", AddEvent(email="ada@example.com", name="bought"), key=keyed(number))
    assert len((await member(mailchimp, "ada@example.com"))["events"]) == 2


async def test_an_archived_member_is_archived(mailchimp: Bench) -> None:
    await mailchimp.ok("archive_member", ArchiveMember(email="ada@example.com"))
    await mailchimp.ok("archive_member", ArchiveMember(email="nobody@example.com"), key=keyed(1))
    assert (await member(mailchimp, "ada@example.com"))["status"] == "archived"


# --- e-commerce -------------------------------------------------------------------------------------------------


async def test_an_order_makes_the_products_that_are_not_there(mailchimp: Bench) -> None:
    made = await mailchimp.ok("upsert_order")
    state = await mailchimp.state()
    assert (made.products, made.created, state["products"]["p9"]["title"]) == (["p9"], True, "Mug")
    assert state["orders"]["5001"]["order_total"] == 24.0
    again = await mailchimp.ok("upsert_order", key=keyed(1))
    assert (again.products, again.created) == ([], False)


async def test_goods_that_go_by_a_long_sku_are_told_apart(mailchimp: Bench) -> None:
    """Mailchimp takes 50 characters of an id; cut there, two SKUs that begin alike would be one product."""
    line = example_line().model_copy(update={"product_id": None, "variant_id": None})
    lines = [line.model_copy(update={"id": end, "sku": "S" * 60 + end}) for end in ("a", "b", "a")]
    made = await mailchimp.ok(
        "upsert_order", UpsertOrder(order=example_order().model_copy(update={"line_items": lines}))
    )
    assert len(made.products) == 2
    assert {len(each) for each in made.products} == {50}


async def test_a_new_variant_of_a_known_product_is_added_to_it(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_order")
    line = example_line().model_copy(update={"variant_id": "v10", "variant_title": "Blue"})
    order = example_order().model_copy(update={"id": "5002", "line_items": [line]})
    await mailchimp.ok("upsert_order", UpsertOrder(order=order), key=keyed(1))
    assert [each["id"] for each in (await mailchimp.state())["products"]["p9"]["variants"]] == ["v10", "v9"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"payment_status": "refunded"}, "refunded"),
        ({"payment_status": "partially_refunded"}, "paid"),
        ({"payment_status": "authorized"}, "pending"),
        ({"cancelled_at": "2026-11-20T10:00:00Z"}, "cancelled"),
    ],
)
async def test_an_order_is_brought_up_to_date(mailchimp: Bench, changes: dict[str, Any], status: str) -> None:
    await mailchimp.ok("upsert_order")
    order = Order.model_validate({**example_order().model_dump(), **changes, "fulfillment_status": "fulfilled"})
    await mailchimp.ok("upsert_order", UpsertOrder(order=order), key=keyed(1))
    kept = (await mailchimp.state())["orders"]["5001"]
    assert (kept["financial_status"], kept["fulfillment_status"], len(kept["lines"])) == (status, "shipped", 1)


async def test_half_a_metre_becomes_one_of_its_amount(mailchimp: Bench) -> None:
    eur = Money(amount=Decimal("10.00"), currency="EUR")
    line = LineItem(title="Cloth", quantity=Decimal("2.5"), price=eur)
    order = example_order().model_copy(update={"line_items": [line]})
    await mailchimp.ok("upsert_order", UpsertOrder(order=order))
    kept = (await mailchimp.state())["orders"]["5001"]["lines"][0]
    assert (kept["product_id"], kept["quantity"], kept["price"]) == ("Cloth", 1, 25.0)


async def test_a_guest_stays_one_customer(mailchimp: Bench) -> None:
    for number, email in enumerate(["guest@example.com", "Guest@example.com"]):
        input = UpsertCustomer(order=Order(id=str(number), email=email))
        await mailchimp.ok("upsert_customer", input, key=keyed(number))
    assert list((await mailchimp.state())["customers"]) == [f"guest-{hash_of('guest@example.com')}"]


async def test_money_that_is_not_rounded_is_refused(mailchimp: Bench) -> None:
    totals = Totals(total=Money(amount=Decimal("1.005"), currency="EUR"))
    order = example_order().model_copy(update={"totals": totals})
    assert "not rounded" in (await mailchimp.failed("upsert_order", UpsertOrder(order=order))).error


@pytest.mark.parametrize("changes", [{"id": None}, {"line_items": None}, {"customer": None, "email": None}])
async def test_an_order_that_says_too_little_is_refused_before_anything_is_made(
    mailchimp: Bench, changes: dict[str, Any]
) -> None:
    before = await mailchimp.state()
    order = example_order().model_copy(update=changes)
    assert (await mailchimp.failed("upsert_order", UpsertOrder(order=order))).kind == "permanent"
    assert await mailchimp.state() == before


async def test_without_a_store_the_connection_says_how_to_get_one(mailchimp: Bench) -> None:
    failed = await mailchimp.failed("upsert_order", store_id=None)
    assert "connect_store" in failed.error


async def test_a_product_that_is_there_takes_new_title_and_variants(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_product")
    product = example_product().model_copy(update={"title": "Big cup", "variants": [Variant(id="v3", title="Green")]})
    made = await mailchimp.ok("upsert_product", UpsertProduct(product=product), key=keyed(1))
    kept = (await mailchimp.state())["products"]["p2"]
    assert (made.created, kept["title"]) == (False, "Big cup")
    assert [each["id"] for each in kept["variants"]] == ["v2", "v3"]


async def test_a_product_without_variants_is_its_own(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_product", UpsertProduct(product=Product(id="p5", title="Pen")))
    assert (await mailchimp.state())["products"]["p5"]["variants"] == [{"id": "p5", "title": "Pen"}]


async def test_a_cart_is_there_until_it_is_bought(mailchimp: Bench) -> None:
    await mailchimp.ok("upsert_cart")
    assert (await mailchimp.state())["carts"]["c1"]["checkout_url"].startswith("https://")
    await mailchimp.ok("delete_cart", REMOVE_C1, key=keyed(1))
    assert "c1" not in (await mailchimp.state())["carts"]


REMOVE_C1 = CONNECTOR.actions[-1].input.model_validate({"cart_id": "c1"})


async def test_a_cart_knows_the_buyer_by_the_checkouts_address(mailchimp: Bench) -> None:
    checkout = Checkout.model_validate({**example_checkout().model_dump(), "customer": None, "email": "k@example.com"})
    await mailchimp.ok("upsert_cart", UpsertCart(checkout=checkout))
    assert (await mailchimp.state())["carts"]["c1"]["customer"]["email_address"] == "k@example.com"


async def test_ids_with_slashes_stay_one_part_of_the_path(mailchimp: Bench) -> None:
    order = example_order().model_copy(update={"id": "5/1?x"})
    failed = await mailchimp.perform("upsert_order", UpsertOrder(order=order))
    assert mailchimp.recorder.seen[-1][0].url.raw_path.count(b"/") <= 6, failed


# --- settings and errors ----------------------------------------------------------------------------------------


def test_the_datacentre_is_the_keys() -> None:
    settings = Settings(list_id="abc", api_key="secret-us21")
    assert CONNECTOR.http is not None
    assert CONNECTOR.http.base_url(settings) == "https://us21.api.mailchimp.com"


@pytest.mark.parametrize("key", ["secret", "secret-", "secret-evil.example/", "secret-us1.evil", "secret-us21@x"])
def test_a_key_that_names_no_datacentre_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(list_id="abc", api_key=key)
    assert "datacentre" in str(refused.value)
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b'{"title":"API Key Invalid","detail":"x"}', CredentialError),
        (403, b'{"title":"User Disabled","detail":"x"}', CredentialError),
        (403, b'{"title":"Forbidden","detail":"x"}', PermanentError),
        (403, b"<html>", RetryableError),
        (400, b'{"title":"Invalid Resource","errors":[{"field":"tags","message":"too many"}]}', PermanentError),
        (400, b"not json", None),
        (429, b'{"title":"Too Many Requests"}', None),
        (500, b'{"title":"Internal Server Error"}', None),
        (200, b'{"title":"a list may have a title"}', None),
        (404, b"[]", None),
    ],
)
def test_errors_mean_what_happens_next(status: int, body: bytes, kind: type[TradewindError] | None) -> None:
    found = problem(Reply(status, {}, body))
    assert type(found) is kind if kind is not None else found is None
    if b"errors" in body:
        assert "tags: too many" in str(found)


# --- webhooks ---------------------------------------------------------------------------------------------------


def came(body: bytes, **query: str) -> RawWebhook:
    return RawWebhook(body, {}, query, NOW)


def test_without_tokens_no_webhook_is_taken() -> None:
    bare = Settings(list_id="abc", api_key="secret-us21")
    with pytest.raises(NotFoundError):
        source.signature.verify(came(b"type=subscribe", token=""), bare, NOW)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"type=a&data%5Bx%5D%5By%5D=1+2", {"type": "a", "data": {"x": {"y": "1 2"}}}),
        (b"data=1&data%5Bx%5D=2", {"data": {"x": "2"}}),
        (b"", {}),
    ],
)
def test_a_form_is_read_as_it_is_nested(body: bytes, read: dict[str, Any]) -> None:
    assert source.parse(came(body)) == read


@given(st.binary(max_size=200))
def test_nothing_that_comes_in_can_crash_the_reader(body: bytes) -> None:
    try:
        source.identify(came(body), Settings(list_id="abc", api_key="secret-us21"))
    except MalformedError:
        return


# --- the vendor's description -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", CONNECTOR.actions, ids=lambda action: action.name)
async def test_changing_what_is_there_is_as_the_vendor_describes(mailchimp: Bench, action: Action) -> None:
    """The bench judges each request with its answer; here each action does its work a second time."""
    for number in range(2):
        await mailchimp.ok(action, key=keyed(number))


async def test_a_connection_is_tested_by_its_audience(mailchimp: Bench) -> None:
    assert await mailchimp.test() == "Audience Sandbox, 1 subscribed"


def test_the_description_refuses_what_is_wrong() -> None:
    vendor, path = spec("mailchimp"), "/3.0/lists/a1/members/0123"
    right = {"email_address": "a@example.com", "status_if_new": "subscribed"}
    assert vendor.check_request(httpx.Request("PUT", f"https://x{path}", json=right), path) == []
    wrong = {**right, "status_if_new": "gone"}
    assert vendor.check_request(httpx.Request("PUT", f"https://x{path}", json=wrong), path)

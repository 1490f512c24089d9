"""Shopify's webhooks: proven, told apart, read exactly, adding up; whatever comes ends in one of four states."""

import base64
import copy
import hashlib
import hmac
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from app.connector import Facts, Ignored, RawWebhook, Read, Remembered, State
from app.errors import MalformedError, SignatureError
from app.events import EVENT_TYPES, Event, Money, Ref, clean, discrepancy, dump
from connectors.shopify import connector
from connectors.shopify.reading import fingerprint, ident, version_of
from connectors.shopify.sample import order
from connectors.shopify.sample_later import changed, fulfillment_event, refund, stock, transaction
from connectors.shopify.settings import Settings
from connectors.shopify.source import WINDOW, identify, needs, signature
from connectors.shopify.source import source as SOURCE  # noqa: N812

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SETTINGS = Settings(shop="Tea-House", webhook_secrets=[SecretStr("new"), SecretStr("old")], currency="USD")
HERE = Path(__file__).parents[2]
FIXTURES = HERE / "connectors" / "shopify" / "payloads"
SHARED = HERE.parent / "shared" / "payloads" / "shopify"
SDL = HERE.parent / "shared" / "specs" / "shopify-admin-2026-07.graphql"

NAMED = {
    *(f"orders/{each}" for each in ("create", "updated", "paid", "partially_fulfilled", "fulfilled", "cancelled")),
    *(
        "orders/edited",
        "orders/delete",
        "orders/risk_assessment_changed",
        "refunds/create",
        "order_transactions/create",
    ),
    *("fulfillments/create", "fulfillments/update", "fulfillment_events/create", "fulfillment_events/delete"),
    *("fulfillment_orders/placed_on_hold", "fulfillment_orders/hold_released"),
    *(
        f"returns/{each}"
        for each in ["request", "approve", "decline", "cancel", "close", "reopen", "update", "process"]
    ),
    *("checkouts/create", "checkouts/update", "checkouts/delete", "order_transactions/create"),
    *(f"customers/{each}" for each in ("create", "update", "delete", "enable", "disable")),
    *("customer.tags_added", "customer.tags_removed", "customers_email_marketing_consent/update"),
    *("customers_marketing_consent/update", "products/create", "products/update", "products/delete"),
    *("inventory_levels/update", "inventory_levels/connect", "inventory_levels/disconnect"),
    *("disputes/create", "disputes/update", "app/uninstalled"),
    *("customers/data_request", "customers/redact", "shop/redact"),
}


def required_in_ci(path: Path) -> pytest.MarkDecorator:
    if not path.exists() and os.environ.get("CI"):
        raise RuntimeError(f"../{path.relative_to(HERE.parent)} is required in CI")
    return pytest.mark.skipif(not path.exists(), reason=f"../{path.relative_to(HERE.parent)} is not here")


def raw(body: bytes, **headers: str) -> RawWebhook:
    return RawWebhook(body, {name.replace("_", "-"): value for name, value in headers.items()}, {}, NOW)


def read(topic: str, body: Any, state: State | None = None, **options: Any) -> list[Event]:
    made = answer(topic, json.dumps(body).encode(), state, **options)
    assert not isinstance(made, Ignored), made
    return made


def answer(topic: str, body: bytes, state: State | None = None, **options: Any) -> list[Event] | Ignored:
    headers = options.pop("headers", {})
    facts = Facts(topic, options.pop("settings", SETTINGS), headers, NOW, **options)
    made = SOURCE.topics[topic](SOURCE.parse(raw(body)), facts, state or {})
    return made if isinstance(made, Ignored) else list(made)


def order_of(body: Any, topic: str = "orders/paid") -> Any:
    return read(topic, body)[0].data.order  # type: ignore[attr-defined]


# --- who it is --------------------------------------------------------------------------------------------------


def test_a_signature_is_the_hmac_of_the_published_test_vector() -> None:
    """RFC 4231, test case 2: the algorithm is right whatever our own inverse says."""
    vector = Settings(shop="x", webhook_secrets=[SecretStr("Jefe")])
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    body = b"what do ya want for nothing?"
    signature.verify(raw(body, x_shopify_hmac_sha256=base64.b64encode(digest).decode()), vector, NOW)


@given(body=st.binary(max_size=200), secret=st.text(min_size=1, max_size=40).filter(str.isascii))
def test_what_another_implementation_signs_is_accepted(body: bytes, secret: str) -> None:
    signed = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    mine = Settings(shop="x", webhook_secrets=[SecretStr("other"), SecretStr(secret)])
    signature.verify(raw(body, x_shopify_hmac_sha256=signed), mine, NOW)


@pytest.mark.parametrize("header", ["x_shopify_hmac_sha256", "shopify_hmac_sha256"])
@pytest.mark.parametrize("secret", ["new", "old"])
def test_both_secrets_and_both_headers_prove_the_sender_during_a_rotation(header: str, secret: str) -> None:
    body = b'{"id": 1}'
    signed = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    signature.verify(raw(body, **{header: signed}), SETTINGS, NOW)


@given(body=st.binary(min_size=1, max_size=300), place=st.integers(0), bit=st.integers(0, 7))
def test_a_turned_bit_is_refused(body: bytes, place: int, bit: int) -> None:
    signed = signature.sign(body, SETTINGS, NOW).headers
    at = place % len(body)
    spoilt = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
    with pytest.raises(SignatureError):
        signature.verify(RawWebhook(spoilt, signed, {}, NOW), SETTINGS, NOW)


def test_the_bytes_are_signed_not_what_they_mean() -> None:
    one, other = rb'{"a":"gid:\/\/shopify\/Order\/1"}', b'{"a":"gid://shopify/Order/1"}'
    signed = signature.sign(one, SETTINGS, NOW).headers
    signature.verify(RawWebhook(one, signed, {}, NOW), SETTINGS, NOW)
    with pytest.raises(SignatureError):
        signature.verify(RawWebhook(other, signed, {}, NOW), SETTINGS, NOW)


def test_a_shop_is_the_same_however_it_is_written() -> None:
    written = ("tea-house", "Tea-House.myshopify.com", "https://tea-house.myshopify.com/")
    shops = {Settings(shop=each, webhook_secrets=[SecretStr("s")]).shop for each in written}
    assert shops == {"tea-house.myshopify.com"}


@pytest.mark.parametrize("given", [{"shop": "a b"}, {"webhook_secrets": []}, {"webhook_secrets": [""]}, {"shop": ""}])
def test_settings_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"shop": "x", "webhook_secrets": ["s"], **given})


# --- which delivery it is ---------------------------------------------------------------------------------------


def test_a_retry_has_the_same_key_and_another_topic_of_the_same_action_has_not() -> None:
    def sent(topic: str, webhook: str) -> RawWebhook:
        return raw(b"{}", x_shopify_topic=topic, x_shopify_webhook_id=webhook, x_shopify_event_id="the same")

    first = identify(sent("orders/create", "w1"), SETTINGS)
    retry = identify(sent("orders/create", "w1"), SETTINGS)
    paid = identify(sent("orders/paid", "w2"), SETTINGS)
    assert first.delivery_key == retry.delivery_key != paid.delivery_key
    assert first.window is None


def test_without_a_delivery_id_the_content_is_the_key_for_a_day() -> None:
    keys = {
        name: identify(raw(body, x_shopify_topic=topic), SETTINGS).delivery_key
        for name, topic, body in (
            ("one", "orders/create", b"{}"),
            ("again", "orders/create", b"{}"),
            ("other body", "orders/create", b"{ }"),
            ("other topic", "orders/paid", b"{}"),
        )
    }
    assert keys["one"] == keys["again"]
    assert len(set(keys.values())) == 3
    assert identify(raw(b"{}"), SETTINGS).window == WINDOW == timedelta(hours=24)


def test_the_newer_headers_without_x_are_read_too() -> None:
    receipt = identify(raw(b"{}", shopify_topic="orders/paid", shopify_webhook_id="w"), SETTINGS)
    assert (receipt.topic, receipt.delivery_key) == ("orders/paid", "id:w")
    event = identify(raw(b"{}", shopify_topic="Product", shopify_action="update", shopify_webhook_id="w"), SETTINGS)
    assert event.topic == "Product/update"


@pytest.mark.parametrize(("said", "test"), [("true", True), ("True", True), ("false", False), (None, False)])
def test_a_test_notification_says_so(said: str | None, test: bool) -> None:
    headers = {"x_shopify_topic": "orders/create"} | ({"x_shopify_test": said} if said else {})
    assert identify(raw(b"{}", **headers), SETTINGS).test is test


def test_what_is_sent_by_hand_looks_like_shopify() -> None:
    assert SOURCE.headers is not None
    sent = SOURCE.headers("orders/paid", b"{}", SETTINGS, NOW)
    assert sent["x-shopify-shop-domain"] == "tea-house.myshopify.com"
    assert sent["x-shopify-triggered-at"].endswith("Z")
    later = SOURCE.headers("orders/paid", b"{}", SETTINGS, NOW + timedelta(seconds=1))
    assert sent == SOURCE.headers("orders/paid", b"{}", SETTINGS, NOW)
    assert sent["x-shopify-webhook-id"] != later["x-shopify-webhook-id"]


# --- the topics -------------------------------------------------------------------------------------------------


def test_every_topic_that_matters_becomes_events() -> None:
    assert set(SOURCE.topics) >= NAMED
    assert not set(SOURCE.topics) & set(SOURCE.ignored)


@required_in_ci(SDL)
def test_every_topic_that_shopify_offers_is_known_or_ignored_with_a_reason() -> None:
    values = re.search(r"^enum WebhookSubscriptionTopic \{(.*?)^\}", SDL.read_text(), re.M | re.S)
    assert values is not None
    offered = set(re.findall(r"^  ([A-Z_0-9]+)$", values.group(1), re.M))
    named = {re.sub(r"[/.]", "_", topic).upper() for topic in (*SOURCE.topics, *SOURCE.ignored)}
    assert offered - named == set()
    assert len(offered) > 200
    assert all(len(reason) > 10 for reason in SOURCE.ignored.values())


def test_an_update_is_only_an_update_even_of_a_paid_order() -> None:
    body = order(1001, paid=True)
    assert [each.type for each in read("orders/updated", body)] == ["order.updated"]
    assert [each.type for each in read("orders/create", body)] == ["order.created"]
    assert [each.type for each in read("orders/paid", body)] == ["order.paid"]


def test_two_changes_within_a_second_are_two_and_the_same_one_twice_is_one() -> None:
    body = order(1001)
    one, again = read("orders/updated", body)[0], read("orders/updated", copy.deepcopy(body))[0]
    other = read("orders/updated", {**body, "tags": "vip"})[0]
    assert one.version == other.version == again.version
    assert one.occurrence() == again.occurrence() != other.occurrence()


def test_versions_sort_as_times_do() -> None:
    moments = [NOW, NOW + timedelta(microseconds=280_000), NOW + timedelta(seconds=1)]
    versions = [version_of(moment) for moment in moments]
    assert versions == sorted(versions, key=str)


def test_two_partial_refunds_and_two_parcels_stay_two() -> None:
    body = order(1001, lines=[("MUG-BLUE", 2), ("TEA-EARL", 1)])
    refunds = [read("refunds/create", refund(body, NOW, line=n))[0] for n in (0, 1)]
    assert len({each.object for each in refunds}) == 2
    assert {each.subject for each in refunds} == {Ref("order", str(body["id"]))}


def test_partial_bodies_never_count_as_the_newest_state() -> None:
    edit = {"order_edit": {"id": 1, "order_id": 2, "committed_at": "2026-11-12T10:00:00Z"}}
    risk = {"order_id": 2, "risk_level": "low", "created_at": "2026-11-12T10:00:00Z", "provider_id": 1}
    tags = {"customerId": "gid://shopify/Customer/3", "tags": ["a"], "occurredAt": "2026-11-12T10:00:00Z"}
    made = (
        read("orders/edited", edit) + read("orders/risk_assessment_changed", risk) + read("customer.tags_added", tags)
    )
    assert [each.version for each in made] == [None, None, None]
    assert all(each.occurrence() for each in made)


@pytest.mark.parametrize("status", ["ready_for_pickup", "label_printed", "confirmed", "something_new", None])
def test_steps_of_a_parcel_without_a_type_are_updates_of_it(status: str | None) -> None:
    body = {**fulfillment_event({"id": 7, "order_id": 8}, NOW, "delivered"), "status": status}
    assert [each.type for each in read("fulfillment_events/create", body)] == ["fulfillment.updated"]


def test_a_hold_is_of_the_order_if_that_can_be_read() -> None:
    body = {"fulfillment_order": {"id": "gid://shopify/FulfillmentOrder/9", "status": "on_hold"}}
    topic = "fulfillment_orders/placed_on_hold"
    able = SETTINGS.model_copy(update={"access_token": SecretStr("t")})
    assert needs(topic, body, SETTINGS) == []
    assert needs(topic, body, able) == [Read("fulfillment_order", "/admin/api/2026-07/fulfillment_orders/9.json")]
    known = read(topic, body, reads={"fulfillment_order": {"fulfillment_order": {"order_id": 4}}})[0]
    unknown = read(topic, body)[0]
    assert (known.object, known.note) == (Ref("order", "4"), None)
    assert unknown.object == Ref("fulfillment_order", "9")
    assert unknown.note is not None


@pytest.mark.parametrize("junk", [None, [], "x", {"fulfillment_order": []}, {"fulfillment_order": {"id": "x/../y"}}])
def test_reads_are_asked_for_only_with_a_number(junk: Any) -> None:
    able = SETTINGS.model_copy(update={"access_token": SecretStr("t")})
    assert needs("fulfillment_orders/placed_on_hold", junk, able) == []


def test_money_that_has_not_moved_makes_no_event() -> None:
    body = order(1001)
    pending = answer("order_transactions/create", json.dumps(transaction(body, NOW, status="pending")).encode())
    back = answer("order_transactions/create", json.dumps(transaction(body, NOW, kind="refund")).encode())
    assert isinstance(pending, Ignored)
    assert isinstance(back, Ignored)


def test_a_test_order_makes_test_events() -> None:
    assert read("orders/paid", {**order(1001), "test": True})[0].test
    assert read("orders/paid", order(1001), test=True)[0].test
    assert not read("orders/paid", order(1001))[0].test


# --- stock ------------------------------------------------------------------------------------------------------


def test_stock_says_what_was_there_before_unless_it_was_overtaken() -> None:
    body = stock("MUG-BLUE", 3, NOW)
    ref = SOURCE.remembers("inventory_levels/update", body)[0]
    before, after = version_of(NOW - timedelta(hours=1)), version_of(NOW + timedelta(hours=1))

    def seen(state: State) -> Any:
        return read("inventory_levels/update", body, state)[0].data.inventory.before  # type: ignore[attr-defined]

    assert seen({ref: Remembered(before, {"available": 5})}) == 5
    assert seen({ref: Remembered(after, {"available": 9})}) is None
    assert seen({}) is None
    assert read("inventory_levels/update", body)[0].remember == {"available": 3}


def test_two_movements_of_stock_within_a_second_are_two() -> None:
    one, two = (read("inventory_levels/update", stock("MUG-BLUE", n, NOW))[0] for n in (3, 2))
    assert one.version == two.version
    assert one.occurrence() != two.occurrence()


# --- amounts ----------------------------------------------------------------------------------------------------


@given(number=st.integers(1001, 999_999), seed=st.integers(0), country=st.sampled_from(["US", "CA", "GB", "DE", None]))
@settings(max_examples=150, deadline=None)
def test_orders_add_up_in_both_currencies_as_ordered_and_now(number: int, seed: int, country: str | None) -> None:
    found = order_of(order(number, country=country, rng=Random(seed)))
    assert found.discrepancy is None
    assert discrepancy(found) is None
    for totals in (found.totals, found.current, found.presentment, found.presentment_current):
        if totals is not None:
            assert made_of(totals) == totals.total.amount
            assert totals.total.is_rounded


def made_of(totals: Any) -> Decimal:
    names = ("items", "shipping", "tax", "fees", "tip", "duty", "rounding")
    plus = sum((amount(getattr(totals, name)) for name in names), Decimal(0))
    return plus - amount(totals.discount)


def amount(money: Money | None) -> Decimal:
    return Decimal(0) if money is None else money.amount


def test_a_tip_is_counted_once_and_is_no_line() -> None:
    body = order(1001, lines=[("MUG-BLUE", 1)], country="US", tip=True, discount=False)
    found = order_of(body)
    assert [line.sku for line in found.line_items] == ["MUG-BLUE"]
    assert found.totals.tip == Money(amount="3.00", currency="USD")
    among_items = copy.deepcopy(body)
    among_items["total_line_items_price"] = "21.00"
    del among_items["total_line_items_price_set"]
    assert order_of(among_items).totals == found.totals


def test_the_tip_of_a_line_counts_where_the_total_of_tips_says_nothing() -> None:
    body = order(1001, lines=[("MUG-BLUE", 1)], country="US", tip=True, discount=False)
    assert order_of({**body, "total_tip_received": "0.0"}).totals.tip.amount == 3


def test_amounts_that_do_not_add_up_say_by_how_much() -> None:
    body = order(1001, lines=[("MUG-BLUE", 1)], country="US", tip=False, discount=False)
    whole = Decimal(body["total_price"])
    body["total_price_set"]["shop_money"]["amount"] = str(whole + 1)
    assert order_of(body).discrepancy.amount == Money(amount=Decimal(1), currency="USD")


@pytest.mark.parametrize(
    ("status", "outstanding", "paid"),
    [("paid", "0.00", "20"), ("pending", "20.00", "0"), ("partially_paid", "5.00", "15"), ("authorized", "20.00", "0"),
     ("voided", "20.00", "0"), ("refunded", "0.00", "20"), ("pending", None, "0"), ("partially_paid", None, None)],
)  # fmt: skip
def test_what_is_paid_follows_from_the_status_and_what_is_left(
    status: str, outstanding: str | None, paid: str | None
) -> None:
    body = {"id": 1, "currency": "EUR", "total_price": "20.00", "financial_status": status}
    body |= {"current_total_price": "20.00"} | ({"total_outstanding": outstanding} if outstanding else {})
    found = order_of(body).totals.paid
    assert (None if found is None else found.amount) == (None if paid is None else Decimal(paid))


def test_duties_count_only_where_the_total_contains_them() -> None:
    body = order(1001, lines=[("MUG-BLUE", 1)], country="US", tip=False, discount=False)
    duties = {"shop_money": {"amount": "6.00", "currency_code": "USD"}, "presentment_money": None}
    in_prices = order_of({**body, "original_total_duties_set": duties, "duties_included": True})
    assert (in_prices.totals.duty, in_prices.extra["duties"], in_prices.discrepancy) == (None, "6.00 USD", None)
    body["total_price_set"]["shop_money"]["amount"] = str(Decimal(body["total_price"]) + 6)
    on_top = order_of({**body, "original_total_duties_set": duties})
    assert (str(on_top.totals.duty), on_top.discrepancy) == ("6.00 USD", None)


def test_currencies_without_decimals_stay_without() -> None:
    body = {"id": 1, "currency": "VND", "total_price": "1100000", "total_line_items_price": "1100000"}
    body |= {"line_items": [{"id": 2, "price": "550000", "quantity": 2}]}
    found = order_of(body)
    assert str(found.total) == "1100000 VND"
    assert found.discrepancy is None


def test_the_tax_of_shipping_given_back_is_part_of_the_tax_given_back() -> None:
    """Lines of shipping state it beside their subtotals; that of the goods alone left it unexplained."""
    body = refund(order(1001, lines=[("POT-IRON", 1)]), NOW)
    before = read("refunds/create", body)[0].data.refund  # type: ignore[attr-defined]
    body["refund_shipping_lines"] = [{"id": 1, "subtotal_amount": "5.00", "tax_amount": "0.95"}]
    found = read("refunds/create", body)[0].data.refund  # type: ignore[attr-defined]
    assert (found.shipping.amount, found.tax - before.tax) == (Decimal(5), Money(amount="0.95", currency="USD"))


def test_a_refund_in_the_buyers_currency_is_stated_in_the_shops_too() -> None:
    body = refund(order(1001, lines=[("POT-IRON", 1)], country="DE"), NOW)
    body["transactions"][0] |= {"amount": "59.01", "currency": "EUR"}
    found = read("refunds/create", body)[0].data.refund  # type: ignore[attr-defined]
    assert (str(found.amount), str(found.presentment)) == ("64.00 USD", "59.01 EUR")


@pytest.mark.parametrize("id_", [9007199254740993001, 2**63 + 1, 10**30])
def test_ids_are_exact_at_any_size(id_: int) -> None:
    body = json.dumps({**order(1001), "id": id_}).encode()
    made = answer("orders/paid", body)
    assert not isinstance(made, Ignored)
    assert made[0].object == Ref("order", str(id_))


@pytest.mark.parametrize(
    ("given", "id_"),
    [(1, "1"), ("1", "1"), ("gid://shopify/Order/7", "7"), ("gid://shopify/InventoryLevel/7?inventory_item_id=9", "7"),
     (None, None), ("", None), (True, None), (1.5, None), ([], None)],
)  # fmt: skip
def test_ids_are_numbers_texts_or_ends_of_gids(given: Any, id_: str | None) -> None:
    assert ident(given) == id_


def test_a_guest_is_who_the_order_says_or_nobody() -> None:
    body = order(1001) | {"customer": None}
    named = order_of({**body, "email": "a@example.org"}).customer
    assert (named.id, named.email) == (None, "a@example.org")
    nobody = {**body, "email": "", "contact_email": None, "billing_address": None, "shipping_address": None}
    assert order_of(nobody).customer is None
    assert order_of(nobody).email is None


# --- whatever comes ---------------------------------------------------------------------------------------------

WORDS = ["", "0.00", "9.99", "1e400", "NaN", "USD", "gid://shopify/Order/1", "2026-11-12T10:00:00Z", "\ud800", "\x00"]


def samples() -> list[tuple[str, Any]]:
    """(topic, body) of all our payloads."""
    topics = {topic.replace("/", "-"): topic for topic in SOURCE.topics}
    files = [each for each in sorted(FIXTURES.glob("*/*.json")) if each.suffixes == [".json"]]
    return [(topics[each.parent.name], json.loads(each.read_text())) for each in files]


SAMPLES = samples()
KEYS = sorted({key for _, body in SAMPLES for key in body})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


PATHS = [list(paths(body)) for _, body in SAMPLES]


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_body_with_anything_in_any_place_is_read_or_malformed(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(SAMPLES) - 1))
    topic, body = SAMPLES[which][0], copy.deepcopy(SAMPLES[which][1])
    path = data.draw(st.sampled_from(PATHS[which]))
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(JUNK)
    ends_well(topic, body)


@given(topic=st.sampled_from(sorted(SOURCE.topics)), body=JUNK)
@settings(max_examples=300, deadline=None)
def test_random_json_is_read_or_malformed(topic: str, body: Any) -> None:
    ends_well(topic, body)


def ends_well(topic: str, body: Any) -> None:
    try:
        made = SOURCE.topics[topic](clean(body), Facts(topic, SETTINGS, {}, NOW), {})
    except MalformedError as malformed:
        made = Ignored(str(malformed))
    if isinstance(made, Ignored):
        assert len(made.reason) > 20
        return
    for event in made:
        event.check()
        assert event.type in EVENT_TYPES
        no_floats(json.loads(dump(event.data)))


def no_floats(value: Any, name: str = "") -> None:
    """No amount of money is a float; free data may hold the sender's numbers."""
    if isinstance(value, dict) and set(value) == {"amount", "currency"}:
        assert isinstance(value["amount"], str)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        no_floats(inner)


def test_an_unimportant_field_that_cannot_be_read_costs_only_itself() -> None:
    body = {**order(1001), "note": {"not": "text"}, "processed_at": "yesterday"}
    event = read("orders/paid", body)[0]
    assert event.note == "could not be read: note"
    assert event.data.order.total is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("total", ["ten", "1_000", " 5", "1e400", "NaN", [1], True])
def test_an_amount_that_cannot_be_read_is_malformed_not_left_out(total: Any) -> None:
    body = {**order(1001), "total_price": total}
    del body["total_price_set"]
    with pytest.raises(MalformedError):
        read("orders/paid", body)


def test_fingerprints_know_numbers_that_no_json_library_writes() -> None:
    assert fingerprint({"a": 2**200}) != fingerprint({"a": 2**201})
    assert fingerprint({"a": Decimal("1.5")}) == fingerprint({"a": Decimal("1.5")})


# --- real bodies ------------------------------------------------------------------------------------------------


def real_bodies() -> Iterator[tuple[str, str, Any]]:
    """(file, topic, body) of all recorded bodies."""
    for path in sorted(SHARED.glob("*/*.json")):
        found = json.loads(path.read_text())
        yield path.name, path.parent.name.replace("-", "/", 1), found.get("body", found)


def outcome(topic: str, body: Any) -> tuple[str, list[Event]]:
    if topic in SOURCE.ignored:
        return "ignored", []
    if topic not in SOURCE.topics:
        return "unknown", []
    try:
        made = answer(topic, json.dumps(body).encode())
    except MalformedError as malformed:
        return ("malformed" if len(str(malformed)) > 20 else "without a reason"), []
    return ("ignored", []) if isinstance(made, Ignored) else ("events", made)


@required_in_ci(SHARED)
def test_every_recorded_body_ends_in_one_of_the_four_states() -> None:
    """Those that end as malformed had their amounts replaced by words by whoever recorded them."""
    ends = [(name, outcome(topic, body)[0]) for name, topic, body in real_bodies()]
    counts = Counter(state for _, state in ends)
    print(dict(counts))
    assert set(counts) == {"events", "ignored", "malformed"}
    assert {name for name, state in ends if state == "malformed" and "anon" not in name} == set()
    assert counts["events"] >= 75


@required_in_ci(SHARED)
def test_a_second_reader_finds_the_same_number_currency_and_total() -> None:
    read_twice = 0
    for name, topic, body in real_bodies():
        for event in outcome(topic, body)[1]:
            found = getattr(event.data, "order", None)
            if found is None or "total_price" not in body:
                continue
            assert (found.number, found.currency) == (body["name"], body["currency"]), name
            assert found.total.amount == Decimal(body["total_price"]), name
            assert found.discrepancy is None, f"{name}: {found.discrepancy}"
            read_twice += 1
    assert read_twice >= 9


def test_a_changed_order_keeps_its_identity() -> None:
    body = order(1001)
    later = changed(body, NOW, tags="a")
    assert read("orders/updated", later)[0].object == read("orders/create", body)[0].object


def test_the_connector_is_a_store() -> None:
    assert connector.category == "store"
    assert set(connector.store) == {
        *("tag_order", "add_note", "hold_order", "archive_order", "set_stock", "create_discount_code")
    }

"""WooCommerce: what comes in is proven, read whatever plugins did to it, and adds up."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import ConnectionProblemError, Facts, Ignored, RawWebhook, Remembered, State, Unread, parse_json
from app.errors import MalformedError, SignatureError
from app.events import Event, Money, Ref, clean, event_type, plain, reconcile, with_discrepancy
from connectors.woocommerce import connector
from connectors.woocommerce.fields import amount
from connectors.woocommerce.settings import Settings
from connectors.woocommerce.source import decoded, source

HERE = Path(__file__).parents[2]
OWN = HERE / "connectors/woocommerce/payloads"
SHARED = HERE.parent / "shared/payloads/woocommerce"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHOP = Settings.model_validate(json.loads((OWN / "settings.json").read_text()))
KEYLESS = SHOP.model_copy(update={"consumer_key": None, "consumer_secret": None})


def own(name: str) -> Any:
    return json.loads((OWN / f"{name}.json").read_text())


def facts(topic: str, since: datetime | None = None, **more: Any) -> Facts[Settings]:
    return Facts(topic=topic, settings=more.pop("shop", SHOP), headers={}, received_at=NOW, since=since, **more)


def read(body: Any, topic: str = "order.updated", state: State | None = None, **more: Any) -> list[Event]:
    made = source.topics[topic](clean(body), facts(topic, **more), state or {})
    assert not isinstance(made, Ignored), made.reason
    for event in made:
        event.check()
    return list(made)


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def only(events: list[Event], type_: str) -> Event:
    (found,) = [event for event in events if event.type == type_]
    return found


def signed(body: bytes, shop: Settings = SHOP, **headers: str) -> RawWebhook:
    proof = source.signature.sign(body, shop, NOW)
    topic = headers.pop("topic", "order.updated")
    assert source.headers is not None
    return RawWebhook(body, {**source.headers(topic, body, shop, NOW), **proof.headers, **headers}, {}, NOW)


# --- who sent it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "used"),
    [
        ("plain", "plain"),
        ("a&amp;b", "a&b"),
        ("&lt;&gt;&quot;&#039;", "<>\"'"),
        ("&#39;&#0038;&#x27;&#X0026;&#x22;&#60;&#62;&#34;", "'&'&\"<>\""),
        ("&amp;lt;", "&lt;"),
        ("&nbsp;&#65;&#x3c;&LT;", "&nbsp;&#65;&#x3c;&LT;"),
    ],
)
def test_secrets_are_decoded_as_wordpress_decodes_them(typed: str, used: str) -> None:
    assert decoded(typed) == used


def test_a_webhook_signed_as_woocommerce_signs_is_accepted() -> None:
    body = b'{"id":1,"note":"\\u00e4 \\/"}'
    secret = 'Wachs & "Docht"'
    shop = Settings(site="https://s.example", webhook_secrets=["old secret", "Wachs &amp; &quot;Docht&quot;"])
    proof = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    source.signature.verify(RawWebhook(body, {"x-wc-webhook-signature": proof}, {}, NOW), shop, NOW)
    with pytest.raises(SignatureError):
        source.signature.verify(RawWebhook(body + b" ", {"x-wc-webhook-signature": proof}, {}, NOW), shop, NOW)


@given(st.binary(max_size=300), st.text(min_size=1, max_size=40), st.integers(0), st.integers(0, 7))
def test_what_is_signed_verifies_and_a_turned_bit_does_not(body: bytes, secret: str, place: int, bit: int) -> None:
    secret = secret.encode(errors="replace").decode()
    shop = Settings(site="https://s.example", webhook_secrets=[secret])
    webhook = signed(body, shop)
    source.signature.verify(webhook, shop, NOW)
    if body:
        at = place % len(body)
        changed = body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]
        with pytest.raises(SignatureError):
            source.signature.verify(replace(webhook, body=changed), shop, NOW)


def test_a_blank_secret_is_refused_at_set_up() -> None:
    with pytest.raises(ValidationError):
        Settings(site="https://s.example", webhook_secrets=[""])
    with pytest.raises(ValidationError):
        Settings(site="https://s.example", webhook_secrets=[])


@pytest.mark.parametrize(
    "site",
    ["s.example", "https://", "https://u:p@s.example", "https://s.example/?x=1", "https:// s", "https://s.example/#a",
     "https://s.example/wp-json/wc/v3", "ftp://s.example"],
)  # fmt: skip
def test_an_address_at_which_no_call_could_be_made_is_refused_at_set_up(site: str) -> None:
    with pytest.raises(ValidationError):
        Settings(site=site, webhook_secrets=["x"])


@pytest.mark.parametrize("site", ["https://s.example/shop", "http://localhost:8080", "https://bücher.example"])
def test_an_address_of_a_shop_is_taken_as_it_is(site: str) -> None:
    assert Settings(site=site, webhook_secrets=["x"]).site == site


@pytest.mark.parametrize("body", [b"webhook_id=1", b"webhook_id=4711\n"])
def test_the_ping_at_creation_gets_exactly_200(body: bytes) -> None:
    assert source.handshake is not None
    ping = RawWebhook(body, {"content-type": "application/x-www-form-urlencoded"}, {}, NOW)
    answer = source.handshake(ping, SHOP)
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize("body", [b"", b"webhook_id=", b"webhook_id=1&x=2", b"webhook_id=a", b'{"webhook_id": 1}'])
def test_nothing_else_unsigned_counts_as_a_ping(body: bytes) -> None:
    assert source.handshake is not None
    assert source.handshake(RawWebhook(body, {}, {}, NOW), SHOP) is None


def test_a_body_like_a_ping_with_the_headers_of_a_webhook_is_no_ping() -> None:
    assert source.handshake is not None
    assert source.handshake(signed(b"webhook_id=1"), SHOP) is None


# --- which are the same ------------------------------------------------------------------------------------------


def test_deliveries_of_one_second_are_told_apart_by_their_bodies() -> None:
    one, other = signed(b'{"id":1}'), signed(b'{"id":2}')
    assert one.headers["x-wc-webhook-delivery-id"] == other.headers["x-wc-webhook-delivery-id"]
    first, second = source.identify(one, SHOP), source.identify(other, SHOP)
    assert first.delivery_key != second.delivery_key
    assert first == source.identify(one, SHOP)
    assert first.window is not None


@pytest.mark.parametrize("changed", ["x-wc-webhook-id", "x-wc-webhook-delivery-id", "x-wc-webhook-topic"])
def test_a_delivery_is_its_webhook_second_and_topic_too(changed: str) -> None:
    one = signed(b'{"id":1}')
    other = replace(one, headers={**one.headers, changed: "other"})
    assert source.identify(one, SHOP).delivery_key != source.identify(other, SHOP).delivery_key


def test_a_webhook_without_a_topic_cannot_be_identified() -> None:
    with pytest.raises(MalformedError):
        source.identify(RawWebhook(b"{}", {}, {}, NOW), SHOP)


def test_hooks_and_coupons_are_ignored_with_their_reason() -> None:
    receipt = source.identify(signed(b"{}", topic="action.woocommerce_order_status_completed"), SHOP)
    assert receipt.ignored
    assert {f"coupon.{event}" for event in ("created", "updated", "deleted", "restored")} <= set(source.ignored)
    assert all(len(reason) > 20 for reason in source.ignored.values())


# --- orders ------------------------------------------------------------------------------------------------------


def test_an_order_that_was_paid_before_its_webhook_left_is_created_and_paid() -> None:
    events = read(own("order.created/card"), "order.created")
    assert types(events) == ["order.created", "order.paid", "checkout.completed"]
    assert only(events, "order.paid").occurred_at == datetime(2026, 11, 20, 9, 15, 20, tzinfo=UTC)


def test_cash_on_delivery_is_not_paid_while_it_is_processed() -> None:
    assert types(read(own("order.created/cash-on-delivery-guest"), "order.created")) == ["order.created"]


def test_what_happened_before_the_connection_is_history() -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    events = read(own("order.updated/completed-with-parcel-older-than-the-connection"), since=since)
    old = {event.type: event.historical for event in events}
    assert old == {
        "order.created": True,
        "order.paid": True,
        "order.fulfilled": False,
        "order.updated": False,
        "fulfillment.created": False,
    }


def test_milestones_are_the_same_whatever_the_order_of_arrival() -> None:
    """Three versions of one order, each body telling all that happened until then."""
    first = own("order.created/cash-on-delivery-guest")
    paid = {**deepcopy(first), "date_paid_gmt": "2026-11-20T10:00:00", "date_modified_gmt": "2026-11-20T10:00:00"}
    done = {
        **deepcopy(paid),
        "status": "completed",
        "date_completed_gmt": "2026-11-20T11:00:00",
        "date_modified_gmt": "2026-11-20T11:00:00",
        "refunds": [{"id": 9, "total": "-1.00", "reason": ""}],
    }
    seen = set()
    for way in permutations([first, paid, done]):
        events = [event for body in way for event in read(body, shop=KEYLESS)]
        milestones = {(e.type, e.object) for e in events if event_type(e.type).milestone}
        seen.add(frozenset(milestones))
    assert len(seen) == 1
    assert {"order.created", "order.paid", "order.fulfilled", "refund.created"} == {kind for kind, _ in seen.pop()}


def test_two_changes_within_one_second_are_two_updates_and_one_state_told_twice_is_one() -> None:
    body = own("order.updated/cancelled")
    noted = {**body, "customer_note": "Please hurry"}
    again = {**body, "_links": {"self": []}}
    parts = [only(read(each), "order.updated").occurrence() for each in (body, noted, again)]
    assert parts[0] != parts[1]
    assert parts[0] == parts[2]


def test_only_gmt_times_are_read() -> None:
    order = plain(only(read(own("order.created/card")), "order.created").data)["order"]
    assert order["created_at"] == "2026-11-20T09:15:07Z"
    bare = {name: value for name, value in own("order.created/card").items() if not name.endswith("_gmt")}
    order = plain(only(read(bare), "order.created").data)["order"]
    assert not {"created_at", "updated_at", "paid_at"} & set(order)


def test_a_checkout_draft_is_a_checkout_and_never_an_order() -> None:
    events = read(own("order.updated/checkout-draft"))
    assert types(events) == ["checkout.created", "checkout.updated"]
    assert {event.object.kind for event in events} == {"checkout"}


@pytest.mark.parametrize("status", ["auto-draft", "draft", "new"])
def test_other_drafts_are_ignored(status: str) -> None:
    made = source.topics["order.updated"]({**own("order.created/card"), "status": status}, facts("order.updated"), {})
    assert isinstance(made, Ignored)


def test_a_status_may_bear_the_prefix_of_the_database() -> None:
    assert "order.cancelled" in types(read({**own("order.created/card"), "status": "wc-cancelled"}))


def test_the_ids_that_a_processor_knows_are_links() -> None:
    links = read(own("order.created/card"), "order.created")[0].links
    assert set(links) == {
        Ref("stripe_payment_intent", "pi_3Nordlicht0001"),
        Ref("stripe_charge", "ch_3Nordlicht0001"),
    }


def test_a_failed_renewal_is_the_failure_of_its_subscription() -> None:
    events = read(own("order.updated/failed-renewal"))
    assert only(events, "subscription.payment_failed").object == Ref("subscription", "6100")
    assert only(events, "payment.failed").subject == Ref("order", "7330")


def test_a_trashed_order_keeps_its_number_and_is_deleted_once() -> None:
    known = {Ref("order", "7302"): Remembered("x", {"number": "NK-7302"})}
    (event,) = read({"id": 7302}, "order.deleted", known)
    assert plain(event.data)["order"]["number"] == "NK-7302"
    assert "order.deleted" in types(read({**own("order.created/card"), "status": "trash"}))


# --- refunds -----------------------------------------------------------------------------------------------------


def test_refunds_are_asked_for_only_where_there_are_some_and_keys() -> None:
    body = own("order.updated/partial-refund-read-back")
    (wanted,) = source.needs("order.updated", body, SHOP)
    assert (wanted.path, wanted.required) == ("/wp-json/wc/v3/orders/7301/refunds", False)
    assert not source.needs("order.updated", own("order.created/card"), SHOP)
    assert not source.needs("order.updated", body, KEYLESS)
    assert not source.needs("order.updated", {**body, "id": "../webhooks"}, SHOP)


def test_a_refund_that_could_not_be_read_is_told_with_what_is_missing() -> None:
    body = own("order.updated/partial-refund-read-back")
    event = only(read(body, reads={"refunds": Unread("the shop was away")}), "refund.created")
    assert "the shop was away" in (event.note or "")
    assert event.data.refund.amount == Money(amount="8.00", currency="EUR")  # type: ignore[attr-defined]
    assert event.object == Ref("refund", "7310")
    assert event.subject == Ref("order", "7301")


def test_two_partial_refunds_stay_two_and_none_is_made_of_both() -> None:
    events = read(own("order.updated/second-refund-makes-it-whole"))
    made = [event.object.id for event in events if event.type == "refund.created"]
    assert sorted(made) == ["7310", "7311"]


def test_a_refund_told_by_the_status_alone_is_not_told_again_by_its_number() -> None:
    body = own("order.updated/refunded-by-status-alone")
    whole = only(read(body), "refund.created")
    assert whole.object.id == "7301-whole"
    remembered = read(body)[0].remember
    state = {Ref("order", "7301"): Remembered("2026-11-20T11:30:00Z", remembered or {})}
    later = {**body, "refunds": [{"id": 7399, "total": "-40.90", "reason": ""}]}
    assert only(read(later, state=state), "refund.created").object == whole.object


# --- products ----------------------------------------------------------------------------------------------------


def test_stock_knows_what_it_was_before_and_when_it_ran_out() -> None:
    known = {Ref("product", "310"): Remembered("2026-11-20T08:20:00Z", {"available": "3", "has_some": True})}
    events = read(own("product.updated/sold-out"), "product.updated", known)
    level = only(events, "inventory.out_of_stock").data.inventory  # type: ignore[attr-defined]
    assert (level.before, level.available) == (3, 0)


def test_the_same_stock_again_is_no_change() -> None:
    body = own("product.created/simple")
    known = {Ref("product", "310"): Remembered("2026-11-20T08:20:00Z", read(body, "product.created")[0].remember or {})}
    assert not [kind for kind in types(read(body, "product.updated", known)) if kind.startswith("inventory")]


def test_a_variation_is_an_update_of_its_product() -> None:
    (event,) = read(own("product.updated/variation-with-the-stock-of-its-parent"), "product.updated")
    assert (event.object, event.subject) == (Ref("variant", "312"), Ref("product", "310"))


def test_prices_of_products_have_no_currency_unless_the_operator_names_it() -> None:
    bare = SHOP.model_copy(update={"currency": None})
    product = only(read(own("product.created/simple"), "product.created", shop=bare), "product.created").data
    assert product.product.price is None  # type: ignore[attr-defined]


# --- subscriptions -----------------------------------------------------------------------------------------------


def test_the_first_payment_is_no_renewal_and_the_next_one_is() -> None:
    assert "subscription.renewed" not in types(read(own("subscription.created/monthly"), "subscription.created"))
    renewed = only(read(own("subscription.updated/renewed"), "subscription.updated"), "subscription.renewed")
    assert renewed.occurred_at == datetime(2026, 10, 20, 9, 16, tzinfo=UTC)


def test_pausing_is_seen_by_the_status_before_and_never_of_an_older_body() -> None:
    body = own("subscription.updated/put-on-hold")
    ref = Ref("subscription", "6100")
    assert "subscription.paused" not in types(read(body, "subscription.updated"))
    newer = {ref: Remembered("2026-12-01T00:00:00Z", {"status": "active"})}
    assert "subscription.paused" not in types(read(body, "subscription.updated", newer))
    before = {ref: Remembered("2026-10-20T09:16:02Z", {"status": "active"})}
    assert "subscription.paused" in types(read(body, "subscription.updated", before))


# --- what is no order at all -------------------------------------------------------------------------------------

REST_ERROR = {"code": "woocommerce_rest_cannot_view", "message": "Sorry.", "data": {"status": 401}}


@pytest.mark.parametrize("topic", sorted(source.topics))
def test_a_signed_rest_error_is_a_problem_of_the_connection(topic: str) -> None:
    with pytest.raises(ConnectionProblemError, match="lost rights"):
        source.topics[topic](REST_ERROR, facts(topic), {})


def test_a_body_of_the_legacy_api_says_which_setting_to_change() -> None:
    with pytest.raises(ConnectionProblemError, match="REST API v3"):
        source.topics["order.created"]({"order": {"id": 1}}, facts("order.created"), {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["-8.10", "0", "", "1e400"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.sampled_from(sorted(source.topics)), json_values)
def test_random_json_is_read_or_called_malformed(topic: str, body: Any) -> None:
    try:
        source.remembers(topic, clean(body))
        source.needs(topic, clean(body), SHOP)
        source.topics[topic](clean(body), facts(topic), {})
    except (MalformedError, ConnectionProblemError):
        pass


SAMPLES = [
    ("order.updated", "order.updated/partial-refund-read-back"),
    ("order.updated", "order.updated/completed-with-parcel-older-than-the-connection"),
    ("product.updated", "product.updated/sold-out"),
    ("customer.updated", "customer.updated/shopper"),
    ("subscription.updated", "subscription.updated/renewed"),
]


@settings(max_examples=150)
@given(st.sampled_from(SAMPLES), st.data())
def test_a_body_with_any_fields_damaged_is_read_or_called_malformed(sample: tuple[str, str], data: Any) -> None:
    topic, name = sample
    body = own(name)
    for place in data.draw(st.lists(st.sampled_from(sorted(body)), max_size=4)):
        body[place] = data.draw(json_values)
    for inner in ("line_items", "refunds", "shipping_lines", "billing"):
        rows = body.get(inner)
        row = rows[0] if isinstance(rows, list) and rows else rows
        if isinstance(row, dict) and row:
            row[data.draw(st.sampled_from(sorted(row)))] = data.draw(json_values)
    try:
        made = source.topics[topic](clean(body), facts(topic), {})
    except (MalformedError, ConnectionProblemError):
        return
    for event in [] if isinstance(made, Ignored) else made:
        event.check()
        assert not list(floats(event.data.model_dump()))


def floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from floats(inner)


# --- amounts -----------------------------------------------------------------------------------------------------

cents = st.integers(0, 10**7).map(lambda value: f"{Decimal(value) / 100:.2f}")


@st.composite
def orders(draw: Any) -> dict[str, Any]:
    """An order whose sums are those of its lines, as WooCommerce makes them."""
    body: dict[str, Any] = deepcopy(own("order.created/cash-on-delivery-guest"))
    lines = draw(st.lists(st.tuples(cents, cents, st.integers(1, 9)), min_size=1, max_size=5))
    shipping, tax, fee = draw(cents), draw(cents), draw(cents)
    body["line_items"] = [
        {"id": n + 1, "quantity": count, "subtotal": price, "total": price, "total_tax": "0.00", "name": "x"}
        for n, (price, _, count) in enumerate(lines)
    ]
    off = draw(st.booleans())
    discount = Decimal(0)
    if off:
        for row, (price, less, _) in zip(body["line_items"], lines, strict=True):
            row["total"] = f"{max(Decimal(price) - Decimal(less), Decimal(0)):.2f}"
            discount += Decimal(price) - Decimal(row["total"])
    body["fee_lines"] = [{"id": 77, "name": draw(st.sampled_from(["Fee", "Tip"])), "total": fee, "total_tax": "0.00"}]
    goods = sum((Decimal(price) for price, _, _ in lines), Decimal(0))
    grand = goods - discount + Decimal(shipping) + Decimal(tax) + Decimal(fee)
    said = {"shipping_total": shipping, "total_tax": tax, "discount_total": f"{discount:.2f}", "total": f"{grand:.2f}"}
    return body | said | {"prices_include_tax": draw(st.booleans())}


@settings(max_examples=80)
@given(orders())
def test_sums_that_add_up_in_the_shop_add_up_here(body: dict[str, Any]) -> None:
    order = only(read(body), "order.created").data.order  # type: ignore[attr-defined]
    assert reconcile(order) is None
    assert order.discrepancy is None
    assert order.total == Money(amount=body["total"], currency="EUR")


@settings(max_examples=40)
@given(orders(), st.integers(1, 500))
def test_sums_that_do_not_add_up_say_by_how_much(body: dict[str, Any], more: int) -> None:
    wrong = Decimal(body["total"]) + Decimal(more) / 100
    order = only(read({**body, "total": f"{wrong:.2f}"}), "order.created").data.order  # type: ignore[attr-defined]
    assert order.discrepancy is not None
    assert order.discrepancy.amount.amount == Decimal(more) / 100
    assert with_discrepancy(order).discrepancy == order.discrepancy


# --- bodies of others --------------------------------------------------------------------------------------------


def shared_bodies() -> list[Any]:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            raise RuntimeError("../shared/payloads is required in CI")
        skip = pytest.mark.skip(reason="../shared/payloads is not here")
        return [pytest.param("", Path(), marks=skip)]
    files = sorted(path for path in SHARED.glob("*/*.json"))
    return [pytest.param(path.parent.name, path, id=f"{path.parent.name}-{path.stem}") for path in files]


@pytest.mark.parametrize(("topic", "path"), shared_bodies())
def test_every_body_in_the_folder_ends_known(topic: str, path: Path) -> None:
    raw = path.read_bytes()
    if path.stem.endswith("-with-headers"):
        raw = json.dumps(json.loads(raw)["body"]).encode()
    webhook = signed(raw, topic=topic)
    source.signature.verify(webhook, SHOP, NOW)
    assert source.identify(webhook, SHOP).topic == topic
    if topic in source.ignored:
        return
    body = clean(parse_json(webhook))
    if "code" in body and "message" in body:
        with pytest.raises(ConnectionProblemError):
            source.topics[topic](body, facts(topic), {})
        return
    events = read(body, topic)
    assert events
    second_reader(body, events)


def second_reader(body: dict[str, Any], events: list[Event]) -> None:
    """Number, currency and total, read without the normaliser; and the sums add up or say why not."""
    for event in events:
        order = getattr(event.data, "order", None)
        if event.object.kind != "order" or order is None or "total" not in body:
            continue
        assert order.number == body["number"]
        assert order.total == Money(amount=body["total"], currency=body["currency"])
        assert order.discrepancy is not None or reconcile(order) is None


def test_a_window_longer_than_any_repeat_keeps_keys_of_content() -> None:
    receipt = source.identify(signed(b'{"id":1}'), SHOP)
    assert receipt.window is not None
    assert timedelta(minutes=10) <= receipt.window <= timedelta(days=7)


def test_the_account_of_a_connection_is_the_site() -> None:
    assert connector.account == "site"
    assert Settings(site="https://s.example/", webhook_secrets=["x"]).site == "https://s.example"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("25,80", "25.80"), ("1.234,5", "1234.5"), ("-3,10", "-3.10"), ("1,234", None), ("1,234.50", None), ("7", "7")],
)
def test_an_amount_as_a_plugin_shows_it_is_read_and_what_could_be_either_is_not(said: str, meant: str | None) -> None:
    found = amount({"total": said}, "total", "EUR")
    assert (str(found.amount) if found else None) == meant


@pytest.mark.parametrize(
    ("said", "lost"), [("abc", True), ("1,234", True), ([1], True), ("", False), (None, False), (0, False)]
)
def test_a_total_that_is_stated_and_cannot_be_read_is_said_on_the_event(said: Any, lost: bool) -> None:
    found = only(read(own("order.created/card") | {"total": said}, "order.created"), "order.created")
    assert (found.note == "these amounts could not be read: total") is lost
    assert lost or found.note is None

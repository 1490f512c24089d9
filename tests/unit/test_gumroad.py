"""Gumroad: unsigned pings are believed only after a look at the sale, and forms are read as Ruby writes them."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import ConnectionProblemError, Facts, Ignored, Json, RawWebhook, Receipt, Remembered, State, Unread
from app.errors import MalformedError, NotFoundError
from app.events import Event, Money, Ref, clean, reconcile
from connectors.gumroad.forms import parse
from connectors.gumroad.settings import Settings
from connectors.gumroad.source import RESOURCES, source

HERE = Path(__file__).parents[2]
OWN = HERE / "connectors/gumroad/payloads"
SHARED = HERE.parent / "shared/payloads/gumroad"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SELLER = Settings.model_validate(json.loads((OWN / "settings.json").read_text()))
UNPROVEN = SELLER.model_copy(update={"access_token": None})
TOKEN = SELLER.tokens[0].get_secret_value()


def ping(name: str) -> bytes:
    return (OWN / f"{name}.form").read_bytes()


def given_of(name: str) -> dict[str, Any]:
    beside = OWN / f"{name}.given.json"
    return dict(json.loads(beside.read_text())) if beside.exists() else {}


def webhook(body: bytes, token: str | None = TOKEN) -> RawWebhook:
    query = {} if token is None else {"token": token}
    return RawWebhook(body, {"content-type": "application/x-www-form-urlencoded"}, query, NOW)


def make(
    body: bytes,
    reads: Json = None,
    seller: Settings = SELLER,
    state: State | None = None,
    since: datetime | None = None,
) -> Any:
    receipt = source.identify(webhook(body), seller)
    facts = Facts(
        topic=receipt.topic,
        settings=seller,
        headers={},
        received_at=NOW,
        since=since,
        test=receipt.test,
        reads=reads or {},
    )
    return source.topics[receipt.topic](clean(source.parse(webhook(body))), facts, state or {})


def events(body: bytes, *args: Any, **more: Any) -> list[Event]:
    made = make(body, *args, **more)
    assert not isinstance(made, Ignored), made.reason
    for event in made:
        event.check()
    return list(made)


def own(name: str, **more: Any) -> list[Event]:
    return events(ping(name), given_of(name).get("reads"), **more)


def types(made: list[Event]) -> list[str]:
    return [event.type for event in made]


def only(made: list[Event], type_: str) -> Event:
    (found,) = [event for event in made if event.type == type_]
    return found


def order(made: list[Event]) -> Any:
    return only(made, "order.created").data.order  # type: ignore[attr-defined]


# --- the token ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\ud800"])
def test_a_missing_or_wrong_token_looks_like_no_connection(token: str | None) -> None:
    with pytest.raises(NotFoundError) as refused:
        source.signature.verify(webhook(b"", token), SELLER, NOW)
    assert TOKEN not in str(refused.value)


def test_a_token_stays_good_while_it_is_changed() -> None:
    seller = Settings(seller_id="s", tokens=["the new one 0123456789", TOKEN])
    source.signature.verify(webhook(b"x"), seller, NOW)
    signed = source.signature.sign(b"x", seller, NOW)
    assert signed.query == {"token": "the new one 0123456789"}
    source.signature.verify(RawWebhook(b"x", {}, signed.query, NOW), seller, NOW)


@given(st.text(min_size=16, max_size=60), st.integers(0), st.integers(0, 6))
def test_a_token_with_a_turned_bit_is_refused(token: str, place: int, bit: int) -> None:
    token = token.encode(errors="replace").decode()
    seller = Settings(seller_id="s", tokens=[token])
    good = source.signature.sign(b"", seller, NOW).query["token"]
    source.signature.verify(webhook(b"", good), seller, NOW)
    at = place % len(good)
    changed = good[:at] + chr(ord(good[at]) ^ 1 << bit) + good[at + 1 :]
    with pytest.raises(NotFoundError):
        source.signature.verify(webhook(b"", changed), seller, NOW)


def test_a_token_that_can_be_guessed_is_refused_at_set_up() -> None:
    with pytest.raises(ValidationError):
        Settings(seller_id="s", tokens=["short"])


# --- forms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (b"a=1&b=%20x%20y", {"a": "1", "b": " x y"}),
        (b"a=1%2B1", {"a": "1+1"}),
        (b"card%5Bvisual%5D=%2A%2A&card[type]=visa", {"card": {"visual": "**", "type": "visa"}}),
        (b"ids%5B%5D=1&ids%5B%5D=2", {"ids": ["1", "2"]}),
        (b"variants%5B%5D=Large", {"variants": ["Large"]}),
        (b"old_plan%5Btier%5D%5Bid%5D=t", {"old_plan": {"tier": {"id": "t"}}}),
        (b"custom_fields%5Ba%255Bb%255D%5D=x&a%255Bb%255D=x", {"custom_fields": {"a[b]": "x"}, "a[b]": "x"}),
        (b"a=1&a%5Bb%5D=2", {"a": {"b": "2"}}),
        (b"a%5Bb=1&%5D=2&=3", {"a[b": "1", "]": "2", "": "3"}),
        (b"x=%C3%A4&y=%FF", {"x": "\u00e4", "y": "\ufffd"}),
        (b'{"a": {"b": [1]}}', {"a": {"b": [1]}}),
    ],
)
def test_forms_are_read_as_gumroad_writes_them(form: bytes, read: Any) -> None:
    assert parse(webhook(form)) == read


@pytest.mark.parametrize(
    "body", [b"", b"&", b"hello", b"[1]", b'{"a"', b"a" + b"[b]" * 40 + b"=1", b"&".join([b"a=1"] * 3000)]
)
def test_what_is_no_form_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(webhook(body))


def test_a_variant_under_a_blank_title_is_a_variant() -> None:
    line = order(own("sale/digital")).line_items[0]
    assert line.variant_title == "Deluxe"
    without = {"reads": {**given_of("sale/digital")["reads"]}}
    del without["reads"]["sale"]["sale"]["variants"]
    assert order(events(ping("sale/digital"), seller=UNPROVEN)).line_items[0].variant_title == "Deluxe"


# --- which are the same ------------------------------------------------------------------------------------------


def test_a_ping_is_always_new_and_its_repetition_has_its_key() -> None:
    first = source.identify(webhook(ping("refund/partial")), SELLER)
    again = [
        source.identify(webhook(ping("refund/partial") + b"&retry_count=" + count), SELLER)
        for count in (b"1", b"2", b"3")
    ]
    assert first.always_new
    assert not any(each.always_new for each in again)
    assert {each.delivery_key for each in again} == {first.delivery_key}
    assert first.window == again[0].window
    assert first.window is not None
    assert timedelta(minutes=14) < first.window <= timedelta(minutes=30)


def test_the_key_of_a_repeated_json_ping_is_that_of_the_first() -> None:
    body = {"sale_id": "x", "resource_name": "sale", "big": 10**30}
    first = source.identify(webhook(json.dumps(body).encode()), SELLER)
    again = source.identify(webhook(json.dumps({"retry_count": 1, **body}).encode()), SELLER)
    assert (first.always_new, again.always_new) == (True, False)
    assert first.delivery_key == again.delivery_key


class Store:
    """What the hub does with a receipt: see `Receipt.always_new`."""

    def __init__(self) -> None:
        self.until: dict[str, datetime] = {}

    def keeps(self, receipt: Receipt, now: datetime) -> bool:
        key = receipt.delivery_key or ""
        known = key in self.until and self.until[key] > now
        if known and not receipt.always_new:
            return False
        self.until[key] = now + (receipt.window or timedelta(0))
        return True


def test_two_partial_refunds_are_kept_and_the_repetitions_of_both_are_dropped() -> None:
    """Alike to the byte, a minute apart, each repeated twice."""
    store, body = Store(), ping("refund/partial")
    sent = [(0, b""), (1, b""), (2, b"&retry_count=1"), (3, b"&retry_count=1"), (4, b"&retry_count=2")]
    kept = [
        store.keeps(source.identify(webhook(body + more), SELLER), NOW + timedelta(minutes=at)) for at, more in sent
    ]
    assert kept == [True, True, False, False, False]


def test_a_repetition_whose_first_was_never_stored_is_kept_once() -> None:
    store, body = Store(), ping("sale/retry")
    assert [store.keeps(source.identify(webhook(body), SELLER), NOW) for _ in range(2)] == [True, False]


def test_all_eight_resources_are_known() -> None:
    assert set(RESOURCES) == set(source.topics)
    assert len(RESOURCES) == 8


def test_a_ping_without_a_resource_is_a_sale_and_the_test_button_says_test() -> None:
    receipt = source.identify(webhook(ping("sale/test-button")), SELLER)
    assert (receipt.topic, receipt.test) == ("sale", True)
    with pytest.raises(MalformedError):
        source.identify(webhook(b"hello=world"), SELLER)


# --- the look at the sale ----------------------------------------------------------------------------------------


def test_the_sale_is_read_back_before_any_event() -> None:
    (wanted,) = source.needs("sale", parse(webhook(ping("sale/digital"))), SELLER)
    assert (wanted.path, wanted.required) == ("/v2/sales/sL1saleNordlichtAAAAA==", True)
    (member,) = source.needs("cancellation", parse(webhook(ping("cancellation/by-buyer"))), SELLER)
    assert (member.path, member.required) == ("/v2/subscribers/mB4memberNordlichtAA==", True)


@pytest.mark.parametrize(
    "reads",
    [
        {},
        {"sale": Unread("the sale was not found")},
        {"sale": {"success": False, "message": "The sale was not found."}},
        {"sale": {"success": True, "sale": {"id": "another", "seller_id": SELLER.seller_id}}},
        {"sale": {"success": True, "sale": {"id": "sL1saleNordlichtAAAAA==", "seller_id": "somebody else"}}},
        {"sale": []},
    ],
)
def test_without_the_look_there_is_no_event(reads: Any) -> None:
    with pytest.raises(MalformedError):
        make(ping("sale/digital"), reads)


@pytest.mark.parametrize("path", ["..%2F..%2Fproducts", "a/b", "x?y", "", "a b"])
def test_an_id_that_is_none_is_never_put_into_an_address(path: str) -> None:
    body = f"sale_id={quote(path, safe='')}&resource_name=sale&subscription_id={quote(path, safe='')}".encode()
    assert not source.needs("sale", parse(webhook(body)), SELLER)
    assert not source.needs("cancellation", parse(webhook(body)), SELLER)


def test_nothing_is_read_without_an_access_token_and_every_event_says_so() -> None:
    body = parse(webhook(ping("sale/digital")))
    assert not source.needs("sale", body, UNPROVEN)
    for name in (
        "sale/digital",
        "refund/whole",
        "dispute/opened",
        "cancellation/by-buyer",
        "subscription_updated/upgrade",
    ):
        made = events(ping(name), seller=UNPROVEN)
        assert made
        assert all("unproven" in (event.note or "") for event in made)
    assert all(event.note is None for event in own("sale/digital"))


def test_the_ping_of_another_seller_is_refused_where_it_cannot_be_proven() -> None:
    body = ping("sale/digital").replace(quote(SELLER.seller_id, safe="").encode(), b"someone")
    with pytest.raises(MalformedError, match="another seller"):
        make(body, seller=UNPROVEN)


def test_what_a_buyer_wrote_into_a_custom_field_is_never_a_core_value() -> None:
    made = order(own("sale/custom-fields-overwrite-core-ones"))
    assert made.email == "nils@example.com"
    assert made.total == Money(amount="19.00", currency="USD")
    assert made.attributes["email"] == "mallory@example.net"
    unproven = order(events(ping("sale/custom-fields-overwrite-core-ones"), seller=UNPROVEN))
    assert unproven.email is None
    assert unproven.total is None


def test_a_sale_whose_id_was_overwritten_is_found_by_its_number() -> None:
    body = parse(webhook(ping("sale/sale-id-overwritten")))
    (wanted,) = source.needs("sale", body, SELLER)
    assert (wanted.name, wanted.params) == ("sales", {"order_id": "700100200"})
    assert order(own("sale/sale-id-overwritten")).id == "sL1saleNordlichtAAAAA=="
    with pytest.raises(MalformedError):
        make(ping("sale/sale-id-overwritten"), seller=UNPROVEN)


# --- money -------------------------------------------------------------------------------------------------------


def test_the_price_is_in_us_cents_whatever_the_listing_says() -> None:
    made = order(own("sale/physical-three-in-euro-listing"))
    assert made.total == Money(amount="45.30", currency="USD")
    assert (made.currency, made.presentment_currency) == ("USD", "EUR")
    assert made.line_items[0].price == Money(amount="15.10", currency="USD")


def test_a_gift_is_worth_what_the_giver_paid() -> None:
    made = order(own("sale/gift"))
    assert made.total == Money(amount="19.00", currency="USD")
    assert made.attributes["gifter_email"] == "tante@example.org"


def test_a_preorder_and_a_trial_are_not_paid() -> None:
    assert types(own("sale/preorder")) == ["order.created"]
    assert types(own("sale/free-trial")) == ["order.created", "subscription.started"]


@given(st.integers(0, 10**9), st.integers(1, 50))
def test_every_sale_adds_up(price: int, quantity: int) -> None:
    reads = given_of("sale/digital")["reads"]
    reads["sale"]["sale"].update(price=price, quantity=quantity)
    made = order(events(ping("sale/digital"), reads))
    assert reconcile(made) is None
    assert made.discrepancy is None
    assert made.total.amount == Decimal(price) / 100


# --- refunds and disputes ----------------------------------------------------------------------------------------


def refunded(left: str, whole: bool = False) -> Any:
    reads = given_of("refund/partial")["reads"]
    reads["sale"]["sale"].update(
        refunded=whole, partially_refunded=not whole, amount_refundable_in_currency=left, price=123456
    )
    return reads


def test_a_row_of_refunds_is_told_by_what_is_left_each_time() -> None:
    state: dict[Ref, Remembered] = {}
    told = []
    for left, whole in (("1,200.00", False), ("1,000.55", False), ("1,000.55", False), ("0", True)):
        made = events(ping("refund/partial"), refunded(left, whole), state=state)
        event = only(made, "refund.created")
        told.append((event.object.id.partition(":")[2], str(event.data.refund.amount.amount)))  # type: ignore[attr-defined]
        remembered = only(made, "order.created").remember
        assert remembered is not None
        state[Ref("order", "sL1saleNordlichtAAAAA==")] = Remembered(None, remembered)
    assert told == [("1,200.00", "34.56"), ("1,000.55", "199.45"), ("1,000.55", "0.00"), ("whole", "1000.55")]


def test_partial_is_told_from_whole() -> None:
    assert only(own("refund/partial"), "refund.created").data.refund.is_full is False  # type: ignore[attr-defined]
    assert only(own("refund/whole"), "refund.created").data.refund.is_full is True  # type: ignore[attr-defined]


def test_what_was_given_back_of_a_listing_in_another_currency_is_not_guessed() -> None:
    event = only(own("refund/partial-of-a-euro-listing"), "refund.created")
    assert event.data.refund.amount is None  # type: ignore[attr-defined]
    assert "does not say" in (event.note or "")


def test_a_refund_ping_without_a_refund_makes_nothing() -> None:
    assert isinstance(make(ping("refund/nothing-given-back"), given_of("refund/nothing-given-back")["reads"]), Ignored)


def test_a_refund_that_overtakes_its_sale_tells_the_sale_too() -> None:
    assert {"order.created", "order.paid", "refund.created"} <= set(types(own("refund/whole")))


def test_an_old_sale_is_history_and_its_refund_of_today_is_not() -> None:
    made = own("refund/whole", since=datetime(2026, 11, 20, 9, tzinfo=UTC))
    assert {event.type: event.historical for event in made} == {
        "order.created": True,
        "order.paid": True,
        "order.updated": False,
        "refund.created": False,
    }


def test_a_dispute_that_was_won_was_opened() -> None:
    made = own("dispute_won/won")
    assert only(made, "dispute.opened").object == only(made, "dispute.won").object
    assert "dispute.won" not in types(own("dispute/opened"))


# --- memberships -------------------------------------------------------------------------------------------------


def test_a_renewal_is_a_sale_of_its_own_and_a_period_of_the_membership() -> None:
    made = own("sale/membership-renewal")
    renewed = only(made, "subscription.renewed")
    assert renewed.subject == Ref("subscription", "mB4memberNordlichtAA==")
    assert renewed.part == "sL1saleNordlichtAAAAA=="


def test_two_cancellations_for_one_period_are_told_apart_by_when_they_were_asked_for() -> None:
    reads = given_of("cancellation/by-buyer")["reads"]
    first = events(ping("cancellation/by-buyer"), reads)[0]
    reads["subscriber"]["subscriber"]["user_requested_cancellation_at"] = "2026-11-25T09:00:00Z"
    assert events(ping("cancellation/by-buyer"), reads)[0].occurrence() != first.occurrence()


def test_two_changes_of_plan_on_one_day_are_two() -> None:
    body, reads = ping("subscription_updated/upgrade"), given_of("subscription_updated/upgrade")["reads"]
    other = body.replace(b"=9000", b"=9900")
    assert events(body, reads)[0].occurrence() != events(other, reads)[0].occurrence()
    assert events(body, reads)[0].occurrence() == events(body + b"&retry_count=1", reads)[0].occurrence()


# --- anything else -----------------------------------------------------------------------------------------------

names = st.sampled_from(
    ["sale_id", "price", "email", "variants[]", "card[type]", "custom_fields[price]", "resource_name", "quantity"]
) | st.text(max_size=6)
forms = st.lists(st.tuples(names, st.text(max_size=8)), max_size=8).map(
    lambda pairs: "&".join(
        f"{quote(k)}={quote(v)}"
        for k, v in [(a.encode(errors="replace"), b.encode(errors="replace")) for a, b in pairs]
    ).encode()
)


@settings(max_examples=150)
@given(st.binary(max_size=200) | forms, st.sampled_from(RESOURCES), st.booleans())
def test_random_bodies_are_read_or_called_malformed(body: bytes, topic: str, proven: bool) -> None:
    seller = SELLER if proven else UNPROVEN
    name = "sale/digital" if topic in ("sale", "refund", "dispute", "dispute_won") else "cancellation/by-buyer"
    for mixed in (body, ping(name) + b"&" + body):
        try:
            source.identify(webhook(mixed), seller)
            payload = clean(source.parse(webhook(mixed)))
            source.needs(topic, payload, seller)
            source.remembers(topic, payload)
            facts = Facts(
                topic=topic,
                settings=seller,
                headers={},
                received_at=NOW,
                reads=given_of(name)["reads"] if proven else {},
            )
            made = source.topics[topic](payload, facts, {})
        except (MalformedError, ConnectionProblemError):
            continue
        for event in [] if isinstance(made, Ignored) else made:
            event.check()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1,200.50", "0", "", "1e9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.sampled_from(["sale/digital", "refund/partial", "sale/membership-first", "cancellation/by-buyer"]), st.data())
def test_a_damaged_answer_of_the_api_is_read_or_called_malformed(name: str, data: Any) -> None:
    reads = given_of(name)["reads"]
    answer = next(iter(reads.values()))
    said = answer[next(key for key in answer if key != "success")]
    for field in data.draw(st.lists(st.sampled_from(sorted(said)), max_size=4)):
        said[field] = data.draw(json_values)
    try:
        made = make(ping(name), clean(reads))
    except (MalformedError, ConnectionProblemError):
        return
    for event in [] if isinstance(made, Ignored) else made:
        event.check()


# --- bodies of others --------------------------------------------------------------------------------------------


def shared_bodies() -> list[Any]:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            raise RuntimeError("../shared/payloads is required in CI")
        return [pytest.param("", Path(), marks=pytest.mark.skip(reason="../shared/payloads is not here"))]
    files = sorted(SHARED.glob("*/*.txt"))
    return [pytest.param(path.parent.name, path, id=f"{path.parent.name}-{path.stem}") for path in files]


@pytest.mark.parametrize(("topic", "path"), shared_bodies())
def test_every_body_in_the_folder_ends_known(topic: str, path: Path) -> None:
    body = path.read_bytes().strip()
    said: Any = parse(webhook(body))
    seller = UNPROVEN.model_copy(update={"seller_id": said.get("seller_id", "any")})
    receipt = source.identify(webhook(body), seller)
    assert receipt.topic == topic
    made = events(body, seller=seller)
    assert made
    for event in made:
        sale = getattr(event.data, "order", None)
        if sale is not None and event.object.kind == "order":
            assert sale.number == said["order_number"]
            assert sale.total == Money(amount=Decimal(said["price"]) / 100, currency="USD")
            assert reconcile(sale) is None

"""Shippo: a label is bought once or not at all, of the service wanted, in a box that holds the goods."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import EffectKey, RawWebhook, Reply
from app.errors import CredentialError, NotFoundError, PermanentError, RetryableError, TradewindError
from app.events import Address, LineItem, Money, Order
from app.pipeline.deliver.attempt import Attempt
from app.pipeline.deliver.outcome import Ok
from connectors.shippo.actions import choose, example_order, mark_of
from connectors.shippo.faults import problem, refused
from connectors.shippo.models import BuyLabel, GetRates, Rate, RefundLabel, Settings, Track, ValidateAddress
from connectors.shippo.parcels import packed, parcel_body
from connectors.shippo.sandbox import TOKEN
from connectors.shippo.tracking import identify, order_of, source
from tests.connectors.conftest import KEY, NOW, REGISTRY, Bench, due_call, open_bench

CONNECTOR = REGISTRY["shippo"]
HOME = example_order().shipping_address or Address()


@pytest.fixture
async def shippo() -> AsyncIterator[Bench]:
    async for bench in open_bench(CONNECTOR):
        yield bench


def keyed(number: int) -> bytes:
    return number.to_bytes(16, "big")


def going_to(**changes: Any) -> Order:
    return example_order().model_copy(update={"shipping_address": HOME.model_copy(update=changes)})


async def labels(bench: Bench, status: str = "SUCCESS") -> list[Any]:
    """Those that were bought, without the one that is there from the start."""
    return [each for each in (await bench.state())["labels"][1:] if each["status"] == status]


# --- addresses and rates ----------------------------------------------------------------------------------------


async def test_a_wrong_address_is_an_answer_not_an_error(shippo: Bench) -> None:
    right = await shippo.ok("validate_address")
    wrong = await shippo.ok("validate_address", ValidateAddress(order=going_to(address1="Nowhere 1")), key=keyed(1))
    assert (right.valid, right.messages, right.address.city) == (True, [], "San Francisco")
    assert (wrong.valid, wrong.messages) == (False, ["The street is not known."])


async def test_rates_come_cheapest_first_and_say_the_box(shippo: Bench) -> None:
    rates = await shippo.ok("get_rates")
    assert [rate.price.amount for rate in rates.rates] == [Decimal("4.80"), Decimal("8.10"), Decimal("31.50")]
    assert (rates.box, rates.weight) == ("small", Decimal(780))


async def test_no_rates_say_why(shippo: Bench) -> None:
    failed = await shippo.failed("get_rates", GetRates(order=going_to(address1="Nowhere 1")))
    assert (failed.kind, "not valid" in failed.error) == ("permanent", True)


OBJECT = {"object_id", "object_created", "object_updated", "object_owner"}
ADDRESS = {"country"}
PRICE = {"amount", "amount_local", "currency", "currency_local"}
NEEDED: dict[str, set[str]] = {
    "/addresses": OBJECT | ADDRESS | {"validation_results", "is_complete"},
    "/shipments": OBJECT
    | {"address_from", "address_to", "parcels", "rates", "messages", "metadata", "status", "carrier_accounts"},
    "/transactions": OBJECT
    | {"status", "rate", "messages", "metadata", "tracking_number", "label_url", "object_state"},
    "/refunds": OBJECT | {"status", "transaction"},
    "/tracks": {"carrier", "tracking_number", "messages", "tracking_history"},
}
RATE = PRICE | {"attributes", "carrier_account", "object_created", "object_id", "object_owner"}
RATE |= {"provider", "servicelevel", "shipment"}
"""What Shippo's own SDKs (made of its API description) demand of each answer."""


async def test_the_sandbox_answers_with_all_that_shippos_own_clients_need(shippo: Bench) -> None:
    for action in shippo.connector.actions:
        await shippo.ok(action)
    seen = {
        f"/{request.url.path.split('/')[2]}": reply.json() for request, reply in shippo.recorder.seen if reply.content
    }
    assert seen.keys() == NEEDED.keys()
    for path, said in seen.items():
        assert NEEDED[path] <= said.keys(), (path, NEEDED[path] - said.keys())
        assert None not in said.values(), path
    assert all(rate.keys() >= RATE for rate in seen["/shipments"]["rates"])


# --- labels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "service"),
    [
        ({}, "usps_ground_advantage"),
        ({"choose": "fastest"}, "ups_next_day_air"),
        ({"service": "usps_priority"}, "usps_priority"),
        ({"carrier": "usps", "choose": "fastest"}, "usps_priority"),
    ],
)
async def test_the_label_wanted_is_bought(shippo: Bench, wanted: dict[str, Any], service: str) -> None:
    label = await shippo.ok("buy_label", BuyLabel(order=example_order(), **wanted))
    assert (label.service, label.status, bool(label.tracking_number)) == (service, "SUCCESS", True)
    assert len(await labels(shippo)) == 1


async def test_a_label_names_its_order_and_its_effect(shippo: Bench) -> None:
    await shippo.ok("buy_label")
    metadata = (await labels(shippo))[0]["metadata"]
    assert metadata == f"{mark_of(KEY.hex())} order 5001"
    assert order_of(metadata) == "5001"


@pytest.mark.parametrize("fault", [{"status": 500}, {"close": "before"}, {"malformed": True}])
@pytest.mark.parametrize("after_acting", [True, False])
async def test_a_label_is_bought_once_whatever_its_answer_was(
    shippo: Bench, fault: dict[str, Any], after_acting: bool
) -> None:
    await shippo.fault(**fault, after_acting=after_acting, path="/transactions", method="POST", times=1)
    given = BuyLabel(order=example_order()).model_dump(mode="json", exclude_none=True)
    attempt = Attempt(due_call(CONNECTOR, CONNECTOR.actions[2], given, KEY))
    await shippo.failed("buy_label", attempt=attempt)
    again = await shippo.perform("buy_label", stored=tuple(attempt.requests), if_found=True)
    assert isinstance(again, Ok)
    assert again.found is ((after_acting and fault.get("status") != 429) or (after_acting and "status" in fault))
    assert len(await labels(shippo)) == 1


async def test_a_label_of_another_effect_is_not_taken_for_ours(shippo: Bench) -> None:
    await shippo.ok("buy_label")
    other = await shippo.perform("buy_label", key=keyed(7), if_found=True)
    assert isinstance(other, Ok)
    assert not other.found
    assert len(await labels(shippo)) == 2


async def test_a_label_is_found_behind_hundreds_of_newer_ones(shippo: Bench) -> None:
    first = await shippo.ok("buy_label")
    for number in range(101):
        await shippo.ok("buy_label", key=keyed(number + 1))
    found = await shippo.perform("buy_label", if_found=True)
    assert isinstance(found, Ok)
    assert found.found
    assert first.id in found.output


def long_ago(shippo: Bench) -> None:
    """As if every label had been bought in 2019."""
    old = shippo.recorder.inner

    class Long(type(old)):  # type: ignore[misc]
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reply = await old.handle_async_request(request)
            body = re.sub(rb'"object_created":"\d{4}', b'"object_created":"2019', await reply.aread())
            return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(body))

    shippo.recorder.inner = Long(app=None)
    shippo.recorder.seen.clear()


async def test_a_label_is_found_however_long_its_call_has_waited(shippo: Bench) -> None:
    first = await shippo.ok("buy_label")
    for number in range(101):
        await shippo.ok("buy_label", key=keyed(number + 1))
    long_ago(shippo)
    given = BuyLabel(order=example_order()).model_dump(mode="json", exclude_none=True)
    call = replace(due_call(CONNECTOR, CONNECTOR.actions[2], given, KEY), sent_at=datetime(2019, 1, 1, tzinfo=UTC))
    found = await shippo.perform("buy_label", attempt=Attempt(call), if_found=True)
    assert isinstance(found, Ok)
    assert found.found
    assert first.id in found.output


async def test_labels_of_before_the_call_was_sent_are_not_searched(shippo: Bench) -> None:
    """Else one unsure label of a shop with thousands of them could never be bought."""
    for number in range(101):
        await shippo.ok("buy_label", key=keyed(number + 1))
    long_ago(shippo)
    bought = await shippo.perform("buy_label", if_found=True)
    assert isinstance(bought, Ok)
    assert not bought.found
    assert [request.method for request, _ in shippo.recorder.seen if "/transactions" in str(request.url)] == [
        "GET",
        "POST",
    ]


async def test_a_label_that_was_given_back_is_not_bought_again(shippo: Bench) -> None:
    label = await shippo.ok("buy_label")
    await shippo.ok("refund_label", RefundLabel(label_id=label.id), key=keyed(1))
    found = await shippo.perform("buy_label", if_found=True)
    assert isinstance(found, Ok)
    assert found.found
    assert len((await shippo.state())["labels"]) == 2


async def test_a_label_that_failed_in_a_201_is_not_bought_and_may_be_tried_again(shippo: Bench) -> None:
    order = going_to(city="Strike")
    failed = await shippo.failed("buy_label", BuyLabel(order=order))
    assert (failed.kind, "refuses parcels" in failed.error) == ("permanent", True)
    again = await shippo.perform("buy_label", BuyLabel(order=order), if_found=True)
    assert not isinstance(again, Ok)
    assert await labels(shippo) == []


async def test_a_label_that_is_still_being_bought_is_waited_for(shippo: Bench) -> None:
    input = BuyLabel(order=going_to(city="Queue"))
    failed = await shippo.failed("buy_label", input)
    assert (failed.kind, failed.retry_after) == ("unsure", 15)
    found = await shippo.perform("buy_label", input, if_found=True)
    assert isinstance(found, Ok)
    assert found.found
    assert len(await labels(shippo)) == 1


async def test_a_parcel_abroad_is_refused_in_plain_words_before_anything_is_asked(shippo: Bench) -> None:
    failed = await shippo.failed("buy_label", BuyLabel(order=going_to(country_code="CA")))
    assert failed.kind == "permanent"
    assert "customs declarations are not there yet" in failed.error
    assert await shippo.requests() == []


async def test_a_country_that_is_only_written_out_is_not_called_abroad(shippo: Bench) -> None:
    failed = await shippo.failed("buy_label", BuyLabel(order=going_to(country_code=None, country="Vereinigte Staaten")))
    assert failed.kind == "permanent"
    assert "names its country as 'Vereinigte Staaten', without its code" in failed.error


async def test_a_dearer_label_than_allowed_is_not_bought(shippo: Bench) -> None:
    limit = Money(amount=Decimal("4.00"), currency="USD")
    failed = await shippo.failed("buy_label", BuyLabel(order=example_order(), at_most=limit))
    assert "4.80 USD, more than 4.00 USD" in failed.error
    assert await labels(shippo) == []


async def test_a_service_that_nobody_offers_says_what_there_is(shippo: Bench) -> None:
    failed = await shippo.failed("buy_label", BuyLabel(order=example_order(), service="dhl_express"))
    assert "usps_priority" in failed.error


async def test_a_label_is_refunded_once(shippo: Bench) -> None:
    label = await shippo.ok("buy_label")
    first = await shippo.ok("refund_label", RefundLabel(label_id=label.id), key=keyed(1))
    again = await shippo.ok("refund_label", RefundLabel(label_id=label.id), key=keyed(2))
    assert first == again
    assert len((await shippo.state())["refunds"]) == 1


async def test_a_label_that_is_not_there_cannot_be_refunded(shippo: Bench) -> None:
    assert (await shippo.failed("refund_label", RefundLabel(label_id="gone"))).kind == "permanent"


def rate(service: str, amount: str, days: int | None, currency: str = "USD") -> Rate:
    price = Money(amount=Decimal(amount), currency=currency)
    return Rate(id=service, carrier="USPS", service=service, price=price, days=days)


def test_who_does_not_say_how_long_it_takes_is_not_the_fastest() -> None:
    rates = [rate("silent", "1.00", None), rate("slow", "9.00", 5), rate("slow-cheaper", "8.00", 5)]
    assert choose(rates, BuyLabel(order=example_order(), choose="fastest")).id == "slow-cheaper"


def test_rates_in_two_currencies_are_not_compared() -> None:
    rates = [rate("one", "1.00", 1), rate("two", "0.90", 1, "EUR")]
    with pytest.raises(PermanentError, match="several currencies"):
        choose(rates, BuyLabel(order=example_order()))
    assert choose(rates, BuyLabel(order=example_order(), service="two")).id == "two"
    limit = Money(amount=Decimal(5), currency="USD")
    with pytest.raises(PermanentError, match="priced in EUR"):
        choose(rates, BuyLabel(order=example_order(), service="two", at_most=limit))


# --- parcels ----------------------------------------------------------------------------------------------------


def settings(**more: Any) -> Settings:
    boxes = [
        {"name": "tube", "length": 60, "width": 8, "height": 8, "tare": 50, "skus": ["PRINT-*"]},
        {"name": "small", "length": 20, "width": 15, "height": 10, "tare": 80, "max_weight": 500, "max_items": 2},
        {"name": "large", "length": 40, "width": 30, "height": 30, "tare": 300, "max_weight": 5000},
    ]
    given = {"api_token": TOKEN, "sender": {"country_code": "US"}, "boxes": boxes, **more}
    return Settings.model_validate(given)


def item(sku: str = "MUG", quantity: int | str = 1, weight: int | None = 200, **more: Any) -> LineItem:
    said = {"sku": sku, "quantity": quantity, "weight": weight and str(weight), **more}
    return LineItem.model_validate(said)


def shipping(*items: LineItem, **more: Any) -> GetRates:
    return GetRates(order=Order(id="1", line_items=list(items)), **more)


@pytest.mark.parametrize(
    ("items", "box", "grams"),
    [
        ([item()], "small", 280),
        ([item(quantity=2)], "small", 480),
        ([item(quantity=3)], "large", 900),
        ([item(weight=600)], "large", 900),
        ([item("PRINT-1", 9)], "tube", 1850),
        ([item("PRINT-1"), item()], "small", 480),
        ([item(), item(requires_shipping=False), item(gift_card=True), item(quantity=0)], "small", 280),
        ([item(quantity=5, current_quantity=2)], "small", 480),
        ([item(quantity=5, current_quantity=2, fulfillable_quantity=1)], "small", 280),
    ],
)
def test_the_first_box_that_fits_is_taken(items: list[LineItem], box: str, grams: int) -> None:
    found, weight = packed(shipping(*items), settings())
    assert (found.name, weight) == (box, Decimal(grams))


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "nothing of the order"),
        ([item(requires_shipping=False)], "nothing of the order"),
        ([item(fulfillable_quantity=0)], "nothing of the order"),
        ([item("ODD", weight=None)], "ODD has no weight"),
        ([item(weight=6000)], "no box fits 1 pieces of 6000 g"),
    ],
)
def test_what_cannot_be_packed_says_why(items: list[LineItem], why: str) -> None:
    with pytest.raises(PermanentError, match=why):
        packed(shipping(*items), settings())


def test_what_the_step_says_goes_before_the_rules() -> None:
    box, grams = packed(shipping(item(weight=None), box="large", weight=Decimal(123)), settings())
    assert (box.name, grams) == ("large", Decimal(123))
    assert packed(shipping(item(weight=None)), settings(item_weight="100"))[1] == 180
    with pytest.raises(PermanentError, match="there are tube, small, large"):
        packed(shipping(item(), box="huge"), settings())


@given(st.decimals(min_value=Decimal("0.01"), max_value=100000, places=2))
def test_numbers_go_out_as_plain_text(grams: Decimal) -> None:
    body = parcel_body(settings().boxes[0], grams)
    assert Decimal(body["weight"]) == grams
    assert "E" not in body["weight"]


def test_a_stated_weight_of_the_parcel_decides_the_box_too() -> None:
    """It is of the packed parcel: the box's own weight is not for the goods."""
    by_weight = [packed(shipping(item(), weight=Decimal(grams)), settings())[0].name for grams in (580, 581)]
    assert by_weight == ["small", "large"]


@pytest.mark.parametrize("country", [{"country_code": "us"}, {"country_code": None, "country": "US"}])
async def test_a_country_is_ones_own_however_it_is_written(shippo: Bench, country: dict[str, Any]) -> None:
    assert (await shippo.ok("get_rates", GetRates(order=going_to(**country)))).rates


def test_a_sender_without_a_country_is_refused() -> None:
    with pytest.raises(ValidationError, match="country_code"):
        settings(sender={"name": "Shop", "address1": "1 High St"})


def test_a_wrong_setting_does_not_show_the_token() -> None:
    with pytest.raises(ValidationError) as refused_:
        settings(boxes=[], api_token="shippo_live_secret")
    assert "shippo_live_secret" not in str(refused_.value)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (401, b'{"detail":"Token does not exist"}', CredentialError, "Token does not exist"),
        (400, b'{"address_to":[{"country":["This field is required."]}]}', PermanentError, "country: This field"),
        (422, b'{"__all__":["Duplicate address"]}', PermanentError, "refuses: Duplicate address"),
        (404, b"<html>", PermanentError, "answered 404"),
        (429, b"{}", None, ""),
        (503, b"{}", None, ""),
        (201, b'{"status":"ERROR"}', None, ""),
    ],
)
def test_errors_mean_what_happens_next(status: int, body: bytes, kind: type[TradewindError] | None, text: str) -> None:
    found = problem(Reply(status, {}, body))
    assert type(found) is kind if kind is not None else found is None
    assert text in str(found)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Carrier timed out", RetryableError),
        ("Service temporarily unavailable", RetryableError),
        ("Insufficient funds", PermanentError),
    ],
)
def test_a_carrier_that_is_away_is_asked_again(text: str, kind: type[TradewindError]) -> None:
    assert type(refused("No label", [text])) is kind


# --- tracking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"),
    [("SHIPPO_TRANSIT", "in_transit"), ("SHIPPO_DELIVERED", "delivered"), ("SHIPPO_FAILURE", "failure"), ("X", None)],
)
async def test_a_parcel_is_where_shippo_says(shippo: Bench, number: str, status: str | None) -> None:
    assert (await shippo.ok("track", Track(carrier="shippo", tracking_number=number))).status == status


async def test_a_parcel_of_others_can_be_watched(shippo: Bench) -> None:
    await shippo.ok("register_tracking")
    assert (await shippo.state())["watched"] == {"shippo/SHIPPO_TRANSIT": "order 1"}


@pytest.mark.parametrize(
    ("metadata", "order"),
    [
        (f"{mark_of(EffectKey('0' * 32))} order 5001", "5001"),
        ("order gid://shop/Order/1", "gid://shop/Order/1"),
        ("order of plates", None),
        ("please order 7", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_only_our_own_metadata_names_an_order(metadata: Any, order: str | None) -> None:
    assert order_of(metadata) == order


def test_without_tokens_no_webhook_is_taken() -> None:
    raw = RawWebhook(b"{}", {}, {"token": ""}, NOW)
    with pytest.raises(NotFoundError):
        source.signature.verify(raw, settings(), NOW)


def test_a_webhook_of_a_test_label_is_a_test() -> None:
    receipt = identify(RawWebhook(b'{"event":"track_updated","test":true}', {}, {}, NOW), settings())
    assert (receipt.topic, receipt.test) == ("track_updated", True)

"""The canonical language keeps its promises: nothing invented, nothing lost between the model and the store."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError

from app import events
from app.events import (
    EVENT_TYPES,
    Customer,
    CustomerEvent,
    CustomEvent,
    Event,
    Exact,
    Free,
    Id,
    LineItem,
    Money,
    Order,
    OrderEvent,
    Quantity,
    Ref,
    Refund,
    RefundEvent,
    Return,
    Text,
    Time,
    Totals,
    clean,
    cloud_event,
    customer_of,
    dump,
    event_type,
    from_unix,
    json_schema,
    load,
    parse_time,
    plain,
    reconcile,
    return_event,
    scope,
    with_discrepancy,
)

MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
MODELS = list(dict.fromkeys([*(each.model for each in EVENT_TYPES.values()), CustomEvent]))

# --- examples of any model, made from its fields ----------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
EXACT = st.decimals(-(10**12), 10**12, places=4) | st.integers(-(10**9), 10**9).map(Decimal)
FREE = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.decimals(-(10**6), 10**6, places=3) | st.just(""),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
PLAIN_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS,
    bool: st.booleans(),
    int: st.integers(-(10**6), 10**6),
    Decimal: EXACT,
    datetime: st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
    NoneType: st.none(),
    Any: FREE,
    Money: st.builds(Money, amount=EXACT, currency=st.sampled_from(["EUR", "JPY", "KWD"])),
}


def values(annotation: Any, depth: int) -> st.SearchStrategy[Any]:
    if annotation in PLAIN_TYPES:
        return PLAIN_TYPES[annotation]
    if get_origin(annotation) is Annotated:
        return values(get_args(annotation)[0], depth)
    if get_origin(annotation) in (Union, UnionType):
        return st.one_of([values(each, depth) for each in get_args(annotation)])
    if get_origin(annotation) is list:
        return st.lists(values(get_args(annotation)[0], depth), max_size=2)
    if get_origin(annotation) is dict:
        return st.dictionaries(WORDS, values(get_args(annotation)[1], depth), max_size=2)
    assert issubclass(annotation, BaseModel), annotation
    return instances(annotation, depth + 1)


def instances(model: type[BaseModel], depth: int = 0) -> st.SearchStrategy[Any]:
    """Any instance of the model; below the third level only with what it must have."""
    fields = {
        name: st.deferred(lambda a=field.annotation: values(a, depth)) for name, field in model.model_fields.items()
    }
    must = {name: fields.pop(name) for name, field in model.model_fields.items() if field.is_required()}
    return st.fixed_dictionaries(must, optional=fields if depth < 3 else {}).map(lambda given: model(**given))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_what_is_stored_comes_back_as_the_same_value_and_type(model: type[BaseModel]) -> None:
    name = next((each.name for each in EVENT_TYPES.values() if each.model is model), "vip.reached")

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(instances(model))
    def holds(before: BaseModel) -> None:
        after = load(name, events.SCHEMA_VERSION, dump(before))
        assert after == before
        assert shape(scope(after)) == shape(scope(before))
        assert load(name, events.SCHEMA_VERSION, plain(before)) == before

    holds()


def shape(value: Any) -> Any:
    """Plain data with each leaf as its type and text; fails on anything that is not plain, and on floats."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    assert value is None or type(value) in (str, int, bool, Decimal, datetime), type(value)
    number = value.normalize() if isinstance(value, Decimal) else value
    return (type(value), str(number))


# --- times, ids, texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-08-07T22:57:57.290670248Z", datetime(2024, 8, 7, 22, 57, 57, 290670, UTC)),
        ("2025-01-23T21:57:18-05:00", datetime(2025, 1, 24, 2, 57, 18, tzinfo=UTC)),
        ("2025-01-23T21:57:18.280Z", datetime(2025, 1, 23, 21, 57, 18, 280000, UTC)),
        (" 2025-01-23 21:57:18.000Z ", datetime(2025, 1, 23, 21, 57, 18, tzinfo=UTC)),
        ("20250123T215718Z", datetime(2025, 1, 23, 21, 57, 18, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_senders_times_are_read_as_utc(text: str | None, moment: datetime | None) -> None:
    found = parse_time(text)
    assert found == moment
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2025-01-23T21:57:18", "2025-01-23", "2018-19-12T22:20:32.000Z", "soon", "1700000000"]
)
def test_a_time_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.compile("offset|isoformat|month")):
        parse_time(text)


def test_utc_is_assumed_only_when_told_so() -> None:
    assert parse_time("2025-01-23T21:57:18", assume_utc=True) == datetime(2025, 1, 23, 21, 57, 18, tzinfo=UTC)
    assert from_unix(1700000000) == from_unix("1700000000") == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert from_unix(None) is from_unix("") is None


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), 1700000000, 1.5, "1700000000", "2026-01-01T00:00:00", True])
def test_a_model_refuses_naive_times_and_numbers_as_times(value: object) -> None:
    with pytest.raises(ValidationError):
        Order(created_at=value)
    with pytest.raises(ValidationError):
        Order.model_validate_json(orjson.dumps({"created_at": value}))


def test_a_time_of_another_zone_is_kept_in_utc() -> None:
    tokyo = MOMENT.astimezone(timezone(timedelta(hours=9)))
    kept = Order(created_at=tokyo).created_at
    assert kept == MOMENT
    assert kept is not None
    assert kept.utcoffset() == timedelta(0)
    assert dump(Order(created_at=tokyo)) == dump(Order(created_at=MOMENT)) == dump(Order(created_at=tokyo.isoformat()))
    assert b'"2026-03-01T12:30:00Z"' in dump(Order(created_at=tokyo))


def test_ids_beyond_a_double_keep_every_digit() -> None:
    order = Order(id=820982911946154508, checkout_id="0012")
    assert (order.id, order.checkout_id) == ("820982911946154508", "0012")
    assert OrderEvent.model_validate_json(b'{"order": {"id": 820982911946154508}}').order.id == order.id  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [1.0, True, [], {}, b"x", Decimal(1)])
def test_what_is_neither_text_nor_a_whole_number_is_no_id(value: object) -> None:
    for kind in (Id, Text):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(value)


def test_a_blank_is_not_said() -> None:
    order = Order(email="", id="", note=None)
    assert order.email is order.id is order.note is None
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python("")


def test_quantities_are_whole_or_exact() -> None:
    read = TypeAdapter(Quantity).validate_python
    assert type(read(2)) is int
    assert read("16.5") == Decimal("16.5")
    assert TypeAdapter(Exact).validate_python(2) == Decimal(2)
    with pytest.raises(ValidationError):
        read(2.0)


def test_a_time_in_json_is_iso_text() -> None:
    assert TypeAdapter(Time).validate_json(b'"2026-03-01T12:30:00Z"') == MOMENT


# --- free data --------------------------------------------------------------------------------------------------


def free(value: object) -> Any:
    return TypeAdapter(Free).validate_python(value)


def test_free_data_has_no_floats_and_nothing_but_plain_values() -> None:
    assert shape(free({"a": 1.10, "b": (1, {2.5}), "c": MOMENT, 4: Money(amount="1.5", currency="EUR")})) == shape(
        {
            "a": Decimal("1.1"),
            "b": [1, [Decimal("2.5")]],
            "c": "2026-03-01T12:30:00Z",
            "4": {"amount": Decimal("1.5"), "currency": "EUR"},
        }
    )
    with pytest.raises(ValidationError):
        free({"a": object()})


@pytest.mark.parametrize("number", ["0.1234567890123456789", "NaN", "Infinity", "1E+100"])
def test_numbers_that_json_readers_would_spoil_are_kept_as_text(number: str) -> None:
    assert free(Decimal(number)) == number
    assert free([Decimal("1.10")])[0] == Decimal("1.10")


def test_nothing_in_free_data_is_dropped_for_being_empty() -> None:
    event = CustomEvent(data={"a": None, "b": [], "c": {}, "d": ""})
    assert orjson.loads(dump(event))["data"] == {"a": None, "b": [], "c": {}, "d": ""}
    assert load("vip.reached", 1, dump(event)) == event


# --- models -----------------------------------------------------------------------------------------------------


def test_nothing_is_invented() -> None:
    for model in every_model():
        optional = [field for field in model.model_fields.values() if not field.is_required()]
        assert all(field.get_default(call_default_factory=True) in (None, {}) for field in optional), model


def every_model() -> list[type[BaseModel]]:
    return [each for each in vars(events).values() if isinstance(each, type) and issubclass(each, BaseModel)]


def test_models_cannot_be_changed_and_do_not_break_on_a_newer_field() -> None:
    assert all(model.model_config.get("frozen") for model in every_model())
    assert OrderEvent.model_validate_json(b'{"order": {"id": "1", "of_tomorrow": 1}}') == OrderEvent(order=Order(id=1))


def test_the_total_of_an_order_is_its_total_as_ordered() -> None:
    order = Order(totals=Totals(total=Money(amount=5, currency="EUR")), current=Totals())
    assert order.total == Money(amount=5, currency="EUR")
    assert scope(OrderEvent(order=order))["order"]["total"] == {"amount": Decimal(5), "currency": "EUR"}
    assert Order().total is None


def test_a_scope_names_every_field_even_if_nothing_was_said() -> None:
    nouns = scope(OrderEvent(order=Order(line_items=[LineItem()])))
    assert set(nouns["order"]) == {*Order.model_fields, "total"}
    assert set(nouns["order"]["line_items"][0]) == set(LineItem.model_fields)


def test_a_return_is_called_return_in_recipes() -> None:
    event = return_event(Return(id=1), customer=Customer(id=2))
    assert scope(event)["return"]["id"] == "1"
    assert load("return.requested", 1, dump(event)) == event


def test_the_customer_is_found_wherever_the_event_says_it() -> None:
    someone = Customer(id=1)
    assert customer_of(CustomerEvent(customer=someone)) is someone
    assert customer_of(RefundEvent(refund=Refund(id=1), customer=someone)) is someone
    assert customer_of(RefundEvent(refund=Refund(id=1), order=Order(customer=someone))) is someone
    assert customer_of(OrderEvent(order=Order(id=1))) is None


# --- types ------------------------------------------------------------------------------------------------------

DESIGNED = """
order.created order.updated order.paid order.partially_paid order.cancelled order.fulfilled
order.partially_fulfilled order.closed order.edited order.deleted checkout.created checkout.updated
checkout.completed checkout.expired payment.authorized payment.succeeded payment.failed payment.captured
payment.voided refund.created refund.updated refund.failed dispute.opened dispute.updated dispute.won
dispute.lost fulfillment.created fulfillment.in_transit fulfillment.out_for_delivery fulfillment.delivered
fulfillment.failed fulfillment.delayed fulfillment.updated fulfillment.cancelled return.requested
return.approved return.declined return.cancelled return.reopened return.updated return.received return.closed
customer.created customer.updated customer.deleted customer.vip_reached product.created product.updated product.deleted
inventory.changed inventory.out_of_stock inventory.back_in_stock subscription.started subscription.renewed
subscription.updated subscription.paused subscription.resumed subscription.cancel_scheduled subscription.ended
subscription.payment_failed subscription.trial_ending invoice.created invoice.paid invoice.payment_failed
invoice.voided payout.paid payout.failed review.received message.received privacy.data_requested
privacy.customer_redacted privacy.shop_redacted app.uninstalled hub.run_failed hub.effect_uncertain
hub.lane_parked hub.connection_failing hub.connection_expiring hub.source_silent schedule.due
""".split()  # noqa: SIM905

MILESTONES = """
order.created order.paid order.cancelled order.fulfilled order.deleted checkout.created checkout.completed
checkout.expired payment.authorized payment.succeeded payment.voided refund.created refund.failed dispute.opened
dispute.won dispute.lost fulfillment.created fulfillment.in_transit fulfillment.delivered fulfillment.cancelled
return.requested return.approved return.declined return.cancelled customer.created customer.deleted customer.vip_reached
product.created product.deleted subscription.started subscription.ended invoice.created invoice.paid
invoice.voided payout.paid payout.failed review.received message.received privacy.data_requested schedule.due
""".split()  # noqa: SIM905


def test_every_type_of_the_design_is_there_and_no_other() -> None:
    assert set(EVENT_TYPES) == set(DESIGNED)


def test_the_types_that_happen_once() -> None:
    assert [name for name, each in EVENT_TYPES.items() if each.milestone] == sorted(MILESTONES, key=DESIGNED.index)


@pytest.mark.parametrize("name", DESIGNED)
def test_a_type_says_its_noun_and_what_it_means(name: str) -> None:
    each = EVENT_TYPES[name]
    assert next(iter(each.model.model_fields)) == each.noun
    assert each.model.model_fields[each.noun].is_required()
    assert each.title
    assert each.description.endswith(".")


def test_recipes_may_emit_names_of_their_own_but_not_of_ours() -> None:
    assert event_type("vip.reached").model is CustomEvent
    assert not event_type("vip.reached").milestone
    assert event_type("order.paid") is EVENT_TYPES["order.paid"]
    for name in ["order.payed", "hub.anything", "paid", "VIP.reached", "vip.", "vip reached", ""]:
        with pytest.raises(ValueError, match="no event type"):
            event_type(name)


# --- events -----------------------------------------------------------------------------------------------------


def paid(**changes: Any) -> Event:
    order = Ref("order", "1001")
    given = {"type": "order.paid", "object": order, "subject": order, "occurred_at": MOMENT, **changes}
    return Event(**{"data": OrderEvent(order=Order(id="1001")), **given})


def test_a_sound_event_passes() -> None:
    paid().check()
    paid(type="order.updated", version="2026-03-01T12:30:00Z", links=(Ref("payment", "pi_1"),)).check()
    paid(type="vip.reached", data=CustomEvent(data={})).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "refund.created"},
        {"type": "order.payed"},
        {"data": Order(id=1)},
        {"object": Ref("order", "")},
        {"object": Ref("order", 1001)},  # type: ignore[arg-type]
        {"subject": Ref("", "1")},
        {"links": (Ref("payment", None),)},  # type: ignore[arg-type]
        {"occurred_at": datetime(2026, 1, 1)},
        {"type": "order.updated", "occurred_at": None},
    ],
    ids=str,
)
def test_an_event_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        paid(**changes).check()


def test_occurrences_of_a_repeating_type_are_told_apart() -> None:
    assert paid(version="7", part="p").occurrence() == ""
    assert paid(type="order.updated", version="7", part="p").occurrence() == "p"
    assert paid(type="order.updated", version="7").occurrence() == "7"
    assert paid(type="order.updated").occurrence() == "2026-03-01T12:30:00Z"


def test_an_older_schema_version_is_read_through_its_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["app.events.event"]
    monkeypatch.setattr(module, "SCHEMA_VERSION", 3)
    monkeypatch.setitem(module.UPCASTERS, 1, lambda _, data: {"order": {"id": data["order_id"]}})
    monkeypatch.setitem(module.UPCASTERS, 2, lambda _, data: {"order": {**data["order"], "email": "a@example.com"}})
    assert load("order.paid", 1, b'{"order_id": 7}') == OrderEvent(order=Order(id=7, email="a@example.com"))
    assert load("order.paid", 2, {"order": {"id": "7"}}) == load(
        "order.paid", 3, '{"order":{"id":"7","email":"a@example.com"}}'
    )
    with pytest.raises(ValueError, match="schema version 4"):
        load("order.paid", 4, b"{}")


def test_the_envelope_is_a_cloud_event() -> None:
    event = paid()
    envelope = cloud_event(
        id="0198", type=event.type, source="/connections/main", subject=event.subject, time=MOMENT, data=event.data,
        workspace="main", test=None,
    )  # fmt: skip
    assert {name: envelope[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "0198",
        "source": "/connections/main",
        "type": "order.paid",
        "subject": "order/1001",
        "time": "2026-03-01T12:30:00Z",
    }
    assert "test" not in envelope
    assert all(re.fullmatch("[a-z0-9]+", name) for name in envelope)
    assert json.loads(json.dumps(envelope))["data"]["order"]["id"] == "1001"


@pytest.mark.parametrize("name", ["Workspace", "work_space", "specversion"])
def test_an_extension_that_cloud_events_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="extensions"):
        cloud_event(id="1", type="t", source="/", subject=Ref("a", "b"), time=MOMENT, data=CustomEvent(), **{name: "x"})


# --- the exported schema ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def test_the_exported_schema_is_one_and_names_every_type(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert [each["properties"]["type"]["const"] for each in schema["oneOf"]] == list(EVENT_TYPES)
    assert json_schema() == schema


def test_the_exported_schema_says_what_fields_mean(schema: dict[str, Any]) -> None:
    order = schema["$defs"]["Order"]["properties"]
    assert "refunded" in order["payment_status"]["description"]
    assert order["created_at"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert schema["$defs"]["Money"]["properties"]["amount"]["type"] == "string"


@pytest.mark.parametrize("name", ["order.paid", "inventory.changed", "return.requested", "hub.run_failed"])
def test_what_is_written_is_as_the_exported_schema_says(schema: dict[str, Any], name: str) -> None:
    one = next(each for each in schema["oneOf"] if each["properties"]["type"]["const"] == name)
    validator = Draft202012Validator({**one, "$defs": schema["$defs"]})

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(instances(EVENT_TYPES[name].model))
    def holds(data: BaseModel) -> None:
        validator.validate({"type": name, "data": plain(data)})

    holds()


# --- amounts that add up ----------------------------------------------------------------------------------------


def order_of(
    total: str, *, taxes_included: bool | None = False, lines: list[LineItem] | None = None, **parts: str
) -> Order:
    amounts = {name: euros(amount) for name, amount in {"total": total, **parts}.items()}
    return Order(totals=Totals(**amounts), taxes_included=taxes_included, line_items=lines)


def euros(amount: str) -> Money:
    return Money(amount=amount, currency="EUR")


def line(price: str, quantity: int, subtotal: str | None = None) -> LineItem:
    return LineItem(price=euros(price), quantity=quantity, subtotal=euros(subtotal) if subtotal else None)


PARTS = {"items": "100", "shipping": "5", "fees": "1", "tip": "3", "duty": "2", "rounding": "-0.05", "discount": "10"}


@pytest.mark.parametrize(
    ("order", "difference"),
    [
        (order_of("119.95", tax="19", **PARTS), None),
        (order_of("119.96", tax="19", **PARTS), "0.01"),
        (order_of("100.95", tax="19", taxes_included=True, **PARTS), None),
        (order_of("119.95", tax="19", taxes_included=True, **PARTS), "19.00"),
        (order_of("100.95", tax="19", taxes_included=None, **PARTS), None),
        (order_of("119.95", tax="19", taxes_included=None, **PARTS), None),
        (order_of("99", items="100"), "-1"),
        (order_of("20", items="20", lines=[line("10", 2)]), None),
        (order_of("20", items="20", lines=[line("10", 3)]), "-10"),
        (order_of("20", items="20", lines=[line("9.99", 2, "20")]), None),
        (order_of("10", items="10.00", lines=[line("3.333", 3)]), None),
        (order_of("20", items="20", lines=[line("10", 1), LineItem(price=euros("1"))]), None),
        (order_of("20"), None),
        (Order(), None),
    ],
)
def test_an_order_whose_amounts_do_not_add_up_says_by_how_much(order: Order, difference: str | None) -> None:
    assert reconcile(order) == (None if difference is None else Decimal(difference))
    noted = with_discrepancy(order)
    assert (noted.discrepancy is None) == (difference is None)
    assert noted.totals == order.totals


def test_the_note_reads_as_a_sentence() -> None:
    noted = with_discrepancy(order_of("99", items="100")).discrepancy
    assert noted is not None
    assert noted.note == "the parts of the total make 100 EUR, but 99 EUR is stated: 1 EUR less"


def test_totals_in_two_currencies_are_noted_not_added() -> None:
    totals = Totals(items=euros("1"), shipping=Money(amount=1, currency="USD"), total=euros("2"))
    noted = with_discrepancy(Order(totals=totals)).discrepancy
    assert noted is not None
    assert "two currencies" in noted.note


# --- text that the store would refuse -----------------------------------------------------------------------------


def test_what_the_store_would_refuse_is_replaced_wherever_it_stands() -> None:
    dirty = {"a\x00": ["x\x00y", {"b": "\ud800"}, ("\udfff",)], "n": [1, 2**70, Decimal("1.5"), None, True]}
    assert clean(dirty) == {"a\ufffd": ["x\ufffdy", {"b": "\ufffd"}, ("\ufffd",)], "n": dirty["n"]}


@given(FREE)
def test_clean_data_stays_what_it_is(value: Any) -> None:
    assert clean(value) == value or "\x00" in str(value) or "\\x00" in repr(value)


@given(st.recursive(st.text(st.characters(), max_size=4), lambda inner: st.lists(inner, max_size=3)))
def test_what_was_cleaned_can_be_stored(value: Any) -> None:
    stored = orjson.dumps(clean(value))
    assert b"\\u0000" not in stored.replace(b"\\\\", b"")


def test_clean_data_is_not_copied() -> None:
    body = {"a": ["b", {"c": "\u00e9 \\u0000"[:1]}], "n": 2**53 + 1}
    assert clean(body) is body

"""What the Stripe source keeps: proof of the sender, one fact once whatever comes first, and no body that breaks it."""

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import stripe
import stripe.params._webhook_endpoint_create_params as endpoint_params
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.connector import Facts, Ignored, RawWebhook, Read, Remembered, Unread, parse_json
from app.errors import MalformedError, SignatureError
from app.events import Event, Money, Ref, money, plain, reconcile
from connectors.stripe.amounts import EXPONENTS, from_api, from_decimal, places, to_api
from connectors.stripe.models import Settings
from connectors.stripe.samples import renew, sample_event
from connectors.stripe.signature import StripeSignature, digest, signed_at
from connectors.stripe.source import identify, source

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
SECRET, OLD = "whsec_lantern", "whsec_lantern_before"
OWN = Path(__file__).parents[2] / "connectors" / "stripe" / "payloads"
SHARED = Path(__file__).parents[3] / "shared" / "payloads" / "stripe"
shared = pytest.mark.skipif(
    not SHARED.is_dir() and not os.environ.get("CI"), reason="the folder of published payloads is not beside this one"
)
proof = StripeSignature()


def account(**more: Any) -> Settings:
    return Settings.model_validate({"account": "acct_lantern", "webhook_secrets": [SECRET], **more})


def webhook(body: bytes, header: str | None = None, at: datetime = NOW) -> RawWebhook:
    return RawWebhook(body, {} if header is None else {"stripe-signature": header}, {}, at)


def header(body: bytes, *secrets: str, at: datetime = NOW) -> str:
    own = account(webhook_secrets=list(secrets))
    seconds = int(at.timestamp())
    return ",".join([f"t={seconds}", *(f"v1={digest(secret, seconds, body)}" for secret in own.webhook_secrets)])


def accepts(body: bytes, given: str | None, at: datetime = NOW, **more: Any) -> bool:
    try:
        proof.verify(webhook(body, given, at), account(**more), at)
    except SignatureError:
        return False
    return True


def facts(topic: str, **more: Any) -> Facts[Settings]:
    known = {"settings": account(), "headers": {}, "received_at": NOW, **more}
    return Facts(topic=topic, **known)


def told(body: bytes | Mapping[str, Any], state: Mapping[Ref, Remembered] | None = None, **more: Any) -> list[Event]:
    """The events of a body; none if it is ignored."""
    payload = orjson.loads(body) if isinstance(body, bytes) else body
    topic = payload["type"]
    made = source.topics[topic](payload, facts(topic, **more), state or {})
    return [] if isinstance(made, Ignored) else list(made)


def ignored_for(body: bytes, **more: Any) -> str:
    payload = orjson.loads(body)
    made = source.topics[payload["type"]](payload, facts(payload["type"], **more), {})
    assert isinstance(made, Ignored)
    return made.reason


def identity(event: Event) -> tuple[str, Ref, str | None]:
    return event.type, event.object, event.occurrence()


def own(topic: str, name: str) -> bytes:
    return (OWN / topic / f"{name}.json").read_bytes()


def noun(event: Event) -> Any:
    return getattr(event.data, event.type.split(".")[0])


OWN_BODIES = sorted(path for path in OWN.glob("*/*.json") if not path.name.endswith((".events.json", ".given.json")))


# --- proof of the sender


def test_every_v1_under_any_secret_is_proof() -> None:
    body = b'{"id": "evt_1"}'
    both = header(body, SECRET, OLD)
    assert accepts(body, both)
    assert accepts(body, both, webhook_secrets=["whsec_other", OLD])
    assert accepts(body, header(body, OLD), webhook_secrets=[SECRET, OLD])
    assert not accepts(body, header(body, OLD))


def test_v0_proves_nothing() -> None:
    body = b"{}"
    assert not accepts(body, header(body, SECRET).replace("v1=", "v0="))


@pytest.mark.parametrize(
    "broken",
    [None, "", "t=1,v1", "v1=00", "t=,v1=00", "t=abc,v1=00", "t=99999999999999999999,v1=00", "t=-1,v1=00", ",,,=,=="],
)
def test_a_header_that_says_nothing_is_refused(broken: str | None) -> None:
    assert not accepts(b"{}", broken)


@pytest.mark.parametrize(("seconds", "fits"), [(0, True), (299, True), (-299, True), (301, False), (-301, False)])
def test_a_signature_ages_and_does_not_come_from_the_future(seconds: int, fits: bool) -> None:
    body = b"{}"
    assert accepts(body, header(body, SECRET, at=NOW + timedelta(seconds=seconds))) is fits


def test_the_time_is_measured_against_when_it_came_not_against_now() -> None:
    long_ago = NOW - timedelta(days=900)
    assert accepts(b"{}", header(b"{}", SECRET, at=long_ago), at=long_ago)
    assert signed_at(header(b"{}", SECRET, at=long_ago)) == long_ago


def test_what_we_sign_stripe_s_own_package_accepts() -> None:
    body = '{"id": "evt_1", "note": "é"}'
    signed = proof.sign(body.encode(), account(), NOW).headers["stripe-signature"]
    assert stripe.WebhookSignature.verify_header(body, signed, SECRET, tolerance=None)


def theirs(body: str, given: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, given, SECRET, tolerance=None))
    except (stripe.SignatureVerificationError, ValueError):
        return False


pieces = st.sampled_from(["t", "v1", "v0", "=", ",", " ", "0", "a", "x", "TIME", "RIGHT", "WRONG"])


@settings(max_examples=300)
@given(st.text(max_size=40), st.lists(pieces, max_size=12), st.booleans())
def test_we_accept_what_stripe_s_own_package_accepts(body: str, parts: list[str], whole: bool) -> None:
    """Headers broken and mended; but for those whose items are no pairs, or whose time is no plain number."""
    raw = body.encode("utf-8", "replace")
    seconds = int(NOW.timestamp())
    words = {"TIME": str(seconds), "RIGHT": digest(account().webhook_secrets[0], seconds, raw), "WRONG": "0" * 64}
    start = ["t", "=", "TIME", ",", "v1", "=", "RIGHT", ","] if whole else []
    made = "".join(words.get(part, part) for part in start + parts)
    times = [item.partition("=")[2] for item in made.split(",") if item.partition("=")[0] == "t"]
    if times and not re.fullmatch("[0-9]{1,12}", times[0]):
        return
    if any(item.count("=") > 1 or item in ("t", "v1") for item in made.split(",")):
        return
    assert accepts(raw, made) is theirs(raw.decode(), made)


@shared
def test_the_published_vector_is_accepted_and_nothing_else_under_it() -> None:
    vector = json.loads((SHARED / "_vectors" / "stripe-python.json").read_text())
    body = _vector_body()
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    secrets = [vector["secret"]]
    assert accepts(body, vector["Stripe-Signature"], at, webhook_secrets=secrets)
    assert accepts(body, vector["Stripe-Signature while rolling"], at, webhook_secrets=secrets)
    assert accepts(body, vector["Stripe-Signature while rolling"], at, webhook_secrets=[vector["old_secret"]])
    assert not accepts(body, vector["Stripe-Signature"], at, webhook_secrets=[vector["old_secret"]])
    assert not accepts(body + b" ", vector["Stripe-Signature"], at, webhook_secrets=secrets)


def _vector_body() -> bytes:
    """The payload that the vector's note names: that of the package's own test of webhooks, laid out as there."""
    thing = {"object": {"id": "rdr_123", "object": "terminal.reader"}}
    inner = json.dumps(thing).replace("{", "{ ").replace("}", " }")
    lines = ['"id": "evt_test_webhook"', '"object": "event"', f'"data": {inner}']
    return ("{\n  " + ",\n  ".join(lines) + "\n}").encode()


def test_openssl_makes_the_same_proof() -> None:
    """printf '1795176000.{"id": "evt_lantern"}' | openssl dgst -sha256 -hmac whsec_lantern"""
    made = proof.sign(b'{"id": "evt_lantern"}', account(), NOW).headers["stripe-signature"]
    assert made == "t=1795176000,v1=ecccd0fecd8c83c2a14f106f8ddf34a9e704213941731c7569c9bb887ccff51e"


# --- what is read before it is stored


def read(body: bytes, **more: Any) -> Any:
    return identify(webhook(body), account(**more))


def test_the_event_s_id_is_the_key_whichever_endpoint_sent_it() -> None:
    body = own("payment_intent.succeeded", "card")
    first = read(body, webhook_secrets=[SECRET, OLD])
    other_version = orjson.dumps({**orjson.loads(body), "api_version": "2019-02-19"})
    assert first.delivery_key == read(other_version).delivery_key == orjson.loads(body)["id"]
    assert first.topic == "payment_intent.succeeded"
    assert first.window is None


@pytest.mark.parametrize("id", ["evt_00000000000000", "evt_000000000000000000000000", "payout.failed_00000000000000"])
def test_a_placeholder_id_is_no_key_and_only_a_test(id: str) -> None:
    receipt = read(sample_event("payout.failed", {"id": "po_1"}, NOW, id=id, livemode=True))
    assert receipt.delivery_key is None
    assert receipt.test


@pytest.mark.parametrize(
    ("more", "live", "ignored"),
    [
        ({}, True, False),
        ({}, False, False),
        ({"livemode": True}, False, True),
        ({"livemode": True}, True, False),
        ({"livemode": False}, True, True),
        ({"api_key": "sk_live_1"}, False, True),
        ({"api_key": "rk_live_1"}, True, False),
        ({"api_key": "sk_test_1"}, True, True),
        ({"api_key": "sk_test_1", "livemode": True}, True, False),
    ],
)
def test_an_event_of_the_other_mode_is_kept_and_says_why(more: dict[str, Any], live: bool, ignored: bool) -> None:
    receipt = read(sample_event("payout.paid", {"id": "po_1"}, NOW, livemode=live), **more)
    assert bool(receipt.ignored) is ignored
    assert receipt.test is not live
    if ignored:
        assert ("a live event" if live else "a test event") in str(receipt.ignored)


def test_a_thin_event_is_named_and_says_why_it_is_nothing() -> None:
    body = orjson.dumps(
        {
            "id": "evt_thin",
            "object": "v2.core.event",
            "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-11-20T12:00:00.123Z",
            "livemode": False,
            "related_object": {"id": "mtr_1", "type": "billing.meter"},
        }
    )
    receipt = read(body)
    assert (receipt.topic, receipt.delivery_key) == ("v1.billing.meter.error_report_triggered", "evt_thin")
    assert "thin" in receipt.ignored


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"id": 7, "type": "x"}', b'{"id": "evt_1"}', b"\xff"])
def test_what_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(body)


def test_a_connected_account_s_event_says_whose_it_is_and_is_read_in_its_name() -> None:
    body = sample_event("checkout.session.completed", _session(), NOW, account="acct_seller")
    (read,) = source.needs("checkout.session.completed", orjson.loads(body), account(api_key="sk_test_1"))
    assert read.headers == {"Stripe-Account": "acct_seller"}
    (paid,) = [event for event in told(body, settings=account(api_key="sk_test_1")) if event.type == "order.paid"]
    assert noun(paid).extra["account"] == "acct_seller"
    own = orjson.loads(sample_event("checkout.session.completed", _session(), NOW))
    assert source.needs("checkout.session.completed", own, account(api_key="sk_test_1"))[0].headers == {}


# --- every topic and every published body


def test_every_event_that_stripe_has_is_known_or_ignored_with_a_reason() -> None:
    text = Path(str(endpoint_params.__file__)).read_text()
    theirs = {name for name in re.findall(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)+)"', text) if not name[0].isdigit()}
    assert len(theirs) > 200
    assert theirs - set(source.topics) - set(source.ignored) == set()
    assert set(source.topics) & set(source.ignored) == set()
    assert all(len(reason) > 15 for reason in source.ignored.values())


def published() -> list[Path]:
    return sorted(path for path in SHARED.glob("*/*.json") if not path.parent.name.startswith("_"))


@shared
def test_every_published_body_ends_as_something_that_is_said() -> None:
    ends: dict[str, list[str]] = {}
    for path in published():
        end = _end(path.read_bytes())
        ends.setdefault(end, []).append(f"{path.parent.name}/{path.name}")
    assert len(published()) > 100
    assert sum(map(len, ends.values())) == len(published())
    assert set(ends) <= {"events", "ignored", "malformed"}
    assert len(ends["events"]) > 60


def _end(body: bytes) -> str:
    raw = webhook(body)
    try:
        receipt = identify(raw, account())
        if receipt.ignored or receipt.topic in source.ignored:
            return "ignored"
        if receipt.topic not in source.topics:
            return "unknown"
        made = source.topics[receipt.topic](parse_json(raw), facts(receipt.topic), {})
    except MalformedError as error:
        return "malformed" if str(error) else "malformed without a reason"
    if isinstance(made, Ignored):
        assert made.reason
        return "ignored"
    for event in made:
        event.check()
        assert not list(_floats(plain(event.data)))
    return "events"


@shared
def test_amount_and_currency_are_what_another_reading_of_the_body_finds() -> None:
    """Payments, refunds, disputes and payouts: the integer and the code as they stand in the text."""
    compared = 0
    for path in published():
        said = json.loads(path.read_text())
        stated = (said.get("data") or {}).get("object") or {}
        for event in told(said) if said.get("type") in source.topics else ():
            if event.type.split(".")[0] not in ("dispute", "payout") and event.type != "refund.created":
                continue
            found = noun(event).amount
            refund = next((each for each in (stated.get("refunds") or {}).get("data", ())), stated)
            shift = {"JPY": 0, "KWD": 3}.get(found.currency, 2)
            assert f"{found.amount:.{shift}f}".replace(".", "") == str(refund["amount"]).zfill(shift + 1)
            assert found.currency.lower() == stated["currency"]
            compared += 1
    assert compared > 8


# --- one sale


PI, CH, CS = "pi_3Sale", "ch_3Sale", "cs_test_Sale"
T = int(NOW.timestamp())


def _intent(**more: Any) -> dict[str, Any]:
    base = {"id": PI, "object": "payment_intent", "amount": 5140, "amount_received": 5140, "currency": "eur"}
    return base | {"created": T - 60, "status": "succeeded", "latest_charge": CH, "metadata": {}} | more


def _charge(**more: Any) -> dict[str, Any]:
    base = {"id": CH, "object": "charge", "amount": 5140, "amount_captured": 5140, "amount_refunded": 0}
    state = {"captured": True, "paid": True, "refunded": False, "status": "succeeded", "created": T - 5}
    return base | state | {"currency": "eur", "payment_intent": PI, "metadata": {}} | more


def _session(**more: Any) -> dict[str, Any]:
    base = {"id": CS, "object": "checkout.session", "mode": "payment", "payment_intent": PI, "payment_status": "paid"}
    amounts = {"amount_subtotal": 4900, "amount_total": 5140, "currency": "eur", "status": "complete"}
    parts = {"total_details": {"amount_discount": 250, "amount_shipping": 490, "amount_tax": 0}}
    who = {"customer": None, "customer_details": {"email": "nora@quill.example", "name": "Nora Quill"}}
    return base | amounts | parts | who | {"created": T - 90, "livemode": True} | more


def _refund(id: str, amount: int, **more: Any) -> dict[str, Any]:
    base = {"id": id, "object": "refund", "amount": amount, "charge": CH, "payment_intent": PI, "currency": "eur"}
    return base | {"created": T + amount, "status": "succeeded", "metadata": {}} | more


def _dispute(status: str) -> dict[str, Any]:
    base = {"id": "du_1", "object": "dispute", "amount": 5140, "currency": "eur"}
    return base | {"charge": CH, "payment_intent": PI, "status": status}


def _body(topic: str, object: dict[str, Any], seconds: int = 0, previous: dict[str, Any] | None = None) -> bytes:
    at = NOW + timedelta(seconds=seconds)
    return sample_event(topic, object, at, previous=previous, livemode=True, id=f"evt_{topic}_{seconds}")


SALE = [
    _body("payment_intent.created", _intent(status="requires_payment_method", amount_received=0)),
    _body("charge.succeeded", _charge(), 1),
    _body("payment_intent.succeeded", _intent(), 2),
    _body("checkout.session.completed", _session(), 2),
    _body("charge.updated", _charge(), 40, {"balance_transaction": None}),
]
ONE_SALE = {
    ("payment.succeeded", Ref("payment", PI)),
    ("checkout.completed", Ref("checkout", CS)),
    ("order.created", Ref("order", PI)),
    ("order.paid", Ref("order", PI)),
}


class Hub:
    """What the hub does with events: one per identity, and the state that they remember."""

    def __init__(self, **more: Any) -> None:
        self.more = more
        self.events: dict[tuple[str, Ref, str | None], Event] = {}
        self.state: dict[Ref, Remembered] = {}

    def take(self, body: bytes) -> None:
        payload = orjson.loads(body)
        if payload["type"] not in source.topics:
            assert payload["type"] in source.ignored
            return
        wanted = source.remembers(payload["type"], payload)
        for event in told(body, {ref: self.state[ref] for ref in wanted if ref in self.state}, **self.more):
            event.check()
            self.events.setdefault(identity(event), event)
            if event.remember is not None:
                self.state[event.object] = Remembered(event.version, event.remember)


def after(bodies: Any, **more: Any) -> Hub:
    hub = Hub(**more)
    for body in bodies:
        hub.take(body)
    return hub


def test_one_sale_is_one_order_and_one_payment_whatever_comes_first() -> None:
    for order in itertools.permutations(SALE):
        hub = after(order)
        assert {(kind, ref) for kind, ref, _ in hub.events} == ONE_SALE
        assert {event.subject for event in hub.events.values()} == {Ref("order", PI)}


LONG = [
    *SALE[1:4],
    _body("refund.created", _refund("re_a", 1290), 100),
    _body("charge.refund.updated", _refund("re_a", 1290, status="failed"), 300, {"status": "succeeded"}),
    _body("refund.failed", _refund("re_a", 1290, status="failed"), 300, {"status": "succeeded"}),
    _body("charge.refunded", _charge(amount_refunded=1290), 100, {"amount_refunded": 0}),
    _body("refund.created", _refund("re_b", 600), 500),
    _body("charge.dispute.created", _dispute("needs_response"), 600),
    _body("charge.dispute.closed", _dispute("lost"), 900),
]


@settings(max_examples=60)
@given(st.permutations(LONG), st.lists(st.sampled_from(LONG), max_size=4))
def test_a_sale_s_life_is_the_same_facts_in_any_order_and_with_repeats(order: list[bytes], again: list[bytes]) -> None:
    assert set(after([*order, *again]).events) == set(after(LONG).events)


def test_everything_about_a_sale_stands_on_its_order_s_timeline() -> None:
    assert {event.subject for event in after(LONG).events.values()} == {Ref("order", PI)}


def test_a_refund_told_by_its_charge_and_by_itself_is_one_refund() -> None:
    """Before 2022-11-15 the charge lists its refunds; later a read does."""
    alone = _body("refund.created", _refund("re_a", 1290), 100)
    listed = _charge(amount_refunded=1290, refunds={"data": [_refund("re_a", 1290)]})
    with_list = _body("charge.refunded", listed, 100, {"amount_refunded": 0, "refunds": {"data": []}})
    for order in itertools.permutations([alone, with_list]):
        assert [kind for kind, _, _ in after(order).events] == ["refund.created"]
    reads = {"refunds": {"data": [_refund("re_a", 1290, created=T + 100)]}}
    without = _body("charge.refunded", _charge(amount_refunded=1290), 100, {"amount_refunded": 0})
    for order in itertools.permutations([alone, without]):
        assert [kind for kind, _, _ in after(order, reads=reads).events] == ["refund.created"]


def test_without_a_name_for_the_refund_no_second_refund_is_made_of_it() -> None:
    alone = _body("refund.created", _refund("re_a", 1290), 100)
    unnamed = _body("charge.refunded", _charge(amount_refunded=1290), 100, {"amount_refunded": 0})
    for order in itertools.permutations([alone, unnamed]):
        hub = after(order)
        assert sorted(kind for kind, _, _ in hub.events) == ["refund.created", "refund.updated"]
        (update,) = [event for event in hub.events.values() if event.type == "refund.updated"]
        assert noun(update).amount == money("12.90", "EUR")
        assert "refund.created" in str(update.note)


def test_cumulative_amounts_become_what_was_added() -> None:
    first = _body("charge.refunded", _charge(amount_refunded=500), 1, {"amount_refunded": 0})
    second = _body("charge.refunded", _charge(amount_refunded=1290, refunded=False), 2)
    third = _body("charge.refunded", _charge(amount_refunded=5140, refunded=True), 3)
    hub = after([first, second, third])
    told = [noun(event) for event in hub.events.values()]
    assert [each.amount for each in told] == [money(text, "EUR") for text in ("5.00", "7.90", "38.50")]
    assert [each.total_refunded for each in told] == [money(text, "EUR") for text in ("5.00", "12.90", "51.40")]
    assert [each.is_full for each in told] == [False, False, True]


def test_what_was_added_is_not_guessed() -> None:
    body = _body("charge.refunded", _charge(amount_refunded=1290), 2)
    (event,) = told(body)
    assert noun(event).amount is None
    assert noun(event).total_refunded == money("12.90", "EUR")
    (event,) = told(body, since=NOW - timedelta(days=1))
    assert noun(event).amount == money("12.90", "EUR")


def test_two_refunds_of_one_amount_stay_two() -> None:
    both = [_refund("re_b", 500), _refund("re_a", 500, created=T)]
    before, after_one = {"amount_refunded": 0}, {"amount_refunded": 500}
    one, two = {"data": both[1:]}, {"data": both}
    first = _body("charge.refunded", _charge(amount_refunded=500, refunds=one), 1, before)
    second = _body("charge.refunded", _charge(amount_refunded=1000, refunds=two), 2, after_one)
    for order in itertools.permutations([first, second]):
        assert {ref.id for _, ref, _ in after(order).events} == {"re_a", "re_b"}


def test_a_failed_attempt_is_told_once_by_intent_and_charge_and_twice_if_it_happened_twice() -> None:
    bodies = []
    for n in ("1", "2"):
        failed = _charge(id=f"ch_{n}", status="failed", paid=False, captured=False, failure_code="card_declined")
        bodies.append(_body("charge.failed", failed, int(n)))
        error = {"charge": f"ch_{n}", "code": "card_declined", "message": "No."}
        bodies.append(
            _body("payment_intent.payment_failed", _intent(last_payment_error=error, latest_charge=f"ch_{n}"), int(n))
        )
    for order in itertools.permutations(bodies):
        assert sorted(identity(e)[2] or "" for e in after(order).events.values()) == ["ch_1", "ch_2"]


def test_a_capture_is_told_once_by_intent_and_charge() -> None:
    charge = _body("charge.captured", _charge(amount_captured=4000, amount_refunded=1140), 9)
    intent = _body("payment_intent.succeeded", _intent(amount_received=4000, capture_method="manual"), 9)
    for order in itertools.permutations([charge, intent]):
        hub = after(order)
        assert sorted(kind for kind, _, _ in hub.events) == ["payment.captured", "payment.succeeded"]
        assert {noun(event).amount for event in hub.events.values()} == {money("40.00", "EUR")}


# --- whose order it is


def test_a_connection_for_payments_makes_no_order_and_links_the_shop_s() -> None:
    shop = {"metadata": {"order_id": "#1007"}}
    bodies = [
        _body("payment_intent.succeeded", _intent(**shop), 2),
        _body("charge.succeeded", _charge(**shop), 1),
        _body("checkout.session.completed", _session(**shop), 2),
        _body("customer.created", {"id": "cus_1", "email": "nora@quill.example"}, 2),
        _body("charge.refunded", _charge(amount_refunded=500, refunds={"data": [_refund("re_a", 500)]}, **shop), 5),
    ]
    for order in itertools.permutations(bodies):
        hub = after(order, role="payments")
        assert {kind for kind, _, _ in hub.events} == {"payment.succeeded", "refund.created"}
        for event in hub.events.values():
            assert event.links == (Ref("order", "1007"),)
            assert noun(event).order_id == "1007"
    assert "shop" in ignored_for(bodies[2], role="payments")


def test_refunds_and_disputes_know_the_order_that_their_payment_named() -> None:
    payment = _body("payment_intent.succeeded", _intent(metadata={"order_id": "1007"}), 2)
    later = [
        _body("refund.created", _refund("re_a", 500), 5),
        _body("charge.refunded", _charge(amount_refunded=500), 5, {"amount_refunded": 0}),
        _body("charge.refunded", _charge(amount_refunded=900), 6),
        _body("charge.dispute.created", _dispute("needs_response"), 9),
        _body("charge.updated", _charge(), 10),
    ]
    hub = after([payment, *later], role="payments")
    assert {event.links for event in hub.events.values()} == {(Ref("order", "1007"),)}
    assert {noun(event).order_id for event in hub.events.values()} == {"1007"}
    assert hub.state[Ref("payment", PI)].data == {"order": "1007", "refunded": 900}


def test_the_keys_under_which_a_shop_leaves_its_order_can_be_set() -> None:
    body = _body("payment_intent.succeeded", _intent(metadata={"basket": "B-9", "order_id": "x"}))
    (event,) = told(body, role="payments", settings=account(order_metadata=["basket"]))
    assert event.links == (Ref("order", "B-9"),)


def test_woocommerce_s_order_is_found_by_its_id_not_by_its_number() -> None:
    left = {"order_id": "SHOP-2026-17", "signature": f"512:{'0a' * 16}", "site_url": "https://lantern.example"}
    (event,) = told(_body("payment_intent.succeeded", _intent(metadata=left)), role="payments")
    assert event.links == (Ref("order", "512"),)
    assert noun(event).order_id == "512"


def test_without_a_shop_the_payment_belongs_to_the_order_of_its_sale() -> None:
    for event in after(SALE).events.values():
        if event.type == "payment.succeeded":
            assert noun(event).order_id == PI


def test_an_unpaid_session_is_an_order_that_is_paid_later_or_never() -> None:
    unpaid = _body("checkout.session.completed", _session(payment_status="unpaid"), 1)
    came = _body("checkout.session.async_payment_succeeded", _session(), 9)
    bounced = _body("checkout.session.async_payment_failed", _session(payment_status="unpaid"), 9)
    assert [event.type for event in told(unpaid)] == ["checkout.completed", "order.created"]
    for order in itertools.permutations([unpaid, came]):
        assert {kind for kind, _, _ in after(order).events} == {"checkout.completed", "order.created", "order.paid"}
    for order in itertools.permutations([unpaid, bounced]):
        assert {kind for kind, _, _ in after(order).events} == {
            "checkout.completed",
            "order.created",
            "order.cancelled",
        }


def test_what_happened_before_the_connection_and_is_told_late_is_history() -> None:
    late = _body("charge.updated", _charge(created=T - 86_400), 40, {"description": None})
    assert [event.historical for event in told(late, since=NOW - timedelta(hours=1))] == [True]
    assert [event.historical for event in told(SALE[1], since=NOW - timedelta(hours=1))] == [False]


# --- line items and amounts

LINES = {
    "data": [
        {
            "id": "li_1",
            "amount_subtotal": 4900,
            "amount_discount": 250,
            "amount_tax": 0,
            "amount_total": 4650,
            "currency": "eur",
            "description": "Kettle",
            "quantity": 7,
            "price": {
                "id": "price_1",
                "unit_amount": 700,
                "currency": "eur",
                "product": {"id": "prod_1", "metadata": {"sku": "K"}},
            },
        }
    ],
    "has_more": False,
}


def test_line_items_are_wanted_only_where_a_key_can_read_them() -> None:
    payload = orjson.loads(SALE[3])
    assert source.needs("checkout.session.completed", payload, account()) == ()
    (read,) = source.needs("checkout.session.completed", payload, account(api_key="sk_test_1"))
    assert read == Read(
        "line_items", f"/v1/checkout/sessions/{CS}/line_items", {"limit": "100", "expand[]": "data.price.product"}
    )
    assert source.needs("payment_intent.succeeded", orjson.loads(SALE[2]), account(api_key="sk_test_1")) == ()


@pytest.mark.parametrize("id", ["../../v1/account", "cs_1?x=y", "cs_00000000000000", "", None, 7, "cs_é"])
def test_an_id_that_is_no_id_is_never_put_into_a_path(id: Any) -> None:
    payload = orjson.loads(sample_event("checkout.session.completed", _session(id=id), NOW))
    assert source.needs("checkout.session.completed", payload, account(api_key="sk_test_1")) == ()


def test_line_items_that_were_read_are_on_the_order() -> None:
    events = told(SALE[3], reads={"line_items": LINES}, settings=account(api_key="sk_test_1"))
    (line,) = noun(events[-1]).line_items
    assert (line.sku, line.quantity, line.price, line.total) == ("K", 7, money("7.00", "EUR"), money("46.50", "EUR"))
    assert noun(events[-1]).discrepancy is None
    assert {event.note for event in events} == {None}


def test_a_session_of_2019_is_an_order_with_its_lines() -> None:
    shown = {"amount": 1500, "currency": "usd", "quantity": 2, "custom": {"name": "Mug"}, "type": "custom"}
    session = {"id": CS, "object": "checkout.session", "payment_intent": PI, "display_items": [shown]}
    order = noun(told(_body("checkout.session.completed", session))[-1])
    assert (order.total, order.payment_status) == (money("30.00", "USD"), "paid")
    assert [(line.title, line.quantity, line.price) for line in order.line_items] == [("Mug", 2, money("15.00", "USD"))]
    assert order.discrepancy is None


@pytest.mark.parametrize(
    ("reads", "key", "why"),
    [
        ({}, None, "api_key"),
        ({"line_items": Unread("Stripe answered 403")}, "sk_test_1", "403"),
        ({"line_items": {"data": [], "has_more": True}}, "sk_test_1", "more than 100"),
    ],
)
def test_missing_line_items_are_said_on_the_event(reads: dict[str, Any], key: str | None, why: str) -> None:
    events = told(SALE[3], reads=reads, settings=account(api_key=key))
    assert all(why in str(event.note) for event in events)


amount = st.integers(0, 10**9)


@given(amount, amount, amount, amount, st.booleans(), st.sampled_from(["eur", "jpy", "kwd", "isk", "huf"]))
def test_amounts_that_add_up_have_no_discrepancy(
    items: int, off: int, post: int, tax: int, on_top: bool, code: str
) -> None:
    whole = items - off + post + (tax if on_top else 0)
    details = {"amount_discount": off, "amount_shipping": post, "amount_tax": tax}
    session = _session(amount_subtotal=items, amount_total=whole, total_details=details, currency=code)
    order = noun(told(_body("checkout.session.completed", session))[-1])
    assert order.discrepancy is None
    assert reconcile(order) is None
    assert order.total == from_api(whole, code)
    assert order.taxes_included is (not on_top if tax else None)


def test_amounts_that_do_not_add_up_say_by_how_much() -> None:
    order = noun(told(_body("checkout.session.completed", _session(amount_total=5141)))[-1])
    assert order.discrepancy.amount == money("0.01", "EUR")


@pytest.mark.parametrize(
    ("units", "code", "text"),
    [
        (1090, "eur", "10.90"),
        (4980, "jpy", "4980"),
        (500, "ugx", "5.00"),
        (250000, "isk", "2500.00"),
        (5120, "kwd", "5.120"),
        (700, "mga", "700"),
        (1234, "huf", "12.34"),
        (1234, "twd", "12.34"),
        (-150, "usd", "-1.50"),
    ],
)
def test_minor_units_are_stripe_s_own(units: int, code: str, text: str) -> None:
    read = from_api(units, code)
    assert read is not None
    assert f"{read.amount:f}" == text
    assert to_api(read) == units


_NONE = ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]


def test_the_table_of_units_is_stripe_s_published_one() -> None:
    assert {code for code, n in EXPONENTS.items() if n == 0} == set(_NONE)
    assert {code for code, n in EXPONENTS.items() if n == 3} == {"BHD", "JOD", "KWD", "OMR", "TND"}
    assert (places("isk"), places("UGX"), places("eur")) == (2, 2, 2)
    assert from_decimal("0.5", "usd") == Money(amount=Decimal("0.005"), currency="USD")


# --- subscriptions and invoices


def _sub(**more: Any) -> dict[str, Any]:
    item = {
        "id": "si_1",
        "quantity": 2,
        "price": {
            "id": "price_1",
            "unit_amount": 1900,
            "currency": "eur",
            "recurring": {"interval": "month", "interval_count": 1},
        },
    }
    return {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "customer": "cus_1",
        "items": {"data": [item]},
    } | more


@pytest.mark.parametrize(
    ("now", "previous", "kinds"),
    [
        ({}, {"status": "incomplete"}, ["started", "updated"]),
        ({}, {"status": "past_due"}, ["updated"]),
        ({"cancel_at_period_end": True}, {"cancel_at_period_end": False}, ["cancel_scheduled", "updated"]),
        ({"cancel_at": T}, {"cancel_at": None}, ["cancel_scheduled", "updated"]),
        ({"cancel_at": T, "cancel_at_period_end": True}, {"cancel_at": None}, ["updated"]),
        ({"cancel_at_period_end": False}, {"cancel_at_period_end": True}, ["resumed", "updated"]),
        ({"pause_collection": {"behavior": "void"}}, {"pause_collection": None}, ["paused", "updated"]),
        ({"pause_collection": None}, {"pause_collection": {"behavior": "void"}}, ["resumed", "updated"]),
        ({"status": "canceled"}, {"status": "active", "cancel_at_period_end": True}, ["ended", "updated"]),
        ({}, {"metadata": {"a": "b"}}, ["updated"]),
    ],
)
def test_what_changed_on_a_subscription_is_named(now: Any, previous: Any, kinds: list[str]) -> None:
    events = told(_body("customer.subscription.updated", _sub(**now), 1, previous))
    assert [event.type for event in events] == [f"subscription.{kind}" for kind in kinds]


def _bill(reason: str = "subscription_cycle", **more: Any) -> dict[str, Any]:
    line = {"id": "il_1", "amount": 3800, "subscription": "sub_1", "period": {"start": T, "end": T + 2_592_000}}
    base = {"id": "in_1", "object": "invoice", "billing_reason": reason, "subscription": "sub_1", "currency": "eur"}
    return base | {"total": 3800, "status": "paid", "attempt_count": 1, "lines": {"data": [line]}} | more


def test_a_paid_period_renews_once_and_the_next_one_again() -> None:
    later = _bill(
        id="in_2", lines={"data": [{"subscription": "sub_1", "period": {"start": T + 2_592_000, "end": T + 5_184_000}}]}
    )
    bodies = [
        _body("invoice.paid", _bill(), 1),
        _body("invoice.payment_succeeded", _bill(), 1),
        _body("invoice.paid", later, 9),
    ]
    for order in itertools.permutations(bodies):
        parts = [identity(e)[2] for e in after(order).events.values() if e.type == "subscription.renewed"]
        assert sorted(map(str, parts)) == ["2026-11-20T12:00:00Z", "2026-12-20T12:00:00Z"]


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_update", "manual"])
def test_only_a_further_period_renews(reason: str) -> None:
    assert [event.type for event in told(_body("invoice.paid", _bill(reason)))] == ["invoice.paid"]


def test_each_failed_attempt_at_a_period_is_told() -> None:
    bodies = [_body("invoice.payment_failed", _bill(status="open", attempt_count=n), n) for n in (1, 2, 1)]
    kinds = [kind for kind, _, _ in after(bodies).events]
    assert sorted(kinds) == ["invoice.payment_failed"] * 2 + ["subscription.payment_failed"] * 2


def test_an_invoice_of_any_version_finds_its_subscription() -> None:
    basil = _bill(parent={"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}})
    del basil["subscription"]
    lines = {"data": [{"parent": {"subscription_item_details": {"subscription": "sub_1"}}}]}
    dahlia = {"id": "in_1", "currency": "eur", "lines": lines}
    for bill in (_bill(), basil, dahlia):
        (event, *_) = told(_body("invoice.created", bill))
        assert noun(event).subscription_id == "sub_1"
        assert event.subject == Ref("subscription", "sub_1")


# --- no body breaks it

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for path in OWN_BODIES for name in re.findall(r'"(\w+)":', path.read_text())})
stripe_like = st.recursive(
    json_values, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5), max_leaves=8
)


def survives(payload: Any, topic: str) -> None:
    try:
        made = source.topics[topic](payload, facts(topic, since=SINCE), {})
    except MalformedError:
        return
    if not isinstance(made, Ignored):
        for event in made:
            event.check()
            assert not list(_floats(plain(event.data).get("order", {})))


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _floats(inner)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(json_values, st.sampled_from(sorted(source.topics)))
def test_any_json_is_events_ignored_or_malformed(payload: Any, topic: str) -> None:
    survives(payload, topic)
    source.needs(topic, payload, account(api_key="sk_test_1"))
    source.remembers(topic, payload)
    with suppress(MalformedError, orjson.JSONEncodeError):
        identify(webhook(orjson.dumps(payload, default=str)), account())


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(FIELDS), stripe_like, max_size=12),
    stripe_like,
    st.sampled_from(sorted(source.topics)),
)
def test_any_object_in_a_right_envelope_is_events_ignored_or_malformed(thing: Any, previous: Any, topic: str) -> None:
    data = {"object": {"id": "x_1", "currency": "eur", **thing}, "previous_attributes": previous}
    survives({"id": "evt_1", "type": topic, "created": T, "data": data}, topic)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(OWN_BODIES), st.data(), json_values)
def test_a_body_with_one_value_spoilt_is_events_ignored_or_malformed(path: Path, data: Any, value: Any) -> None:
    payload = json.loads(path.read_text())
    *way, last = data.draw(st.sampled_from(sorted(_ways(payload), key=str)))
    inner = payload
    for step in way:
        inner = inner[step]
    inner[last] = value
    survives(payload, path.parent.name)


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*way, step)
        yield from _ways(inner, (*way, step))


def test_a_body_nested_too_deep_is_malformed_not_a_crash() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    survives(
        orjson.loads(sample_event("customer.subscription.updated", _sub(), NOW))
        | {"data": {"object": _sub(), "previous_attributes": deep}},
        "customer.subscription.updated",
    )


@pytest.mark.parametrize("wrong", [10.5, 1e3, float(2**60)])
def test_an_amount_that_is_no_integer_is_malformed_never_money(wrong: float) -> None:
    with pytest.raises(MalformedError):
        told(_body("payout.paid", {"id": "po_1", "amount": wrong, "currency": "eur"}))


@pytest.mark.parametrize("path", OWN_BODIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_money_is_never_a_float(path: Path) -> None:
    for event in told(path.read_bytes()):
        assert not list(_floats(plain(event.data)))


# --- samples to send


def test_a_sample_is_a_new_event_each_time_and_verifies() -> None:
    body = own("payment_intent.succeeded", "card")
    one, two = renew(body, NOW), renew(body, NOW)
    assert read(one).delivery_key != read(two).delivery_key
    signed = proof.sign(one, account(), NOW)
    assert accepts(one, signed.headers["stripe-signature"])
    assert orjson.loads(one)["data"] == orjson.loads(body)["data"]

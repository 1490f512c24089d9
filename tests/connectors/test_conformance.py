"""What every connector must keep, and needs no test of its own for: parametrised over all folders of `connectors/`.

Payloads of a source lie in `connectors/<slug>/payloads/`: `<topic with / as ->/<name>.json` (or `.form`), beside it
`<name>.events.json`, the events expected: a list of {type, object, subject, occurred_at, data}, `data` as far as it
matters; and, if it takes more than the body, `<name>.given.json`: {role, since, headers, query, reads, state}.
`settings.json` holds settings that fit. WRITE_EVENTS=1 writes the expected events that are not there yet, to be read.
"""

import inspect
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from app.connector import (
    Action,
    ConnectionProblemError,
    Connector,
    Facts,
    HeaderAuth,
    Ignored,
    Lookup,
    NativeKey,
    RawWebhook,
    Remembered,
    Signed,
    Upsert,
)
from app.errors import CredentialError, MalformedError, NotFoundError, SignatureError
from app.events import Event, Ref, iso, parse_time, plain
from app.pipeline.deliver.attempt import Attempt
from app.pipeline.deliver.outcome import Ok
from app.pipeline.match.standins import output_of
from tests.connectors.conftest import KEY, NOW, REGISTRY, Bench, due_call, open_bench

ROOT = Path(__file__).parents[2] / "connectors"
RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONNECTORS = list(REGISTRY)
SHIPPED = [each for each in CONNECTORS if (ROOT / each.slug).is_dir()]
SOURCES = [each for each in CONNECTORS if each.source is not None]
WITH_ACTIONS = [each for each in CONNECTORS if each.actions]
REFUSED = (SignatureError, NotFoundError)


def by_slug(connectors: list[Connector[Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("connector", connectors, ids=lambda connector: connector.slug)


ACTIONS = [
    pytest.param(connector, action, id=f"{connector.slug}.{action.name}")
    for connector in WITH_ACTIONS
    for action in connector.actions
]
each_action = pytest.mark.parametrize(("connector", "action"), ACTIONS)
by_http = pytest.mark.parametrize(
    ("connector", "action"), [each for each in ACTIONS if each.values[0].http is not None]
)  # type: ignore[union-attr]
by_mail = pytest.mark.parametrize(
    ("connector", "action"), [each for each in ACTIONS if each.values[0].smtp is not None]
)  # type: ignore[union-attr]


@pytest.fixture
async def bench(connector: Connector[Any]) -> AsyncIterator[Bench]:
    async for each in open_bench(connector):
        yield each


# --- settings ---------------------------------------------------------------------------------------------------


def settings_of(connector: Connector[Any], spoilt: bool = False) -> Any:
    """Settings that fit the payloads; spoilt: every secret another one."""
    given = ROOT / connector.slug / "payloads" / "settings.json"
    if given.exists():
        values = json.loads(given.read_text())
    elif connector.sandbox is not None:
        values = dict(connector.sandbox().settings)
    else:
        values = {name: _sample(name, info.annotation) for name, info in required(connector)}
    settings = connector.settings.model_validate(values)
    return connector.settings.model_validate({**values, **spoilt_secrets(settings)}) if spoilt else settings


def required(connector: Connector[Any]) -> Iterator[tuple[str, Any]]:
    for name, info in connector.settings.model_fields.items():
        if info.is_required() or "SecretStr" in repr(info.annotation):
            yield name, info


def _sample(name: str, annotation: Any) -> Any:
    said = repr(annotation)
    if "SecretStr" in said:
        return [f"sample {name}"] if said.startswith("list") or "[pydantic" in said else f"sample_{name}_0123456789"
    return "sample"


def spoilt_secrets(settings: BaseModel) -> dict[str, Any]:
    spoilt: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            spoilt[name] = value.get_secret_value() + "x"
        elif isinstance(value, list | tuple) and value and isinstance(value[0], SecretStr):
            spoilt[name] = [each.get_secret_value() + "x" for each in value]
    return spoilt


# --- the folder -------------------------------------------------------------------------------------------------


@by_slug(SHIPPED)
def test_a_readme_says_its_quality(connector: Connector[Any]) -> None:
    head = (ROOT / connector.slug / "README.md").read_text()[:600]
    assert head.startswith("# ")
    assert re.search(r"quality\W+(bronze|silver|gold)", head, re.IGNORECASE)


@by_slug(CONNECTORS)
def test_what_must_stay_secret_is_a_secret(connector: Connector[Any]) -> None:
    for name, info in connector.settings.model_fields.items():
        if re.search(r"(secret|token|password|api_key|webhook_url)s?$", name):
            assert "SecretStr" in repr(info.annotation), f"{connector.slug}: {name}"


@by_slug(CONNECTORS)
def test_settings_never_show_their_secrets(connector: Connector[Any]) -> None:
    settings = settings_of(connector)
    shown = f"{settings!r} {settings} {settings.model_dump_json()}"
    for name in spoilt_secrets(settings):
        value = getattr(settings, name)
        for secret in value if isinstance(value, list | tuple) else [value]:
            assert secret.get_secret_value() not in shown


@each_action
def test_actions_say_what_they_do(connector: Connector[Any], action: Action) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)+|send|track|request", action.name)
    assert re.match(r"[A-Z].{15,}", action.help), f"{action.name} has no help"
    assert issubclass(action.input, BaseModel)
    assert issubclass(action.output, BaseModel)
    json.dumps([action.input.model_json_schema(), action.output.model_json_schema()])


@each_action
def test_examples_can_be_stored_counted_and_kept_apart(connector: Connector[Any], action: Action) -> None:
    example = action.example()
    assert type(example) is action.input
    assert action.input.model_validate_json(example.model_dump_json()) == example
    if action.counts is not None:
        assert action.counts(example).contacts >= 0
    if action.exclusive_by is not None:
        assert action.exclusive_by(example)


@by_slug(WITH_ACTIONS)
def test_an_example_answer_holds_what_further_calls_need(connector: Connector[Any]) -> None:
    """Where nothing is sent, it stands for what the system would answer: a reply needs the message's channel and ts."""
    needs = {
        name
        for each in REGISTRY
        for action in each.actions
        for name, field in action.input.model_fields.items()
        if field.is_required()
    } - {"text", "data"}  # which systems may well leave out
    lacking = [
        f"{action.name}: {name}"
        for action in connector.actions
        for name in needs & action.output.model_fields.keys() - output_of(action, {}).keys()
    ]
    assert lacking == []


@by_slug(WITH_ACTIONS)
def test_names_of_actions_are_unique_and_store_actions_exist(connector: Connector[Any]) -> None:
    names = [action.name for action in connector.actions]
    assert len(set(names)) == len(names)
    assert set(connector.store.values()) <= set(names)
    assert not connector.store.keys() & connector.cannot.keys()


STORE_ACTIONS = {"tag_order", "add_note", "hold_order", "archive_order", "set_stock", "create_discount_code"}


@by_slug([each for each in SHIPPED if each.category == "store"])
def test_a_store_has_every_store_action_or_says_why_not(connector: Connector[Any]) -> None:
    assert connector.store.keys() | connector.cannot.keys() >= STORE_ACTIONS


# --- signatures -------------------------------------------------------------------------------------------------

ROTATING = ("webhook_secrets", "tokens", "url_tokens")
BODIES = [b"{}", b'{"id": 1, "note": "\xc3\xa9"}', b"\x00\xff\xfe not text", b"", b"a=1&b=2"]


def raw(connector: Connector[Any], body: bytes, signed: Signed, topic: str | None = None) -> RawWebhook:
    source = connector.source
    assert source is not None
    beside = {}
    if source.headers is not None:
        beside = dict(source.headers(topic or next(iter(source.topics)), body, settings_of(connector), RECEIVED))
    headers = {"content-type": source.content_type, **beside, **signed.headers}
    return RawWebhook(body, {name.lower(): value for name, value in headers.items()}, signed.query, RECEIVED)


def sign(connector: Connector[Any], body: bytes, spoilt: bool = False) -> Signed:
    assert connector.source is not None
    signed = connector.source.signature.sign(body, settings_of(connector, spoilt), RECEIVED)
    return Signed({name.lower(): value for name, value in signed.headers.items()}, signed.query)


def verify(connector: Connector[Any], webhook: RawWebhook) -> None:
    assert connector.source is not None
    connector.source.signature.verify(webhook, settings_of(connector), RECEIVED)


def flips(text: bytes) -> Iterator[bytes]:
    """A bit turned over in up to sixteen places."""
    for place in range(0, len(text), max(1, len(text) // 16)):
        yield text[:place] + bytes([text[place] ^ 1 << place % 7]) + text[place + 1 :]


@by_slug(SOURCES)
@pytest.mark.parametrize("body", BODIES)
def test_what_the_sender_signed_is_accepted(connector: Connector[Any], body: bytes) -> None:
    verify(connector, raw(connector, body, sign(connector, body)))


@by_slug(SOURCES)
@pytest.mark.parametrize("body", [body for body in BODIES if body])
def test_a_turned_bit_in_a_signed_body_is_refused(connector: Connector[Any], body: bytes) -> None:
    signed = sign(connector, body)
    if not signed.headers:
        pytest.skip("the sender signs no bodies: its proof is a token in the address")
    for changed in flips(body):
        with pytest.raises(REFUSED):
            verify(connector, raw(connector, changed, signed))


@by_slug(SOURCES)
def test_a_turned_bit_in_the_proof_is_refused(connector: Connector[Any]) -> None:
    body = BODIES[1]
    signed = sign(connector, body)
    for kind in ("headers", "query"):
        for name, value in getattr(signed, kind).items():
            for changed in flips(value.encode()):
                proof = {**getattr(signed, kind), name: changed.decode("latin-1")}
                spoilt = Signed(
                    proof if kind == "headers" else signed.headers, proof if kind == "query" else signed.query
                )
                with pytest.raises(REFUSED):
                    verify(connector, raw(connector, body, spoilt))


@by_slug(SOURCES)
def test_no_proof_and_an_empty_proof_are_refused(connector: Connector[Any]) -> None:
    body = BODIES[0]
    signed = sign(connector, body)
    empty = Signed(dict.fromkeys(signed.headers, ""), dict.fromkeys(signed.query, ""))
    for proof in (Signed({}), empty):
        with pytest.raises(REFUSED):
            verify(connector, raw(connector, body, proof))


@by_slug(SOURCES)
def test_a_proof_under_another_secret_is_refused(connector: Connector[Any]) -> None:
    body = BODIES[1]
    with pytest.raises(REFUSED):
        verify(connector, raw(connector, body, sign(connector, body, spoilt=True)))


@by_slug(SOURCES)
def test_two_old_secrets_are_taken_while_one_is_rotated(connector: Connector[Any]) -> None:
    assert connector.source is not None
    settings = settings_of(connector)
    name = next((name for name in ROTATING if getattr(settings, name, None)), None)
    if name is None:
        pytest.skip("its secret is not a list")
    (now, *_), given = getattr(settings, name), settings.model_dump()
    older = [SecretStr(now.get_secret_value() + end) for end in ("AAAA", "BBBB")]
    for secret in (now, *older):
        signing = connector.settings.model_validate({**given, name: [secret]})
        signed = connector.source.signature.sign(BODIES[1], signing, RECEIVED)
        proof = Signed({key.lower(): value for key, value in signed.headers.items()}, signed.query)
        taking = connector.settings.model_validate({**given, name: [now, *older]})
        connector.source.signature.verify(raw(connector, BODIES[1], proof), taking, RECEIVED)


@by_slug(SOURCES)
def test_a_refusal_does_not_show_the_secret_or_the_proof(connector: Connector[Any]) -> None:
    signed = sign(connector, BODIES[0], spoilt=True)
    with pytest.raises(REFUSED) as refused:
        verify(connector, raw(connector, BODIES[0], signed))
    for value in (*signed.headers.values(), *signed.query.values()):
        assert value not in str(refused.value)


# --- payloads ---------------------------------------------------------------------------------------------------


def payload_files(connector: Connector[Any]) -> list[tuple[str, Path]]:
    """(topic, file) of all payloads."""
    folder = ROOT / connector.slug / "payloads"
    topics = {topic.replace("/", "-"): topic for topic in (connector.source.topics if connector.source else ())}
    return [
        (topics[path.parent.name], path)
        for path in sorted(folder.glob("*/*"))
        if path.suffix in (".json", ".form")
        and not path.name.endswith((".events.json", ".given.json"))
        and path.parent.name in topics
    ]


PAYLOADS = [
    pytest.param(connector, topic, path, id=f"{connector.slug}-{path.parent.name}-{path.stem}")
    for connector in SHIPPED
    for topic, path in payload_files(connector)
]
each_payload = pytest.mark.parametrize(("connector", "topic", "path"), PAYLOADS)


def given(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{path.stem}.given.json")
    return dict(json.loads(beside.read_text())) if beside.exists() else {}


def webhook_of(connector: Connector[Any], topic: str, path: Path) -> RawWebhook:
    """The payload as it would come in, signed."""
    body = path.read_bytes()
    webhook = raw(connector, body, sign(connector, body), topic)
    more = given(path)
    kind = {"content-type": "application/x-www-form-urlencoded"} if path.suffix == ".form" else {}
    headers = {**webhook.headers, **kind, **more.get("headers", {})}
    return RawWebhook(body, headers, {**webhook.query, **more.get("query", {})}, RECEIVED)


def normalised(connector: Connector[Any], topic: str, path: Path, body: Any = None) -> list[Event] | Ignored:
    source = connector.source
    assert source is not None
    more, webhook = given(path), webhook_of(connector, topic, path)
    facts = Facts(
        topic=topic,
        settings=settings_of(connector),
        headers=webhook.headers,
        received_at=RECEIVED,
        since=parse_time(more.get("since")),
        role=more.get("role"),
        test=bool(more.get("test")),
        reads=more.get("reads", {}),
    )
    state = {Ref(each["kind"], each["id"]): Remembered(each["version"], each["data"]) for each in more.get("state", ())}
    payload = source.parse(webhook) if body is None else body
    made = source.topics[topic](payload, facts, state)
    return made if isinstance(made, Ignored) else list(made)


def said(event: Event) -> dict[str, Any]:
    at = iso(event.occurred_at) if event.occurred_at else None
    data = json.loads(json.dumps(plain(event.data)))
    return {"type": event.type, "object": list(event.object), "subject": list(event.subject), "occurred_at": at} | {
        "data": data
    }


def differences(expected: Any, actual: Any, at: str = "") -> Iterator[str]:
    """Where what is expected is not there; decimals of one value are the same."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            yield from differences(value, actual.get(name), f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{at}[{number}]")
    elif expected != actual and not _same_number(expected, actual):
        yield f"{at}: expected {expected!r}, got {actual!r}"


def _same_number(one: Any, other: Any) -> bool:
    try:
        return isinstance(one, str) and isinstance(other, str) and Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False


@by_slug([connector for connector in SHIPPED if connector.source is not None])
def test_every_topic_has_a_payload(connector: Connector[Any]) -> None:
    assert connector.source is not None
    assert set(connector.source.topics) - {topic for topic, _ in payload_files(connector)} == set()


@each_payload
def test_a_payload_becomes_the_events_expected(connector: Connector[Any], topic: str, path: Path) -> None:
    made = normalised(connector, topic, path)
    events = [{"ignored": made.reason}] if isinstance(made, Ignored) else [said(event) for event in made]
    beside = path.with_name(f"{path.stem}.events.json")
    if not beside.exists() and os.environ.get("WRITE_EVENTS"):
        beside.write_text(json.dumps(events, indent=2, ensure_ascii=False) + "\n")
    expected = json.loads(beside.read_text())
    assert [each.get("type") for each in events] == [each.get("type") for each in expected]
    assert list(differences(expected, events)) == []


@each_payload
def test_events_of_a_payload_hold_together(connector: Connector[Any], topic: str, path: Path) -> None:
    made = normalised(connector, topic, path)
    for event in [] if isinstance(made, Ignored) else made:
        event.check()
    identities = [
        (event.type, event.object, event.occurrence()) for event in ([] if isinstance(made, Ignored) else made)
    ]
    assert len(set(identities)) == len(identities)


@each_payload
def test_a_webhook_tells_its_topic_and_key_the_same_each_time(
    connector: Connector[Any], topic: str, path: Path
) -> None:
    assert connector.source is not None
    webhook, settings = webhook_of(connector, topic, path), settings_of(connector)
    receipt = connector.source.identify(webhook, settings)
    headers = dict(reversed(list(webhook.headers.items())))
    again = RawWebhook(webhook.body, headers | {"x-other": "1"}, webhook.query, webhook.received_at)
    assert connector.source.identify(again, settings) == receipt
    assert receipt.topic == topic


@each_payload
def test_a_body_of_another_shape_is_malformed_not_a_crash(connector: Connector[Any], topic: str, path: Path) -> None:
    assert connector.source is not None
    whole = connector.source.parse(webhook_of(connector, topic, path))
    bodies: list[Any] = [[], "text", 1, {}, {"id": None}]
    if isinstance(whole, dict):
        bodies += [{name: value for name, value in whole.items() if name != gone} for gone in whole]
    for body in bodies:
        try:
            normalised(connector, topic, path, body)
        except (MalformedError, ConnectionProblemError):
            continue


# --- actions ----------------------------------------------------------------------------------------------------


_ACTING: dict[str, dict[str, str]] = {}


async def acting(connector: Connector[Any], action: Action) -> dict[str, str]:
    """Where the action acts, for a fault to strike there: its last request; tried once, on a bench of its own."""
    name = f"{connector.slug}.{action.name}"
    if name not in _ACTING:
        async for other in open_bench(connector):
            await other.ok(action)
            request = other.recorder.seen[-1][0]
        begins = request.content[:24].decode("ascii", "ignore")  # GraphQL has one address for all
        path = request.url.path.removeprefix(f"/{connector.slug}")
        _ACTING[name] = {"path": path, "method": request.method, "body": begins}
    return _ACTING[name]


@each_action
async def test_an_example_succeeds_in_the_sandbox(connector: Connector[Any], action: Action, bench: Bench) -> None:
    before = await bench.state()
    await bench.ok(action)
    if action.reads:
        assert await bench.state() == before


@each_action
async def test_twice_under_one_key_acts_once(connector: Connector[Any], action: Action, bench: Bench) -> None:
    if not isinstance(action.safe, NativeKey | Upsert | Lookup):
        pytest.skip(f"nothing makes it safe: when in doubt it ends in `{action.if_unsure}`")
    first = await bench.ok(action)
    state = await bench.state()
    outcome = await bench.perform(action, if_found=isinstance(action.safe, Lookup))
    assert isinstance(outcome, Ok), outcome
    assert outcome.found is isinstance(action.safe, Lookup)
    assert await bench.state() == state
    again = action.output.model_validate_json(outcome.output)
    if "id" in action.output.model_fields:
        assert again.id == first.id  # type: ignore[attr-defined]


@each_action
async def test_what_a_native_key_becomes_after_its_time_finds_the_first(
    connector: Connector[Any], action: Action, bench: Bench
) -> None:
    if not isinstance(action.safe, NativeKey) or not isinstance(action.safe.then, Lookup):
        pytest.skip("no search stands behind its key")
    assert len(KEY.hex()) <= action.safe.max_length
    first = await bench.ok(action)
    call = due_call(connector, action, action.example().model_dump(mode="json", exclude_none=True), KEY)
    sent_long_ago = NOW - action.safe.valid_for
    attempt = Attempt(type(call)(**{**_fields(call), "sent_at": sent_long_ago}))
    outcome = await bench.perform(action, if_found=True, attempt=attempt)
    assert isinstance(outcome, Ok)
    assert outcome.found
    assert action.output.model_validate_json(outcome.output).id == first.id  # type: ignore[attr-defined]


def _fields(call: Any) -> dict[str, Any]:
    return {name: getattr(call, name) for name in inspect.signature(type(call)).parameters}


@each_action
async def test_wrong_credentials_end_as_such(connector: Connector[Any], action: Action, bench: Bench) -> None:
    before = await bench.state()
    bench.token = "wrong"
    spoilt = spoilt_secrets(settings_of(connector)) if isinstance(connector.auth, HeaderAuth) else {}
    failed = await bench.failed(action, **spoilt)
    assert failed.kind == "credential"
    assert await bench.state() == before


@by_http
async def test_too_many_requests_wait_as_long_as_told(connector: Connector[Any], action: Action, bench: Bench) -> None:
    await bench.fault(status=429, retry_after=7)
    failed = await bench.failed(action)
    assert (failed.kind, failed.retry_after) == ("throttled", 7)


@by_http
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 500, "after_acting": True},
        {"status": 502},
        {"malformed": True},
        {"malformed": True, "after_acting": True},
        {"huge": 6_000_000},
        {"close": "before"},
        {"close": "before", "after_acting": True},
    ],
    ids=str,
)
async def test_when_nobody_can_know_the_outcome_is_unsure(
    connector: Connector[Any], action: Action, bench: Bench, fault: dict[str, Any]
) -> None:
    await bench.fault(**fault, **await acting(connector, action))
    failed = await bench.failed(action)
    assert failed.kind == ("retryable" if action.reads else "unsure")


@by_http
@pytest.mark.parametrize("after_acting", [False, True])
async def test_no_answer_in_time_is_unsure(
    connector: Connector[Any], action: Action, bench: Bench, after_acting: bool
) -> None:
    await bench.fault(slow=5, after_acting=after_acting, **await acting(connector, action))
    failed = await bench.failed(action, seconds=0.12)
    assert failed.kind == ("retryable" if action.reads else "unsure")


BEFORE_CONTENT = [
    *[(verb, {"status": 451}) for verb in ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA")],
    *[(verb, {"close": "before"}) for verb in ("CONNECT", "AUTH", "RCPT", "DATA")],
    ("EHLO", {"close": "half"}),
    ("DATA", {"malformed": True}),
    ("DATA", {"slow": 30}),
]


@by_mail
@pytest.mark.parametrize(("verb", "fault"), BEFORE_CONTENT, ids=str)
async def test_before_its_content_a_mail_was_surely_not_sent(
    connector: Connector[Any], action: Action, bench: Bench, verb: str, fault: dict[str, Any]
) -> None:
    before = await bench.state()
    await bench.fault(**fault, method=verb)
    assert (await bench.failed(action)).kind == "retryable"
    assert await bench.state() == before


@by_mail
@pytest.mark.parametrize(
    "fault",
    [
        {"close": "before"},
        {"close": "before", "after_acting": True},
        {"close": "half", "after_acting": True},
        {"malformed": True, "after_acting": True},
        {"status": 350, "after_acting": True},
        {"slow": 30, "after_acting": True},
    ],
    ids=str,
)
async def test_once_its_content_went_a_mail_without_a_usable_answer_is_unsure(
    connector: Connector[Any], action: Action, bench: Bench, fault: dict[str, Any]
) -> None:
    await bench.fault(**fault, method="END")
    assert (await bench.failed(action)).kind == "unsure"


@by_mail
@pytest.mark.parametrize(("status", "kind"), [(452, "retryable"), (421, "retryable"), (554, "permanent")])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "END"])
async def test_a_refusal_means_what_its_first_digit_says(
    connector: Connector[Any], action: Action, bench: Bench, verb: str, status: int, kind: str
) -> None:
    await bench.fault(status=status, method=verb)
    failed = await bench.failed(action)
    assert (failed.kind, failed.status) == (kind, status)
    assert not (await bench.state())["messages"]


@each_action
async def test_a_retry_after_an_unsure_attempt_acts_once(
    connector: Connector[Any], action: Action, bench: Bench
) -> None:
    """The second attempt re-sends what the first one stored, as the lane does."""
    if not isinstance(action.safe, NativeKey | Upsert) or action.reads:
        pytest.skip("not by sending it again")
    async for other in open_bench(connector):
        await other.ok(action)
        wanted = await other.state()
    await bench.fault(status=500, after_acting=True, times=1, **await acting(connector, action))
    data = action.example().model_dump(mode="json", exclude_none=True)
    attempt = Attempt(due_call(connector, action, data, KEY))
    await bench.failed(action, attempt=attempt)
    await bench.ok(action, stored=tuple(attempt.requests))
    assert await bench.state() == wanted


@by_slug([connector for connector in WITH_ACTIONS if connector.test is not None])
async def test_a_connection_is_tested_by_a_read(connector: Connector[Any], bench: Bench) -> None:
    assert await bench.test()
    bench.token = "wrong"
    spoilt = spoilt_secrets(settings_of(connector)) if isinstance(connector.auth, HeaderAuth) else {}
    with pytest.raises(CredentialError):
        await bench.test(**spoilt)


@by_slug([connector for connector in CONNECTORS if connector.sandbox is not None])
async def test_a_sandbox_starts_anew_each_time(connector: Connector[Any]) -> None:
    assert connector.sandbox is not None
    first, second = connector.sandbox(), connector.sandbox()
    assert first.state() == second.state()
    assert first.routes is not second.routes
    connector.settings.model_validate(dict(first.settings))

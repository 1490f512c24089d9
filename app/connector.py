"""The connector contract: what a folder under `connectors/` says about one outside system.

A connector is data (tables, models, options) and a few pure functions; receiving, storing, deduplicating, retrying,
limiting, refreshing credentials and recording are the hub's work. See docs/adding-a-connector.md.
"""

import inspect
import json as stdlib_json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, cast, get_type_hints

import orjson
from pydantic import BaseModel, SecretStr
from starlette.responses import Response
from starlette.routing import Route

from app.errors import MalformedError, TradewindError
from app.events import Event, Money, Ref

Json = Any
"""A decoded JSON value: dict, list, str, int, float or Decimal, bool, None."""

S = TypeVar("S", bound=BaseModel)
S_co = TypeVar("S_co", bound=BaseModel, covariant=True)
S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)
I = TypeVar("I", bound=BaseModel)  # noqa: E741
O = TypeVar("O", bound=BaseModel)  # noqa: E741


# --- webhooks in ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RawWebhook:
    """One request as it came in: the exact body, header names in lower case, query parameters."""

    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Signed:
    """What a sender adds to a request to prove itself."""

    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)


class Signature(Protocol[S_contra]):
    """How a sender proves itself. `verify` raises SignatureError (401), or NotFoundError (404) where the proof is a
    token in the URL and its absence must look like an unknown address; `sign` is its inverse, for tests and `send`."""

    def verify(self, raw: RawWebhook, settings: S_contra, received_at: datetime) -> None: ...

    def sign(self, body: bytes, settings: S_contra, now: datetime) -> Signed: ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is read off a webhook before it is stored.

    delivery_key: the same for every redelivery of one webhook; None when nothing tells them apart (each is new). Where
    it is the sender's own id, that alone or behind `id:`, so that a trace finds what the sender's dashboard shows.
    window: None remembers the key for ever (keys issued by the sender); keys made of content only this long.
    ignored: keep it, make nothing of it, for this reason.
    always_new: this is surely a first delivery: it is kept even if its key was seen before, and its key is remembered
    (anew, for `window`) so that redeliveries that say they are some are recognised (Gumroad's `retry_count`).
    """

    topic: str
    delivery_key: str | None
    window: timedelta | None = None
    test: bool = False
    ignored: str | None = None
    always_new: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A direct answer to a sender's handshake; nothing else happens."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Read:
    """An API read wanted before normalising, made as a GET in the connection's lane; its JSON is `facts.reads[name]`.

    required: without it no event can be made (the webhook waits for the read); else the event says what is missing.
    headers: beside the connection's own.
    """

    name: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    required: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands in `facts.reads` for a read that could not be made, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Facts(Generic[S]):
    """What a normaliser may know beside the payload.

    since: when the connection was made; what happened before it is history. now: when this is normalised.
    """

    topic: str
    settings: S
    headers: Mapping[str, str]
    received_at: datetime
    since: datetime | None = None
    role: str | None = None
    test: bool = False
    reads: Mapping[str, "Json | Unread"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The last state kept of an object: the sender's version of it, and what the event chose to remember."""

    version: str | None
    data: Mapping[str, Json]


State = Mapping[Ref, Remembered]
"""Remembered states of the objects that `Source.remembers` named; absent when never seen."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A known topic whose body means nothing to us, for this reason."""

    reason: str


class ConnectionProblemError(TradewindError):
    """The sender itself says that the connection is broken (WooCommerce posts signed REST errors, for one)."""


Normaliser = Callable[[Json, Facts[S], State], "Sequence[Event] | Ignored"]
"""Pure and synchronous. Raises MalformedError when the body cannot be read, ConnectionProblemError as above."""


def nothing_needed(topic: str, payload: Json, settings: BaseModel) -> Sequence[Read]:
    return ()


def nothing_remembered(topic: str, payload: Json) -> Sequence[Ref]:
    return ()


class Stated(NamedTuple):
    """What a body says of an order at first sight; None: it does not say, or not plainly."""

    number: str | None
    currency: str | None
    total: Decimal | None


def nothing_stated(body: bytes) -> Stated | None:
    return None


_AS_DIGITS = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_LONG_NUMBER = re.compile(rb"[:\[,\s]-?(?:\d{19,}|\d+\.\d*\d{15,}|\d{15,}\.\d+|\d+(?:\.\d+)?[eE][+-]?\d{3,})")


def parse_json(raw: RawWebhook) -> Json:
    """Decode a JSON body. Integers are exact at any size; numbers too long for a float come as Decimal. Text that no
    database can hold (lone surrogates) is kept here and mended by the hub."""
    try:
        if not _may_hold_long_numbers(raw.body) or not _LONG_NUMBER.search(raw.body):
            return orjson.loads(raw.body)
    except ValueError:
        pass
    try:
        return stdlib_json.loads(raw.body, parse_float=Decimal, parse_int=_whole, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        raise MalformedError(f"the body is not JSON: {str(e)[:200]}") from e


def _may_hold_long_numbers(body: bytes) -> bool:
    """Whether 15 digits stand in a row anywhere: a twentieth of what the exact search costs."""
    return body.translate(_AS_DIGITS).find(b"0" * 15) >= 0


def _whole(digits: str) -> Json:
    """Exact at any length; Python's own int refuses thousands of digits, for they cost quadratic time."""
    return int(digits) if len(digits) < 1000 else Decimal(digits)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True)
class Source(Generic[S]):
    """What a system sends us.

    topics: the sender's topic -> the function that turns its payload into events (a table row a topic).
    ignored: known topics that mean nothing to us, each with its reason. Everything else is *unknown*: kept and shown.
    remembers: the objects whose remembered state the normaliser wants to see.
    second_reading: what an order's body says, read a second time without any of the normaliser's code, to check it by.
    """

    signature: Signature[S]
    identify: Callable[[RawWebhook, S], Receipt]
    topics: Mapping[str, Normaliser[S]]
    ignored: Mapping[str, str] = field(default_factory=dict)
    handshake: Callable[[RawWebhook, S], Answer | None] | None = None
    """Answers a POST that is no webhook (a ping); None lets it go on."""
    greet: Callable[[RawWebhook, S], Answer] | None = None
    """Answers a GET, by which some senders make sure of an address before they post there. Raises RejectedError."""
    parse: Callable[[RawWebhook], Json] = parse_json
    needs: Callable[[str, Json, S], Sequence[Read]] = nothing_needed
    remembers: Callable[[str, Json], Sequence[Ref]] = nothing_remembered
    headers: Callable[[str, bytes, S, datetime], Mapping[str, str]] | None = None
    """The unsigned headers that the sender puts beside the signature for this topic; for `send` and tests."""
    content_type: str = "application/json"
    second_reading: Callable[[bytes], Stated | None] = nothing_stated


# --- calls out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer of an outside system."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Http(Protocol):
    """Requests to the outside system, relative to its base address, with credentials and limits applied.

    Raises RetryableError (surely nothing happened), UnsureError (it may have) or PermanentError: actions hold only the
    good path. `reads=True` marks a POST that changes nothing (a search). `limit_key` names the keyed rate limit
    (a Slack channel). `path` may be a whole URL that the system gave (a place to upload to): to another host than the
    connection's no credentials go.
    """

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Json = None,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
        limit_key: str | None = None,
    ) -> Reply: ...

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Reply: ...

    async def post(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Json = None,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
        limit_key: str | None = None,
    ) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as a mail server takes it: who sends and who receives (plain addresses), and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True, slots=True)
class Suppression:
    """Why an address is not written to any more."""

    reason: "SuppressionReason"
    since: datetime


SuppressionReason = Literal["unsubscribed", "bounced", "complained", "by hand"]


class Mail(Protocol):
    """The mail server of a connection.

    `send` hands one message over and answers the server's last words. Raises RetryableError or PermanentError where the
    server surely did not take it (for one refused recipient nobody gets it), UnsureError where it may have. `greet`
    proves the credentials. `suppressed` says which of these addresses are not written to any more. `unsubscribe_url`
    is the link by which the reader of this address ends it; None where the hub has no public address.
    """

    async def send(self, envelope: Envelope) -> str: ...

    async def greet(self) -> str: ...

    async def suppressed(self, addresses: Sequence[str]) -> Mapping[str, Suppression]: ...

    def unsubscribe_url(self, address: str) -> str | None: ...


class EffectKey(str):
    """The effect key, 32 hex characters; `key("item:MUG")` derives one for an inner call of the same length."""

    __slots__ = ()

    def __call__(self, part: str) -> "EffectKey":
        import hashlib

        return EffectKey(hashlib.blake2b(f"{self}\0{part}".encode(), digest_size=16).hexdigest())


class Context(Protocol[S_co]):
    """What an action is given."""

    @property
    def http(self) -> Http: ...

    @property
    def mail(self) -> Mail: ...

    @property
    def settings(self) -> S_co: ...

    @property
    def key(self) -> EffectKey: ...

    @property
    def now(self) -> datetime: ...

    @property
    def first_sent(self) -> datetime:
        """Since when the call may have acted: its first sending, however long ago, or now. A search goes back to it."""

    def touches(self, *ids: str) -> None:
        """Say before a request what it changes, by the ids that events carry, where the input does not (`order_id`,
        `customer_id`, `product_id` ... are seen there): what the system then tells of it is marked as an echo. What
        only the answer names is said after it, and marked unless the system was quicker to tell of it."""


@dataclass(frozen=True, slots=True)
class Unsafe:
    """Nothing makes a repeat safe and nobody can look: an unsure attempt ends in the step's `if_unsure`."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Doing it again changes nothing more."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Before a repeat, `find(ctx, input)` searches for what the first try made (its output, or None), but not before
    `settle` has passed since that try, when the search is sure to show it."""

    settle: timedelta
    find: Callable[[Any, Any], Awaitable[BaseModel | None]]


@dataclass(frozen=True, slots=True)
class NativeKey:
    """The system itself drops a repeat under one key, for `valid_for`; afterwards the action counts as `then`."""

    valid_for: timedelta
    max_length: int = 255
    then: "Upsert | Lookup | Unsafe" = field(default_factory=Unsafe)


Safety = NativeKey | Upsert | Lookup | Unsafe
IfUnsure = Literal["ask", "repeat", "skip"]


def native_key(valid_for: timedelta, max_length: int = 255, then: Upsert | Lookup | Unsafe | None = None) -> NativeKey:
    return NativeKey(valid_for, max_length, then or Unsafe())


upsert = Upsert()
unsafe = Unsafe()


def lookup(settle: timedelta, find: Callable[[Any, Any], Awaitable[BaseModel | None]]) -> Lookup:
    return Lookup(settle, find)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a call would cost or touch, for dry runs and backtests."""

    money: Money | None = None
    contacts: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a call is tried before it is given up: attempts that failed, and the time since the first of them. A
    recipe's step may say otherwise (`retry`)."""

    attempts: int = 12
    age: timedelta = timedelta(hours=24)


_PATIENT = Budget()


@dataclass(frozen=True)
class Action:
    """One thing that can be done at an outside system; made by the `@action` decorator.

    safe: how it is safe to repeat. if_unsure: what happens when nobody can know whether it acted.
    exclusive_by: calls with the same value run one at a time in a lane (find-or-create).
    reads: changes nothing outside. makes: the kind of money or object that it makes ("invoice", "label", "refund");
    causes: event types that it sets off at the system. counts: what it costs, from its input. budget: how long it is
    tried.
    example: an input that succeeds in the connector's sandbox.
    """

    name: str
    help: str
    input: type[BaseModel]
    output: type[BaseModel]
    call: Callable[[Any, Any], Awaitable[BaseModel]]
    safe: Safety
    if_unsure: IfUnsure
    example: Callable[[], BaseModel]
    exclusive_by: Callable[[Any], str] | None = None
    reads: bool = False
    makes: str | None = None
    causes: Sequence[str] = ()
    counts: Callable[[Any], Counts] | None = None
    budget: Budget = _PATIENT


def action(
    *,
    safe: Safety,
    example: Callable[[], BaseModel],
    if_unsure: IfUnsure = "ask",
    exclusive_by: Callable[[Any], str] | None = None,
    reads: bool = False,
    makes: str | None = None,
    causes: Sequence[str] = (),
    counts: Callable[[Any], Counts] | None = None,
    budget: Budget = _PATIENT,
) -> Callable[[Callable[[Any, Any], Awaitable[BaseModel]]], Action]:
    """Make an Action of `async def verb_noun(ctx: Context[Settings], input: Input) -> Output`; name, help and both
    models are read off the function."""

    def wrap(function: Callable[[Any, Any], Awaitable[BaseModel]]) -> Action:
        hints = get_type_hints(function)
        second = list(inspect.signature(function).parameters)[1]
        return Action(
            name=function.__name__,
            help=inspect.cleandoc(function.__doc__ or ""),
            input=cast(type[BaseModel], hints[second]),
            output=cast(type[BaseModel], hints["return"]),
            call=function,
            safe=safe,
            if_unsure=if_unsure,
            example=example,
            exclusive_by=exclusive_by,
            reads=reads,
            makes=makes,
            causes=causes,
            counts=counts,
            budget=budget,
        )

    return wrap


# --- how to reach it --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` requests in any `per` seconds; with `keyed`, for each `limit_key` of its own."""

    count: int
    per: float
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Learnt from an answer: send nothing more for `seconds`."""

    seconds: float


@dataclass(frozen=True)
class HttpOptions(Generic[S]):
    """How requests to this system behave.

    base_url: of the settings, without a slash at the end (an operator's `base_url` on the connection replaces it).
    at_once: requests in flight at most. limits: rate windows. timeout: seconds for one whole request.
    problem: the logical error in an answer that HTTP calls a success, or a better reading of an error answer;
    None leaves it to the status. retryable: statuses (beside 408, 425, 429 and 503 with Retry-After) after which
    surely nothing happened. learn: limits read off an answer. redirects: how many a read follows, within its host.
    """

    base_url: Callable[[S], str]
    headers: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 10
    limits: Sequence[Limit] = ()
    timeout: float = 10.0
    problem: Callable[[Reply], TradewindError | None] | None = None
    retryable: frozenset[int] = frozenset()
    learn: Callable[[Reply], Pause | None] | None = None
    redirects: int = 0


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over. security: TLS from the first byte (`tls`), from the first command on (`starttls`), or
    `none`, which is refused for a public address."""

    host: str
    port: int
    security: Literal["tls", "starttls", "none"]
    username: str | None = None
    password: SecretStr | None = None


@dataclass(frozen=True)
class SmtpOptions(Generic[S]):
    """How mail is handed to this system's server. at_once: messages at a time. limits: messages in a time. timeout:
    seconds for all that goes before a message, and again for the message with the server's answer to it."""

    server: Callable[[S], MailServer]
    at_once: int = 4
    limits: Sequence[Limit] = ()
    timeout: float = 30.0


@dataclass(frozen=True)
class HeaderAuth(Generic[S]):
    """Credentials that live in the settings and go out as headers."""

    headers: Callable[[S], Mapping[str, str]]


@dataclass(frozen=True)
class OAuth2(Generic[S]):
    """OAuth 2 authorisation code flow with refresh; the hub refreshes, one process at a time, and keeps what rotates.

    client: (client id, client secret) of the settings; first: the refresh token that the operator gave, if any.
    account_parameter: of the callback, where the system names there the account that was authorised.
    """

    authorize_url: str
    token_url: str
    scopes: Sequence[str]
    client: Callable[[S], tuple[str, str]]
    first: Callable[[S], str | None]
    account_parameter: str | None = None
    header: Callable[[str], Mapping[str, str]] = field(default=lambda token: {"authorization": f"Bearer {token}"})


NO_AUTH: HeaderAuth[Any] = HeaderAuth(lambda settings: {})
Auth = HeaderAuth[S] | OAuth2[S]


# --- sandbox ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mailbox:
    """A fake mail server. users: passwords by name. judge: the refusal of a command (verb, argument), or None.
    receive: keeps a message, and answers the reply line."""

    users: Mapping[str, str]
    judge: Callable[[str, str], str | None]
    receive: Callable[[Envelope], str]


@dataclass(frozen=True)
class Sandbox:
    """A small fake of the outside system, state in memory, that answers as the vendor does: it checks credentials,
    required fields, types and idempotency keys. Faults (429, 500, slow, timeout after acting, half an answer ...) are
    added around it by the sandbox server.

    settings: connection settings that fit it. state: what it holds, for people and tests, JSON-ready.
    fault: the vendor's way to say this status, for told faults. mailbox: what it takes by SMTP. It mounts at
    `/<connector>`.
    """

    settings: Mapping[str, Json]
    routes: Sequence[Route]
    state: Callable[[], Json]
    fault: Callable[[int], Response] | None = None
    mailbox: Mailbox | None = None


# --- the connector ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Connector(Generic[S]):
    """One outside system.

    account: the settings field that names the account there (shop domain, realm id); part of a connection's identity.
    outgoing: the action by which webhook subscriptions are served: its input takes `id`, `type`, `source`, `time` and
    `data`; the settings take `name`, `url` and `signing_secret`.
    test: a cheap read that proves the credentials; answers a line for people, or raises CredentialError.
    store: {generic store action: our action} for `store.<action>` in recipes. cannot: {generic store action: why there
    is no such thing here}, said where a recipe wants it.
    """

    slug: str
    title: str
    category: Literal["store", "payments", "accounting", "chat", "shipping", "marketing", "e-mail", "other"]
    settings: type[S]
    account: str
    source: Source[S] | None = None
    actions: Sequence[Action] = ()
    auth: "Auth[S]" = NO_AUTH
    http: HttpOptions[S] | None = None
    smtp: SmtpOptions[S] | None = None
    sandbox: Callable[[], Sandbox] | None = None
    test: Callable[[Any], Awaitable[str]] | None = None
    store: Mapping[str, str] = field(default_factory=dict)
    outgoing: str | None = None
    cannot: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.account not in self.settings.model_fields:
            raise ValueError(f"{self.slug}: account {self.account!r} is no field of {self.settings.__name__}")
        if self.actions and self.door is None:
            raise ValueError(f"{self.slug}: actions need http or smtp options")
        if self.http is not None and self.smtp is not None:
            raise ValueError(f"{self.slug}: a connector has http or smtp options, not both")

    @property
    def door(self) -> "HttpOptions[S] | SmtpOptions[S] | None":
        """How calls go out: by HTTP, by mail, or not at all."""
        return self.http or self.smtp

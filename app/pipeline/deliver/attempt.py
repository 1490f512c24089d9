"""One attempt at a call: run the action, mark what is about to be sent, and say how it ended."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Literal
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from app.connector import Action, EffectKey, HttpOptions, Json, Lookup, OAuth2, Reply, SmtpOptions
from app.domain.connections import BLOT, Connection, blot, written
from app.domain.suppressions import Suppressions
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError
from app.http import READS, Request, Timeouts, Transport, boottime, classify, retry_after, target
from app.ids import new_id
from app.mail import Door
from app.pipeline.deliver.limits import Limiter
from app.pipeline.deliver.mail import LaneMail
from app.pipeline.deliver.outcome import Failed, Ok, Outcome, weakened
from app.store.calls import DueCall, Sending
from app.store.database import is_refused
from app.store.packing import pack, unpack

log = structlog.get_logger()

SEND_WITHIN = 3.0
"""Seconds after its mark in which an attempt's bytes may still go."""


class LaneLostError(TradewindError):
    """The call is not sent now: its lane was lost, it was cancelled, or this process ends. `marked`: it may have been
    written down as `sending`."""

    def __init__(self, message: str, *, marked: bool = False) -> None:
        super().__init__(message)
        self.marked = marked


@dataclass
class Attempt:
    """What is known of one attempt while it runs.

    sent: the bytes of a request that changes something may have gone. cleared: a search showed that no earlier attempt
    acted. marked: so many of its touches stand beside its mark; the others only its answer told.
    """

    call: DueCall
    id: UUID = field(default_factory=new_id)
    started: float = field(default_factory=time.monotonic)
    requests: list[bytes] = field(default_factory=list)
    sent: bool = False
    cleared: bool = False
    last: Reply | None = None
    touches: list[str] = field(default_factory=list)
    marked: int = 0
    patience: asyncio.Timeout | None = None
    waited: float = 0.0

    def begin(self) -> None:
        """It has a place among those in flight: its duration counts from here, without its waits for the limits."""
        self.started, self.waited = time.monotonic(), 0.0

    @property
    def number(self) -> int:
        return self.call.attempts + 1

    @property
    def duration_ms(self) -> int:
        return round((time.monotonic() - self.started - self.waited) * 1000)


@dataclass(frozen=True)
class Line:
    """What all calls of a lane share."""

    connection: Connection
    owner: str
    transport: Transport
    limiter: Limiter
    credentials: Callable[[bool], Awaitable[Mapping[str, str]]]
    """Headers that prove us; True asks for fresh ones after a refusal."""
    mark: Callable[[Sending], Awaitable[bool]]
    now: Callable[[], datetime]
    seal: Callable[[UUID, bytes], bytes]
    """Encrypts the requests of a call before they are stored."""
    secrets: Collection[str]
    """In every way they may be written: they are blotted out of what is kept of answers."""
    door: Door = field(default_factory=Door)
    suppressions: Suppressions | None = None

    @property
    def options(self) -> HttpOptions[Any] | SmtpOptions[Any]:
        """Its limits, how many calls at a time, and the time that one may take."""
        options = self.connection.connector.door
        if options is None:
            raise PermanentError(f"{self.connection.connector.slug} takes no calls")
        return options

    @property
    def http(self) -> HttpOptions[Any]:
        options = self.connection.connector.http
        if options is None:
            raise PermanentError(f"{self.connection.connector.slug} takes no calls by HTTP")
        return options


async def turn(line: Line, attempt: Attempt, limit_key: str | None) -> None:
    """Wait until the limits let us go; the time of the call stands still meanwhile."""
    limiter, patience = line.limiter, attempt.patience
    if limiter.wait(limit_key) <= 0 or patience is None:
        await limiter.turn(limit_key)
        return
    now, ends = asyncio.get_running_loop().time(), patience.when()
    patience.reschedule(None)
    if not await limiter.turn(limit_key, patient=attempt.sent):
        raise LaneLostError("this process ends before its turn has come")
    attempt.waited += asyncio.get_running_loop().time() - now
    if ends is not None:
        patience.reschedule(asyncio.get_running_loop().time() + max(0.0, ends - now))


async def mark_sending(line: Line, attempt: Attempt) -> None:
    """Write down, right before its bytes go, that an attempt is sending. Raises LaneLostError if they may not."""
    sending = Sending(
        attempt.id,
        attempt.call.id,
        attempt.call.connection_id,
        attempt.number,
        attempt.call.fence,
        line.owner,
        line.seal(attempt.call.id, _packed(attempt.requests)),
        line.options.timeout + 2 * SEND_WITHIN,
        attempt.touches,
    )
    if not await line.mark(sending):
        raise LaneLostError("the lane was lost or paused, or the call was cancelled")
    attempt.sent, attempt.marked = True, len(attempt.touches)


class LaneHttp:
    """The `Http` that an action is given: base address, credentials, limits, marks and errors in one place."""

    def __init__(self, line: Line, attempt: Attempt, stored: Sequence[bytes] = ()) -> None:
        self._line = line
        self._attempt = attempt
        self._stored = list(stored)

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Reply:
        return await self.request("GET", path, params=params)

    async def post(self, path: str, **options: Any) -> Reply:
        return await self.request("POST", path, **options)

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
    ) -> Reply:
        options = self._line.http
        body, kind = _body(json, form, content)
        url, ours = address_of(self._line.connection.host, path)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
        reads = reads or method in READS
        named = {**options.headers, **kind, **(headers or {})}
        request = Request(method, url, tuple(named.items()), body, reads, options.redirects if reads else 0)
        if not reads:
            request = self._as_before(request)
        await turn(self._line, self._attempt, limit_key)
        reply = await self._send(request, reads, await self._line.credentials(False) if ours else {})
        if reply.status == 401 and ours:
            await turn(self._line, self._attempt, limit_key)
            reply = await self._send(request, reads, await self._line.credentials(True))
        return self._judged(reply, method, reads, limit_key)

    def _as_before(self, request: Request) -> Request:
        """A request that an earlier attempt stored goes out again byte for byte."""
        for stored in self._stored:
            before = Request.load(stored)
            if (before.method, before.url) == (request.method, request.url):
                self._stored.remove(stored)
                request = before
                break
        self._attempt.requests.append(request.dump())
        return request

    async def _send(self, request: Request, reads: bool, credentials: Mapping[str, str]) -> Reply:
        line, attempt = self._line, self._attempt
        seconds = line.options.timeout
        attempt.last = None
        try:
            reply = await line.transport.send(
                request,
                credentials=credentials,
                timeouts=Timeouts(pool=seconds, connect=min(10.0, seconds), read=seconds, total=seconds + SEND_WITHIN),
                deadline=boottime() + SEND_WITHIN,
                allowed=line.connection.allowed,
                before_send=None if reads else partial(mark_sending, line, attempt),
            )
        except UnsureError:
            attempt.sent = True
            raise
        if isinstance(line.connection.connector.auth, OAuth2):  # no setting: nothing later knows this token
            for proof in credentials.values():
                reply = replace(reply, body=_blotted(reply.body, _tokens(proof.rpartition(" ")[2])))
        attempt.last = reply
        return reply

    def _judged(self, reply: Reply, method: str, reads: bool, limit_key: str | None) -> Reply:
        options = self._line.http
        if options.learn is not None and (pause := options.learn(reply)) is not None:
            self._line.limiter.pause(pause.seconds)
        problem = options.problem(reply) if options.problem is not None else None
        problem = problem or classify(method, reply, now=self._line.now(), retryable=options.retryable, reads=reads)
        if problem is None:
            self._attempt.sent = self._attempt.sent or not reads
            return reply
        if isinstance(problem, UnsureError):
            if reads:
                raise RetryableError(str(problem), problem.retry_after, problem.status)
            self._attempt.sent = True
        if isinstance(problem, RetryableError) and reply.status == 429:
            self._line.limiter.pause(retry_after(reply.headers, self._line.now()) or 1.0, limit_key)
        raise problem


def _packed(requests: Sequence[bytes]) -> bytes:
    return pack(orjson.dumps([request.decode("latin-1") for request in requests]))


def address_of(host: str, path: str) -> tuple[str, bool]:
    """(the whole URL, whether it is the connection's own scheme, host and port). Raises PermanentError for a path that
    would lead to another host."""
    url = path if path.startswith(("http://", "https://")) else host + path
    ours = target(url).origin == target(host).origin
    if url is not path and not ours:
        raise PermanentError("the path leads to another host than the connection's")
    return url, ours


def _body(
    json: Json, form: Mapping[str, str] | Sequence[tuple[str, str]] | None, content: bytes | None
) -> tuple[bytes, dict[str, str]]:
    if json is not None:
        return orjson.dumps(json, default=_number), {"content-type": "application/json"}
    if form is not None:
        return urlencode(form, quote_via=quote).encode(), {"content-type": "application/x-www-form-urlencoded"}
    return content or b"", {}


def _number(value: object) -> object:
    """Exact decimals go out as JSON numbers where a model holds them as Decimal."""
    from decimal import Decimal

    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f").encode())
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


@dataclass(frozen=True)
class CallContext:
    """The `Context` that an action is given."""

    http: LaneHttp
    mail: LaneMail
    settings: BaseModel
    key: EffectKey
    now: datetime
    attempt: Attempt

    @property
    def first_sent(self) -> datetime:
        return self.attempt.call.sent_at or self.now

    def touches(self, *ids: str) -> None:
        """As events carry them: `1001` of `gid://shopify/Order/1001`."""
        self.attempt.touches += [each.rpartition("/")[2] for each in ids]


def context_of(line: Line, attempt: Attempt, key: EffectKey, stored: Sequence[bytes] = ()) -> CallContext:
    """What a call of this line sees of the outside."""
    mail = LaneMail(
        line.connection,
        line.door,
        line.suppressions,
        partial(turn, line, attempt, None),
        partial(mark_sending, line, attempt),
        attempt,
        SEND_WITHIN,
    )
    return CallContext(LaneHttp(line, attempt, stored), mail, line.connection.settings, key, line.now(), attempt)


async def run(
    line: Line, action: Action, attempt: Attempt, stored: Sequence[bytes], if_found: bool, seconds: float
) -> Outcome:
    """Try a call once. `stored`: requests of an earlier attempt, to be sent again as they were. `if_found`: look
    first whether an earlier attempt acted. Raises LaneLostError when nothing may be sent any more."""
    call = attempt.call
    context = context_of(line, attempt, EffectKey(call.effect_key.hex()), stored)
    try:
        async with asyncio.timeout(seconds) as attempt.patience:
            return await _act(context, action, attempt, if_found, line.secrets)
    except LaneLostError:
        raise
    except Exception as e:
        return _failed(e, attempt, line.secrets)


async def _act(
    context: CallContext, action: Action, attempt: Attempt, if_found: bool, secrets: Collection[str]
) -> Outcome:
    given = action.input.model_validate_json(unpack(attempt.call.input))
    if action.causes:
        context.touches(*touched(given))
    safe = weakened(action.safe, context.first_sent, context.now)
    if if_found and isinstance(safe, Lookup):
        found = await safe.find(context, given)
        if found is not None:
            return Ok(blot(found.model_dump_json(), secrets), found=True)
        attempt.cleared = True
    output = blot((await action.call(context, given)).model_dump_json(), secrets)
    last = attempt.last
    return Ok(output, last.status if last else None, _kept(last, secrets))


_TOUCHED = ("order_id", "customer_id", "product_id", "variant_id", "sale_id", "payment_id", "owner_id")


def touched(given: BaseModel) -> list[str]:
    """The ids of what an action is asked to change."""
    return [value for name in _TOUCHED if isinstance(value := getattr(given, name, None), str)]


def _kept(reply: Reply | None, secrets: Collection[str]) -> bytes | None:
    """What is kept of an answer: its beginning, without secrets of ours that it echoed."""
    return None if reply is None else pack(_blotted(reply.body, secrets)[:65536])


def _blotted(body: bytes, secrets: Collection[str]) -> bytes:
    for secret in secrets:
        body = body.replace(secret.encode(), BLOT.encode())
    return body


@lru_cache(maxsize=64)
def _tokens(token: str) -> Collection[str]:
    return written(token)


def _failed(error: Exception, attempt: Attempt, secrets: Collection[str]) -> Failed:
    last = attempt.last
    body = _kept(last, secrets)
    status = getattr(error, "status", None) or (last.status if last else None)
    wait = getattr(error, "retry_after", None)
    text = blot(f"{error}", secrets)[:2000]
    match error:
        case CredentialError():
            return Failed("credential", text, 60, status, body)
        case PermanentError():
            return Failed("permanent", text, None, status, body)
        case RetryableError():
            return Failed("throttled" if status == 429 else "retryable", text, wait, status, body)
        case UnsureError():
            return Failed("unsure" if attempt.sent else "retryable", text, wait, status, body)
        case TimeoutError():
            return Failed("unsure" if attempt.sent else "retryable", "no answer in time", None, status, body)
        case ValidationError() if not attempt.requests and last is None:
            return Failed("permanent", f"the input does not fit the action: {text}", None, status, body)
        case _ if not is_refused(error):  # of PostgreSQL, which knows credentials and suppressed addresses
            doubt: Literal["unsure", "retryable"] = "unsure" if attempt.sent else "retryable"
            return Failed(doubt, f"the hub itself was in trouble: {type(error).__name__}", None, status, body)
        case _:
            log.exception("an action failed unexpectedly", action=attempt.call.action, exc_info=error)
            kind = f"{type(error).__name__}: {text}"
            return Failed("unsure" if attempt.sent else "permanent", kind, None, status, body)

"""Requests to any API. Nobody can know whether a repeat acts twice there, so an unsure one asks, unless a step says."""

from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from app.connector import Action, Context, Json, Reply, action, unsafe
from app.errors import PermanentError, RetryableError
from connectors.http.models import (
    MOST_JSON,
    MOST_TEXT,
    Answer,
    Hook,
    MakeWebhook,
    OutgoingEvent,
    Request,
    Settings,
    ZapierCatch,
)
from connectors.http.signing import signed

_URL_CHARACTERS = "/%?=&:@!$'()*+,;~-._"
MOST_BODY = 5_000_000
"""Bytes of a request's body."""


@action(safe=unsafe, example=lambda: Request(path="/orders", body={"order": "1001", "total": "24.00"}))
async def request(ctx: Context[Settings], input: Request) -> Answer:
    """Send a request to the connection's URL: a JSON body, a form or text, signed if the connection has a secret.

    A status of 400 or more fails the step, unless `accept` names it. `if_unsure: repeat` suits a receiver that drops
    repeats by `webhook-id` or by the connection's `key_header`."""
    content, kind = _content(input)
    headers = {**input.headers, **kind}
    path = input.path
    if input.params:
        path += ("&" if "?" in path else "?") + urlencode(input.params, quote_via=quote)
    try:
        return _answer(await _send(ctx, input.method, path, content, headers))
    except PermanentError as e:
        if e.status is not None and e.status in input.accept:
            return Answer(status=e.status)
        raise


@action(
    safe=unsafe,
    if_unsure="repeat",
    example=lambda: OutgoingEvent(
        id="0199c0de-1234-7abc-8def-0123456789ab",
        type="order.paid",
        source="/connections/main-store",
        time=datetime(2026, 11, 22, 18, tzinfo=UTC),
        data={"order": {"id": "1001"}},
    ),
)
async def send_event(ctx: Context[Settings], input: OutgoingEvent) -> Answer:
    """Send a canonical event to whoever subscribed: a CloudEvents envelope, signed as Standard Webhooks says.

    What is not known is left out and amounts are text, as in events.schema.json. A repeat bears the same `webhook-id`,
    by which the receiver drops it."""
    moment = _iso(input.time)
    body = {
        "specversion": "1.0",
        "id": input.id,
        "source": input.source,
        "type": input.type,
        "time": moment,
        "timestamp": moment,
        "datacontenttype": "application/json",
        "data": _told(input.data),
    }
    content = orjson.dumps(body, default=str)
    return _answer(await _send(ctx, "POST", "", content, {"content-type": "application/json"}))


def _told(value: Json) -> Json:
    """Plain data without what is not known; times as the schema has them."""
    match value:
        case dict():
            return {name: _told(each) for name, each in value.items() if each is not None}
        case list() | tuple():
            return [_told(each) for each in value]
        case datetime():
            return _iso(value)
        case _:
            return value


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@action(safe=unsafe, example=lambda: ZapierCatch(data={"order": "1001"}))
async def zapier_catch(ctx: Context[Settings], input: ZapierCatch) -> Answer:
    """Start a zap by its catch hook, whose URL is the connection's. Zapier only says that it has it, not what became
    of it."""
    return await _hook(ctx, input)


@action(safe=unsafe, example=lambda: MakeWebhook(data={"order": "1001"}))
async def make_webhook(ctx: Context[Settings], input: MakeWebhook) -> Answer:
    """Start a scenario of Make by its webhook, whose URL is the connection's. A full queue is tried again."""
    try:
        return await _hook(ctx, input)
    except PermanentError as e:
        if e.status == 400:
            raise RetryableError("the scenario's queue is full (400)", 60, 400) from e
        raise


async def _hook(ctx: Context[Settings], input: Hook) -> Answer:
    try:
        return _answer(await _send(ctx, "POST", "", _json(input.data), {"content-type": "application/json"}))
    except PermanentError as e:
        if e.status in (404, 410):
            raise PermanentError("the hook was deleted or switched off", e.status) from e
        raise


async def _send(ctx: Context[Settings], method: str, path: str, content: bytes, headers: dict[str, str]) -> Reply:
    settings = ctx.settings
    if len(content) > MOST_BODY:
        raise PermanentError(f"the body has {len(content)} bytes; at most {MOST_BODY} are sent")
    more = {settings.key_header: str(ctx.key)} if settings.key_header else {}
    if settings.signing_secret is not None:
        more |= signed(content, settings.signing_secret, ctx.key, ctx.now)
    whole = joined(settings, path)
    return await ctx.http.request(method, whole, content=content or None, headers={**headers, **more})


def joined(settings: Settings, path: str) -> str:
    """The URL's own path and query with the step's behind, without scheme and host: those are the connection's."""
    url = urlsplit(settings.url.get_secret_value())
    below, _, query = path.partition("?")
    whole = (url.path.rstrip("/") if below else url.path) + below or "/"
    queries = "&".join(filter(None, (url.query, query)))
    return quote(whole + (f"?{queries}" if queries else ""), safe=_URL_CHARACTERS)


def _content(input: Request) -> tuple[bytes, dict[str, str]]:
    if input.body is not None:
        return _json(input.body), {"content-type": "application/json"}
    if input.form is not None:
        return urlencode(input.form).encode(), {"content-type": "application/x-www-form-urlencoded"}
    if input.text is not None:
        return input.text.encode(), {"content-type": input.content_type}
    return b"", {}


def _json(value: Json) -> bytes:
    return orjson.dumps(value, default=_decimal)


def _decimal(value: object) -> object:
    """Exact decimals go out as JSON numbers."""
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}".encode())
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _answer(reply: Reply) -> Answer:
    """An answer that calls itself JSON and is none cannot be trusted: nobody knows what it means."""
    kind = next((value for name, value in reply.headers.items() if name.lower() == "content-type"), "")
    if "json" in kind.lower() and reply.body:
        if len(reply.body) > MOST_JSON:
            return Answer(status=reply.status, cut=True)
        return Answer(status=reply.status, data=reply.json())
    text = reply.text
    return Answer(status=reply.status, text=text[:MOST_TEXT] or None, cut=len(text) > MOST_TEXT)


ACTIONS: list[Action] = [request, send_event, zapier_catch, make_webhook]

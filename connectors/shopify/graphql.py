"""The Admin API: one address for everything, and what its answers mean for a call.

Errors come in three layers, all with status 200: `errors` of the whole document (syntax, scopes, throttling),
`userErrors` of a mutation, and `data` that is null. https://shopify.dev/docs/api/admin-graphql (status and error codes)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from uuid import UUID

import orjson

from app.connector import Context, EffectKey, Json, Pause, Reply
from app.errors import PermanentError, RetryableError, TradewindError, UnsureError
from connectors.shopify.settings import Settings

RESERVE = 100
"""Points of the cost bucket below which the lane waits; our dearest document costs less."""
RESTORED = 100.0
"""Points a second that a standard shop gets back (Advanced 200, Plus 1000), where an answer does not say."""
TAKEN = "TAKEN"
_TRY_AGAIN = {"IDEMPOTENCY_CONCURRENT_REQUEST", "SERVICE_UNAVAILABLE"}
_NOBODY_KNOWS = {"INTERNAL_ERROR", "INTERNAL_SERVER_ERROR", "ADJUST_QUANTITIES_FAILED"}


class RefusedError(PermanentError):
    """A mutation was refused: `userErrors` with their codes, and the data beside them."""

    def __init__(self, message: str, codes: Collection[str], data: Mapping[str, Json]) -> None:
        super().__init__(message)
        self.codes = frozenset(codes)
        self.data = data


def path(settings: Settings) -> str:
    return f"/admin/api/{settings.api_version}/graphql.json"


async def ask(
    ctx: Context[Settings], document: str, fine: Collection[str] = (), /, **variables: Json
) -> Mapping[str, Json]:
    """The `data` of a document. Refusals with the codes in `fine` say that what is wanted is so already."""
    body, reads = {"query": document, "variables": variables}, document.startswith("query")
    try:
        reply = await ctx.http.post(path(ctx.settings), json=body, reads=reads)
    except RefusedError as refused:
        if not refused.codes or not refused.codes <= set(fine):
            raise
        return refused.data
    return data_of(reply)


def data_of(reply: Reply) -> Mapping[str, Json]:
    data = reply.json()
    data = data.get("data") if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise UnsureError("Shopify answered without data", status=reply.status)
    return data


def gid(kind: str, id: str) -> str:
    """`gid://shopify/Order/1001` of `1001`; a gid is left as it is."""
    return id if id.startswith("gid://") else f"gid://shopify/{kind}/{id}"


def plain_id(gid: str) -> str:
    """`1001` of `gid://shopify/Order/1001`: the form that events carry."""
    return gid.split("?", 1)[0].rsplit("/", 1)[-1]


def idempotency_key(key: EffectKey) -> str:
    """The key of `@idempotent` is a UUID: the effect key's own 128 bits."""
    return str(UUID(hex=key))


# --- errors -----------------------------------------------------------------------------------------------------


def problem(reply: Reply) -> TradewindError | None:
    """What an answer with status 200 refuses; other statuses speak for themselves."""
    if not 200 <= reply.status < 300 or not reply.body.startswith(b"{"):
        return None
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    if answer.get("errors"):
        return _of_document(answer, reply)
    refusals = list(_user_errors(answer.get("data")))
    return _of_mutation(refusals, answer["data"]) if refusals else None


def _of_document(answer: Mapping[str, Json], reply: Reply) -> TradewindError:
    errors = answer["errors"] if isinstance(answer["errors"], list) else [{"message": str(answer["errors"])}]
    first: Mapping[str, Json] = errors[0] if isinstance(errors[0], dict) else {"message": str(errors[0])}
    code, text = (first.get("extensions") or {}).get("code"), f"Shopify: {first.get('message')}"
    if code == "THROTTLED":
        return RetryableError(text, _wait(answer, reply), 429)
    ran = any(isinstance(each, dict) and len(each.get("path") or ()) > 1 for each in errors)
    if ran or code in _NOBODY_KNOWS:
        return UnsureError(text, status=reply.status)
    return PermanentError(f"{text} ({code})" if code else text, reply.status)


def _user_errors(data: Any) -> Iterator[Mapping[str, Json]]:
    """All entries of the fields `userErrors`, `orderCancelUserErrors` ... of every mutation in the answer."""
    for payload in data.values() if isinstance(data, dict) else ():
        for name, value in payload.items() if isinstance(payload, dict) else ():
            if name.endswith(("userErrors", "UserErrors")) and value:
                yield from value


def _of_mutation(refusals: list[Mapping[str, Json]], data: Mapping[str, Json]) -> TradewindError:
    codes = [str(each.get("code") or "") for each in refusals]
    text = "Shopify: " + "; ".join(_text(each) for each in refusals)
    if set(codes) & _TRY_AGAIN:
        return RetryableError(text)
    if set(codes) & _NOBODY_KNOWS:
        return UnsureError(text)
    return RefusedError(text, [code or _unsaid(each) for code, each in zip(codes, refusals, strict=True)], data)


def _unsaid(refusal: Mapping[str, Json]) -> str:
    """The code of a refusal that has none but its words."""
    return TAKEN if "already been taken" in str(refusal.get("message")) else ""


def _text(refusal: Mapping[str, Json]) -> str:
    code = refusal.get("code")
    return f"{refusal.get('message')}{f' ({code})' if code else ''}"


# --- limits -----------------------------------------------------------------------------------------------------


def _throttle(answer: Mapping[str, Json]) -> tuple[float, float, float] | None:
    """(available, restored a second, requested) of `extensions.cost`."""
    cost = (answer.get("extensions") or {}).get("cost") or {}
    status = cost.get("throttleStatus") or {}
    available, restored = status.get("currentlyAvailable"), status.get("restoreRate")
    if not isinstance(available, int | float) or not isinstance(restored, int | float) or restored <= 0:
        return None
    return float(available), float(restored), float(cost.get("requestedQueryCost") or 0)


def _wait(answer: Mapping[str, Json], reply: Reply) -> float:
    """Seconds until there are points enough."""
    told = reply.headers.get("retry-after", "")
    if told.replace(".", "", 1).isdigit():
        return float(told)
    known = _throttle(answer)
    if known is None:
        return 1.0
    available, restored, requested = known
    return max(1.0, (requested - available) / restored)


def learn(reply: Reply) -> Pause | None:
    """A pause while the bucket is nearly empty, long enough to fill the reserve again."""
    if b'"throttleStatus"' not in reply.body:
        return None
    try:
        known = _throttle(orjson.loads(reply.body))
    except (orjson.JSONDecodeError, AttributeError):
        return None
    if known is None or known[0] >= RESERVE:
        return None
    return Pause((RESERVE - known[0]) / known[1])

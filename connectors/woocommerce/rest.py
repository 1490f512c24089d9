"""How WooCommerce's REST API is asked, and how it refuses."""

from collections.abc import Mapping

from app.connector import Context, Json, Reply
from app.errors import CredentialError, PermanentError, TradewindError, UnsureError
from connectors.woocommerce.fields import Body, rows, text
from connectors.woocommerce.settings import API, Settings


def problem(reply: Reply) -> TradewindError | None:
    """WooCommerce's reason (`{code, message, data: {status}}`) for a refusal. A web page with status 200 is no answer:
    pretty permalinks are off, or a plugin printed a warning."""
    if 200 <= reply.status < 300:
        page = "html" in reply.headers.get("content-type", "")
        return UnsureError("answered a web page, not JSON: are pretty permalinks on?", status=200) if page else None
    if reply.status not in (400, 401, 403, 404, 409):
        return None
    said = _said(reply)
    why = f"{text(said, 'message') or 'no reason given'} ({text(said, 'code') or reply.status})"
    kind = CredentialError if reply.status == 401 else PermanentError
    return kind(why[:500], reply.status)


def _said(reply: Reply) -> Body:
    try:
        said = reply.json()
    except (ValueError, TradewindError):
        return {}
    return said if isinstance(said, dict) else {}


async def put(ctx: Context[Settings], path: str, changes: Mapping[str, Json]) -> Body:
    said: Body = (await ctx.http.request("PUT", f"{API}{path}", json=dict(changes))).json()
    return said


async def listed(ctx: Context[Settings], path: str, **params: str) -> list[Body]:
    said = (await ctx.http.get(f"{API}{path}", params=params)).json()
    return rows({"rows": said}, "rows")


def entries(values: Mapping[str, str]) -> list[dict[str, str]]:
    """As `meta_data` wants them: an entry without an id replaces the one of its key."""
    return [{"key": key, "value": value} for key, value in values.items()]

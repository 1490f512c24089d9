"""`/v1/connections/{slug}`: standing in for its platform: webhooks signed as it does, and what came in as fixtures."""

import asyncio
import base64
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from app.api.auth import ConnectionKeeper, Reader
from app.api.context import HubDep, Listed, Name
from app.byhand.texts import PlainText
from app.domain.connections import Connection
from app.errors import NotFoundError
from app.expressions import hint
from app.hub import Hub
from app.sending import SignedWebhook, captured, samples, signed_webhook
from app.store import byhand as audit
from app.store.byhand import Deed
from app.store.database import to_json

router = APIRouter(prefix="/v1/connections", tags=["connections"])


class ToSign(BaseModel):
    """What to sign: a body, or samples of the connector."""

    model_config = ConfigDict(extra="forbid")

    topic: PlainText = Field(max_length=200, description="The sender's own word.", examples=["orders/paid"])
    body: Base64Bytes | None = Field(None, max_length=10_000_000, description="Base64; a sample if not said.")
    count: int = Field(1, ge=1, le=100, description="How many; samples differ from each other.")
    first: int = Field(1, ge=0, le=2**31, description="The number of the first sample.")


class WebhookSigned(BaseModel):
    """A request to this hub, as the platform would send it."""

    path: str = Field(examples=["/webhooks/main-store"])
    query: dict[str, str]
    headers: dict[str, str]
    body: str = Field(description="Base64.")


class WebhooksSigned(BaseModel):
    requests: list[WebhookSigned]


class FixtureShown(BaseModel):
    """A body that came in, with people's names, addresses, e-mails, phones and tokens replaced."""

    topic: str = Field(examples=["orders/paid"])
    ending: Literal["json", "form"]
    body: str


@router.post("/{slug}/sign", summary="Sign webhooks as a connection's platform does")
async def sign_webhooks(caller: ConnectionKeeper, hub: HubDep, slug: Name, wanted: ToSign) -> WebhooksSigned:
    """To try recipes: POST what it answers to this hub, and it is taken for the platform's. Who may do this may as well
    set the secret. Noted in the audit."""
    connection = _found(hub, caller.workspace, slug)
    made = await asyncio.to_thread(_signed, connection, wanted)
    async with hub.database.acquire() as db:
        detail = to_json({"topic": wanted.topic, "count": wanted.count})
        await audit.note(db, Deed(caller.workspace, caller.name, "sign", f"connection/{slug}", {}), detail)
    return WebhooksSigned(
        requests=[
            WebhookSigned(path=each.path, query=dict(each.query), headers=dict(each.headers),
                          body=base64.b64encode(each.body).decode())
            for each in made
        ]
    )  # fmt: skip


def _signed(connection: Connection, wanted: ToSign) -> list[SignedWebhook]:
    bodies = (
        samples(connection, wanted.topic, wanted.count, wanted.first)
        if wanted.body is None
        else (wanted.body for _ in range(wanted.count))
    )
    return [signed_webhook(connection, wanted.topic, each) for each in bodies]


@router.get("/{slug}/fixtures", summary="Get what came in as fixtures, without people")
async def get_fixtures(
    caller: Reader, hub: HubDep, slug: Name, last: Annotated[int, Query(ge=1, le=200, description="Newest ones.")] = 10
) -> Listed[FixtureShown]:
    """Oldest first. Free text may still name somebody: read them before you share them."""
    found = await captured(hub.database, _found(hub, caller.workspace, slug), last)
    items = [FixtureShown(topic=each.topic, ending=each.ending, body=each.body.decode()) for each in found]
    return Listed(items=items, next=None)


def _found(hub: Hub, workspace: str, slug: str) -> Connection:
    found = hub.connections.find(workspace, slug)
    if found is None:
        there = sorted(each.slug for each in hub.connections if each.workspace == workspace)
        raise NotFoundError(f"there is no connection {slug!r} that can be used; {hint(slug, there) or 'there is none'}")
    return found

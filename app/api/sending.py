"""`/v1/connections/{slug}`: standing in for its platform: webhooks signed as it does, and what came in as fixtures."""

import asyncio
import base64
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from app.api.auth import ConnectionKeeper, ForbiddenError, Reader
from app.api.context import HubDep, Listed, Name
from app.byhand.texts import PlainText
from app.domain.connections import Connection, secrets_in
from app.errors import InvalidError, NotFoundError
from app.expressions import hint
from app.hub import Hub
from app.sending import MOST, SignedWebhook, captured, samples, signed_webhook
from app.store import byhand as audit
from app.store.byhand import Deed
from app.store.database import to_json

router = APIRouter(prefix="/v1/connections", tags=["connections"])


LARGEST = 3_900_000
"""Bytes of a body that is given: as Base64 it still fits into a request."""


class ToSign(BaseModel):
    """What to sign: a body, or samples of the connector."""

    model_config = ConfigDict(extra="forbid")

    topic: PlainText = Field(max_length=200, description="The sender's own word.", examples=["orders/paid"])
    body: Base64Bytes | None = Field(
        None, max_length=LARGEST, description=f"Base64 of at most {LARGEST:,} bytes; a sample if not said."
    )
    count: int = Field(
        1, ge=1, le=100, description=f"How many; samples differ from each other. All together at most {MOST:,} bytes."
    )
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
    set the secret; where the platform sends the secret itself (a token in its address), the answer shows it, and this
    needs `admin`. Noted in the audit."""
    connection = _found(hub, caller.workspace, slug)
    made = await asyncio.to_thread(_signed, connection, wanted)
    if not caller.may("admin") and any(_tells(each, secrets_in(connection.settings)) for each in made):
        title = connection.connector.title
        raise ForbiddenError(f"{title} sends its secret as it is: to be shown it needs a key with `admin`.", "admin")
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
    """Raises InvalidError where they are more than one answer holds."""
    given = wanted.body
    bodies = (
        samples(connection, wanted.topic, wanted.count, wanted.first)
        if given is None
        else (given for _ in range(wanted.count))
    )
    made: list[SignedWebhook] = []
    size = 0
    for body in bodies:
        if (size := size + len(body)) > MOST:
            said = f"these are more than {MOST:,} bytes together: ask for at most {max(1, len(made))} at a time"
            raise InvalidError("too much to sign at once", [{"field": "body.count", "detail": said}])
        made.append(signed_webhook(connection, wanted.topic, body))
    return made


def _tells(signed: SignedWebhook, secrets: frozenset[str]) -> bool:
    """Whether a secret stands in it as it is."""
    return not secrets.isdisjoint((*signed.headers.values(), *signed.query.values()))


@router.get("/{slug}/fixtures", summary="Get what came in as fixtures, without people")
async def get_fixtures(
    caller: Reader, hub: HubDep, slug: Name, last: Annotated[int, Query(ge=1, le=200, description="Newest ones.")] = 10
) -> Listed[FixtureShown]:
    """Oldest first; the newest that are 5 MB together. Free text may still name somebody: read them
    before you share them."""
    found = await captured(hub.database, _found(hub, caller.workspace, slug), last)
    items = [FixtureShown(topic=each.topic, ending=each.ending, body=each.body.decode()) for each in found]
    return Listed(items=items, next=None)


def _found(hub: Hub, workspace: str, slug: str) -> Connection:
    found = hub.connections.find(workspace, slug)
    if found is None:
        there = sorted(each.slug for each in hub.connections if each.workspace == workspace)
        raise NotFoundError(f"there is no connection {slug!r} that can be used; {hint(slug, there) or 'there is none'}")
    return found

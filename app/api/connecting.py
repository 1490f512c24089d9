"""`/v1/connections`: setting them up: written, removed, tried, authorised."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import HTMLResponse

from app.api import etags
from app.api.auth import ConnectionKeeper, ForbiddenError
from app.api.connections import ConnectionShown, connection_tag, one_connection
from app.api.context import HubDep, Name
from app.api.etags import IfMatch, IfNoneMatch
from app.byhand import authorising, connecting
from app.byhand.connecting import ConnectionWanted
from app.byhand.rotating import Rotation, rotate_secret
from app.byhand.texts import PlainObject, PlainText
from app.errors import NotFoundError
from app.hub import Hub

router = APIRouter(prefix="/v1/connections", tags=["connections"])
callback = APIRouter(prefix="/v1/oauth", tags=["connections"])


class ConnectionToPut(BaseModel):
    """A connection as it shall be. Secrets are written, never shown: one that is not given stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"connector": "slack", "settings": {"team": "T024BE7LD", "bot_token": "xoxb-..."}}]
        },
    )

    connector: PlainText = Field(max_length=100, examples=["slack"])
    settings: PlainObject = Field(description="As `GET /v1/connectors/{slug}` describes them.")
    role: Literal["shop", "payments"] | None = None
    base_url: Annotated[PlainText, Field(max_length=500)] | None = Field(
        None, description="Another host for the outside system (a sandbox, a proxy); only with the scope `admin`."
    )
    as_: Annotated[PlainText, Field(max_length=100, alias="as")] = Field(
        "", alias="as", description="Tells several connections to one account apart."
    )
    history: Literal["unknown", "complete"] = Field("unknown", description="Whether everything before is known.")


class ConnectionProof(BaseModel):
    """Whether the credentials work, by a cheap read at the system."""

    works: bool
    said: str = Field(examples=["Craft & Co (4620816365)"])
    tried: bool = Field(description="False where the system offers nothing to try.")
    authorised_until: datetime | None = Field(description="When it must be authorised again, where the system says so.")
    recipes: list[str] = Field(description="Recipes that call it.")


class SecretToRotate(BaseModel):
    """A new secret for a connection, and what becomes of the old ones."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"setting": "webhook_secrets", "value": "the-new-secret"}]}
    )

    setting: Annotated[PlainText, Field(max_length=100)] | None = Field(
        None, description="Which secret; may be left out where the connector has only one."
    )
    value: Annotated[SecretStr, Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="The new secret."
    )
    forget: Annotated[SecretStr, Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="The old secret that is taken no more."
    )
    forget_old: bool = Field(
        False, description="From now on only the newest of several is taken; not where each endpoint has its own."
    )
    values: (
        dict[Annotated[str, Field(max_length=100)], Annotated[SecretStr, Field(min_length=1, max_length=10_000)]] | None
    ) = Field(
        None,
        min_length=1,
        max_length=20,
        description="New secrets of several settings, proven and taken together (a key and its secret); given alone.",
        examples=[{"consumer_key": "ck_new", "consumer_secret": "cs_new"}],
    )


class SecretRotated(BaseModel):
    """What a rotation came to."""

    setting: str = Field(description="The one that changed; of several the first.", examples=["webhook_secrets"])
    taken: int = Field(description="Secrets that it takes now: the newest, and older ones.")
    settings: dict[str, int] = Field(
        description="Each setting that changed, and how many secrets it takes now.", examples=[{"webhook_secrets": 2}]
    )
    works: bool | None = Field(description="Whether a cheap read with a new credential worked, where one can be tried.")
    said: str | None = Field(description="What the system said to it.")


class OAuthStarted(BaseModel):
    """Where a person says yes; afterwards the system sends the browser back to the hub."""

    authorize_url: str = Field(examples=["https://appcenter.intuit.com/connect/oauth2?client_id=..."])
    redirect_uri: str = Field(description="To be registered at the system.", examples=["https://hub/v1/oauth/callback"])


@router.put(
    "/{slug}",
    summary="Make or change a connection",
    responses={201: {"model": ConnectionShown, "description": "Made."}},
)
async def put_connection(
    caller: ConnectionKeeper,
    hub: HubDep,
    response: Response,
    slug: Name,
    wanted: ConnectionToPut,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> ConnectionShown:
    """201 where it was made. Every process knows it within a second. What a file owns is refused (409)."""
    if wanted.base_url is not None and not caller.may("admin"):
        raise ForbiddenError("A base_url may lead into your own network: this needs a key with `admin`.", "admin")

    def condition(row: Any) -> None:
        etags.check(connection_tag(row) if row is not None else None, if_match, if_none_match)

    one = ConnectionWanted(wanted.connector, wanted.settings, wanted.role, wanted.base_url, wanted.as_, wanted.history)
    if await connecting.put_connection(hub, caller.workspace, slug, one, caller.name, condition):
        response.status_code = 201
    return await one_connection(hub, caller.workspace, slug, response)


@router.delete("/{slug}", status_code=204, summary="Remove a connection")
async def remove_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name, if_match: IfMatch = None) -> None:
    """Its webhooks are refused from now on, its calls wait. Its account keeps its permanent id: connected again,
    nothing is done twice."""

    def condition(row: Any) -> None:
        etags.check(connection_tag(row), if_match)

    await connecting.remove_connection(hub, caller.workspace, slug, caller.name, condition)


@router.post("/{slug}/test", summary="Try a connection's credentials")
async def test_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name) -> ConnectionProof:
    """One cheap read at the system, with the limits that its calls have."""
    found = _found(hub, caller.workspace, slug)
    from app.probing import probe  # with all that a process needs which calls outside systems

    proof = await probe(hub, found)
    shown = await one_connection(hub, caller.workspace, slug)
    return ConnectionProof(
        works=proof.works,
        said=proof.said,
        tried=proof.tried,
        authorised_until=shown.authorised_until,
        recipes=shown.recipes,
    )


@router.post("/{slug}/rotate", summary="Rotate a connection's secret")
async def rotate_connection(caller: ConnectionKeeper, hub: HubDep, slug: Name, wanted: SecretToRotate) -> SecretRotated:
    """A new signing secret counts at once, and the two before it are taken until `forget_old`: a sender may go on with
    the last one for an hour. Where each endpoint of a platform has its own (Stripe), all stay but the one that `forget`
    names. A token or password is proven at the system first; one that it refuses changes nothing; what only the next
    refresh of a token can prove (OAuth 2) has `works` null. A key and its secret are given together as `values`, and
    proven as a pair. What a file owns is changed there (409)."""
    value, forget = (each.get_secret_value() if each is not None else None for each in (wanted.value, wanted.forget))
    values = {setting: each.get_secret_value() for setting, each in (wanted.values or {}).items()}
    rotation = Rotation(wanted.setting, value, wanted.forget_old, forget, values)
    done = await rotate_secret(hub, caller.workspace, slug, rotation, caller.name)
    setting, taken = next(iter(done.taken.items()))
    return SecretRotated(setting=setting, taken=taken, settings=dict(done.taken), works=done.works, said=done.said)


@router.post("/{slug}/oauth/start", summary="Begin to authorise a connection (OAuth 2)")
async def start_oauth(caller: ConnectionKeeper, hub: HubDep, request: Request, slug: Name) -> OAuthStarted:
    """Open `authorize_url` in a browser within ten minutes. Only for connectors whose `oauth` is true."""
    found = _found(hub, caller.workspace, slug)
    redirect = f"{(hub.settings.public_url or str(request.base_url)).rstrip('/')}/v1/oauth/callback"
    return OAuthStarted(authorize_url=authorising.start(hub, found, redirect, caller.name), redirect_uri=redirect)


@callback.get("/callback", summary="Where systems send the browser back after OAuth 2", response_class=HTMLResponse)
async def end_oauth(
    hub: HubDep,
    request: Request,
    state: Annotated[str, Query(max_length=4000, description="What `oauth/start` gave, sealed by this hub.")],
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """Takes no key: the sealed `state` proves that somebody with one began this. Exchanges the code for tokens, which
    are sealed and from then on refreshed by the hub."""
    slug = await authorising.finish(hub, state, code, error, dict(request.query_params))
    return HTMLResponse(f"<!doctype html><title>Connected</title><p>{slug} is connected. You can close this page.")


def _found(hub: Hub, workspace: str, slug: str) -> Any:
    found = hub.connections.find(workspace, slug)
    if found is None:
        raise NotFoundError(f"there is no connection {slug!r} that can be used")
    return found

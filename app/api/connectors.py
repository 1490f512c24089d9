"""`/v1/connectors`: the catalogue of outside systems, with the schemas of their settings and actions."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Reader
from app.api.context import HubDep, Listed, Name, PartDep
from app.connector import Action, Connector
from app.errors import NotFoundError

router = APIRouter(prefix="/v1/connectors", tags=["connectors"])
# Both routes are worked in threads: to import all connectors, or to make the schemas of one, takes a second, once.


class ActionShown(BaseModel):
    """One thing that can be done at a system."""

    name: str = Field(description="As a recipe says it.", examples=["quickbooks.create_invoice"])
    help: str
    safe: str = Field(description="How it is safe to repeat.", examples=["nativekey"])
    if_unsure: str = Field(description="What happens when nobody can know whether it acted.", examples=["ask"])
    reads: bool = Field(description="It changes nothing outside.")
    makes: str | None = Field(description="The kind of money or object that it makes.", examples=["invoice"])
    causes: list[str] = Field(description="Event types that it sets off.")
    input: dict[str, Any] = Field(description="JSON Schema.")
    output: dict[str, Any] = Field(description="JSON Schema.")


class ConnectorSummary(BaseModel):
    slug: str = Field(examples=["quickbooks"])
    title: str = Field(examples=["QuickBooks Online"])
    category: str = Field(examples=["accounting"])
    sends: bool = Field(description="It sends webhooks.")
    actions: list[str] = Field(examples=[["quickbooks.create_invoice"]])


class ConnectorDetail(ConnectorSummary):
    """A connector with what its connections need, what it sends and what it can do."""

    settings: dict[str, Any] = Field(description="JSON Schema of a connection's settings; secrets are `writeOnly`.")
    account: str = Field(description="The setting that names the account there.")
    oauth: bool = Field(description="Its credentials come by OAuth 2.")
    topics: list[str] = Field(description="The sender's topics that become events.")
    ignored: dict[str, str] = Field(description="Known topics that mean nothing here, and why.")
    store: dict[str, str] = Field(description="What `store.<action>` in a recipe means here.")
    cannot: dict[str, str] = Field(description="What `store.<action>` cannot mean here, and why.")
    details: list[ActionShown]


@router.get("", summary="List connectors")
def list_connectors(caller: Reader, hub: HubDep, part: PartDep) -> Listed[ConnectorSummary]:
    """By slug; `q` finds part of a slug, a title, a category or an action."""
    items = [ConnectorSummary(**_summary(connector)) for connector in hub.registry]
    return part.of(
        items, lambda each: each.slug, lambda each: " ".join([each.slug, each.title, each.category, *each.actions])
    )


@router.get("/{slug}", summary="Get a connector with its schemas")
def get_connector(caller: Reader, hub: HubDep, slug: Name) -> ConnectorDetail:
    connector = hub.registry.find(slug)
    if connector is None:
        raise NotFoundError(f"there is no connector {slug!r}")
    source = connector.source
    return ConnectorDetail(
        **_summary(connector),
        settings=_schema(connector.settings),
        account=connector.account,
        oauth=hasattr(connector.auth, "authorize_url"),
        topics=sorted(source.topics) if source else [],
        ignored=dict(source.ignored) if source else {},
        store=dict(connector.store),
        cannot=dict(connector.cannot),
        details=[_action(connector, action) for action in connector.actions],
    )


def _summary(connector: Connector[Any]) -> dict[str, Any]:
    return {
        "slug": connector.slug,
        "title": connector.title,
        "category": connector.category,
        "sends": connector.source is not None,
        "actions": [f"{connector.slug}.{action.name}" for action in connector.actions],
    }


def _action(connector: Connector[Any], action: Action) -> ActionShown:
    return ActionShown(
        name=f"{connector.slug}.{action.name}",
        help=action.help,
        safe=type(action.safe).__name__.lower(),
        if_unsure=action.if_unsure,
        reads=action.reads,
        makes=action.makes,
        causes=list(action.causes),
        input=_schema(action.input),
        output=_schema(action.output, "serialization"),
    )


_SCHEMAS: dict[tuple[type[BaseModel], str], dict[str, Any]] = {}


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    """Of a model; made once."""
    if (model, mode) not in _SCHEMAS:
        _SCHEMAS[model, mode] = model.model_json_schema(mode=mode)
    return _SCHEMAS[model, mode]

"""Mailchimp: buyers as members of an audience with tags and events, and the shop's orders for segments and reports."""

import base64
from collections.abc import Mapping

from app.connector import Connector, Context, HeaderAuth, HttpOptions
from connectors.mailchimp import members, shop
from connectors.mailchimp.faults import problem
from connectors.mailchimp.models import Settings
from connectors.mailchimp.sandbox import sandbox
from connectors.mailchimp.source import source


def _headers(settings: Settings) -> Mapping[str, str]:
    proof = base64.b64encode(f"tradewind:{settings.api_key.get_secret_value()}".encode()).decode()
    return {"authorization": f"Basic {proof}"}


async def _test(ctx: Context[Settings]) -> str:
    audience = (await ctx.http.get(f"/3.0/lists/{ctx.settings.list_id}")).json()
    return f"Audience {audience['name']}, {audience['stats']['member_count']} subscribed"


connector = Connector(
    slug="mailchimp",
    title="Mailchimp",
    category="marketing",
    settings=Settings,
    account="list_id",
    source=source,
    actions=[*members.ACTIONS, *shop.ACTIONS],
    auth=HeaderAuth(_headers),
    http=HttpOptions(
        base_url=lambda settings: f"https://{settings.datacentre}.api.mailchimp.com",
        at_once=10,
        timeout=30,
        problem=problem,
    ),
    sandbox=sandbox,
    test=_test,
)

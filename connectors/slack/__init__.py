"""Slack: messages, cards, replies and files in a workspace's channels."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from app.connector import Connector, Context, HeaderAuth, HttpOptions, Limit
from connectors.slack.actions import ACTIONS
from connectors.slack.faults import problem
from connectors.slack.models import Settings
from connectors.slack.sandbox import sandbox


def _base_url(settings: Settings) -> str:
    if settings.webhook_url is None:
        return "https://slack.com"
    url = urlsplit(settings.webhook_url.get_secret_value())
    return f"{url.scheme}://{url.netloc}{url.path.partition('/services/')[0]}"


def _headers(settings: Settings) -> Mapping[str, str]:
    if settings.bot_token is None:
        return {}
    return {"authorization": f"Bearer {settings.bot_token.get_secret_value()}"}


async def _test(ctx: Context[Settings]) -> str:
    if ctx.settings.bot_token is None:
        return "An incoming webhook can only be tested by posting."
    answer = (await ctx.http.get("/api/auth.test")).json()
    return f"{answer['user']} in {answer['team']}"


connector = Connector(
    slug="slack",
    title="Slack",
    category="chat",
    settings=Settings,
    account="team",
    actions=ACTIONS,
    auth=HeaderAuth(_headers),
    http=HttpOptions(
        base_url=_base_url,
        at_once=5,
        limits=(Limit(5, 5.0, keyed=True),),
        timeout=15,
        problem=problem,
    ),
    sandbox=sandbox,
    test=_test,
)

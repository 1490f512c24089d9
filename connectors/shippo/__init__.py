"""Shippo: addresses checked, rates compared, labels bought once, parcels followed."""

from collections.abc import Mapping

from app.connector import Connector, Context, HeaderAuth, HttpOptions, Limit
from connectors.shippo.actions import ACTIONS
from connectors.shippo.faults import problem
from connectors.shippo.models import Settings
from connectors.shippo.sandbox import sandbox
from connectors.shippo.tracking import source


def _headers(settings: Settings) -> Mapping[str, str]:
    """Tokens of an app that a merchant authorised (`oauth....`) are bearer tokens."""
    token = settings.api_token.get_secret_value()
    return {"authorization": f"{'Bearer' if token.startswith('oauth.') else 'ShippoToken'} {token}"}


async def _test(ctx: Context[Settings]) -> str:
    await ctx.http.get("/addresses", params={"results": "1"})
    test = ctx.settings.api_token.get_secret_value().startswith("shippo_test_")
    return "A test token: labels are void" if test else "A live token: labels cost money"


connector = Connector(
    slug="shippo",
    title="Shippo",
    category="shipping",
    settings=Settings,
    account="account",
    source=source,
    actions=ACTIONS,
    auth=HeaderAuth(_headers),
    http=HttpOptions(
        base_url=lambda settings: "https://api.goshippo.com",
        headers={"shippo-api-version": "2018-02-08"},
        at_once=5,
        limits=(Limit(500, 60), Limit(50, 60, keyed=True)),
        timeout=60,
        problem=problem,
    ),
    sandbox=sandbox,
    test=_test,
)

"""Stripe: payments, refunds, disputes, sales, subscriptions and payouts in; products, prices and refunds out."""

from collections.abc import Mapping

from app.connector import Connector, Context, HeaderAuth, HttpOptions, Limit
from app.errors import CredentialError
from connectors.stripe.actions import ACTIONS
from connectors.stripe.faults import problem
from connectors.stripe.models import Settings
from connectors.stripe.sandbox import sandbox
from connectors.stripe.source import source

API_VERSION = "2025-09-30.clover"
"""Of our requests and their answers; what webhooks look like is the endpoint's own version."""


def _headers(settings: Settings) -> Mapping[str, str]:
    return {} if settings.api_key is None else {"authorization": f"Bearer {settings.api_key.get_secret_value()}"}


async def _test(ctx: Context[Settings]) -> str:
    if ctx.settings.api_key is None:
        return "No api_key: signed events are taken; line items are not read and nothing can be done at Stripe."
    account = (await ctx.http.get("/v1/account")).json()
    if account["id"] != ctx.settings.account:
        raise CredentialError(f"the api_key is of {account['id']}, not of {ctx.settings.account}")
    return f"{account.get('email') or account['id']} ({account.get('country') or 'country not said'})"


connector = Connector(
    slug="stripe",
    title="Stripe",
    category="payments",
    settings=Settings,
    account="account",
    source=source,
    actions=ACTIONS,
    auth=HeaderAuth(_headers),
    http=HttpOptions(
        base_url=lambda settings: "https://api.stripe.com",
        headers={"stripe-version": API_VERSION},
        at_once=10,
        limits=(Limit(25, 1.0),),
        timeout=80,
        problem=problem,
    ),
    sandbox=sandbox,
    test=_test,
    cannot={
        "tag_order": "Stripe knows payments, not orders: nothing of it bears tags",
        "add_note": "Stripe knows payments, not orders: nothing of it bears a note",
        "hold_order": "Stripe sends no goods: there is nothing to hold",
        "archive_order": "Stripe keeps no list of open orders",
        "set_stock": "Stripe counts no stock",
        "create_discount_code": "Stripe's promotion codes count at its own checkout only; no action makes them",
    },
)

"""Shopify: orders and everything around them in, Admin API calls out."""

from collections.abc import Mapping

from app.connector import Connector, Context, HeaderAuth, HttpOptions
from connectors.shopify import documents
from connectors.shopify.actions import ORDER_ACTIONS
from connectors.shopify.actions_shop import SHOP_ACTIONS
from connectors.shopify.graphql import ask, learn, problem
from connectors.shopify.sandbox import sandbox
from connectors.shopify.settings import Settings
from connectors.shopify.source import source


def _token(settings: Settings) -> Mapping[str, str]:
    token = settings.access_token
    return {} if token is None else {"x-shopify-access-token": token.get_secret_value()}


async def _test(ctx: Context[Settings]) -> str:
    shop = (await ask(ctx, documents.SHOP))["shop"]
    return f"{shop['name']} ({shop['myshopifyDomain']}, {shop['currencyCode']})"


connector = Connector(
    slug="shopify",
    title="Shopify",
    category="store",
    settings=Settings,
    account="shop",
    source=source,
    actions=[*ORDER_ACTIONS, *SHOP_ACTIONS],
    auth=HeaderAuth(_token),
    http=HttpOptions(
        base_url=lambda settings: f"https://{settings.shop}",
        headers={"accept": "application/json"},
        at_once=5,
        timeout=30,
        problem=problem,
        learn=learn,
    ),
    sandbox=sandbox,
    test=_test,
    store={
        "tag_order": "tag_order",
        "add_note": "add_note",
        "hold_order": "hold_order",
        "archive_order": "archive_order",
        "set_stock": "set_inventory",
        "create_discount_code": "create_discount_code",
    },
)

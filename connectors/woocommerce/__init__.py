"""WooCommerce: a shop's webhooks in, and its REST API v3 out."""

from app.connector import Connector, HeaderAuth, HttpOptions
from connectors.woocommerce.actions_shop import ACTIONS, test
from connectors.woocommerce.rest import problem
from connectors.woocommerce.sandbox import sandbox
from connectors.woocommerce.settings import Settings, credentials
from connectors.woocommerce.source import source

connector = Connector(
    slug="woocommerce",
    title="WooCommerce",
    category="store",
    settings=Settings,
    account="site",
    source=source,
    actions=ACTIONS,
    auth=HeaderAuth(credentials),
    http=HttpOptions(
        base_url=lambda settings: settings.site,
        headers={"accept": "application/json"},
        at_once=4,
        timeout=60,
        problem=problem,
    ),
    sandbox=sandbox,
    test=test,
    store={
        "tag_order": "tag_order",
        "add_note": "add_note",
        "hold_order": "hold_order",
        "set_stock": "set_stock",
        "create_discount_code": "create_coupon",
    },
    cannot={
        "archive_order": "WooCommerce has no archive: an order that is over stands as completed, cancelled or refunded",
    },
)

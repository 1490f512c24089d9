"""Gumroad: a seller's pings in, and its API v2 out."""

from app.connector import Connector, HeaderAuth, HttpOptions, Limit
from connectors.gumroad.actions import ACTIONS, problem, test
from connectors.gumroad.sandbox import sandbox
from connectors.gumroad.settings import Settings, credentials
from connectors.gumroad.source import source

connector = Connector(
    slug="gumroad",
    title="Gumroad",
    category="store",
    settings=Settings,
    account="seller_id",
    source=source,
    actions=ACTIONS,
    auth=HeaderAuth(credentials),
    http=HttpOptions(
        base_url=lambda settings: "https://api.gumroad.com",
        headers={"accept": "application/json"},
        at_once=4,
        limits=(Limit(10, 1),),
        problem=problem,
    ),
    sandbox=sandbox,
    test=test,
    store={"create_discount_code": "create_offer_code"},
    cannot={
        "tag_order": "Gumroad's sales bear no tags",
        "add_note": "Gumroad's sales bear no notes",
        "hold_order": "Gumroad hands out what was bought at once: there is nothing to hold",
        "archive_order": "Gumroad has no archive of sales",
        "set_stock": "Gumroad's API does not set how many of a product may be sold",
    },
)

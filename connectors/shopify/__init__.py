"""Shopify: orders and everything around them in, Admin API calls out."""

from app.connector import Connector
from connectors.shopify.settings import Settings
from connectors.shopify.source import source

connector = Connector(
    slug="shopify",
    title="Shopify",
    category="store",
    settings=Settings,
    account="shop",
    source=source,
)

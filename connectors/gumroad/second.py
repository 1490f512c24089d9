"""A ping read a second time, by nothing that the normaliser uses: what it says must be what the event says."""

import json
from decimal import Decimal
from urllib.parse import unquote_plus

from app.connector import Stated


def second_reading(body: bytes) -> Stated | None:
    """Order number and price, which is in US cents; None where a buyer's custom fields or a gift make it unsure."""
    text = body.decode(errors="replace")
    try:
        said = json.loads(text) if text.startswith("{") else _form(text)
        sure = "custom_fields" not in str(list(said)) and str(said.get("is_gift_receiver_purchase")).lower() != "true"
        cents = Decimal(str(said["price"])) if sure and said.get("sale_id") else None
    except (ValueError, ArithmeticError, KeyError, AttributeError):
        return None
    return None if cents is None else Stated(said.get("order_number") and str(said["order_number"]), "USD", cents / 100)


def _form(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.strip().split("&"))
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}

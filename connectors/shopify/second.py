"""An order's body read a second time, by nothing that the normaliser uses: what it says must be what the event says."""

import json
from decimal import Decimal

from app.connector import Stated


def second_reading(body: bytes) -> Stated | None:
    """Number, currency and total as the shop's own fields say them; None for what is no whole order."""
    try:
        said = json.loads(body, parse_float=Decimal)
        total = Decimal(str(said["total_price"])) if "line_items" in said and said.get("total_price") else None
    except (ValueError, ArithmeticError, TypeError, KeyError):
        return None
    if total is None or not isinstance(said.get("currency"), str):
        return None
    return Stated(said.get("name") or None, said["currency"], total)

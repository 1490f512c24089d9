"""An order's body read a second time, by nothing that the normaliser uses: what it says must be what the event says."""

import json
from decimal import Decimal

from app.connector import Stated


def second_reading(body: bytes) -> Stated | None:
    """Number (else the id), currency and total; None for what is no whole order."""
    try:
        said = json.loads(body, parse_float=Decimal)
        said = said.get("order", said)
        total = Decimal(str(said["total"])) if "line_items" in said and said.get("total") else None
    except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError):
        return None
    if total is None or not said.get("currency"):
        return None
    return Stated(str(said.get("number") or said.get("id")), said["currency"], total)

"""A session read a second time, by nothing that the normaliser uses: what it says must be what the event says."""

import json
from decimal import Decimal

from app.connector import Stated

NO_MINOR_UNIT = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
"""https://docs.stripe.com/currencies (ISK and UGX have two digits in the API)."""
THOUSANDTHS = "BHD JOD KWD OMR TND"


def second_reading(body: bytes) -> Stated | None:
    """Currency and total of a checkout session; Stripe numbers no orders. None for other objects."""
    try:
        session = json.loads(body)["data"]["object"]
        minor, currency = session["amount_total"], session["currency"].upper()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if session.get("object") != "checkout.session" or not isinstance(minor, int):
        return None
    divisor = 1 if currency in NO_MINOR_UNIT else 1000 if currency in THOUSANDTHS else 100
    return Stated(None, currency, Decimal(minor) / divisor)

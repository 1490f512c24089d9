"""A Gumroad sale as far as it can be trusted: read back by API, or, without an access token, as the ping says it.

A buyer's answers to custom fields are merged into the top level of a ping: a field named `email` or `price` overwrites
the real value. So a value that stands in `custom_fields` too is not believed, but for the names that Gumroad always
sets afterwards.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from app.connector import Facts, Json, Read, Unread
from app.errors import MalformedError
from app.events import parse_time
from connectors.gumroad.forms import Body, nested, text, truth, whole
from connectors.gumroad.settings import API, Settings

UNPROVEN = "unproven: Gumroad signs nothing, and without an access token the sale was not read back"
SALES = ("sale", "refund", "dispute", "dispute_won")
ALWAYS_LAST = frozenset(
    {"custom_fields", "is_gift_receiver_purchase", "refunded", "disputed", "dispute_won", "retry_count"}
)
"""What Gumroad puts into every ping after the buyer's custom fields."""

_ID = re.compile(r"[A-Za-z0-9_=-]{1,64}")


@dataclass(frozen=True, slots=True)
class Sale:
    """What is known of a sale. said: the trusted fields, in the API's words. ping: the trusted ones of the ping.
    proven: it was read back."""

    id: str
    said: Body
    ping: Body
    proven: bool

    @property
    def note(self) -> str | None:
        return None if self.proven else UNPROVEN

    @property
    def created_at(self) -> datetime | None:
        return moment(self.said, "created_at")

    @property
    def is_gift(self) -> bool:
        return truth(self.said, "is_gift_receiver_purchase") is True

    @property
    def cents(self) -> int | None:
        """US cents, whatever the listing's currency. A gift's receiver pays nothing: the ping has the giver's price."""
        return whole(self.ping, "gift_price") if self.is_gift else whole(self.said, "price")

    @property
    def refunded(self) -> bool:
        return truth(self.said, "refunded") is True

    @property
    def refundable(self) -> str | None:
        """What can still be given back, in the listing's currency, as Gumroad writes it (`1,234.50`)."""
        return text(self.said, "amount_refundable_in_currency")

    @property
    def refunded_cents(self) -> int | None:
        """All that was given back so far, in US cents; None where only the listing's currency is told."""
        if self.refunded:
            return self.cents
        if truth(self.said, "partially_refunded") is not True:
            return 0 if self.proven else None
        left = _dollars(self.refundable) if (text(self.ping, "currency") or "").lower() == "usd" else None
        return None if left is None or self.cents is None else self.cents - left


def _dollars(said: str | None) -> int | None:
    plain = (said or "").replace(",", "")
    return int(Decimal(plain) * 100) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", plain) else None


def moment(body: Body, name: str) -> datetime | None:
    try:
        return parse_time(text(body, name))
    except (ValueError, OverflowError):
        return None


def trusted(payload: Json) -> Body:
    """The ping without what a buyer could have written."""
    if not isinstance(payload, dict):
        raise MalformedError("the body is not an object")
    answers = nested(payload, "custom_fields")
    return {
        name: value
        for name, value in payload.items()
        if name in ALWAYS_LAST or name not in answers or str(value) != str(answers[name])
    }


def needs(topic: str, payload: Json, settings: Settings) -> Sequence[Read]:
    """The sale, or the subscription, read back: without it no event is made. Found by its order number where a custom
    field took the place of the sale's id."""
    if settings.access_token is None or not isinstance(payload, dict):
        return ()
    if topic not in SALES:
        number = _known_id(payload, "subscription_id")
        return [Read("subscriber", f"{API}/subscribers/{number}", required=True)] if number else ()
    ping = trusted(payload)
    if number := _known_id(ping, "sale_id"):
        return [Read("sale", f"{API}/sales/{number}", required=True)]
    order = whole(ping, "order_number")
    return [Read("sales", f"{API}/sales", {"order_id": str(order)}, required=True)] if order else ()


def _known_id(ping: Body, name: str) -> str | None:
    said = text(ping, name)
    return said if said is not None and _ID.fullmatch(said) else None


def sale_of(payload: Json, facts: Facts[Settings]) -> Sale:
    """The sale that a ping is about. Raises MalformedError if it names none, or another seller's, or could not be read
    back though the connection has an access token."""
    ping = trusted(payload)
    if facts.settings.access_token is not None:
        said = read_back(facts.reads, "sale", "sales")
        wanted = _known_id(ping, "sale_id")
        if wanted is not None and text(said, "id") != wanted:
            raise MalformedError("the sale that was read back is another one")
    else:
        said = _as_api(ping)
    _check_seller(said, facts.settings)
    number = _known_id(said, "id")
    if number is None:
        raise MalformedError("the ping names no sale, or a custom field took its place")
    return Sale(number, said, ping, facts.settings.access_token is not None)


def read_back(reads: Mapping[str, Json], name: str, several: str | None = None) -> Body:
    """The object that was read (`{success, sale: {...}}`). MalformedError, with the reason, where it was not."""
    answer = reads.get(name, reads.get(several or name))
    if isinstance(answer, Unread):
        raise MalformedError(f"no event without proof: the {name} could not be read back: {answer.reason}")
    if isinstance(answer, dict) and isinstance(answer.get(name), dict):
        found: Body = answer[name]
        return found
    listed = answer.get(several or name) if isinstance(answer, dict) else None
    if isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict):
        return listed[0]
    raise MalformedError(f"no event without proof: the {name} could not be read back")


def _check_seller(said: Body, settings: Settings) -> None:
    """A custom field may hide the seller of a ping; then the token of the URL alone speaks for it."""
    seller = text(said, "seller_id")
    if seller is not None and seller != settings.seller_id:
        raise MalformedError("the ping names another seller")


def _as_api(ping: Body) -> Body:
    """A ping's fields under the names that the API has for them."""
    names = {"id": "sale_id", "created_at": "sale_timestamp", "order_id": "order_number"}
    renamed = {name: ping[other] for name, other in names.items() if other in ping}
    flat = {name: value for name, value in ping.items() if name not in names.values()}
    return flat | renamed | {"recurring_charge": ping.get("is_recurring_charge", False)}

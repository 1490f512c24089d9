"""Gumroad's pings: unsigned. A token in the URL stands for the signature, and what a ping says is read back.

Facts: ping_notification.rb and the API's controllers of antiwork/gumroad; see docs/sources/gumroad.md.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from app.connector import Facts, Ignored, Json, Normaliser, RawWebhook, Receipt, Source, State
from app.errors import MalformedError
from app.events import Event, Ref
from app.signing import TokenSignature
from connectors.gumroad.forms import content_key, nested, parse, text, truth
from connectors.gumroad.sale import SALES, needs, trusted
from connectors.gumroad.sales import sale_events
from connectors.gumroad.second import second_reading
from connectors.gumroad.settings import Settings
from connectors.gumroad.subscriptions import subscription_events

WINDOW = timedelta(minutes=20)
"""Gumroad repeats a ping after 1, 3 and 10 minutes, so the last comes some 14 minutes after the first."""

SUBSCRIPTIONS = ("cancellation", "subscription_updated", "subscription_ended", "subscription_restarted")
RESOURCES = (*SALES, *SUBSCRIPTIONS)


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    """Gumroad gives its pings no id, and two that are alike may be two facts (two partial refunds of one sale). So a
    ping without `retry_count` is always new; one with it repeats the same body seen within 20 minutes."""
    said = parse(raw)
    ping = trusted(said)
    topic = text(ping, "resource_name")
    if topic is None and (text(said, "sale_id") or text(said, "seller_id")):
        topic = "sale"  # the account's own ping address and its test button name no resource
    if topic is None:
        raise MalformedError("the ping has neither resource_name nor sale_id")
    key, repeated = content_key(raw.body)
    return Receipt(topic, key, WINDOW, test=truth(ping, "test") is True, always_new=not repeated)


def remembers(topic: str, payload: Json) -> Sequence[Ref]:
    """What was given back of the sale before."""
    number = text(payload, "sale_id") if isinstance(payload, dict) and topic in SALES else None
    return [Ref("order", number)] if number and "sale_id" not in nested(payload, "custom_fields") else ()


def _readable(normaliser: Callable[..., Sequence[Event] | Ignored]) -> Normaliser[Settings]:
    """A body that no reading makes sense of is malformed, not a bug."""

    def read(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
        try:
            return normaliser(payload, facts, state)
        except (ValueError, ArithmeticError, RecursionError) as e:
            raise MalformedError(f"the body cannot be read: {str(e)[:300]}") from e

    return read


source: Source[Settings] = Source(
    signature=TokenSignature(lambda settings: settings.tokens),
    identify=identify,
    topics=dict.fromkeys(SALES, _readable(sale_events)) | dict.fromkeys(SUBSCRIPTIONS, _readable(subscription_events)),
    parse=parse,
    needs=needs,
    remembers=remembers,
    content_type="application/x-www-form-urlencoded",
    second_reading=second_reading,
)

"""WooCommerce's webhooks: who sent them, which are the same, what each topic says.

Facts: class-wc-webhook.php and wc-webhook-functions.php of woocommerce/woocommerce; see docs/sources/woocommerce.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import SecretStr

from app.connector import Answer, Facts, Ignored, Json, Normaliser, RawWebhook, Receipt, Source, State
from app.errors import MalformedError
from app.events import Event, Ref
from app.signing import HmacSignature
from connectors.woocommerce.fields import ident
from connectors.woocommerce.order_events import order_deleted, order_events
from connectors.woocommerce.people import customer_deleted, customer_events
from connectors.woocommerce.products import product_deleted, product_events
from connectors.woocommerce.products import remembered as remembered_products
from connectors.woocommerce.refunds import needs
from connectors.woocommerce.second import second_reading
from connectors.woocommerce.settings import Settings
from connectors.woocommerce.subscriptions import subscription_deleted, subscription_events

WINDOW = timedelta(days=1)
"""A delivery key is made of content. WooCommerce never sends again by itself; proxies and people do."""

COUPONS = "coupons are rules, not something that happened; an order lists those it used"
HOOKS = "a WordPress hook with its first argument alone; the order, product or customer topic says the same in full"

_PING = re.compile(rb"webhook_id=[0-9]{1,20}\s*")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#0*(?:34|38|39|60|62)|#[xX]0*(?:22|26|27));")
_DECODED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "34": '"', "38": "&", "39": "'", "60": "<", "62": ">"}
_DECODED |= {"x22": '"', "x26": "&", "x27": "'"}


def decoded(secret: str) -> str:
    """The secret as WooCommerce signs with it: `wp_specialchars_decode(secret, ENT_QUOTES)`, each entity once."""
    return _ENTITY.sub(_decode, secret)


def _decode(match: re.Match[str]) -> str:
    name = match[0][1:-1]
    if name.startswith("#"):
        digits = name[1:].lower()
        name = f"x{digits[1:].lstrip('0')}" if digits.startswith("x") else digits.lstrip("0")
    return _DECODED[name]


def secrets(settings: Settings) -> Sequence[SecretStr]:
    return [SecretStr(decoded(secret.get_secret_value())) for secret in settings.webhook_secrets]


def handshake(raw: RawWebhook, settings: Settings) -> Answer | None:
    """The ping at a webhook's creation: an unsigned form `webhook_id=N`, for which only exactly 200 will do."""
    unsigned = not any(name.startswith("x-wc-webhook-") for name in raw.headers)
    return Answer(200) if unsigned and _PING.fullmatch(raw.body) else None


def identify(raw: RawWebhook, settings: Settings) -> Receipt:
    """The delivery id is a hash of webhook and second: two deliveries of a bulk edit share it. So the key takes
    webhook, delivery id and topic, and the body, in which the resource's id stands."""
    topic = raw.headers.get("x-wc-webhook-topic", "").strip()
    if not topic:
        raise MalformedError("no x-wc-webhook-topic header")
    webhook, delivery = raw.headers.get("x-wc-webhook-id", ""), raw.headers.get("x-wc-webhook-delivery-id", "")
    key = "\n".join((webhook, delivery, topic, hashlib.sha256(raw.body).hexdigest()))
    return Receipt(topic, key, WINDOW, ignored=HOOKS if topic.startswith("action.") else None)


def remembers(topic: str, payload: Json) -> Sequence[Ref]:
    """The last version of the object that the topic is about."""
    kind = topic.partition(".")[0]
    if kind == "product":
        return remembered_products(topic, payload)
    number = ident(payload, "id") if isinstance(payload, dict) else None
    return [Ref(kind, number)] if number and kind in ("order", "subscription") else ()


def headers(topic: str, body: bytes, settings: Settings, now: datetime) -> Mapping[str, str]:
    """What WooCommerce puts beside the signature."""
    kind, _, event = topic.partition(".")
    return {
        "content-type": "application/json",
        "user-agent": "WooCommerce/9.8.5 Hookshot (WordPress/6.8.1)",
        "x-wc-webhook-source": f"{settings.site}/",
        "x-wc-webhook-topic": topic,
        "x-wc-webhook-resource": kind,
        "x-wc-webhook-event": event,
        "x-wc-webhook-id": "1",
        "x-wc-webhook-delivery-id": hashlib.md5(f"1{int(now.timestamp())}".encode(), usedforsecurity=False).hexdigest(),
    }


def _readable(normaliser: Callable[..., Sequence[Event] | Ignored]) -> Normaliser[Settings]:
    """A body that no reading makes sense of (amounts out of bounds, endless nesting) is malformed, not a bug."""

    def read(payload: Json, facts: Facts[Settings], state: State) -> Sequence[Event] | Ignored:
        try:
            return normaliser(payload, facts, state)
        except (ValueError, ArithmeticError, RecursionError) as e:
            raise MalformedError(f"the body cannot be read: {str(e)[:300]}") from e

    return read


def _topics() -> dict[str, Normaliser[Settings]]:
    orders, products = _readable(order_events), _readable(product_events)
    customers, subscriptions = _readable(customer_events), _readable(subscription_events)
    return {
        "order.created": orders,
        "order.updated": orders,
        "order.restored": orders,
        "order.deleted": _readable(order_deleted),
        "product.created": products,
        "product.updated": products,
        "product.restored": products,
        "product.published": products,
        "product.deleted": _readable(product_deleted),
        "customer.created": customers,
        "customer.updated": customers,
        "customer.deleted": _readable(customer_deleted),
        "subscription.created": subscriptions,
        "subscription.updated": subscriptions,
        "subscription.switched": subscriptions,
        "subscription.restored": subscriptions,
        "subscription.deleted": _readable(subscription_deleted),
    }


source: Source[Settings] = Source(
    signature=HmacSignature("x-wc-webhook-signature", secrets),
    identify=identify,
    topics=_topics(),
    ignored={f"coupon.{event}": COUPONS for event in ("created", "updated", "deleted", "restored")}
    | {"action.*": HOOKS},
    handshake=handshake,
    needs=needs,
    remembers=remembers,
    headers=headers,
    second_reading=second_reading,
)

"""How a handler states a fact, and what every handler is wrapped in."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel

from app.connector import Facts, Ignored, Json, Normaliser, State
from app.errors import MalformedError
from app.events import Event, Ref
from connectors.stripe.body import Notice, Obj, read_notice
from connectors.stripe.models import Settings
from connectors.stripe.nouns import payments

Said = Sequence[Event] | Ignored
Handler = Callable[[Notice, Facts[Settings]], Said]

STATED_BY_SHOP = ("order.", "checkout.", "customer.")
"""What a `payments` connection leaves to the shop whose payments it takes."""


def normaliser(handler: Handler) -> Normaliser[Settings]:
    """The normaliser of a topic: whatever a body holds, it ends as events, Ignored or MalformedError."""

    def normalise(payload: Json, facts: Facts[Settings], state: State) -> Said:
        try:
            notice = read_notice(payload, facts.received_at, state)
            made = handler(notice, facts)
        except (ValueError, ArithmeticError, RecursionError) as e:
            raise MalformedError(f"{type(e).__name__}: {str(e)[:300]}") from e
        return made if isinstance(made, Ignored) else _left_to_shop(made, facts.role)

    return normalise


def _left_to_shop(events: Sequence[Event], role: str | None) -> Said:
    kept = [event for event in events if role != "payments" or not event.type.startswith(STATED_BY_SHOP)]
    return kept or Ignored("a connection for payments leaves orders, checkouts and customers to its shop")


def event(
    notice: Notice,
    facts: Facts[Settings],
    type: str,
    object: Ref,
    subject: Ref,
    data: BaseModel,
    *,
    at: datetime | None = None,
    part: str | None = None,
    versioned: bool = True,
    note: str | None = None,
    remember: dict[str, Json] | None = None,
    links: tuple[Ref, ...] = (),
) -> Event:
    """`at`: when it happened, where that is not when Stripe told it. Told later than the connection was made of what
    happened before, it is history."""
    happened, since = at or notice.created, facts.since
    told_late = bool(since and at and notice.created and at < since <= notice.created)
    return Event(
        type=type,
        object=object,
        subject=subject,
        occurred_at=happened,
        data=data,
        version=notice.version if versioned else None,
        part=part or notice.occurrence,
        test=notice.livemode is False or facts.test,
        historical=told_late,
        note=note,
        remember=remember,
        links=links,
    )


def shop_order(notice: Notice, facts: Facts[Settings], *around: Obj) -> str | None:
    """The shop's order of a payment, refund or dispute: by what the shop left in its metadata or in what is expanded
    around it, else by what the payment's own events said before."""
    for o in (notice.object, *around):
        if named := payments.shop_order(o.metadata(), facts.settings.order_metadata):
            return named
    known = remembered(notice).get("order")
    return known if isinstance(known, str) else None


def remembered(notice: Notice) -> Mapping[str, Json]:
    """What was kept of the payment that the object is, or is about."""
    kept = notice.state.get(payments.payment_ref(notice.object))
    return kept.data if kept else {}


def order_id(notice: Notice, facts: Facts[Settings], *around: Obj) -> str | None:
    """The shop's order if this connection takes a shop's payments; else our own of this sale."""
    if facts.role == "payments":
        return shop_order(notice, facts, *around)
    return payments.payment_id(notice.object)


def shop_links(notice: Notice, facts: Facts[Settings], *around: Obj) -> tuple[Ref, ...]:
    named = shop_order(notice, facts, *around)
    return (Ref("order", named),) if named else ()

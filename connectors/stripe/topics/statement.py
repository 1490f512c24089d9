"""How a handler states a fact, and what every handler is wrapped in."""

from collections.abc import Callable, Sequence
from datetime import datetime

from pydantic import BaseModel

from app.connector import Facts, Ignored, Json, Normaliser, State
from app.errors import MalformedError
from app.events import Event, Ref
from connectors.stripe.body import Notice, Obj, read_notice
from connectors.stripe.models import Settings
from connectors.stripe.nouns import payments

Said = Sequence[Event] | Ignored
Handler = Callable[[Notice, Facts[Settings], State], Said]

STATED_BY_SHOP = ("order.", "checkout.", "customer.")
"""What a `payments` connection leaves to the shop whose payments it takes."""


def normaliser(handler: Handler) -> Normaliser[Settings]:
    """The normaliser of a topic: whatever a body holds, it ends as events, Ignored or MalformedError."""

    def normalise(payload: Json, facts: Facts[Settings], state: State) -> Said:
        try:
            notice = read_notice(payload, facts.received_at)
            made = handler(notice, facts, state)
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


def order_id(o: Obj, facts: Facts[Settings]) -> str | None:
    """The shop's order if this connection takes a shop's payments; else our own of this sale."""
    named = payments.shop_order(o.metadata(), facts.settings.order_metadata)
    return named if facts.role == "payments" else payments.payment_id(o)


def shop_links(facts: Facts[Settings], *where: Obj) -> tuple[Ref, ...]:
    """The shop's order, by what it left in the metadata of the payment or around it."""
    named = (payments.shop_order(o.metadata(), facts.settings.order_metadata) for o in where)
    return tuple(Ref("order", id) for id in dict.fromkeys(id for id in named if id))

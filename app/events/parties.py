"""Who buys and where: addresses, consent, customers; and what all canonical models have in common.

A sender that does not say a thing leaves None: also for lists, where [] says "none of them". Words of a vocabulary are
kept as the sender's if they are not among those named.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.events.amounts import Money
from app.events.values import Exact, Free, Text, Time

Places = dict[str, Text]
"""Name of a system or of a link -> id or URL."""
FreeDict = dict[str, Free]
"""Name -> free data."""


class Noun(BaseModel):
    """What all canonical models have in common: frozen, and a newer version's optional fields do not break a reader."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class LateNoun(Noun):
    """One whose validator is built when it is first used: most processes never meet it. (The others are built at once,
    and every model that embeds them shares theirs: a copy of the order's in each costs megabytes.)"""

    model_config = ConfigDict(defer_build=True)


class Address(Noun):
    id: Text = None
    first_name: Text = None
    last_name: Text = None
    name: Text = None
    company: Text = None
    address1: Text = None
    address2: Text = None
    city: Text = None
    province: Text = None
    province_code: Text = None
    postal_code: Text = None
    country: Text = None
    country_code: Annotated[Text, Field(description="ISO 3166-1 alpha-2")] = None
    phone: Text = None
    email: Text = None
    latitude: Exact | None = None
    longitude: Exact | None = None
    tax_number: Text = None
    is_default: bool | None = None


class Consent(Noun):
    """Whether messages are wanted on one channel. `granted` None: not known; nobody may be written to on a guess."""

    granted: bool | None = None
    state: Annotated[
        Text, Field(description="subscribed, pending, not_subscribed, unsubscribed, invalid, redacted")
    ] = None
    level: Annotated[Text, Field(description="single_opt_in, confirmed_opt_in, unknown")] = None
    at: Time | None = None
    source: Text = None


class Customer(Noun):
    """A buyer. A guest has no `id`. The fields from `order_number` on are what the hub knew when the event was made."""

    id: Text = None
    email: Text = None
    phone: Text = None
    first_name: Text = None
    last_name: Text = None
    name: Text = None
    company: Text = None
    locale: Annotated[Text, Field(description="BCP 47, as the sender writes it")] = None
    timezone: Text = None
    currency: Text = None
    email_consent: Consent | None = None
    sms_consent: Consent | None = None
    email_verified: bool | None = None
    state: Annotated[Text, Field(description="disabled, invited, enabled, declined")] = None
    tags: list[str] | None = None
    addresses: list[Address] | None = None
    default_address: Address | None = None
    orders_count: int | None = None
    total_spent: Money | None = None
    last_order_id: Text = None
    tax_exempt: bool | None = None
    tax_numbers: list[str] | None = None
    note: Text = None
    created_at: Time | None = None
    updated_at: Time | None = None
    url: Text = None
    test: bool | None = None
    metadata: FreeDict = Field(default_factory=dict)
    external_ids: Places = Field(default_factory=dict)
    extra: FreeDict = Field(default_factory=dict)
    order_number: Annotated[int | None, Field(description="This is the customer's n-th order; None: not known")] = None
    lifetime_value: Annotated[
        list[Money] | None, Field(description="What was paid so far, one amount per currency")
    ] = None
    first_order_at: Time | None = None
    attributes: Annotated[FreeDict, Field(description="What recipes remembered with `set`")] = Field(
        default_factory=dict
    )

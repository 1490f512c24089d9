"""Members of the audience. Nobody who left is ever subscribed again: a status is only said for who is new."""

from datetime import timedelta

from app.connector import Action, Context, Counts, Json, Reply, action, lookup, upsert
from app.errors import PermanentError, UnsureError
from app.events import Consent, Customer, Order, iso
from connectors.mailchimp.models import (
    AddEvent,
    AddTags,
    Archived,
    ArchiveMember,
    EventAdded,
    Member,
    RemoveTags,
    Settings,
    Status,
    Tagged,
    Tags,
    UpsertMember,
    hash_of,
)

SETTLE = timedelta(seconds=60)
"""Until an event stands in the member's list of events: Mailchimp says no time."""
MARK = "tradewind_key"
"""The property of an event that holds its effect key: by it a repeat finds the first."""
SAMPLE_MEMBER = "ada@example.com"
"""In the sandbox."""


def example_customer() -> Customer:
    return Customer(
        id="77", email="grace@example.com", first_name="Grace", last_name="Example", email_consent=Consent(granted=True)
    )


@action(
    safe=upsert,
    exclusive_by=lambda input: email_of(input).lower() or "none",
    counts=lambda input: Counts(contacts=1),
    example=lambda: UpsertMember(customer=example_customer()),
)
async def upsert_member(ctx: Context[Settings], input: UpsertMember) -> Member:
    """Add a buyer to the audience, or bring name and merge fields up to date.

    Who is new becomes subscribed (pending with double opt-in) only with consent, else transactional. Who left stays
    unsubscribed, whatever the order says; the output's `status` and `mailable` tell."""
    email = email_of(input)
    if not email:
        raise PermanentError("nobody to add: neither the customer nor the order has an e-mail address")
    body = {
        "email_address": email,
        "status_if_new": input.status_if_new or _status(ctx.settings, input),
        "merge_fields": {**_names(input), **input.merge_fields},
        "language": input.language,
        **input.fields,
    }
    reply = await ctx.http.request(
        "PUT",
        _path(ctx, email),
        params={"skip_merge_validation": "true"},
        json={name: value for name, value in body.items() if value is not None},
    )
    return _member(reply, email)


@action(safe=upsert, example=lambda: AddTags(email=SAMPLE_MEMBER, tags=["buyer"]))
async def add_tags(ctx: Context[Settings], input: AddTags) -> Tagged:
    """Give a member tags; those it has stay. The member must be in the audience."""
    return await _tag(ctx, input, "active")


@action(safe=upsert, example=lambda: RemoveTags(email=SAMPLE_MEMBER, tags=["lead"]))
async def remove_tags(ctx: Context[Settings], input: RemoveTags) -> Tagged:
    """Take tags from a member; those it does not have are no error."""
    return await _tag(ctx, input, "inactive")


async def _find_event(ctx: Context[Settings], input: AddEvent) -> EventAdded | None:
    events = (await ctx.http.get(f"{_path(ctx, input.email)}/events", params={"count": "1000"})).json()["events"]
    marks = [(each.get("properties") or {}).get(MARK) for each in events]
    return EventAdded(email=input.email, name=input.name) if ctx.key in marks else None


@action(
    safe=lookup(SETTLE, _find_event),
    if_unsure="skip",
    example=lambda: AddEvent(email=SAMPLE_MEMBER, name="bought_mug", properties={"order_id": "1001"}),
)
async def add_event(ctx: Context[Settings], input: AddEvent) -> EventAdded:
    """Record something that a member did, for segments and automations of Mailchimp."""
    properties = {**{name: str(value) for name, value in input.properties.items()}, MARK: str(ctx.key)}
    body = {"name": input.name, "properties": properties, "occurred_at": iso(ctx.now)}
    nothing_said(await ctx.http.post(f"{_path(ctx, input.email)}/events", json=body))
    return EventAdded(email=input.email, name=input.name)


@action(safe=upsert, example=lambda: ArchiveMember(email=SAMPLE_MEMBER))
async def archive_member(ctx: Context[Settings], input: ArchiveMember) -> Archived:
    """Archive a member: out of the audience's count and mailings, its history kept. One not there is no error."""
    try:
        nothing_said(await ctx.http.request("DELETE", _path(ctx, input.email)))
    except PermanentError as e:
        if e.status not in (404, 405):  # 405: it is archived already
            raise
    return Archived(email=input.email)


def email_of(input: UpsertMember) -> str:
    """The address that is meant, or ""."""
    said = [input.email, input.customer and input.customer.email, input.order and order_email(input.order)]
    return next((each.strip() for each in said if each), "")


def order_email(order: Order) -> str | None:
    return order.email or (order.customer.email if order.customer else None)


def consented(*said: Consent | None) -> bool:
    """Whether marketing mail was agreed to, by the first that says anything."""
    return next((each.granted for each in said if each is not None and each.granted is not None), False)


def nothing_said(reply: Reply) -> None:
    """A success of these has no body; anything else is an answer that nobody can read."""
    if reply.body:
        reply.json()


def _status(settings: Settings, input: UpsertMember) -> Status:
    order = input.order
    customer = input.customer or (order.customer if order else None)
    if not consented(order.email_consent if order else None, customer.email_consent if customer else None):
        return "transactional"
    return "pending" if settings.double_opt_in else "subscribed"


def _names(input: UpsertMember) -> dict[str, str]:
    """What is known of the name: nothing is blanked."""
    order = input.order
    said = [input, input.customer, *((order.customer, order.billing_address) if order else ())]
    first = next((each.first_name for each in said if each is not None and each.first_name), None)
    last = next((each.last_name for each in said if each is not None and each.last_name), None)
    return {tag: value for tag, value in (("FNAME", first), ("LNAME", last)) if value}


async def _tag(ctx: Context[Settings], input: Tags, status: str) -> Tagged:
    body: dict[str, Json] = {"tags": [{"name": tag, "status": status} for tag in input.tags]}
    if not input.start_automations:
        body["is_syncing"] = True
    try:
        nothing_said(await ctx.http.post(f"{_path(ctx, input.email)}/tags", json=body))
    except PermanentError as e:
        if e.status == 404:
            raise PermanentError("not in the audience: do `upsert_member` first", 404) from e
        raise
    return Tagged(email=input.email, tags=input.tags)


def _path(ctx: Context[Settings], email: str) -> str:
    return f"/3.0/lists/{ctx.settings.list_id}/members/{hash_of(email)}"


def _member(reply: Reply, email: str) -> Member:
    said = reply.json()
    if not isinstance(said, dict) or "id" not in said or "status" not in said:
        raise UnsureError("Mailchimp's answer has no id and status", status=reply.status)
    return Member(
        id=said["id"],
        email=said.get("email_address") or email,
        status=said["status"],
        mailable=said["status"] == "subscribed",
        contact_id=said.get("contact_id"),
    )


ACTIONS: list[Action] = [upsert_member, add_tags, remove_tags, add_event, archive_member]

"""`/v1/customers`: who bought, what is held of them, and their erasure."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.auth import Admin, Reader
from app.api.context import HubDep, Listed, PageDep, RowId, to_cursor
from app.byhand import people
from app.byhand.people import CustomerDetail, CustomerShown, Erased, Export

router = APIRouter(prefix="/v1/customers", tags=["customers"])


@router.get("", summary="List customers")
async def list_customers(
    caller: Reader,
    hub: HubDep,
    page: PageDep,
    q: Annotated[
        str | None,
        Query(
            description="An e-mail address, phone number or sender's id, or part of a name or address.", max_length=200
        ),
    ] = None,
) -> Listed[CustomerShown]:
    """Newest first; `since` and `until` bound when we first heard of them. Who was erased is not listed."""
    found = await people.find(hub, caller.workspace, page, q)
    following = to_cursor(found[page.limit - 1].id.bytes) if len(found) > page.limit else None
    return Listed(items=found[: page.limit], next=following)


@router.get("/{id}", summary="Get a customer")
async def get_customer(caller: Reader, hub: HubDep, id: RowId) -> CustomerDetail:
    """Profile, identities at each connection, orders, lifetime value by currency, and what recipes remembered. The id
    of a customer that was merged into another one shows that one."""
    return await people.show(hub, caller.workspace, id)


@router.get("/{id}/export", summary="Export all that is held of a customer")
async def export_customer(caller: Reader, hub: HubDep, id: RowId) -> Export:
    """For a person who asks what is known of them: profile, events, webhooks, runs and calls. Noted in the audit."""
    return await people.export(hub, caller.workspace, id, caller.name)


@router.post("/{id}/erase", summary="Erase a customer")
async def erase_customer(caller: Admin, hub: HubDep, id: RowId) -> Erased:
    """Removes the person from everything that is kept, ends their waiting runs, and cannot be undone. What was sold,
    when and for how much stays, of nobody. Where `done` is false, workers do what is left."""
    return await people.erase(hub, caller.workspace, id, caller.name)

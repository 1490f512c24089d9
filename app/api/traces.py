"""`/v1/trace`: the whole way of one order, or of anything with an id."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.auth import Reader
from app.api.context import HubDep, secrets_of
from app.errors import NotFoundError
from app.hub import Hub
from app.trace import Trace, trace

router = APIRouter(prefix="/v1/trace", tags=["trace"])


@router.get("/{text:path}", summary="Trace an order or any id")
async def get_trace(
    caller: Reader,
    hub: HubDep,
    text: Annotated[
        str,
        Path(
            description="An order number, e-mail address, sender's id (also of a delivery, as its dashboard shows it), "
            "effect key, or the id of a webhook, event, run, step, call or attempt.",
            max_length=300,
            examples=["1001"],
        ),
    ],
) -> Trace:
    """Webhook, events, why each recipe ran or not, runs, steps, calls, attempts and effects, oldest first; up and down
    from wherever the id stands."""
    found = await trace(
        hub.database,
        caller.workspace,
        text,
        settings=hub.settings,
        secrets=secrets_of(hub, caller.workspace),
        delivered=_delivered(hub, caller.workspace, text.strip()),
    )
    if not found.found:
        raise NotFoundError(f"nothing is known of {text!r}")
    return found


def _delivered(hub: Hub, workspace: str, text: str) -> list[bytes]:
    """The hashes under which a delivery of this id would be kept (`Receipt.delivery_key` says how), at each connection
    that takes webhooks."""
    mine = [each for each in hub.connections if each.workspace == workspace and each.connector.source is not None]
    return [hub.hasher("delivery", each.id.bytes, key) for each in mine for key in (text, f"id:{text}")]

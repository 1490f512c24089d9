"""`/v1/trace`: the whole way of one order, or of anything with an id."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.auth import Reader
from app.api.context import HubDep, secrets_of
from app.errors import NotFoundError
from app.trace import Trace, trace

router = APIRouter(prefix="/v1/trace", tags=["trace"])


@router.get("/{text:path}", summary="Trace an order or any id")
async def get_trace(
    caller: Reader,
    hub: HubDep,
    text: Annotated[
        str,
        Path(
            description="An order number, e-mail address, sender's id, effect key, or the id of a webhook, event, run, "
            "step, call or attempt.",
            max_length=300,
            examples=["1001"],
        ),
    ],
) -> Trace:
    """Webhook, events, why each recipe ran or not, runs, steps, calls, attempts and effects, oldest first; up and down
    from wherever the id stands."""
    found = await trace(
        hub.database, caller.workspace, text, settings=hub.settings, secrets=secrets_of(hub, caller.workspace)
    )
    if not found.found:
        raise NotFoundError(f"nothing is known of {text!r}")
    return found

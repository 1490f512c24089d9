"""Proving a connection: the connector's own cheap read, with the credentials and limits that its calls have."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from app.connector import Action, EffectKey
from app.domain.connections import Connection, blot, secret_texts
from app.domain.credentials import Credentials
from app.errors import CredentialError, RetryableError, TradewindError
from app.http import Transport
from app.hub import Hub
from app.ids import new_id
from app.pipeline.deliver.attempt import Attempt, CallContext, Line, context_of
from app.pipeline.deliver.limits import Limiter
from app.store.calls import DueCall, Sending

PROVE_WITHIN = 20.0


@dataclass(frozen=True)
class Proof:
    """Whether a connection works, and a line about it. `tried` is False where there is nothing to try."""

    works: bool
    said: str
    tried: bool = True
    refused: bool = False
    """The system does not take our credentials (and not merely does not answer)."""


@asynccontextmanager
async def talking(hub: Hub, connection: Connection) -> AsyncIterator[CallContext]:
    """What a function of a connector needs to read there, outside of any call."""
    async with Transport() as transport:
        credentials = Credentials(hub.database, hub.ring, transport, hub.clock)

        async def headers(fresh: bool) -> Mapping[str, str]:
            return await credentials.headers(connection, fresh)

        options = connection.connector.door
        limiter = Limiter(options.limits if options else ())
        secrets = secret_texts(connection.settings)
        line = Line(connection, hub.name, transport, limiter, headers, _marked, hub.clock.now, _kept, secrets)
        yield context_of(line, Attempt(_no_call(hub, connection)), EffectKey("0" * 32))


async def read_there(hub: Hub, connection: Connection, action: Action, given: BaseModel) -> BaseModel:
    """Do an action that only reads. Raises RetryableError, UnsureError or PermanentError, as the system answers."""
    async with talking(hub, connection) as context:
        try:
            async with asyncio.timeout(PROVE_WITHIN):
                return await action.call(context, given)
        except TimeoutError:
            raise RetryableError(f"no answer in {PROVE_WITHIN:g} s") from None


async def prove(hub: Hub, connection: Connection) -> Proof:
    """Ask the system who we are there. Never raises for what the system answers, or that it does not."""
    test = connection.connector.test
    if test is None:
        return Proof(True, f"{connection.connector.title} offers nothing to test it by", tried=False)
    secrets = secret_texts(connection.settings)
    async with talking(hub, connection) as context:
        try:
            async with asyncio.timeout(PROVE_WITHIN):
                return Proof(True, blot(await test(context), secrets))
        except TradewindError as e:
            refused = isinstance(e, CredentialError)
            return Proof(False, blot(str(e), secrets) or type(e).__name__, refused=refused)
        except TimeoutError:
            return Proof(False, f"no answer in {PROVE_WITHIN:g} s")
        except Exception as e:
            return Proof(False, blot(f"its answer cannot be read: {type(e).__name__}: {e}", secrets))


async def _marked(sending: Sending) -> bool:
    """Nothing is marked: a proof is no call."""
    return True


def _kept(call_id: UUID, requests: bytes) -> bytes:
    return requests  # which go nowhere


def _no_call(hub: Hub, connection: Connection) -> DueCall:
    return DueCall(
        id=new_id(),
        at=hub.clock.now(),
        workspace=connection.workspace,
        connection_id=connection.id,
        run_id=UUID(int=0),
        event_id=UUID(int=0),
        recipe="",
        path="",
        item=None,
        action="",
        subject=b"",
        effect_key=bytes(16),
        input=b"{}",
        options={},
        attempts=0,
        failures=0,
        unsure=False,
        sent_at=None,
        fence=0,
    )

"""Credentials are looked at before a call needs them: when a connection was saved, and once a day from then on."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.domain.connections import Connection
from app.hub import Hub
from app.proof import Proof, prove
from app.store import connections as store
from app.store import lanes

log = structlog.get_logger()

EVERY = timedelta(days=1)
SOON = timedelta(minutes=10)
"""After which a system that did not answer is asked again."""


@dataclass
class Probes:
    """Probes one connection after another; a connection is claimed, so that one process does it."""

    hub: Hub

    async def look(self) -> None:
        """Probe every connection that is due."""
        while (connection := await self._next()) is not None:
            await probe(self.hub, connection)

    async def _next(self) -> Connection | None:
        now = self.hub.clock.now()
        async with self.hub.database.acquire() as db:
            due = await store.claim_probe(db, now, now - EVERY)
        if due is None:
            return None
        found = self.hub.connections.get(due)
        if found is None:  # saved a moment ago
            await self.hub.connections.refresh()
            found = self.hub.connections.get(due)
        return found


async def probe(hub: Hub, connection: Connection) -> Proof:
    """Prove a connection and keep what came of it: refused credentials are its `problem` until they work again, and
    what waited for them goes on as soon as they do."""
    proof = await prove(hub, connection)
    now = hub.clock.now()
    again = now if proof.works or proof.refused else now - EVERY + SOON
    problem = proof.said[:500] if proof.refused else None
    async with hub.database.acquire() as db:
        await store.record_probe(db, connection.id, again, proof.works, proof.said[:500], problem)
        if proof.works and proof.tried:
            await lanes.credentials_changed(db, connection.id, now)
    if not proof.works:
        log.warning("a connection does not work; `tradewind connections test` says why", connection=connection.slug)
    return proof

"""The hub's own troubles become events, so that a recipe can tell somebody: gathered, one an object in a window.

A look finds what went wrong and was not told. Of an object that was told of within the window nothing is said until
the window is over; then one event says how many. What comes of a run that answers a trouble is never a trouble.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.facts import Fact, fact_of
from app.events import Event, HubEvent, HubTrouble, Ref
from app.pipeline.match import Matched
from app.pipeline.normalise.publish import Publisher
from app.settings import Settings
from app.store import troubles as store
from app.store.database import Connection as Db
from app.store.database import Database
from app.store.kinds import WEBHOOK_STATES
from app.store.troubles import Group, Heard

LOOK_EVERY = timedelta(seconds=2)
LISTEN_EVERY = timedelta(minutes=1)
"""Pause between looks for silent sources."""
REMEMBERED = timedelta(days=7)
"""How far back a source's habits are known by."""

_TITLES = {
    "run_failed": "{recipe} failed",
    "effect_uncertain": "Nobody knows whether {action} happened at {connection}",
    "lane_parked": "{connection} does not answer; calls to it wait",
    "connection_failing": "The credentials of {connection} do not work",
    "connection_expiring": "{connection} must be connected again soon",
    "source_silent": "{connection} has said nothing for {silence}",
}


@dataclass
class Troubles:
    """The look with what it needs."""

    database: Database
    connections: Connections
    clock: Clock
    hasher: Hasher
    publisher: Publisher
    settings: Settings
    look_at: datetime | None = None
    listen_at: datetime | None = None

    async def drain(self) -> bool:
        """Tell what went wrong since the last look; there is never more at once."""
        now = self.clock.now()
        if self.look_at is None or now >= self.look_at:
            self.look_at = now + LOOK_EVERY
            await self.look(now)
        return False

    async def look(self, now: datetime) -> None:
        """Find what was not told, and tell it, in one transaction; nothing while another process does."""
        async with self.database.transaction() as db:
            if not await store.alone(db):
                return
            await store.pass_over_own(db, now)
            await store.recovered(db)
            groups = await store.untold(db, now - timedelta(seconds=self.settings.trouble_window_seconds), now)
            groups += await self._silent(db, now)
            outcome = await self._tell(db, groups, now) if groups else Matched()
        await self.publisher.matcher.after_commit(outcome)

    async def _tell(self, db: Db, groups: Sequence[Group], now: datetime) -> Matched:
        facts = [fact for group in groups if (fact := self._fact(group, now)) is not None]
        outcome = await self.publisher.publish(db, facts)
        await store.told(db, groups, now)
        return outcome

    def _fact(self, group: Group, now: datetime) -> Fact | None:
        """A trouble stands at the connection that it is about, or that its run's event came from (None: it is gone)."""
        connection = self.connections.get(group.connection_id) if group.connection_id else None
        if connection is None:
            return None
        ref = Ref("trouble", f"{group.kind}/{group.object}")
        if group.kind in ("connection_failing", "connection_expiring"):
            at_risk = ", ".join(self.publisher.matcher.recipes.at_risk(connection)) or "none"
            group = replace(group, reason=f"{group.reason}; recipes at risk: {at_risk}")
        said = HubEvent(trouble=_trouble(group, connection))
        event = Event(f"hub.{group.kind}", ref, ref, now, said, part=now.isoformat())
        return fact_of(self.hasher, connection, event, False, now, None)

    async def _silent(self, db: Db, now: datetime) -> list[Group]:
        if self.listen_at is not None and now < self.listen_at:
            return []
        self.listen_at = now + LISTEN_EVERY
        quiet_since = now - timedelta(seconds=self.settings.trouble_window_seconds)
        heard = await store.shops_heard(db, WEBHOOK_STATES, now - REMEMBERED, quiet_since)
        silent = [shop for shop in heard if now - shop.last_at > self._patience(shop)]
        return [_silence(s, now) for s in silent if not await store.silence_told(db, s.connection_id, _mark(s))]

    def _patience(self, shop: Heard) -> timedelta:
        least = timedelta(minutes=self.settings.silent_minutes)
        return max(least, shop.usual * self.settings.silent_factor)


def _mark(shop: Heard) -> str:
    return shop.last_at.isoformat()


def _silence(shop: Heard, now: datetime) -> Group:
    reason = f"it last spoke at {shop.last_at:%Y-%m-%d %H:%M} UTC, and usually is silent for {_told(shop.usual)}"
    return Group(
        "source_silent", str(shop.connection_id), shop.workspace, shop.connection_id, 1, shop.last_at, now, reason,
        _mark(shop),
    )  # fmt: skip


def _trouble(group: Group, connection: Connection) -> HubTrouble:
    title = _TITLES[group.kind].format(
        recipe=group.recipe,
        action=group.action,
        connection=connection.slug,
        silence=_told(group.last_at - group.first_at),
    )
    ids = {name: str(getattr(group, name)) for name in ("run_id", "call_id", "event_id") if getattr(group, name)}
    return HubTrouble(
        kind=group.kind,
        title=title,
        reason=group.reason,
        connection=connection.slug,
        recipe=group.recipe,
        step=group.step,
        action=group.action,
        count=group.count,
        first_at=group.first_at,
        last_at=group.last_at,
        **ids,
    )


def _told(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"

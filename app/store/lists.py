"""Lists that people page through: newest first, by keyset, with filters. A cursor is the last id that was shown."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.events import EVENT_TYPES, FAMILIES
from app.store.database import Connection, Row
from app.store.tables import WEBHOOK_STATES
from app.store.trace import RUN_FIELDS, time_in


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` rows with ids below `before`, from `since` (included) to `until` (not)."""

    limit: int = 50
    before: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class _Where:
    """Conditions with their arguments; `{}` in a condition stands for its argument."""

    args: list[Any]
    conditions: list[str] = field(default_factory=list)

    def add(self, condition: str, value: Any) -> None:
        """Ask for it unless the value is None."""
        if value is not None:
            self.args.append(value)
            self.conditions.append(condition.replace("{}", f"${len(self.args)}"))

    def page(self, page: Page, alias: str) -> None:
        self.add(f"{alias}.id < {{}}", page.before)
        self.add(f"{alias}.at >= {{}}", page.since)
        self.add(f"{alias}.at < {{}}", page.until)

    def sql(self) -> str:
        return " and ".join(self.conditions)


def _workspace(alias: str, workspace: str) -> _Where:
    return _Where([workspace], [f"{alias}.workspace = $1"])


def matching(text: str) -> str:
    """The text as a pattern of `ilike` that finds it anywhere."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


# --- events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventFilter:
    """`type` may end in `*`. recipe: answered by it; state: a run of the event (of that recipe) stands so."""

    type: str | None = None
    connection: str | None = None
    recipe: str | None = None
    state: str | None = None
    test: bool | None = None
    text: str | None = None


EVENT_FIELDS = """
select e.id, e.at, e.type, c.slug as connection, e.object_kind, e.object_id, e.subject_kind, e.subject_id,
    e.occurred_at, e.number, e.email, e.test, e.historical, e.note, e.echo, e.webhook_id
from event e left join connection c on c.id = e.connection_id
"""


async def events(db: Connection, workspace: str, page: Page, wanted: EventFilter) -> list[Row]:
    """Text finds an order number, an e-mail address or a sender's id of the subject; where none is found, part of a
    failed run's error; else a sender's id of the object."""
    for by_text in (_named, _failed_saying, _stating):
        rows = await _events(db, workspace, page, wanted, by_text)
        if rows or not wanted.text:
            return rows
    return []


async def _events(db: Connection, workspace: str, page: Page, wanted: EventFilter, by_text: "_ByText") -> list[Row]:
    where = _workspace("e", workspace)
    where.page(page, "e")
    if wanted.type and wanted.type.endswith("*"):
        _of_family(where, wanted.type[:-1])
    else:
        where.add("e.type = {}", wanted.type)
    if wanted.connection and not await _at_connection(db, where, "e", workspace, wanted.connection):
        return []
    where.add("e.test = {}", wanted.test)
    if wanted.recipe or wanted.state:
        await _answered(db, where, workspace, wanted)
    if wanted.text:
        where.conditions.append(f"e.id in ({by_text(where, wanted.text)})")
    return await db.fetch(f"{EVENT_FIELDS} where {where.sql()} order by e.id desc limit {page.limit + 1}", *where.args)


_FEW = 1000
"""Up to so many events are looked up one by one; of more, the newest are soon met."""


async def _answered(db: Connection, where: _Where, workspace: str, wanted: EventFilter) -> None:
    """Ask for events with a run of this recipe, in this state: from the runs where those are few, else from events."""
    few = _workspace("r", workspace)
    few.add("r.recipe = {}", wanted.recipe)
    few.add("r.state = {}", wanted.state)
    rows = await db.fetch(f"select r.event_id from run r where {few.sql()} limit {_FEW + 1}", *few.args)
    if len(rows) <= _FEW:
        ids = list({row["event_id"] for row in rows})
        where.add("e.id = any({})", ids)
        where.add("e.at >= {}", min(map(time_in, ids), default=None))
        return
    run = _Where(where.args, ["r.event_id = e.id", "r.at >= e.at"])
    run.add("r.recipe = {}", wanted.recipe)
    run.add("r.state = {}", wanted.state)
    where.conditions.append(f"exists (select 1 from run r where {run.sql()})")


def _of_family(where: _Where, start: str) -> None:
    """Ask for the types that begin so. Those of our own families are known: an index finds each."""
    if start.partition(".")[0] in FAMILIES:
        where.add("e.type = any({})", [name for name in EVENT_TYPES if name.startswith(start)])
    else:
        where.add("starts_with(e.type, {})", start)


_SETTLED = "e.written < pg_snapshot_xmin(pg_current_snapshot())::text::bigint + stream_offset()"
"""Rows that no transaction which is still open could be followed by: whatever commits later is written later."""


async def stream(
    db: Connection, workspace: str, after: tuple[int, UUID], limit: int, type_: str | None, connection: str | None
) -> list[Row]:
    """Events in the order in which they were written: who takes up after the last one read skips none, however long a
    transaction took. At most `limit` rows, with `written` beside each."""
    where = _workspace("e", workspace)
    where.args += after
    where.conditions += ["(e.written, e.id) > ($2, $3)", _SETTLED]
    if type_ and type_.endswith("*"):
        _of_family(where, type_[:-1])
    else:
        where.add("e.type = {}", type_)
    if connection and not await _at_connection(db, where, "e", workspace, connection):
        return []
    query = EVENT_FIELDS.replace("select ", "select e.written, ", 1)
    return await db.fetch(f"{query} where {where.sql()} order by e.written, e.id limit {limit}", *where.args)


async def _at_connection(db: Connection, where: _Where, alias: str, workspace: str, slug: str) -> bool:
    """Ask for the rows of a connection; False if there never was one of that name."""
    ids = await db.fetchval("select array_agg(id) from connection where workspace = $1 and slug = $2", workspace, slug)
    where.add(f"{alias}.connection_id = any({{}})", ids)
    return ids is not None


_ByText = Callable[[_Where, str], str]
"""Adds its arguments, and answers a query for the ids of events that a text finds."""


def _named(where: _Where, text: str) -> str:
    bare = text.strip()
    first = len(where.args) + 1
    where.args += [[bare, bare.removeprefix("#"), f"#{bare}"], bare.lower(), bare]
    return (
        f"select n.id from event n where n.workspace = $1 and "
        f"(n.number = any(${first}) or n.email = ${first + 1} or n.subject_id = ${first + 2})"
    )


_WORDS = re.compile("[A-Za-z0-9]+")
_SAID = "to_tsvector('simple'::regconfig, regexp_replace(coalesce({}.reason, ''), '[^A-Za-z0-9]+', ' ', 'g'))"


def _saying(where: _Where, alias: str, text: str) -> str:
    """Failed runs whose error holds the text, from the beginning of a word: an index knows the words."""
    words = " & ".join(f"{word}:*" for word in _WORDS.findall(text))
    where.args += [words, matching(text.strip())]
    first = len(where.args) - 1
    return (
        f"{alias}.state = 'failed' and {_SAID.format(alias)} @@ to_tsquery('simple', ${first}) "
        f"and {alias}.reason ilike ${first + 1}"
    )


def _failed_saying(where: _Where, text: str) -> str:
    return f"select f.event_id from run f where f.workspace = $1 and {_saying(where, 'f', text)}"


def _stating(where: _Where, text: str) -> str:
    where.args.append(text.strip())
    return (
        f"select n.id from event n where n.workspace = $1 and n.object_id = ${len(where.args)} "
        "and n.object_id <> n.subject_id"
    )


# --- runs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFilter:
    """connection: that the event came from. type: the event's type."""

    recipe: str | None = None
    state: str | None = None
    connection: str | None = None
    type: str | None = None
    event_id: UUID | None = None
    text: str | None = None


async def runs(db: Connection, workspace: str, page: Page, wanted: RunFilter) -> list[Row]:
    """Text finds the order number, e-mail address or sender's id of the event; where none is found, part of a failed
    run's error."""
    for by_error in (False, True):
        rows = await _runs(db, workspace, page, wanted, by_error)
        if rows or not wanted.text:
            return rows
    return []


async def _runs(db: Connection, workspace: str, page: Page, wanted: RunFilter, by_error: bool) -> list[Row]:
    where = _workspace("r", workspace)
    where.page(page, "r")
    where.add("r.recipe = {}", wanted.recipe)
    where.add("r.state = {}", wanted.state)
    where.add("r.event_id = {}", wanted.event_id)
    if wanted.connection and not await _at_connection(db, where, "r", workspace, wanted.connection):
        return []
    where.add("exists (select 1 from event e where e.id = r.event_id and e.type = {})", wanted.type)
    if wanted.text and by_error:
        where.conditions.append(_saying(where, "r", wanted.text))
    elif wanted.text:
        where.conditions.append(f"r.event_id in ({_named(where, wanted.text)})")
    return await db.fetch(f"{RUN_FIELDS} where {where.sql()} order by r.id desc limit {page.limit + 1}", *where.args)


# --- webhooks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookFilter:
    state: str | None = None
    connection: str | None = None
    topic: str | None = None
    text: str | None = None


async def webhooks(db: Connection, workspace: str, page: Page, wanted: WebhookFilter) -> list[Row]:
    """Text finds what is said in the reason of an unknown or malformed one."""
    where = _workspace("w", workspace)
    where.page(page, "w")
    where.add("w.state = {}", wanted.state)
    where.add("w.topic = {}", wanted.topic)
    if wanted.connection and not await _at_connection(db, where, "w", workspace, wanted.connection):
        return []
    where.add("w.reason ilike {}", matching(wanted.text) if wanted.text else None)
    return await db.fetch(
        f"""select w.id, w.at, c.slug as connection, w.topic, w.size, w.state, w.reason, w.test, w.events,
              w.normalised_at
            from webhook w left join connection c on c.id = w.connection_id
            where {where.sql()} order by w.id desc limit {page.limit + 1}""",
        *where.args,
    )


async def rejected(db: Connection, workspace: str, page: Page, slug: str | None, status: int | None) -> list[Row]:
    where = _workspace("j", workspace)
    where.page(page, "j")
    where.add("j.slug = {}", slug)
    where.add("j.status = {}", status)
    return await db.fetch(
        f"""select j.id, j.at, j.slug, j.status, j.reason, j.size from rejected j
            where {where.sql()} order by j.id desc limit {page.limit + 1}""",
        *where.args,
    )


# --- who did what -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeedFilter:
    """`object` may end in `*`."""

    actor: str | None = None
    verb: str | None = None
    object: str | None = None


async def audit(db: Connection, workspace: str, page: Page, wanted: DeedFilter) -> list[Row]:
    where = _workspace("u", workspace)
    where.page(page, "u")
    where.add("u.actor = {}", wanted.actor)
    where.add("u.verb = {}", wanted.verb)
    if wanted.object and wanted.object.endswith("*"):
        where.add("starts_with(u.object, {})", wanted.object[:-1])
    else:
        where.add("u.object = {}", wanted.object)
    return await db.fetch(
        f"""select u.id, u.at, u.actor, u.verb, u.object, u.detail from audit u
            where {where.sql()} order by u.id desc limit {page.limit + 1}""",
        *where.args,
    )


# --- effects ----------------------------------------------------------------------------------------------------

EFFECT_FIELDS = """
select e.key, e.state, e.call_id, e.label, e.doubled, e.at, e.ended_at, a.state as call_state, a.question, a.error,
    a.run_id, a.event_id, a.recipe, a.path, a.action, c.slug as connection
from effect e left join call a on a.id = e.call_id left join connection c on c.id = a.connection_id
"""


async def effects(
    db: Connection, workspace: str, state: str | None, before: tuple[UUID, bytes] | None, limit: int
) -> list[Row]:
    """Effects by the newest call; with `limit` + 1 rows where there are more."""
    where = _workspace("e", workspace)
    where.add("e.uncertain and e.state = {}" if state == "uncertain" else "e.state = {}", state)
    if before is not None:
        where.args += before
        where.conditions.append(f"(e.call_id, e.key) < (${len(where.args) - 1}, ${len(where.args)})")
    return await db.fetch(
        f"{EFFECT_FIELDS} where {where.sql()} order by e.call_id desc, e.key desc limit {limit + 1}", *where.args
    )


# --- what is set up ---------------------------------------------------------------------------------------------


async def connections(db: Connection, workspace: str, slug: str | None = None) -> list[Row]:
    """Connections with their lanes: nothing sealed is read."""
    where = _workspace("c", workspace)
    where.add("c.slug = {}", slug)
    return await db.fetch(
        f"""select c.id, c.workspace, c.slug, c.connector, c.account, c.alias, c.role, c.settings, c.base_url, c.origin,
              c.paused, c.problem, c.created_at, c.updated_at, c.credentials_expire_at, c.authorised_until,
              c.probed_at, c.probe_works, c.probe_said, l.state as lane_state, l.halted as lane_paused,
              l.reason as lane_reason, l.parked_at, l.probe_at,
              (select coalesce(jsonb_object_agg(w.recipe, w.calls), '{{}}') from (
                select recipe, count(*) as calls from call where call.connection_id = c.id and call.state = 'due'
                group by recipe) w) as waiting,
              (select count(*) from call where call.connection_id = c.id and call.state = 'uncertain') as uncertain
            from connection c left join lane l on l.connection_id = c.id
            where {where.sql()} and not c.removed order by c.slug""",
        *where.args,
    )


async def recipes(db: Connection, workspace: str, name: str | None = None) -> list[Row]:
    """Recipes with the source of their current versions."""
    where = _workspace("r", workspace)
    where.add("r.name = {}", name)
    return await db.fetch(
        f"""select r.name, r.version_id, v.number, v.source, r.enabled, r.paused, r.inputs, r.origin, r.updated_at
            from recipe r join recipe_version v on v.id = r.version_id
            where {where.sql()} and not r.removed order by r.name""",
        *where.args,
    )


async def recipe_versions(db: Connection, workspace: str, name: str) -> Sequence[Row]:
    """The versions of a recipe, newest first."""
    return await db.fetch(
        "select id, number, created_at from recipe_version where workspace = $1 and name = $2 order by number desc",
        workspace,
        name,
    )


async def recipe_version(db: Connection, workspace: str, name: str, number: int) -> Row | None:
    row: Row | None = await db.fetchrow(
        "select id, number, created_at, source from recipe_version where workspace = $1 and name = $2 and number = $3",
        workspace,
        name,
        number,
    )
    return row


async def connection_health(db: Connection, workspace: str, connection_id: UUID, slug: str) -> dict[str, Any]:
    """When something last came in, how many there are in each state, what was refused within an hour, and since when a
    call waits."""
    row = await db.fetchrow(
        """select (select max(last.at) from unnest($4::text[]) as s(state), lateral (
                     select w.at from webhook w where w.workspace = $1 and w.connection_id = $2 and w.state = s.state
                     order by w.id desc limit 1) as last) as last_webhook_at,
                  (select count(*) from rejected j where j.workspace = $1 and j.slug = $3
                     and j.at > clock_timestamp() - interval '1 hour') as refused_last_hour,
                  (select min(c.due_at) from call c where c.connection_id = $2 and c.state = 'due') as oldest_due_at""",
        workspace,
        connection_id,
        slug,
        list(WEBHOOK_STATES),
    )
    counts = await webhook_counts(db, workspace, connection_id)
    return dict(row) | {
        "webhooks": dict.fromkeys(WEBHOOK_STATES, 0) | {each["state"]: each["count"] for each in counts}
    }


async def webhook_counts(db: Connection, workspace: str, connection_id: UUID | None = None) -> list[Row]:
    """(connection's slug, state, how many webhooks that are still kept ended so)."""
    return await db.fetch(
        """select c.slug as connection, w.state, w.count from (
             select connection_id, state, count(*) as count from webhook
             where workspace = $1 and ($2::uuid is null or connection_id = $2) group by connection_id, state) as w
           left join connection c on c.id = w.connection_id order by c.slug, w.state""",
        workspace,
        connection_id,
    )

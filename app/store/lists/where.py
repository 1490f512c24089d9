"""What lists share: pages by keyset, conditions with their arguments, and texts that are looked for."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.events import EVENT_TYPES, FAMILIES
from app.store.database import Connection, Row
from app.store.trace import time_in


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` rows with ids below `before`, from `since` (included) to `until` (not)."""

    limit: int = 50
    before: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def part_of(self, ids: Iterable[UUID]) -> set[UUID]:
        """Those of a list's ids that are within its bounds."""
        end = min(filter(None, (self.before, first_id(self.until))), default=None)
        begin = first_id(self.since)
        return {each for each in ids if (end is None or each < end) and (begin is None or each >= begin)}


@dataclass(slots=True)
class Where:
    """Conditions with their arguments; `{}` in a condition stands for its argument."""

    args: list[Any]
    conditions: list[str] = field(default_factory=list)

    def add(self, condition: str, value: Any) -> None:
        """Ask for it unless the value is None."""
        if value is not None:
            self.conditions.append(condition.replace("{}", self.arg(value)))

    def one_of(self, column: str, values: Sequence[Any]) -> None:
        """Ask for one of the values; a single one is asked for as such, by which an index keeps its order."""
        if len(values) == 1:
            self.add(f"{column} = {{}}", values[0])
        else:
            self.add(f"{column} = any({{}})", values)

    def arg(self, value: Any) -> str:
        """The placeholder of one more argument."""
        self.args.append(value)
        return f"${len(self.args)}"

    def page(self, page: Page, alias: str) -> None:
        """By id alone, which holds the time: a walk from the newest on ends where the time does."""
        self.add(f"{alias}.id < {{}}", page.before)
        self.add(f"{alias}.id >= {{}}", first_id(page.since))
        self.add(f"{alias}.id < {{}}", first_id(page.until))

    def sql(self) -> str:
        return " and ".join(self.conditions)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first_id(moment: datetime | None) -> UUID | None:
    """The lowest UUIDv7 of a moment: of its millisecond, or of the next one if it stands within one."""
    if moment is None:
        return None
    millis = -((_EPOCH - moment) // timedelta(milliseconds=1))
    return UUID(int=max(0, millis) << 80)


def in_workspace(alias: str, workspace: str) -> Where:
    return Where([workspace], [f"{alias}.workspace = $1"])


FEW = 4000
"""So many rows are looked up one by one; of more, the newest are soon met by going back from the last."""


async def few(db: Connection, query: str, *args: Any) -> set[UUID] | None:
    """The ids that a query finds, if those are few; else None."""
    rows = await db.fetch(f"{query} limit {FEW + 1}", *args)
    return {row[0] for row in rows} if len(rows) <= FEW else None


def both(sets: Iterable[set[UUID] | None]) -> set[UUID] | None:
    """What stands in all of them; None is everything."""
    known = [each for each in sets if each is not None]
    return set.intersection(*known) if known else None


def among(where: Where, ids: Iterable[UUID] | None, condition: str) -> str:
    """A join that asks for rows by their ids, from the newest on: each is looked for in the partition of its time, and
    none beyond the page. None asks for nothing. In the condition stand `few.id` and `few.at`."""
    if ids is None:
        return ""
    ordered = sorted(ids, reverse=True)
    named, times = where.arg(ordered), where.arg(list(map(time_in, ordered)))
    return (
        f"join (select * from unnest({named}::uuid[], {times}::timestamptz[]) as u(id, at) order by id desc) as few "
        f"on {condition}"
    )


THE_EVENT = "e.id = few.id and e.at >= few.at and e.at < few.at + interval '1 minute'"
"""Others may have moved to a later partition, because they had not ended."""
THE_WEBHOOK = "w.id = few.id and w.at >= few.at"
THE_RUN = "r.id = few.id and r.at >= few.at"
THE_CALL = "a.id = few.id and a.at >= few.at"

Fetch = Callable[[Sequence[UUID]], Awaitable[list[Row]]]
"""Ids -> the newest rows of a list that have one of them: at most one more than a page holds."""


async def newest(ids: set[UUID], limit: int, fetch: Fetch) -> list[Row]:
    """The newest rows of a list among many ids, by which it is ordered: the newest ids mostly fill the page, and only
    where they do not the others are looked for."""
    ordered = sorted(ids, reverse=True)
    rows: list[Row] = []
    for part in (ordered[: 4 * limit], ordered[4 * limit :]):
        if part and len(rows) <= limit:
            rows += await fetch(part)
    return rows[: limit + 1]


async def newest_of(
    db: Connection, table: str, where: Where, column: str, ids: Collection[UUID], limit: int | None = None
) -> list[UUID]:
    """The newest ids of a table's rows, under conditions, whose column (`alias.name`) holds one of many ids that are no
    younger than they: found in one walk along the index of that column. All, or one more than `limit`."""
    if not ids:
        return []
    alias = column.partition(".")[0]
    asked = Where(list(where.args), list(where.conditions))
    asked.add(f"{column} = any({{}})", sorted(ids))
    asked.add(f"{alias}.at >= {{}}", time_in(min(ids)))
    query = f"""with found as materialized (select {alias}.id from {table} {alias} where {asked.sql()})
        select id from found order by id desc {"" if limit is None else f"limit {limit + 1}"}"""
    return [row[0] for row in await db.fetch(query, *asked.args)]


# --- what is asked for ------------------------------------------------------------------------------------------


async def of_connection(db: Connection, where: Where, alias: str, workspace: str, slug: str | None) -> bool:
    """Ask for the rows of a connection, if one is named; False if there never was one of that name."""
    if slug is None:
        return True
    ids = await db.fetchval("select array_agg(id) from connection where workspace = $1 and slug = $2", workspace, slug)
    if ids is not None:
        where.one_of(f"{alias}.connection_id", ids)
    return ids is not None


_TYPES_BEGINNING = """
with recursive found as (
    (select e.type from event e where e.workspace = $1 and e.type >= $2 order by e.type limit 1)
    union all
    select (select e.type from event e where e.workspace = $1 and e.type > f.type order by e.type limit 1)
    from found f where f.type is not null)
select array_agg(type) from found where starts_with(type, $2)
"""


async def types_of(db: Connection, workspace: str, type_: str | None) -> list[str] | None:
    """The event types that are meant: one, or with `*` at the end a family; None if none is said. Those of our own
    families are known; others are found from one to the next in an index."""
    if type_ is None or type_ == "*":
        return None
    if not type_.endswith("*"):
        return [type_]
    start = type_[:-1]
    if start.partition(".")[0] in FAMILIES:
        return [name for name in EVENT_TYPES if name.startswith(start)]
    return await db.fetchval(_TYPES_BEGINNING, workspace, start) or []


_NAMED_BEFORE = """
select exists(select 1 from connection where workspace = $1 and slug = $2) as connection,
    exists(select 1 from recipe where workspace = $1 and name = $3)
        or exists(select 1 from run where workspace = $1 and recipe = $3) as recipe,
    exists(select 1 from event where workspace = $1 and type = $4) as type
"""


async def named_before(
    db: Connection, workspace: str, connection: str | None, recipe: str | None, type_: str | None
) -> Row:
    """{connection, recipe, type}: whether there is or ever was one of that name. A family of types counts where one of
    it is kept."""
    if type_ is not None and type_.endswith("*"):
        type_ = next(iter(await db.fetchval(_TYPES_BEGINNING, workspace, type_[:-1]) or ()), type_)
    found: Row = await db.fetchrow(_NAMED_BEFORE, workspace, connection, recipe, type_)
    return found


_DEEDS_BEFORE = """
select exists(select 1 from audit where workspace = $1 and actor = $2)
        or exists(select 1 from api_key where (workspace = $1 or workspace is null) and name = $2) as actor,
    exists(select 1 from audit where workspace = $1 and verb = $3) as verb,
    (select array_agg(distinct name) from api_key where workspace = $1 or workspace is null) as actors
"""


async def deeds_before(db: Connection, workspace: str, actor: str | None, verb: str | None) -> Row:
    """{actor, verb}: whether one of that name did something here, or could; `actors`: the names of keys."""
    found: Row = await db.fetchrow(_DEEDS_BEFORE, workspace, actor, verb)
    return found


# --- texts ------------------------------------------------------------------------------------------------------


def matching(text: str) -> str:
    """The text as a pattern of `ilike` that finds it anywhere."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def named(where: Where, text: str, alias: str = "n") -> str:
    """That an event bears this order number, e-mail address or sender's id."""
    bare = text.strip()
    numbers = where.arg([bare, bare.removeprefix("#"), f"#{bare}"])
    address, subject = where.arg(bare.lower()), where.arg(bare)
    return f"({alias}.number = any({numbers}) or {alias}.email = {address} or {alias}.subject_id = {subject})"


_SIGNS = re.compile(r"[^A-Za-z0-9]+")
_SAID = "to_tsvector('simple'::regconfig, regexp_replace(coalesce({}, ''), '[^A-Za-z0-9]+', ' ', 'g'))"
_SIGNS_OF_NAMES = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")
_CALLED = (
    "to_tsvector('simple'::regconfig, regexp_replace(coalesce({}, ''), '[\\x01-/\\x3a-@\\[-`{{-\\x7f]+', ' ', 'g'))"
)


def saying(where: Where, column: str, text: str) -> str:
    """That a column holds the text, from the beginning of a word: an index knows its words."""
    return _with_words(where, _SAID.format(column), column, _SIGNS.sub(" ", text).split(), text)


def called(where: Where, column: str, text: str, by_index: bool = True) -> str:
    """The same for names of people, in any script. by_index: else row by row, where a word may be of very many."""
    return _with_words(where, _CALLED.format(column), column, _SIGNS_OF_NAMES.sub(" ", text).split(), text, by_index)


def _with_words(where: Where, words_of: str, column: str, words: list[str], text: str, by_index: bool = True) -> str:
    there = f"{column} ilike {where.arg(matching(text.strip()))}"
    if not words:
        return there
    bears = f"{words_of} @@ to_tsquery('simple', {where.arg(' & '.join(f'{word}:*' for word in words))})"
    return f"{bears} and {there}" if by_index else f"case when {there} then {bears} else false end"

"""Who did what by hand, the newest first."""

from dataclasses import dataclass

from app.store.database import Connection, Row
from app.store.lists.where import Page, Where, few, in_workspace, saying


@dataclass(frozen=True, slots=True)
class DeedFilter:
    """`object` may end in `*`; text: words of what it was about."""

    actor: str | None = None
    verb: str | None = None
    object: str | None = None
    text: str | None = None


async def audit(db: Connection, workspace: str, page: Page, wanted: DeedFilter) -> list[Row]:
    where = in_workspace("u", workspace)
    where.page(page, "u")
    where.add("u.actor = {}", wanted.actor)
    where.add("u.verb = {}", wanted.verb)
    if wanted.object and wanted.object.endswith("*"):
        where.add("starts_with(u.object, {})", wanted.object[:-1])
    else:
        where.add("u.object = {}", wanted.object)
    if wanted.text:
        await _about(db, where, page, wanted.text)
    return await db.fetch(
        f"""select u.id, u.at, u.actor, u.verb, u.object, u.detail from audit u
            where {where.sql()} order by u.id desc limit {page.limit + 1}""",
        *where.args,
    )


async def _about(db: Connection, where: Where, page: Page, text: str) -> None:
    """Ask for lines about a text: where those are few, for the newest of them, since a walk from the newest line on
    would pass all others on its way to them."""
    found = Where(list(where.args), list(where.conditions))
    found.conditions.append(saying(found, "u.object", text))
    ids = await few(db, f"select u.id from audit u where {found.sql()}", *found.args)
    if ids is None:
        where.conditions.append(saying(where, "u.object", text))
    else:
        where.add("u.id = any({})", sorted(ids, reverse=True)[: page.limit + 1])

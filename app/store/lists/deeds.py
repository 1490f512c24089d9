"""Who did what by hand, the newest first."""

from dataclasses import dataclass

from app.store.database import Connection, Row
from app.store.lists.where import Page, in_workspace, saying


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
        where.conditions.append(saying(where, "u.object", wanted.text))
    return await db.fetch(
        f"""select u.id, u.at, u.actor, u.verb, u.object, u.detail from audit u
            where {where.sql()} order by u.id desc limit {page.limit + 1}""",
        *where.args,
    )

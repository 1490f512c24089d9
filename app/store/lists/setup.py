"""What is set up: connections with their lanes, recipes with their versions."""

from collections.abc import Sequence

from app.store.database import Connection, Row
from app.store.lists.where import in_workspace


async def connections(db: Connection, workspace: str, slug: str | None = None) -> list[Row]:
    """Connections with their lanes: nothing sealed is read."""
    where = in_workspace("c", workspace)
    where.add("c.slug = {}", slug)
    return await db.fetch(
        f"""select c.id, c.workspace, c.slug, c.connector, c.account, c.alias, c.role, c.settings, c.base_url, c.origin,
              c.paused, c.problem, c.created_at, c.updated_at, c.credentials_expire_at, c.authorised_until,
              c.probed_at, c.probe_works, c.probe_said, l.state as lane_state, l.halted as lane_paused,
              l.reason as lane_reason, l.parked_at, l.probe_at,
              case when (l.pauses ->> '')::float8 > extract(epoch from now())
                then to_timestamp((l.pauses ->> '')::float8) end as told_to_wait_until,
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
    where = in_workspace("r", workspace)
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

"""A dry run: one stored event, one version of a recipe, every call captured with its input, nothing sent or stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app import events as canonical
from app.domain.connections import Connections
from app.domain.recipes import Recipes, inputs_of
from app.errors import NotFoundError
from app.events import Event, Ref
from app.pipeline.match.simulate import Happened, Simulation
from app.pipeline.match.standins import Told
from app.recipes import Recipe, parse_recipe
from app.registry import Registry
from app.store import events as store
from app.store import runs
from app.store.database import Database
from app.store.packing import unpack


@dataclass(frozen=True, slots=True)
class DryCall:
    """A call that would be made. assumed: what it answered is made up: no stored run recorded it."""

    use: str
    step: str
    item: str | None
    connection: str
    at: datetime
    input: Any
    assumed: bool


@dataclass
class DryRun:
    """What a recipe would do about an event. decision: why it runs, or does not; assumed: calls whose answer is."""

    event_id: UUID
    recipe: str
    decision: str
    state: str = "none"
    reason: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    calls: list[DryCall] = field(default_factory=list)

    @property
    def assumed(self) -> int:
        return sum(call.assumed for call in self.calls)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "assumed": self.assumed}


async def dry_run(
    database: Database, recipes: Recipes, connections: Connections, registry: Registry, workspace: str, event_id: UUID,
    name: str, source: str | None = None, inputs: Mapping[str, Any] | None = None, within: timedelta = timedelta(0),
) -> DryRun:  # fmt: skip
    """What a recipe would do about a stored event. source: another text of it than the one that runs; inputs: others
    than the workspace set; within: how much time passes after the event (waits end in it).

    Raises NotFoundError for an unknown event or recipe, DocumentError for a text that is no recipe."""
    async with database.acquire() as db:
        row = (await store.load(db, [event_id])).get(event_id)
        recorded = await runs.outputs(db, [event_id], [name])
    if row is None or row["workspace"] != workspace:
        raise NotFoundError("there is no such event")
    active = recipes.find(workspace, name)
    recipe = parse_recipe(source, name) if source is not None else active.recipe if active else None
    if recipe is None:
        raise NotFoundError(f"there is no recipe {name!r}")
    given = inputs if inputs is not None else active.inputs if active else {}
    told = {path: [Told(output) for output in outputs] for path, outputs in recorded.get(event_id, {}).items()}
    simulation = simulated(recipes, registry, workspace, recipe, given, told, row["at"])
    simulation.state(stated(connections, row))
    simulation.forward(within)
    return _said(simulation, event_id)


def simulated(
    recipes: Recipes, registry: Registry, workspace: str, recipe: Recipe, inputs: Mapping[str, Any],
    told: Mapping[str, list[Told]], now: datetime,
) -> Simulation:  # fmt: skip
    """A recipe in a world with a workspace's own connections and time zone."""
    return Simulation(
        recipe,
        {connector.slug: connector for connector in registry},
        inputs_of(recipe, inputs)[0],
        told,
        now,
        zone=recipes.zone(workspace, None, {}),
        reach=lambda facts, call: recipes.target(workspace, recipe, call, facts.connection),
    )


def stated(connections: Connections, row: Any) -> Happened:
    """A stored event as it was stated. Raises ValueError for data that cannot be read any more."""
    data = canonical.load(row["type"], row["schema_version"], unpack(row["data"]))
    event = Event(
        type=row["type"],
        object=Ref(row["object_kind"], row["object_id"]),
        subject=Ref(row["subject_kind"], row["subject_id"]),
        occurred_at=row["occurred_at"],
        data=data,
        version=row["version"],
        test=row["test"],
        historical=row["historical"],
    )
    connection = connections.get(row["connection_id"]) if row["connection_id"] else None
    return Happened(row["id"], row["workspace"], connection, event, row["test"], row["occurred_at"])


def _said(simulation: Simulation, event_id: UUID) -> DryRun:
    decision = simulation.decisions[-1] if simulation.decisions else "the recipe does not ask for such events"
    said = DryRun(event_id, simulation.recipe.name, decision)
    if simulation.runs:
        run = simulation.runs[-1]
        said.state, said.reason = run.state, run.reason
        said.steps = {path: row.state for path, row in run.steps.items()}
    said.calls = [
        DryCall(call.use, call.step, call.item, call.connection, call.at, call.values, call.assumed)
        for call in simulation.calls
    ]
    return said

"""A dry run: one stored event, one version of a recipe, every call captured with its input, nothing sent or stored."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, computed_field

from app import events as canonical
from app.connector import Action
from app.crypto import Hasher
from app.domain.connections import Connection, Connections
from app.domain.memory import keys_of
from app.domain.recipes import Recipes, inputs_of, outline_of, set_by_shop
from app.errors import NotFoundError, TradewindError
from app.events import Event, Ref
from app.pipeline.match import event_scope
from app.pipeline.match.simulate import Captured, Happened, Simulation
from app.pipeline.match.standins import Told
from app.recipes import Recipe
from app.registry import Registry
from app.store import events as store
from app.store import remembered, runs, waiters
from app.store.database import Database
from app.store.packing import unpack

LATER = 1000
"""Events after the tried one that a recipe may wait for, at most."""


class DryCall(BaseModel):
    """A call that would be made."""

    use: str = Field(examples=["quickbooks.create_invoice"])
    step: str = Field(examples=["invoice"])
    item: str | None = Field(description="Which item of a `for_each`.")
    connection: str = Field(examples=["books"])
    at: datetime = Field(description="When it would be made.")
    input: Any
    answer: Any = Field(description="What the steps after it saw.")
    error: str | None = Field(None, description="Why a call that only reads, made for real, failed.")
    assumed: bool = Field(description="Nobody recorded its answer: it is an example.")


class DryRun(BaseModel):
    """What a version of a recipe would do about an event; nothing of it is sent or stored."""

    event_id: UUID
    recipe: str
    decision: str = Field(description="`run`, or why it does not run.", examples=["run"])
    state: Literal["none", "running", "waiting", "done", "failed", "cancelled"] = Field(
        "none", description="How the run would stand at the end of the time that passes."
    )
    reason: str | None = None
    steps: dict[str, str] = Field({}, description="Step path -> its state.")
    calls: list[DryCall] = []

    @computed_field(description="How many calls are answered by an example.")  # type: ignore[prop-decorator]
    @property
    def assumed(self) -> int:
        return sum(call.assumed for call in self.calls)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


Reading = Callable[[Connection, Action, BaseModel], Awaitable[BaseModel]]
"""Makes a call that only reads, for real."""


async def dry_run(
    database: Database, recipes: Recipes, connections: Connections, registry: Registry, workspace: str, event_id: UUID,
    recipe: Recipe, inputs: Mapping[str, Any] | None = None, within: timedelta = timedelta(0),
    reading: Reading | None = None, hasher: Hasher | None = None,
) -> DryRun:  # fmt: skip
    """What a version of a recipe would do about a stored event. inputs: others than the workspace set; within: how much
    time passes after the event: waits end in it, and what the recipe waits for comes as it came. reading: makes calls
    that change nothing; without it they are captured as the others are. hasher: finds what recipes remembered.

    Raises NotFoundError for an unknown event."""
    async with database.acquire() as db:
        row = (await store.load(db, [event_id])).get(event_id)
        if row is None or row["workspace"] != workspace:
            raise NotFoundError("there is no such event; perhaps it expired")
        recorded = await runs.outputs(db, [event_id], [recipe.name, *recipe.was])
        awaited = sorted(outline_of(recipe).awaits) if within else []
        later = await waiters.span(db, workspace, awaited, row["at"], row["at"] + within, event_id, LATER)
        fact = stated(connections, row)
        keys = _keys(hasher, fact, outline_of(recipe).recalls) if hasher is not None else []
        memory = await remembered.read(db, keys)
    active = recipes.find(workspace, recipe.name)
    given = inputs if inputs is not None else set_by_shop(active)
    told = {path: [Told(output) for output in outputs] for path, outputs in recorded.get(event_id, {}).items()}
    while True:
        simulation = simulated(recipes, registry, workspace, recipe, given, told, row["at"])
        simulation.hasher = hasher or simulation.hasher
        simulation.memory.update(memory)
        simulation.state(fact)
        for each in later:
            simulation.forward(max(each["at"] - simulation.now, timedelta(0)))
            simulation.state(stated(connections, each))
        simulation.forward(max(row["at"] + within - simulation.now, timedelta(0)))
        if reading is None or not await _read(simulation, told, reading):
            return _said(simulation, event_id)


async def _read(simulation: Simulation, told: dict[str, list[Told]], reading: Reading) -> bool:
    """Make the calls that only read and that an example answered so far; whether there were any."""
    found = False
    for call in simulation.calls:
        action = simulation.action_of(call)
        connection = simulation.connection_of(call)
        if call.assumed and action is not None and action.reads and connection is not None:
            told.setdefault(call.step, []).append(await _answer(connection, action, call, reading))
            found = True
    return found


async def _answer(connection: Connection, action: Action, call: Captured, reading: Reading) -> Told:
    try:
        output = await reading(connection, action, action.input.model_validate_json(call.input))
    except TradewindError as e:
        return Told(fails="permanent", message=f"the read failed: {e}")
    return Told(orjson.loads(output.model_dump_json(exclude_none=True)))


def _keys(hasher: Hasher, fact: Happened, nouns: Iterable[str]) -> list[bytes]:
    scope = event_scope(fact)
    return [
        key
        for noun in nouns
        if isinstance(scope.get(noun), Mapping)
        for key in keys_of(hasher, fact.workspace, fact.connection, noun, scope[noun])
    ]


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
        workspace=workspace,
        reach=lambda facts, call: recipes.target(workspace, recipe, call, facts.connection),
    )


def stated(connections: Connections, row: Any, reads: canonical.Reads | None = None) -> Happened:
    """A stored event as it was stated; `reads`: what is wanted of it. Raises ValueError for data that nothing can
    read any more."""
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
        echo=row["echo"],
    )
    connection = connections.get(row["connection_id"]) if row["connection_id"] else None
    return Happened(row["id"], row["workspace"], connection, event, row["test"], row["occurred_at"], reads)


def _said(simulation: Simulation, event_id: UUID) -> DryRun:
    decision = simulation.decisions[0] if simulation.decisions else "the recipe does not ask for such events"
    said = DryRun(event_id=event_id, recipe=simulation.recipe.name, decision=decision)
    for run in simulation.runs[:1]:
        said.state, said.reason = cast(Any, run.state), run.reason
        said.steps = {path: row.state for path, row in run.steps.items()}
    said.calls = [
        DryCall(
            use=call.use, step=call.step, item=call.item, connection=call.connection, at=call.at, input=call.values,
            answer=call.output, error=call.error, assumed=call.assumed,
        )
        for call in simulation.calls
    ]  # fmt: skip
    return said

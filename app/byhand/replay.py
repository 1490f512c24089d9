"""An event runs recipes again: new runs that point to the earlier ones, under the same effect keys, so that what was
done outside is found and not done twice. `redo` names effects that shall be done anew: their keys get a new generation,
and all others of the run are carried over into it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app import events as canonical
from app.byhand.foresee import Foreseen, Wish, foresee
from app.byhand.texts import PlainText
from app.domain.connections import Connection
from app.domain.recipes import ActiveRecipe, inputs_of, outline_of
from app.errors import ConflictError, MalformedError, NotFoundError, RejectedError
from app.events import Event, Ref
from app.hub import Hub
from app.ids import new_id
from app.pipeline.match import Matcher, Wanted, event_scope
from app.pipeline.run import Beginning, Runner, effect_key, facts_of
from app.store import byhand as store
from app.store import events as event_store
from app.store import runs as run_store
from app.store.byhand import Deed, EarlierRun
from app.store.database import Connection as Db
from app.store.database import Row, to_json
from app.store.packing import unpack
from app.trace.shapes import Decision


class ReplayWanted(BaseModel):
    """What to replay of an event."""

    model_config = ConfigDict(extra="forbid")

    recipes: list[PlainText] | None = Field(
        None, description="Only these; else all that the event ran (original), or would run now (current)."
    )
    version: Literal["original", "current"] = Field(
        "current", description="The recipe versions that ran then, or today's, with today's inputs either way."
    )
    redo: list[PlainText] = Field(
        [],
        description="Effects to do anew although they exist: step paths, effect keys or call ids. Everything else that "
        "was done stays done.",
        examples=[["alert"]],
    )


class ReplayedEffect(BaseModel):
    """An effect that a run meets."""

    step: str
    item: str | None
    action: str = Field(examples=["quickbooks.create_invoice"])
    connection: str | None
    key: str = Field(description="The effect key, 32 hex digits.")
    standing: Literal["done", "reserved", "uncertain", "new"] = Field(
        description="done: skipped, its output is used. reserved, uncertain: waited for. new: would be done."
    )


class ReplayedRun(BaseModel):
    """A run that a replay makes, or would make."""

    recipe: str
    version: int
    run_id: UUID | None = Field(description="None in a preview.")
    replay_of: UUID | None = Field(description="The earlier run; None where the recipe never ran for this event.")
    generation: int
    effects: list[ReplayedEffect] = Field(description="As far as they can be known before.")
    whole: bool = Field(description="False where steps follow that depend on a new effect.")
    ends: str = Field(description="How the run would end, or that it goes on.", examples=["done"])


class Replay(BaseModel):
    """What a replay does, or in a preview would do."""

    event_id: UUID
    dry_run: bool
    runs: list[ReplayedRun]
    refused: list[Decision] = Field(description="Recipes that do not answer this event, and why.")


@dataclass(frozen=True, slots=True)
class StoredFact:
    """A stored event as `match` takes it; without a connection where a recipe or another system stated it."""

    id: UUID
    workspace: str
    connection: Connection | None
    event: Event
    test: bool
    occurred_at: datetime
    line: bytes
    """The hash by which runs and calls of its subject are kept in order."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to be begun, with what is known of it before."""

    beginning: Beginning
    once: Wanted | None
    carried: Mapping[bytes, Row]
    foreseen: Foreseen


async def replay(
    hub: Hub,
    matcher: Matcher,
    workspace: str,
    event_id: UUID,
    wanted: ReplayWanted,
    actor: str,
    *,
    dry_run: bool = False,
) -> Replay:
    """Replay one event, or with `dry_run` only say what that would do.

    Raises NotFoundError, MalformedError for a `redo` that names nothing, ConflictError where an effect to be redone is
    still in doubt, or where the event's connection is gone.
    """
    await hub.refresh()
    async with hub.database.transaction() as db:
        plan, refused = await plan_event(hub, matcher, db, workspace, event_id, wanted)
        report = Replay(
            event_id=event_id,
            dry_run=dry_run,
            runs=[_shown(hub, planned, dry_run) for planned in plan],
            refused=[Decision(recipe=name, ran=False, run_id=None, reason=why) for name, why in refused.items()],
        )
        if dry_run:
            return report
        lanes = await begin_planned(hub, matcher.runner, db, workspace, plan)
        detail = {"runs": [str(planned.beginning.run_id) for planned in plan], "redo": wanted.redo}
        await store.note(db, Deed(workspace, actor, "replay", f"event/{event_id}", {}), to_json(detail))
    for connection_id in lanes:
        hub.bells.ring(f"lane:{connection_id}")
    return report


# --- planning ---------------------------------------------------------------------------------------------------


Planned = tuple[list[PlannedRun], dict[str, str]]
"""The runs that a replay of an event begins, and the recipes that it does not run, with the reasons."""


async def plan_event(
    hub: Hub, matcher: Matcher, db: Db, workspace: str, event_id: UUID, wanted: ReplayWanted
) -> Planned:
    """What a replay of an event does. Raises as `replay` does."""
    (planned,) = await plan_events(hub, matcher, db, workspace, [(event_id, wanted)])
    if isinstance(planned, RejectedError):
        raise planned
    return planned


async def plan_events(
    hub: Hub, matcher: Matcher, db: Db, workspace: str, asked: Sequence[tuple[UUID, ReplayWanted]]
) -> list[Planned | RejectedError]:
    """What a replay of each of these events does, or why it is refused; in their order."""
    ids = [event_id for event_id, _ in asked]
    rows = await event_store.load(db, ids)
    earlier = await store.earlier_runs(db, workspace, ids)
    answers: list[_Answers | RejectedError] = []
    for event_id, wanted in asked:
        await asyncio.sleep(0)  # new orders are worked meanwhile
        try:
            fact = _known_fact(hub, rows.get(event_id), workspace)
            answers.append(await _answers(hub, matcher, db, fact, earlier[event_id], wanted))
        except RejectedError as e:
            answers.append(e)
    firsts = await _first_runs(db, workspace, [each for each in answers if not isinstance(each, RejectedError)])
    found: list[tuple[list[tuple[_Chosen, Wish]], dict[str, str]] | RejectedError] = []
    for (event_id, wanted), each in zip(asked, answers, strict=True):
        try:
            if isinstance(each, RejectedError):
                raise each
            chosen = await _choose(matcher, db, [_known(one, firsts) for one in each[0]], earlier[event_id], wanted)
            found.append(([(one, _wish(one)) for one in chosen], each[1]))
        except RejectedError as e:
            found.append(e)
    wishes = [wish for each in found if not isinstance(each, RejectedError) for _, wish in each[0]]
    await foresee(db, matcher.runner, wishes)
    return [
        each if isinstance(each, RejectedError) else ([_planned(*pair) for pair in each[0]], each[1]) for each in found
    ]


def _known_fact(hub: Hub, row: Row | None, workspace: str) -> StoredFact:
    if row is None or row["workspace"] != workspace:
        raise NotFoundError("there is no such event; perhaps it expired")
    connection = hub.connections.get(row["connection_id"])
    if connection is None and row["connection_id"] is not None:
        raise ConflictError("the connection that this event came from was removed")
    return _fact(hub, row, connection)


async def _answers(
    hub: Hub, matcher: Matcher, db: Db, fact: StoredFact, earlier: Sequence[EarlierRun], wanted: ReplayWanted
) -> "_Answers":
    if wanted.version == "original":
        return await _as_then(hub, matcher, db, fact, earlier, wanted.recipes)
    return await _as_now(hub, matcher, db, fact, earlier, wanted.recipes)


async def _first_runs(db: Db, workspace: str, answers: Sequence["_Answers"]) -> dict[bytes, EarlierRun]:
    """The runs that used the `once_per` values of events which the recipes never ran for."""
    keys = [one.once.once_key for each in answers for one in each[0] if one.once and one.once.once_key]
    return await store.first_runs(db, workspace, keys) if keys else {}


def _known(candidate: "_Candidate", firsts: Mapping[bytes, EarlierRun]) -> "_Candidate":
    """The candidate as it is when another event's run used its `once_per` value."""
    once = candidate.once
    first = firsts.get(once.once_key) if once and once.once_key else None
    if first is None:
        return candidate
    later = replace(candidate.beginning, once_value=first.once_value, generation=first.generation, replay_of=first.id)
    return _Candidate(later)


async def _choose(
    matcher: Matcher, db: Db, candidates: Sequence["_Candidate"], earlier: Sequence[EarlierRun], wanted: ReplayWanted
) -> list["_Chosen"]:
    names = {candidate.beginning.active.name for candidate in candidates}
    redone = await _redo(db, [run for run in earlier if run.recipe in names], wanted)
    return [_chosen(matcher.runner, each, redone.get(each.beginning.active.name)) for each in candidates]


def _fact(hub: Hub, row: Row, connection: Connection | None) -> StoredFact:
    event = Event(
        type=row["type"],
        object=Ref(row["object_kind"], row["object_id"]),
        subject=Ref(row["subject_kind"], row["subject_id"]),
        occurred_at=row["occurred_at"],
        data=canonical.load(row["type"], row["schema_version"], unpack(row["data"])),
        version=row["version"],
        test=row["test"],
        historical=row["historical"],
        echo=row["echo"],
        note=row["note"],
    )
    source = row["subject_connection_id"] or row["connection_id"]
    line = hub.hasher("subject", source.bytes if source else b"", row["subject_kind"], row["subject_id"])
    return StoredFact(row["id"], row["workspace"], connection, event, row["test"], row["occurred_at"], line)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A run that a replay could begin. once: its `once_per` value where no run used it before."""

    beginning: Beginning
    once: Wanted | None = None


_Answers = tuple[list[_Candidate], dict[str, str]]
"""The runs that a replay of an event could begin, and the recipes that it does not run, with the reasons."""


async def _as_then(
    hub: Hub, matcher: Matcher, db: Db, fact: StoredFact, earlier: Sequence[EarlierRun], names: Sequence[str] | None
) -> _Answers:
    """The recipe versions that the event ran, each with today's inputs."""
    last = {run.recipe: run for run in earlier}
    refused = {name: "it never ran for this event" for name in names or () if name not in last}
    candidates = []
    for name, run in last.items():
        if names is not None and name not in names:
            continue
        active = await _version_of(hub, fact.workspace, run)
        if isinstance(active, str):
            refused[name] = active
            continue
        scope = await _scope(matcher, db, fact, [active])
        scope = {**outline_of(active.recipe).absent, **scope, "inputs": active.inputs, "steps": {}}
        scope["now"] = hub.clock.now()
        candidates.append(_Candidate(_beginning(fact, active, scope, run)))
    return candidates, refused


async def _version_of(hub: Hub, workspace: str, run: EarlierRun) -> ActiveRecipe | str:
    recipe = await hub.recipes.version(run.version_id)
    if recipe is None:
        return "its version of then cannot be loaded any more"
    active = hub.recipes.find(workspace, run.recipe)
    if active is None:
        return "the recipe was removed"
    if not active.enabled:
        return "disabled"
    inputs = inputs_of(recipe, active.inputs)[0]
    return replace(active, version_id=run.version_id, number=run.number or 0, recipe=recipe, inputs=inputs)


async def _as_now(
    hub: Hub, matcher: Matcher, db: Db, fact: StoredFact, earlier: Sequence[EarlierRun], names: Sequence[str] | None
) -> _Answers:
    """Today's versions of the recipes that answer the event today."""
    last = {run.recipe: run for run in earlier}
    there = hub.recipes.for_event(fact.workspace, fact.event.type)
    scope = await _scope(matcher, db, fact, there)
    known = {active.name for active in there}
    refused = {name: f"it does not answer {fact.event.type}" for name in names or () if name not in known}
    candidates = []
    for active in there:
        if names is not None and active.name not in names:
            continue
        decided = matcher._decide(active, fact, scope)
        if isinstance(decided, str):
            refused[active.name] = decided
            continue
        run = last.get(active.name)
        once = decided if run is None else None
        candidates.append(_Candidate(_beginning(fact, active, decided.scope, run, decided), once))
    return candidates, refused


async def _scope(matcher: Matcher, db: Db, fact: StoredFact, recipes: Sequence[ActiveRecipe]) -> dict[str, Any]:
    """What expressions may read of the event, with what recipes remembered laid over it."""
    scope = event_scope(fact)
    await matcher._recall(db, [(fact, recipes, scope)])
    return scope


def _beginning(
    fact: StoredFact,
    active: ActiveRecipe,
    scope: dict[str, Any],
    first: EarlierRun | None,
    decided: Wanted | None = None,
) -> Beginning:
    subject = fact.event.subject
    once_value = first.once_value if first else decided.once_value if decided else ""
    return Beginning(
        run_id=decided.run_id if decided else new_id(),
        active=active,
        event_id=fact.id,
        connection=fact.connection,
        subject=fact.line,
        once_value=once_value,
        scope=scope,
        generation=first.generation if first else 0,
        replay_of=first.id if first else None,
        about=(subject.kind, subject.id),
    )


# --- doing effects anew -----------------------------------------------------------------------------------------


async def _redo(db: Db, earlier: Sequence[EarlierRun], wanted: ReplayWanted) -> dict[str, list[Row]]:
    """{recipe: the effects that it keeps} for the recipes of which an effect shall be done anew."""
    if not wanted.redo:
        return {}
    recipes = {run.id: run.recipe for run in earlier}
    effects: dict[str, list[Row]] = {}
    for row in await store.calls_with_effects(db, list(recipes)) if recipes else ():
        effects.setdefault(recipes[row["run_id"]], []).append(row)
    unknown = [name for name in wanted.redo if not any(_names(row, name) for rows in effects.values() for row in rows)]
    if unknown:
        there = sorted({row["path"] for rows in effects.values() for row in rows})
        listed = ", ".join(there) or "none"
        raise MalformedError(f"redo: {unknown[0]!r} names no effect of this event; there are {listed}")
    kept = {}
    for recipe, rows in effects.items():
        if any(_names(row, name) for row in rows for name in wanted.redo):
            _refuse_doubt(recipe, rows)
            kept[recipe] = [row for row in rows if not any(_names(row, name) for name in wanted.redo)]
    return kept


def _names(row: Row, name: str) -> bool:
    return name in (row["path"], _step(row), row["effect_key"].hex(), str(row["id"]))


def _step(row: Row) -> str:
    """The path of the step, without the item that it was done for."""
    path: str = row["path"]
    return path.partition("[")[0]


def _refuse_doubt(recipe: str, rows: Sequence[Row]) -> None:
    open_ = next((row for row in rows if row["state"] in ("reserved", "uncertain")), None)
    if open_ is not None:
        raise ConflictError(
            f"the effect of {recipe}/{open_['path']} is still {open_['state']}; nothing can be done anew before it is "
            f"over: see /v1/effects"
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A run that will be begun. carried: the effects that it takes over into a new generation, by their keys there."""

    beginning: Beginning
    once: Wanted | None
    carried: Mapping[bytes, Row]


def _chosen(runner: Runner, candidate: _Candidate, kept: Sequence[Row] | None) -> _Chosen:
    beginning = candidate.beginning
    carried: dict[bytes, Row] = {}
    if kept is not None:
        beginning = replace(beginning, generation=beginning.generation + 1)
        for row in kept:
            key = _key(runner, beginning, row)
            if key is not None and row["state"] == "done":
                carried[key] = row
    return _Chosen(beginning, candidate.once, carried)


def _wish(chosen: _Chosen) -> Wish:
    outputs = {key: row["output"] for key, row in chosen.carried.items()}
    return Wish(facts_of(chosen.beginning), chosen.beginning.scope, outputs)


def _planned(chosen: _Chosen, wish: Wish) -> PlannedRun:
    return PlannedRun(chosen.beginning, chosen.once, chosen.carried, wish.seen)


def _key(runner: Runner, beginning: Beginning, row: Row) -> bytes | None:
    """The key that an effect has in this generation; None where its step or connection is gone."""
    target = runner.connections.get(row["connection_id"])
    try:
        step = beginning.active.recipe.step(_step(row))
    except KeyError:
        return None
    return None if target is None else effect_key(runner.hasher, facts_of(beginning), step, target, row["item"])


# --- doing ------------------------------------------------------------------------------------------------------


async def begin_planned(hub: Hub, runner: Runner, db: Db, workspace: str, plan: Sequence[PlannedRun]) -> set[UUID]:
    """Begin planned runs in this transaction; answers the connections whose lanes now have work."""
    now = hub.clock.now()
    firsts: dict[bytes, tuple[UUID, datetime | None]] = {}
    for planned in plan:
        if planned.once and planned.once.once_key:
            firsts.setdefault(planned.once.once_key, (planned.once.run_id, planned.once.free_at))
    await run_store.take_once(db, [(key, run_id, free) for key, (run_id, free) in firsts.items()], now)
    await store.carry_over(
        db,
        workspace,
        [
            (key, row["call_id"], row["label"], to_json(row["output"]))
            for planned in plan
            for key, row in planned.carried.items()
        ],
    )
    return await runner.begin(db, [planned.beginning for planned in plan])


def _shown(hub: Hub, planned: PlannedRun, dry_run: bool) -> ReplayedRun:
    beginning, seen = planned.beginning, planned.foreseen
    effects = []
    for effect in seen.effects:
        target = hub.connections.get(effect.connection_id)
        effects.append(
            ReplayedEffect(
                step=effect.step, item=effect.item, action=effect.action, connection=target.slug if target else None,
                key=effect.key.hex(), standing=effect.standing,
            )
        )  # fmt: skip
    return ReplayedRun(
        recipe=beginning.active.name,
        version=beginning.active.number,
        run_id=None if dry_run else beginning.run_id,
        replay_of=beginning.replay_of,
        generation=beginning.generation,
        effects=effects,
        whole=seen.whole,
        ends=f"{seen.state}: {seen.reason}" if seen.reason else seen.state,
    )

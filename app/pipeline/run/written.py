"""What walks found, written: steps, calls, waiters, events to be stated, things remembered. All batched."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.crypto import Hasher
from app.domain.memory import keys_of
from app.domain.recipes import Recipes
from app.pipeline.run.advance import Walk
from app.pipeline.run.listening import new_waiters
from app.store import calls, remembered, runs, timers, waiters
from app.store.database import Connection as Db
from app.store.database import to_json
from app.store.remembered import Memory
from app.store.timers import Timer


async def write(db: Db, hasher: Hasher, recipes: Recipes, walks: Sequence[Walk], now: datetime) -> set[UUID]:
    """Write what is new; answers the connections whose lanes now have work."""
    await runs.insert_steps(db, [step for walk in walks for step in walk.new_steps])
    await runs.end_steps(db, [step for walk in walks for step in walk.ended_steps], now)
    await runs.change_steps(db, [step for walk in walks for step in walk.changed_steps])
    made = [call for walk in walks for call in walk.new_calls]
    await calls.insert(db, made)
    live = [walk for walk in walks if not walk.facts.dry]
    await _listen(db, hasher, recipes, live)
    await timers.insert(db, [timer for walk in live for timer in _timers(hasher, walk, now)])
    await remembered.write(db, [memory for walk in live for memory in _memories(hasher, walk)])
    return {call.connection_id for call in made if call.state == "due"}


async def _listen(db: Db, hasher: Hasher, recipes: Recipes, walks: Sequence[Walk]) -> None:
    listening = [walk for walk in walks if walk.new_ears and walk.state not in ("done", "failed", "cancelled")]
    if listening:
        made = [waiter for walk in listening for waiter in new_waiters(hasher, walk.facts, walk.new_ears)]
        await waiters.insert(db, made)
        unknown = {
            (walk.facts.workspace, walk.facts.recipe.name)
            for walk in listening
            for ear in walk.new_ears
            if not recipes.awaited(walk.facts.workspace, ear.event_type)
        }
        await waiters.announce(db, sorted(unknown))


def _timers(hasher: Hasher, walk: Walk, now: datetime) -> list[Timer]:
    """The events that a run emits, as rows that the stages before take up."""
    facts = walk.facts
    kind, about = facts.about or ("run", str(facts.run_id))
    return [
        Timer(
            each.id, facts.workspace, "event", facts.connection.id if facts.connection else None,
            hasher("emitted", facts.workspace, facts.run_id.bytes, each.path),
            to_json({
                "type": each.event, "data": each.data, "subject_kind": kind, "subject_id": about,
                "object_id": f"{facts.run_id}/{each.path}", "test": bool(walk.scope["event"]["test"]),
            }),
            now,
        )
        for each in walk.emitted
    ]  # fmt: skip


def _memories(hasher: Hasher, walk: Walk) -> list[Memory]:
    facts = walk.facts
    return [
        Memory(key, facts.workspace, to_json(each.attributes), each.add_tags, each.remove_tags)
        for each in walk.remembered
        for key in keys_of(hasher, facts.workspace, facts.connection, each.noun, each.thing)
    ]

"""Backtests in processes of their own, beside what else a process does; on all cores where events can be looked at
apart: where no run waits, nothing is remembered from one event to the next, and so no half of the span needs the other.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from app.byhand.versions import Text
from app.domain.recipes import outline_of
from app.domain.retention import events_kept_since
from app.errors import PermanentError
from app.events import event_type
from app.hub import Hub, open_hub
from app.pipeline.match.backtest import Progress, backtest
from app.pipeline.match.reports import Backtest, merged
from app.recipes import Recipe, SetFacts
from app.registry import Registry
from app.settings import Settings
from app.store import waiters

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

LARGE = 20_000
"""Events from which on processes of their own are worth their start (a second)."""
MOST = 4
LOOKS = 0.1
"""Seconds between two looks at what the processes say."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A backtest that is wanted. name and texts: of the recipe and of what it is compared with; inputs: others than the
    workspace set; end: to which moment waits go on, where the events are only a part of the span."""

    workspace: str
    name: str
    text: Text
    since: datetime
    until: datetime
    against: Text | None = None
    inputs: Mapping[str, Any] | None = None
    shown: int = 50
    end: datetime | None = None

    @property
    def versions(self) -> list[Recipe]:
        return [text.recipe(self.name) for text in (self.text, self.against) if text is not None]


async def try_out(hub: Hub, trial: Trial, progress: Progress, apart: bool = False) -> Backtest:
    """Do a backtest: in this process where it is small, unless it is to be `apart`. Cancelling ends the processes.

    Raises PermanentError for a span that retention has cut."""
    await refuse_cut(hub, trial)
    wanted = sorted({event for each in trial.versions for event in (*each.events, *outline_of(each).awaits)})
    async with hub.database.acquire() as db:
        large = await waiters.more_than(db, trial.workspace, wanted, trial.since, trial.until, LARGE)
    if not large and not apart:
        return await here(hub, trial, progress)
    cores = min(os.cpu_count() or 1, MOST)
    parts = halves(trial, cores) if large and all(map(splits, trial.versions)) else [trial]
    return await _apart(hub.settings, parts, progress)


async def refuse_cut(hub: Hub, trial: Trial) -> None:
    """Raises PermanentError for a span of which retention took events away, or may this moment."""
    kept_since = await events_kept_since(hub.database, hub.settings, hub.clock.now())
    if trial.since < kept_since:
        raise PermanentError(
            f"events before {kept_since:%Y-%m-%d %H:%M} are not kept, and the span begins {trial.since:%Y-%m-%d %H:%M}:"
            " a backtest over what is left of it would mislead. Look back less far; TRADEWIND_RETENTION_EVENTS_DAYS"
            " says how long events are kept"
        )


async def here(hub: Hub, trial: Trial, progress: Progress) -> Backtest:
    """Do it in this process."""
    recipe, *other = trial.versions
    return await backtest(
        hub.database, hub.recipes, hub.connections, hub.registry, trial.workspace, recipe, trial.since, trial.until,
        inputs=trial.inputs, against=other[0] if other else None, end=trial.end, shown=trial.shown, progress=progress,
    )  # fmt: skip


def splits(recipe: Recipe) -> bool:
    """Whether what a recipe does about an event depends on no other event."""
    kinds = [event_type(each) for each in recipe.events]
    alone = len(kinds) == 1 or not any(kind.milestone for kind in kinds)
    remembers = any(isinstance(step.does, SetFacts) for step in recipe.all_steps()) or outline_of(recipe).recalls
    return alone and not (recipe.waits or recipe.limits or recipe.once_per or remembers)


def halves(trial: Trial, count: int) -> list[Trial]:
    """A trial in parts of the same length."""
    step = (trial.until - trial.since) / count
    bounds = [trial.since + step * number for number in range(count)] + [trial.until]
    return [replace(trial, since=a, until=b, end=trial.until) for a, b in pairwise(bounds)]


# --- processes of their own -------------------------------------------------------------------------------------


async def _apart(settings: Settings, parts: Sequence[Trial], progress: Progress) -> Backtest:
    from multiprocessing import get_context  # a megabyte that few processes ever need

    spawn = get_context("spawn")
    children = []
    try:
        for part in parts:
            ours, theirs = spawn.Pipe(duplex=False)
            child = spawn.Process(target=_work, args=(settings, part, theirs), daemon=True)
            child.start()
            theirs.close()
            children.append((child, ours))
        reports: dict[int, Backtest] = {}
        said: dict[int, tuple[int, float]] = {}
        while len(reports) < len(parts):
            await asyncio.sleep(LOOKS)
            for index, (child, pipe) in enumerate(children):
                if index not in reports:
                    _listen(index, child.is_alive(), pipe, parts[index], reports, said)
            share = sum(done for _, done in said.values()) / len(parts)
            whole = parts[-1].until - parts[0].since
            progress(sum(events for events, _ in said.values()), parts[0].since + whole * share)
        return merged([reports[index] for index in range(len(parts))], parts[0].shown)
    finally:
        for child, _ in children:
            child.kill()


def _listen(
    index: int, alive: bool, pipe: "Pipe", part: Trial, reports: dict[int, Backtest], said: dict[int, tuple[int, float]]
) -> None:
    """Take what a process says. Raises what ended it."""
    with suppress(EOFError):
        while pipe.poll():
            match pipe.recv():
                case Backtest() as report:
                    reports[index], said[index] = report, (report.events, 1.0)
                case (events, at):
                    said[index] = (events, (at - part.since) / max(part.until - part.since, timedelta(seconds=1)))
                case str() as error:
                    raise PermanentError(error)
    if not alive and index not in reports:
        raise PermanentError("the process that ran the backtest has ended")


def _work(settings: Settings, part: Trial, pipe: "Pipe") -> None:
    """What such a process does."""
    os.nice(5)  # what the shop waits for comes first

    def progress(events: int, at: datetime) -> None:
        pipe.send((events, at))

    async def main() -> Backtest:
        async with open_hub(settings, Registry.of(settings), stays=True) as hub:
            return await here(hub, part, progress)

    try:
        pipe.send(asyncio.run(main()))
    except Exception as e:
        pipe.send(f"{type(e).__name__}: {e}"[:500])

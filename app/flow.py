"""The flow as a terminal shows it: one line an event, once its runs have ended or got into trouble."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from rich.text import Text

from app import events as canonical
from app.ids import time_of
from app.store import flow as store
from app.store.database import Connection, Database
from app.store.flow import Progress, Refused, Seen
from app.store.packing import unpack

_ONE_LINE = {ord("\n"): " ", ord("\t"): " "}
"""An order's number with a break in it forges no line."""
PATIENCE = 8.0
"""Seconds after which an event is told of although its runs have not ended."""
LOOK_BACK = timedelta(seconds=30)
"""Ids are made before their rows commit: what is a little older than the newest may still come."""
FOLLOWED_AT_MOST = 200
"""Events with runs that go on after they were told of; the oldest are let go."""
STANDING_EVERY = 1.0
"""Seconds between two looks at what stands still."""

HEADING = f"{'time':<9} {'order':<8} {'customer':<18} {'amount':>14}  {'event':<13}  recipes, calls and their time"
_ENDED = {"done", "failed", "cancelled", "held", "waiting"}
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "cancelled": ("–", "dim"), "held": ("‖", "yellow"),
          "waiting": ("…", "cyan"), "running": ("…", "yellow")}  # fmt: skip


@dataclass
class Followed:
    """An event that was told of, and how its runs stood then."""

    seen: Seen
    states: dict[UUID, str]


@dataclass
class Flow:
    """Follows the database. `lines()` answers what is new to tell, oldest first; `last` is the last order told of;
    `width`: of the terminal, if it is one."""

    database: Database
    since: datetime
    last: str | None = None
    told: dict[UUID, datetime] = field(default_factory=dict)
    open: dict[UUID, tuple[Seen, float]] = field(default_factory=dict)
    followed: dict[UUID, Followed] = field(default_factory=dict)
    parked: dict[str, str] = field(default_factory=dict)
    began: datetime | None = None
    width: int | None = None
    _stood: float = 0.0

    async def lines(self) -> list[Text]:
        self.began = self.began or self.since
        async with self.database.acquire() as db:
            known = [*self.told, *self.open]
            for seen in await store.events_since(db, self.since, known):
                self.open[seen.id] = (seen, time.monotonic())
            refused = await store.refused_since(db, self.since, known)
            for seen in await store.replayed_since(db, self.since, [*self.open, *self.followed]):
                self.followed[seen.id] = Followed(seen, {})
            runs = await store.progress_of(db, [*self.open, *self.followed])
            standing = await self._standing(db)
        lines = [refused_line(each) for each in refused]
        self.told |= {each.id: each.at for each in refused}
        lines += standing + list(self._later(runs)) + list(self._ended(runs))
        for line in lines:
            line.plain = line.plain.translate(_ONE_LINE)
        return lines

    async def _standing(self, db: Connection) -> list[Text]:
        """Lanes that were parked, or go on again, since the last look."""
        if time.monotonic() - self._stood < STANDING_EVERY:
            return []
        self._stood = time.monotonic()
        before, now = self.parked, await store.parked(db)
        self.parked = {slug: reason for slug, (reason, _) in now.items()}
        lines = [parked_line(slug, why, waiting) for slug, (why, waiting) in now.items() if slug not in before]
        return lines + [resumed_line(slug) for slug in before if slug not in now]

    def _ended(self, runs: Sequence[Progress]) -> Iterable[Text]:
        for event_id, (seen, met) in list(self.open.items()):
            mine = [run for run in runs if run.event_id == event_id]
            if all(run.state in _ENDED for run in mine) or time.monotonic() - met > PATIENCE:
                del self.open[event_id]
                self.told[event_id] = seen.at
                self.last = seen.number or self.last
                if any(run.state in ("running", "held", "waiting") for run in mine):
                    self.followed[event_id] = Followed(seen, {run.id: run.state for run in mine})
                yield event_line(seen, mine, self.width)
        self._forget()

    def _later(self, runs: Sequence[Progress]) -> Iterable[Text]:
        """What became of runs after their event was told of, and of runs that repeat earlier ones."""
        for event_id, followed in list(self.followed.items()):
            mine = [run for run in runs if run.event_id == event_id and self._concerns(run, followed)]
            news = [run for run in mine if run.state in _ENDED and followed.states.get(run.id) != run.state]
            followed.states |= {run.id: run.state for run in news}
            if news:
                yield later_line(followed.seen, news)
            over = all(followed.states.get(run.id) in ("done", "failed", "cancelled") for run in mine)
            if mine and over and not any(run.replay for run in mine):
                del self.followed[event_id]
        while len(self.followed) > FOLLOWED_AT_MOST:
            del self.followed[next(iter(self.followed))]

    def _concerns(self, run: Progress, followed: Followed) -> bool:
        return run.id in followed.states or (run.replay and self.began is not None and time_of(run.id) >= self.began)

    def _forget(self) -> None:
        """What lies further back than late commits reach is looked at no more."""
        if self.told:
            self.since = max(
                self.since, min([max(self.told.values()), *(s.at for s, _ in self.open.values())]) - LOOK_BACK
            )
            self.told = {row_id: at for row_id, at in self.told.items() if at >= self.since}


def event_line(seen: Seen, runs: Sequence[Progress], width: int | None = None) -> Text:
    """Time, number, customer, amount, event, then each recipe with its calls and their milliseconds; where that is
    wider than `width`, the runs that are done are summed up."""
    line = _start(seen, runs)
    done = [run for run in runs if run.state == "done"]
    whole = line.copy()
    for run in runs:
        whole.append_text(_run(run))
    if width is None or whole.cell_len <= width or len(done) < 2:
        return whole
    calls, longest = sum(run.calls for run in done), max(run.milliseconds for run in done)
    line.append(" ✓ ", "green")
    line.append(f"{len(done)} recipes")
    line.append(f" {calls} calls {longest} ms ", "dim")
    for run in runs:
        if run.state != "done":
            line.append_text(_run(run))
    return line


def _start(seen: Seen, runs: Sequence[Progress]) -> Text:
    name, amount = _who_and_what(seen)
    number = seen.number or ""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{seen.at.astimezone():%H:%M:%S}  ", "dim")
    line.append(f"{number[:12]:<8} ", "bold")
    line.append(f"{name[:18]:<18} {amount:>14}  ")
    line.append(f"{seen.type:<13} ", "cyan")
    if not runs:
        line.append(" no recipe asks for it", "dim")
    return line


def later_line(seen: Seen, runs: Sequence[Progress]) -> Text:
    """The order again, and the runs that ended after it was told of."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{datetime.now().astimezone():%H:%M:%S}  ", "dim")
    line.append(f"{(seen.number or '')[:12]:<8} ", "bold")
    line.append("replayed, " if any(run.replay for run in runs) else "later, ", "cyan")
    line.append(f"{seen.type} of {seen.at.astimezone():%H:%M:%S} ", "cyan")
    for run in runs:
        line.append_text(_run(run))
    return line


def parked_line(slug: str, why: str, waiting: int) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{datetime.now().astimezone():%H:%M:%S}  ", "dim")
    line.append(f"‖ {slug} is parked, {waiting} calls wait: ", "yellow")
    line.append(why[:160])
    return line


def resumed_line(slug: str) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{datetime.now().astimezone():%H:%M:%S}  ", "dim")
    line.append(f"✓ {slug} answers again; what waited goes on, the calls of each order in their sequence", "green")
    return line


def refused_line(refused: Refused) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{refused.at.astimezone():%H:%M:%S}  ", "dim")
    line.append(f"{refused.state} webhook  ", "red" if refused.state != "unknown" else "yellow")
    line.append(f"{refused.connection} {refused.topic}  {refused.reason or ''}".strip())
    return line


def _run(run: Progress) -> Text:
    mark, style = _MARKS[run.state]
    if run.state == "running" and run.trouble:
        style = "red"
    text = Text(" ")
    text.append(f"{mark} ", style)
    text.append(run.recipe)
    calls = f"{run.calls} call{'' if run.calls == 1 else 's'}"
    if run.state in ("failed", "cancelled", "held") or run.trouble:
        text.append(f" {run.state}: {(run.reason or run.trouble or '')[:160]} ", style)
    elif run.state == "running":
        text.append(f" {run.done} of {calls} so far ", style)
    else:
        text.append(f" {calls} {run.milliseconds} ms ", "dim")
    return text


def _who_and_what(seen: Seen) -> tuple[str, str]:
    """The customer's name and the amount that an event is about, as far as its data say."""
    try:
        data = canonical.load(seen.type, seen.schema_version, unpack(seen.data))
    except ValueError:
        return seen.email or "", ""
    customer = canonical.customer_of(data)
    names = [customer.first_name, customer.last_name] if customer else []
    totals = getattr(getattr(data, "order", None), "totals", None)
    money = getattr(totals, "total", None)
    for noun in ("refund", "payment", "dispute", "payout"):
        money = money or getattr(getattr(data, noun, None), "amount", None)
    return " ".join(filter(None, names)) or seen.email or "", str(money) if money else ""

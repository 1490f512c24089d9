"""The flow as a terminal shows it: one line an event, once its runs have ended or got into trouble."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from rich.text import Text

from app import events as canonical
from app.store import flow as store
from app.store.database import Database
from app.store.flow import Progress, Refused, Seen
from app.store.packing import unpack

PATIENCE = 8.0
"""Seconds after which an event is told of although its runs have not ended."""
LOOK_BACK = timedelta(seconds=30)
"""Ids are made before their rows commit: what is a little older than the newest may still come."""

HEADING = f"{'time':<9} {'order':<8} {'customer':<18} {'amount':>14}  {'event':<13}  recipes, calls and their time"
_ENDED = {"done", "failed", "cancelled", "held", "waiting"}
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "cancelled": ("–", "dim"), "held": ("‖", "yellow"),
          "waiting": ("…", "cyan"), "running": ("…", "yellow")}  # fmt: skip


@dataclass
class Flow:
    """Follows the database. `lines()` answers what is new to tell, oldest first; `last` is the last order told of."""

    database: Database
    since: datetime
    last: str | None = None
    told: dict[UUID, datetime] = field(default_factory=dict)
    open: dict[UUID, tuple[Seen, float]] = field(default_factory=dict)

    async def lines(self) -> list[Text]:
        async with self.database.acquire() as db:
            known = [*self.told, *self.open]
            for seen in await store.events_since(db, self.since, known):
                self.open[seen.id] = (seen, time.monotonic())
            refused = await store.refused_since(db, self.since, known)
            runs = await store.progress_of(db, list(self.open))
        lines = [refused_line(each) for each in refused]
        self.told |= {each.id: each.at for each in refused}
        return lines + list(self._ended(runs))

    def _ended(self, runs: Sequence[Progress]) -> Iterable[Text]:
        for event_id, (seen, met) in list(self.open.items()):
            mine = [run for run in runs if run.event_id == event_id]
            if all(run.state in _ENDED for run in mine) or time.monotonic() - met > PATIENCE:
                del self.open[event_id]
                self.told[event_id] = seen.at
                self.last = seen.number or self.last
                yield event_line(seen, mine)
        self._forget()

    def _forget(self) -> None:
        """What lies further back than late commits reach is looked at no more."""
        if self.told:
            self.since = max(
                self.since, min([max(self.told.values()), *(s.at for s, _ in self.open.values())]) - LOOK_BACK
            )
            self.told = {row_id: at for row_id, at in self.told.items() if at >= self.since}


def event_line(seen: Seen, runs: Sequence[Progress]) -> Text:
    """Time, number, customer, amount, event, then each recipe with its calls and their milliseconds."""
    name, amount = _who_and_what(seen)
    number = seen.number or ""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{seen.at.astimezone():%H:%M:%S}  ", "dim")
    line.append(f"{number[:12]:<8} ", "bold")
    line.append(f"{name[:18]:<18} {amount:>14}  ")
    line.append(f"{seen.type:<13} ", "cyan")
    if not runs:
        line.append(" no recipe asks for it", "dim")
    for run in runs:
        line.append_text(_run(run))
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

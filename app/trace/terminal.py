"""A trace as a tree for people at a terminal: times, durations, what went well and what did not; errors in full."""

from datetime import datetime, timedelta

import orjson
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from app.trace.shapes import Attempt, Call, Decision, Effect, EventWay, Gone, Json, RunDetail, Step, Trace, Way, Webhook

OUTPUT = 100
"""Characters of an output that are shown."""

_GOOD = {"normalised", "done", "ok"}
_BAD = {"failed", "dead", "permanent", "malformed"}
_MARKS = {
    "ignored": ("–", "dim"),
    "skipped": ("–", "dim"),
    "cancelled": ("–", "dim"),
    "captured": ("–", "dim"),
    "released": ("–", "dim"),
    "unknown": ("?", "yellow"),
    "uncertain": ("?", "yellow"),
    "unsure": ("?", "yellow"),
    "retryable": ("↻", "yellow"),
    "late": ("!", "red"),
}
_OPEN = ("…", "cyan")


def render(trace: Trace) -> RenderableType:
    """The trace as rich shows it; a line for each thing, indented under what it came from."""
    if not trace.found:
        return Text(f"Nothing is known of {trace.asked!r}.", "yellow")
    parts: list[RenderableType] = [_way(way) for way in trace.ways]
    parts += [_line(*_mark(effect.state), "effect ", effect.label or effect.key) for effect in trace.effects]
    parts += [] if trace.ways else [_gone(gone) for gone in trace.gone]
    if trace.more:
        parts.append(Text("Older events are left out; ask for one by its id.", "dim"))
    return Group(*parts)


def _way(way: Way) -> RenderableType:
    if way.webhook is None and way.gone is None:
        return Group(*(_event(each, None) for each in way.events))
    if way.webhook is None:
        assert way.gone is not None  # noqa: S101 (asked above)
        root = Tree(_gone(way.gone), guide_style="dim")
    else:
        root = _webhook(way.webhook)
    for each in way.events:
        _event(each, root)
    return root


def _webhook(webhook: Webhook) -> Tree:
    source = webhook.connection or "a removed connection"
    took = f" after {_span(webhook.normalised_at - webhook.at)}" if webhook.normalised_at else ""
    label = f"  {_when(webhook.at)}  from {source}, {_size(webhook.size)}, {webhook.state}{took}"
    root = Tree(_line(*_mark(webhook.state), f"webhook {webhook.topic or '(no topic)'}", label), guide_style="dim")
    root.add(Text(str(webhook.id), "dim"))
    _say(root, webhook.reason)
    return root


def _event(way: EventWay, parent: Tree | None) -> Tree:
    event = way.event
    if event is None:
        label = _gone(way.gone) if way.gone else Text("an event")
    else:
        name = f" {event.number}" if event.number else f" {event.subject.kind} {event.subject.id}"
        flags = "".join(f", {flag}" for flag in ("test", "historical") if getattr(event, flag))
        label = _line("●", "blue", f"event {event.type}{name}", f"  {_when(event.at)}{flags}")
    node = parent.add(label) if parent is not None else Tree(label, guide_style="dim")
    if event is not None:
        node.add(Text(str(event.id), "dim"))
        _say(node, event.note)
    if event is not None and not way.decisions and not way.runs:
        node.add(_line("–", "dim", "no recipe runs", f"  none asks for {event.type}"))
    for decision in way.decisions:
        if not decision.ran:
            node.add(_refusal(decision))
    for run in way.runs:
        _run(run, node)
    return node


def _refusal(decision: Decision) -> Text:
    return _line("–", "dim", f"{decision.recipe} did not run", f"  {decision.reason}")


def _run(run: RunDetail, parent: Tree) -> None:
    version = f" (version {run.version})" if run.version else ""
    again = f", replay of {run.replay_of}" if run.replay_of else ""
    dry = ", dry" if run.mode == "dry" else ""
    took = f" in {_span(run.ended_at - run.at)}" if run.ended_at else ""
    due = f", due {_when(run.due_at)}" if run.due_at and run.state == "waiting" else ""
    label = f"  {_when(run.at)}{version}  {run.state}{took}{due}{dry}{again}"
    node = parent.add(_line(*_mark(run.state), f"run {run.recipe}", label))
    node.add(Text(str(run.id), "dim"))
    _say(node, run.reason, run.state == "failed")
    for step in run.steps:
        _step(step, node)


def _step(step: Step, parent: Tree) -> None:
    took = f" in {_span(step.ended_at - step.at)}" if step.ended_at and step.kind == "use" else ""
    due = f", until {_when(step.due_at)}" if step.due_at and step.state == "running" else ""
    node = parent.add(_line(*_mark(step.state), f"{step.path}", f"  {step.kind}  {step.state}{took}{due}"))
    if step.error and not any(call.error == step.error for call in step.calls):
        _say(node, step.error, True)
    for call in step.calls:
        _call(call, node)
    if not step.calls and step.output:
        node.add(_short(step.output))


def _call(call: Call, parent: Tree) -> None:
    item = f" [{call.item}]" if call.item else ""
    where = f"  at {call.connection or 'a removed connection'}  {call.state}"
    due = f", due {_when(call.due_at)}" if call.state == "due" else ""
    node = parent.add(_line(*_mark(call.state), f"{call.action}{item}", where + due))
    for attempt in call.attempts:
        _attempt(attempt, node)
    if call.error and not any(attempt.error == call.error for attempt in call.attempts):
        _say(node, call.error, call.state == "dead")
    _say(node, call.question)
    if call.output:
        node.add(_short(call.output))
    if call.effect is not None:
        node.add(_effect(call.effect, call))


def _attempt(attempt: Attempt, parent: Tree) -> None:
    status = f"  {attempt.status}" if attempt.status else ""
    took = f" in {_span(timedelta(milliseconds=attempt.duration_ms))}" if attempt.duration_ms is not None else ""
    label = f"  {_when(attempt.at)}{status}  {attempt.state}{took}"
    node = parent.add(_line(*_mark(attempt.state), f"attempt {attempt.number}", label))
    _say(node, attempt.error, attempt.state != "ok")
    if attempt.answer:
        node.add(Text(attempt.answer.strip(), "dim"))


def _effect(effect: Effect, call: Call) -> Text:
    other = f", done by call {effect.call_id}" if effect.call_id != call.id and effect.state == "done" else ""
    doubled = ", MAY EXIST TWICE" if effect.doubled else ""
    return _line(*_mark(effect.state), "effect", f"  {effect.key}  {effect.state}{other}{doubled}")


# --- pieces -----------------------------------------------------------------------------------------------------


def _mark(state: str) -> tuple[str, str]:
    if state in _GOOD:
        return "✓", "green"
    if state in _BAD:
        return "✗", "red"
    return _MARKS.get(state, _OPEN)


def _line(mark: str, style: str, name: str, rest: str) -> Text:
    return Text.assemble((f"{mark} ", style), (name, "bold"), (rest, ""))


def _say(parent: Tree, text: str | None, bad: bool = False) -> None:
    if text:
        parent.add(Text(text, "red" if bad else "yellow"))


def _gone(gone: Gone) -> Text:
    on = f"expired on {gone.expired_on}" if gone.expired_on else "is not on record"
    return Text(f"{gone.kind} {gone.id} {on}", "dim")


def _short(value: Json) -> Text:
    text = orjson.dumps(value).decode()
    return Text(text if len(text) <= OUTPUT else text[: OUTPUT - 1] + "…", "dim")


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _size(size: int) -> str:
    return f"{size} bytes" if size < 2048 else f"{size / 1024:.1f} kB"

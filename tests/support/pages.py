"""The reference part of every connector's page in `docs/connectors/`, generated from the code: `make docs` writes it,
`tests/connectors/test_pages.py` fails where it is not up to date.

A page begins with a hand-written head; what stands below `MARK` is generated. Every example is executed against the
sandbox, and shown with the requests that it sent.
"""

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import httpx
import orjson
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.connector import Action, Connector, Lookup, NativeKey, Safety, Source, Unsafe, Upsert
from tests.connectors.conftest import REGISTRY, open_bench
from tests.support.contracts import NOT_DESCRIBED, Verdict

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "connectors"
MARK = "<!-- Generated from the code below this line: make docs -->"
INDEX = "README.md"
LONG = 700
NO_DESCRIPTION = "no description is published"
SAMPLE_TS = "1700000000.000002"
_STAMP = re.compile(r"\b17\d{8}\.\d{6}\b")
"""Slack's time stamps, which are its ids."""


@dataclass
class Executed:
    """What came of an action's example in the sandbox."""

    output: Any
    requests: list[httpx.Request]
    judged: list[Verdict] = field(default_factory=list)


async def executed(connector: Connector[Any], action: Action) -> Executed:
    async for bench in open_bench(connector):
        output = await bench.ok(action)
        seen = [request for request, _ in bench.recorder.seen]
        done = Executed(output.model_dump(mode="json", exclude_none=True), seen, list(bench.recorder.judged))
    return done


# --- parts of a page --------------------------------------------------------------------------------------------


def generated(connector: Connector[Any], examples: Mapping[str, Executed]) -> str:
    level = f"Quality: **{quality(connector.slug)}** (what that means: [levels](README.md#levels)).\n"
    parts = [MARK, f"\n## Reference\n{level}"]
    parts += ["### Settings", *settings_table(connector), ""]
    if connector.source is not None:
        parts += ["### Webhooks in", *topics(connector.source), ""]
    if connector.store or connector.cannot:
        parts += ["### `store.<action>` in recipes", *store_table(connector), ""]
    if connector.actions:
        parts += ["### Limits", limits(connector), ""]
    for action in connector.actions:
        parts += list(action_part(connector, action, examples[action.name]))
    if connector.actions:
        parts += [HELD, *matrix_of(connector, examples), ""]
    return "\n".join(parts).rstrip() + "\n"


def quality(slug: str) -> str:
    head = (ROOT / "connectors" / slug / "README.md").read_text()[:600].lower()
    return next(level for level in ("gold", "silver", "bronze") if f"{level}" in head.partition("quality")[2][:20])


def has_page(slug: str) -> bool:
    """Whether a page is asked for: one in bronze may still be in the making, as `make connector` leaves it."""
    return (FOLDER / f"{slug}.md").exists() or quality(slug) != "bronze"


SHIPPED = [each for each in REGISTRY if (ROOT / "connectors" / each.slug).is_dir() and has_page(each.slug)]


def topics(source: Source[Any]) -> Iterator[str]:
    yield f"Become events: {', '.join(f'`{topic}`' for topic in sorted(source.topics))}.\n"
    by_reason: dict[str, list[str]] = {}
    for topic, why in source.ignored.items():
        by_reason.setdefault(why, []).append(f"`{topic}`")
    for why, names in by_reason.items():
        more = f" and {len(names) - 3} more" if len(names) > 4 else ""
        yield f"* {', '.join(names[:3] if more else names)}{more}: kept, no event: {why}"


def settings_table(connector: Connector[Any]) -> Iterator[str]:
    yield "| setting | | |\n|---|---|---|"
    for name, info in connector.settings.model_fields.items():
        secret = ["secret"] if "SecretStr" in repr(info.annotation) else []
        kind = ", ".join([needed(info), *secret])
        yield f"| `{name}` | {kind} | {cell(info.description or '')} |"
    yield f"\n`{connector.account}` tells one account from another."


def needed(info: FieldInfo) -> str:
    if info.is_required():
        return "**needed**"
    value = info.get_default(call_default_factory=True)
    plain = value if isinstance(value, str | int | bool) and value != "" else None
    return (
        f"`{plain}` if not said"
        if plain is not None and not isinstance(value, bool)
        else (f"`{str(value).lower()}` if not said" if isinstance(value, bool) else "optional")
    )


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def store_table(connector: Connector[Any]) -> Iterator[str]:
    yield "| | |\n|---|---|"
    yield from (f"| `store.{name}` | `{connector.slug}.{own}` |" for name, own in connector.store.items())
    yield from (f"| `store.{name}` | **cannot**: {cell(why)} |" for name, why in connector.cannot.items())


def limits(connector: Connector[Any]) -> str:
    door = connector.door
    if door is None:
        return "Nothing is called."
    each = {True: " for each of its places (a channel, a list)", False: ""}
    windows = [f"{limit.count} in {limit.per:g} s{each[limit.keyed]}" for limit in door.limits]
    said = f"At most {door.at_once} at once, {door.timeout:g} s for each request"
    return said + (f"; {', '.join(windows)}." if windows else "; its answers say when to wait.")


def safety(safe: Safety) -> str:
    match safe:
        case NativeKey(valid_for=valid, then=then):
            held = span(valid.total_seconds())
            return f"the system drops a repeat under one key for {held}; afterwards: {safety(then)}"
        case Upsert():
            return "doing it again changes nothing more"
        case Lookup(settle=settle):
            return f"what the first try made is looked for first, {span(settle.total_seconds())} after it"
        case Unsafe():
            return "nothing makes a repeat safe"


def span(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}{'' if seconds == size else 's'}"
    return f"{seconds:g} seconds"


UNSURE = {
    "ask": "a person is asked when nobody can know whether it acted",
    "repeat": "it is repeated when nobody can know whether it acted",
    "skip": "it is left at that when nobody can know whether it acted",
}


def action_part(connector: Connector[Any], action: Action, done: Executed) -> Iterator[str]:
    yield f"### `{connector.slug}.{action.name}`\n{action.help}\n"
    if action.reads:
        yield "* It only reads."
    else:
        yield f"* Repeats: {safety(action.safe)}; {UNSURE[action.if_unsure]}."
    if action.exclusive_by is not None:
        yield "* Calls about the same thing go one at a time."
    if action.causes:
        yield f"* Sets off {', '.join(f'`{each}`' for each in action.causes)}."
    yield "\n| input | | |\n|---|---|---|"
    yield from fields(action.input)
    yield "\nIn a recipe, executed in the sandbox:\n```yaml"
    given = action.example().model_dump(mode="json", exclude_unset=True)
    if isinstance(given.get("order"), dict):
        given["order"].pop("total", None)  # said by `totals` already
    step = {"use": f"{connector.slug}.{action.name}", "with": given}
    yield yaml.safe_dump(without_none(step), sort_keys=False, allow_unicode=True, width=110).rstrip() + "\n```"
    if done.requests:
        yield "```http"
        yield from (shown(connector, request) for request in done.requests)
        yield "```"
    yield f"```json\n{_STAMP.sub(SAMPLE_TS, orjson.dumps(done.output).decode())[:LONG]}\n```\n"


def fields(model: type[BaseModel]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield f"| `{name}` | {kind(info.annotation)}, {needed(info)} | {cell(info.description or '')} |"


def kind(annotation: Any) -> str:
    """A type in people's words."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    inner = [each for each in get_args(annotation) if each is not type(None)]
    if isinstance(annotation, type) and not inner:
        return {"str": "text", "int": "whole number", "bool": "yes or no", "Decimal": "number"}.get(
            annotation.__name__, annotation.__name__
        )
    said = str(annotation)
    if get_origin(annotation) is list:
        return f"list of {kind(inner[0])}" if inner else "list"
    if get_origin(annotation) is dict:
        return "mapping"
    if "Literal" in said and all(isinstance(each, str) for each in inner):
        return " \\| ".join(f"`{each}`" for each in inner)
    return kind(inner[0]) if inner else "anything"


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_none(each) for name, each in value.items() if each is not None}
    return [without_none(each) for each in value] if isinstance(value, list) else value


def shown(connector: Connector[Any], request: httpx.Request) -> str:
    path = request.url.raw_path.decode().removeprefix(f"/{connector.slug}")
    body = request.content.decode(errors="replace")
    if body.startswith('{"query":'):
        asked = orjson.loads(body)
        body = f"{' '.join(asked['query'].split())}\n{orjson.dumps(asked['variables']).decode()}"
    more = f"\n{body[:LONG]}{'...' if len(body) > LONG else ''}" if body else ""
    return _STAMP.sub(SAMPLE_TS, f"{request.method} {path}{more}\n")


# --- the matrix -------------------------------------------------------------------------------------------------


def matrix_of(connector: Connector[Any], examples: Mapping[str, Executed]) -> Iterator[str]:
    """Action x its requests, each checked or not."""
    if connector.slug not in NOT_DESCRIBED:
        yield f"None: {WHY_NOT.get(connector.slug, NO_DESCRIPTION)}."
        return
    yield "| action | checked | not in the description |\n|---|---|---|"
    for action in connector.actions:
        verdicts = {each.operation: each for each in examples[action.name].judged}
        good = [f"`{name}`" for name, each in verdicts.items() if each.wrong == []]
        left_out = [f"`{name}`" for name, each in verdicts.items() if each.wrong is None]
        yield f"| `{action.name}` | {', '.join(good) or 'none'} | {', '.join(left_out) or ''} |"


HELD = "### Requests held against the vendor's description"


def matrix(documents: Mapping[Path, str]) -> str:
    """The part of every page that says which actions' requests are checked, for people at a terminal."""
    tables = {path.stem: text.partition(HELD)[2].strip() for path, text in documents.items()}
    return "\n\n".join(f"{name}\n{table}" for name, table in tables.items() if table)


WHY_NOT = {
    "shippo": "Shippo's lies not beside the checkout; each request is held against its documentation, by hand",
    "discord": "Discord's lies not beside the checkout; each request is held against its documentation, by hand",
    "gumroad": "Gumroad publishes none; each request is held against the controllers of its source, by hand",
    "http": "a place of anybody's has none",
    "email": "SMTP has none that a machine reads; every message is parsed back by the standard library",
}


def index(pages: Sequence[tuple[Connector[Any], Mapping[str, Executed]]]) -> str:
    titles = ("connector", "quality", "webhooks in", "actions", "held against the vendor's description")
    rows = [f"| {' | '.join(titles)} |", "|---|---|---|---|---|"]
    for connector, examples in pages:
        checked = sum(any(v.wrong == [] for v in each.judged) for each in examples.values())
        topics = len(connector.source.topics) if connector.source else ""
        counted = f"{checked} of {len(examples)}" if connector.slug in NOT_DESCRIBED else "none there is"
        name = f"[{connector.title}]({connector.slug}.md)"
        rows.append(f"| {name} | {quality(connector.slug)} | {topics} | {len(connector.actions)} | {counted} |")
    return "\n".join([MARK, "", *rows]) + "\n"


# --- writing ----------------------------------------------------------------------------------------------------


async def documents() -> dict[Path, str]:
    """Every page as it should read: its head as it is, and the generated part."""
    made, pages = {}, []
    for connector in SHIPPED:
        examples = {action.name: await executed(connector, action) for action in connector.actions}
        pages.append((connector, examples))
        made[FOLDER / f"{connector.slug}.md"] = generated(connector, examples)
    made[FOLDER / INDEX] = index(pages)
    return {path: f"{head(path)}{tail}" for path, tail in made.items()}


def head(path: Path) -> str:
    text = path.read_text() if path.exists() else f"# {path.stem}\n"
    return text.partition(MARK)[0].rstrip() + "\n\n"


def stale() -> list[Path]:
    return [path for path, text in asyncio.run(documents()).items() if not path.exists() or path.read_text() != text]


if __name__ == "__main__":
    written = asyncio.run(documents())
    for path, text in written.items():
        path.write_text(text)
    sys.stdout.write(f"{written[FOLDER / INDEX].partition(MARK)[2]}\n{matrix(written)}\n")

"""`/v1/recipes`: writing them: checked, tried, a new version each time, versions beside each other."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api import etags
from app.api.auth import Reader, RecipeKeeper
from app.api.context import HubDep, Listed, Name, PartDep
from app.api.etags import IfMatch, IfNoneMatch
from app.api.recipes import RecipeVersion, recipe_tag
from app.byhand import writing
from app.byhand.texts import PlainObject, PlainText
from app.documents import Problem
from app.errors import NotFoundError
from app.hub import Hub
from app.store import lists

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])

EXAMPLE = """\
title: Announce paid orders
on: order.paid
steps:
  - use: slack.post_message
    with: {channel: "#orders", text: "Order {{ order.number }}"}
"""
TESTS = """\
events:
  paid: {type: order.paid, data: {order: {id: "5001", number: "#1001"}}}
cases:
  - name: a paid order is announced
    when: paid
    expect:
      calls:
        - use: slack.post_message
          with: {text: "Order #1001"}
"""
MOST = 200_000
"""Characters of a recipe's or a test file's text."""

Source = Annotated[PlainText, Field(max_length=MOST, description="The YAML of one recipe file.", examples=[EXAMPLE])]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The version's number.")]


class RecipeFault(BaseModel):
    """One thing that is wrong with a recipe's text, or doubtful (a warning)."""

    severity: str = Field(examples=["error"])
    line: int
    column: int
    message: str = Field(examples=["there is no event type order.payed"])
    mend: str = Field(examples=["did you mean order.paid?"])


class RecipeWanted(BaseModel):
    """A recipe as it shall be from now on."""

    model_config = ConfigDict(extra="forbid")

    source: Source
    inputs: PlainObject | None = Field(None, description="What the shop sets; what is set stays where this is absent.")


class RecipeWritten(BaseModel):
    """The recipe's current version; `changed` is false where it said the same before."""

    name: str
    version: int
    changed: bool
    warnings: list[RecipeFault]


class RecipeToCheck(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, examples=["announce-orders"])]
    source: Source


class RecipeChecked(BaseModel):
    usable: bool = Field(description="It may run: there are no errors (warnings do not count).")
    problems: list[RecipeFault]


class RecipeToTest(BaseModel):
    """Cases, as `<name>.test.yaml` holds them, and the text that they are about: the current one if not said."""

    model_config = ConfigDict(extra="forbid")

    tests: Annotated[PlainText, Field(max_length=MOST, examples=[TESTS])]
    source: Source | None = None


class RecipeTested(BaseModel):
    """What the cases said."""

    passed: bool
    results: list[dict[str, Any]] = Field(description="Each case with what came otherwise than it expects.")
    coverage: list[dict[str, Any]] = Field(description="The branches that no case met.")
    problems: list[str] = Field(description="What is wrong with the texts themselves.")


class RecipeText(RecipeVersion):
    source: str


class RecipeDifference(BaseModel):
    """Two versions beside each other."""

    before: int
    after: int
    diff: str = Field(description="A unified diff; empty where they say the same.")


@router.put("/{name}", summary="Write a recipe: its next version")
async def put_recipe(
    caller: RecipeKeeper,
    hub: HubDep,
    response: Response,
    name: Name,
    wanted: RecipeWanted,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> RecipeWritten:
    """Checked first, alone and beside the other recipes (422 with each fault and its place). It runs within a second,
    in every process; runs that have begun go on in their version. A recipe of a folder is refused (409)."""

    def condition(row: Any) -> None:
        etags.check(recipe_tag(row) if row is not None else None, if_match, if_none_match)

    written = await writing.put_recipe(
        hub, caller.workspace, name, wanted.source, wanted.inputs, caller.name, condition
    )
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, caller.workspace, name)
    response.headers["etag"] = recipe_tag(rows[0])
    faults = [_fault(each) for each in written.warnings]
    return RecipeWritten(name=name, version=written.number, changed=written.changed, warnings=faults)


@router.delete("/{name}", status_code=204, summary="Remove a recipe")
async def remove_recipe(caller: RecipeKeeper, hub: HubDep, name: Name, if_match: IfMatch = None) -> None:
    """No event runs it any more; what has begun goes on. Its versions and effects are kept: under the same name it
    does nothing twice."""

    def condition(row: Any) -> None:
        etags.check(recipe_tag(row), if_match)

    await writing.remove_recipe(hub, caller.workspace, name, caller.name, condition)


@router.post("/check", summary="Check a recipe's text")
async def check_recipe(caller: Reader, hub: HubDep, wanted: RecipeToCheck) -> RecipeChecked:
    """Changes nothing: each fault with its place and its mend, as `tradewind recipes check` tells them."""
    loaded = await writing.check_text(hub, caller.workspace, wanted.name, wanted.source)
    return RecipeChecked(usable=loaded.usable, problems=[_fault(each) for each in loaded.problems])


@router.post("/{name}/test", summary="Run test cases of a recipe")
async def test_recipe(caller: RecipeKeeper, hub: HubDep, name: Name, wanted: RecipeToTest) -> RecipeTested:
    """Nothing is sent: every call is captured and answered as the cases say."""
    source = wanted.source if wanted.source is not None else (await _row(hub, caller.workspace, name))["source"]
    report = await writing.run_cases(hub, caller.workspace, name, source, wanted.tests)
    told = report.as_json()
    return RecipeTested(
        passed=report.passed and bool(report.results),
        results=told["results"],
        coverage=told["coverage"],
        problems=[str(each) for each in report.problems],
    )


@router.get("/{name}/versions", summary="List the versions of a recipe")
async def list_versions(caller: Reader, hub: HubDep, name: Name, part: PartDep) -> Listed[RecipeVersion]:
    """Newest first; a version never changes. `q` finds one by its number."""
    async with hub.database.acquire() as db:
        rows = await lists.recipe_versions(db, caller.workspace, name)
    if not rows:
        raise NotFoundError(f"there is no recipe {name!r}")
    items = [RecipeVersion(**row) for row in rows]
    return part.of(items, lambda each: f"{each.number:010}", lambda each: str(each.number), newest=True)


@router.get("/{name}/versions/{number}", summary="Get a version of a recipe")
async def get_version(caller: Reader, hub: HubDep, name: Name, number: Number) -> RecipeText:
    return await _version(hub, caller.workspace, name, number)


@router.get("/{name}/diff", summary="Compare two versions of a recipe")
async def compare_versions(
    caller: Reader,
    hub: HubDep,
    name: Name,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The one before `after` if not said.")] = None,
    after: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The newest if not said.")] = None,
) -> RecipeDifference:
    newest = await _newest(hub, caller.workspace, name)
    last = await _version(hub, caller.workspace, name, after or newest)
    first = await _version(hub, caller.workspace, name, before or max(1, last.number - 1))
    names = (f"{name} {first.number}", f"{name} {last.number}")
    diff = writing.difference(first.source, last.source, names)
    return RecipeDifference(before=first.number, after=last.number, diff=diff)


async def _newest(hub: Hub, workspace: str, name: str) -> int:
    async with hub.database.acquire() as db:
        rows = await lists.recipe_versions(db, workspace, name)
    if not rows:
        raise NotFoundError(f"there is no recipe {name!r}")
    newest: int = rows[0]["number"]
    return newest


async def _version(hub: Hub, workspace: str, name: str, number: int) -> RecipeText:
    async with hub.database.acquire() as db:
        row = await lists.recipe_version(db, workspace, name, number)
    if row is None:
        raise NotFoundError(f"{name} has no version {number}")
    return RecipeText(**row)


async def _row(hub: Hub, workspace: str, name: str) -> Any:
    async with hub.database.acquire() as db:
        rows = await lists.recipes(db, workspace, name)
    if not rows:
        raise NotFoundError(f"there is no recipe {name!r}")
    return rows[0]


def _fault(problem: Problem) -> RecipeFault:
    return RecipeFault(
        severity=problem.severity,
        line=problem.line,
        column=problem.column,
        message=problem.message,
        mend=problem.mend,
    )

"""Pages about the API, made here of the description: `/docs` and `/problems`. No script, nothing from elsewhere.

The description takes a second to make: in a thread, since the same process takes webhooks in.
"""

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.api.problems import MEANINGS
from app.errors import NotFoundError

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FOLDER = Path(__file__).parent
_templates = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description itself."""
    return JSONResponse(await asyncio.to_thread(request.app.openapi))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The whole API on one page."""
    description = await asyncio.to_thread(request.app.openapi)
    if not hasattr(request.app.state, "docs_page"):
        request.app.state.docs_page = await asyncio.to_thread(_docs, description)
    return _page(request.app.state.docs_page)


@router.get("/docs/style.css")
async def style() -> Response:
    return Response(_style(), media_type="text/css", headers={"cache-control": "public, max-age=3600"})


@router.get("/problems")
async def problems() -> Response:
    """Every kind of problem."""
    return _page(_problems(tuple(MEANINGS)))


@router.get("/problems/{name}")
async def one_problem(name: Annotated[str, InPath(max_length=100)]) -> Response:
    """What a problem's `type` means."""
    if name not in MEANINGS:
        raise NotFoundError(f"there is no kind of problem {name!r}")
    return _page(_problems((name,)))


def _page(text: str) -> Response:
    return HTMLResponse(text, headers={"content-security-policy": POLICY})


@cache
def _style() -> str:
    return (_FOLDER / "style.css").read_text()


@cache
def _problems(names: tuple[str, ...]) -> str:
    shown = [{"name": name, "status": MEANINGS[name][0], "meaning": MEANINGS[name][1]} for name in names]
    return _templates.get_template("problems.html").render(problems=shown)


def _docs(description: dict[str, Any]) -> str:
    shown: dict[str, list[dict[str, Any]]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            shown.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    tags = [{**tag, "operations": shown.get(tag["name"], [])} for tag in description["tags"]]
    return _templates.get_template("docs.html").render(
        title="The API of Tradewind", about=description["info"], openapi=description["openapi"], tags=tags
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    answers = operation["responses"]
    good: dict[str, Any] = next((answer for status, answer in answers.items() if status.startswith("2")), {})
    body = _example(operation.get("requestBody", {}))
    return {
        "id": operation["operationId"],
        "path": path,
        "method": method.upper(),
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "scope": next((scope for each in operation.get("security", []) for scope in each["key"]), ""),
        "parameters": [{"description": "", "required": False, **each} for each in operation.get("parameters", [])],
        "curl": _curl(path, method.upper(), body, bool(operation.get("security"))),
        "answer": _example(good),
        "statuses": [(status, answer["description"]) for status, answer in answers.items()],
    }


def _curl(path: str, method: str, body: str, keyed: bool) -> str:
    parts = [f"curl -X {method}" if method != "GET" else "curl"]
    if keyed:
        parts.append('-H "Authorization: Bearer $TRADEWIND_KEY"')
    if body:
        quoted = body.replace("'", "'\\''")
        parts += ['-H "Content-Type: application/json"', f"-d '{quoted}'"]
    return " \\\n  ".join([*parts, f'"$TRADEWIND_URL{path}"'])


def _example(holder: dict[str, Any]) -> str:
    given = holder.get("content", {}).get("application/json", {}).get("examples", {})
    return json.dumps(given["example"]["value"], indent=2) if "example" in given else ""

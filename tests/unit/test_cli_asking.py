"""What commands ask a hub for, and what they make of its answers."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import asking
from tests.unit.test_cli import run

Answers = Callable[[str, dict[str, Any], Any], Any]
"""(path, parameters, body): what the hub says."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], None]:
    """Set what a remote hub answers."""
    monkeypatch.setenv("TRADEWIND_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TRADEWIND_KEY", "tw_key")

    def answers(with_: Answers) -> None:
        async def client(method: str, path: str, *, params: Any = None, body: Any = None) -> Any:
            return with_(path, params or {}, body)

        monkeypatch.setattr(asking, "asking", lambda work, workspace="main": asyncio.run(work(client)))

    return answers


def paged(path: str, params: dict[str, Any], body: Any) -> Any:
    """Three things of a kind, one a page."""
    if path.endswith("/health"):
        return {"verdict": "ok", "reasons": []}
    number = int(params.get("cursor") or 1)
    item = {"slug": f"shop-{number}", "name": f"recipe-{number}", "usable": False}
    return {"items": [item], "next": str(number + 1) if number < 3 else None}


def test_doctor_looks_at_every_connection_and_recipe_of_a_hub_far_away(
    hub: Callable[[Answers], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub(paged)
    assert run(monkeypatch, "doctor", "--json") == 1
    seen = {each["about"]: each["verdict"] for each in json.loads(capsys.readouterr().out)}
    assert seen["webhooks"] == "fault", "nothing listens there"
    assert {name: seen.get(name) for name in ("connection shop-3", "recipe recipe-3")} == {
        "connection shop-3": "ok",
        "recipe recipe-3": "fault",
    }


def test_names_on_later_pages_are_completed(
    hub: Callable[[Answers], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub(paged)
    words = "tradewind recipes pause rec"
    for name, value in {"COMPLETE": "complete_bash", "WORDS": words, "CWORD": "3"}.items():
        monkeypatch.setenv({"COMPLETE": "_TRADEWIND_COMPLETE"}.get(name, f"COMP_{name}"), value)
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["recipe-1", "recipe-2", "recipe-3"]


def test_two_files_are_compared_each_with_the_templates_beside_it(
    hub: Callable[[Answers], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for folder in ("new", "old"):
        (tmp_path / folder / "templates").mkdir(parents=True)
        (tmp_path / folder / "greet.yaml").write_text(f"title: {folder}")
        (tmp_path / folder / "templates" / "hello.txt.j2").write_text(f"the {folder} text")
    sent: list[Any] = []

    def answer(path: str, params: dict[str, Any], body: Any) -> Any:
        sent.append(body)
        return {"id": "1", "state": "done", "report": {}}

    hub(answer)
    files = (str(tmp_path / each / "greet.yaml") for each in ("new", "old"))
    assert run(monkeypatch, "recipes", "backtest", next(files), "--against", next(files), "--json") == 0
    assert (sent[0]["source"], sent[0]["templates"]) == ("title: new", {"hello.txt.j2": "the new text"})
    assert (sent[0]["against_source"], sent[0]["against_templates"]) == (
        "title: old",
        {"hello.txt.j2": "the old text"},
    )


def test_credentials_that_calls_were_refused_do_not_work_whatever_the_last_probe_said(
    hub: Callable[[Answers], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = ("slug", "connector", "account", "role", "paused", "authorised_until", "days_left", "base_url", "origin")
    kept = dict.fromkeys(fields) | {"probe_works": True, "recipes": []}
    items = [kept | {"slug": "books", "problem": "the token is refused"}, kept | {"slug": "chat", "problem": None}]
    hub(lambda path, parameters, body: {"items": items, "next": None})
    assert run(monkeypatch, "connections", "list", "--json") == 0
    assert {each["slug"]: each["works"] for each in json.loads(capsys.readouterr().out)} == {
        "books": False,
        "chat": True,
    }

"""Templates in a running hub: part of a recipe's version, in the language of the workspace where an order says none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.recipes_folder import sync_folder
from app.registry import Registry
from app.store.packing import unpack_json
from tests.support import testconnector
from tests.support.harness import Harness, running
from tests.support.orders import shopify_order

RECIPE = """
title: Greet
on: order.paid
steps:
  - id: asked
    approve: May it go?
  - use: email.send
    with: {to: ada@example.com, template: hello}
"""


@pytest.fixture
async def hub(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Harness]:
    async with running(database_url, redis_url, tmp_path / "home", testconnector.connector) as hub:
        registry = Registry()
        settings = {"shop": "store.myshopify.com", "webhook_secrets": ["hush-hush"]}
        await hub.connect("store", registry["shopify"], settings, role="shop")
        sender = {"sender": "shop@example.com", "host": "127.0.0.1", "security": "none"}
        await hub.connect("mail", registry["email"], sender, base_url="smtp://127.0.0.1:9")
        yield hub


def write(folder: Path, **texts: str) -> None:
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "greet.yaml").write_text(RECIPE)
    for name, text in texts.items():
        (folder / "templates" / f"hello.{name.replace('_', '.')}.j2").write_text(text)


async def sync(hub: Harness, folder: Path) -> int:
    """Bring the folder in; the number of the version that runs."""
    assert await sync_folder(hub.hub.database, hub.hub.registry, folder) == []
    await hub.hub.recipes.refresh(always=True)
    found = hub.hub.recipes.find("main", "greet")
    assert found is not None
    return found.number


async def test_a_run_sends_the_texts_it_began_with_in_the_workspaces_language(hub: Harness, tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    write(folder, subject_txt="First {{ order.number }}", txt="old", de_subject_txt="Erste", de_txt="alt")
    (folder / "broken.yaml").write_bytes(b"title: caf\xe9\n")  # which holds up no other
    (folder / "gone.yaml").symlink_to(tmp_path / "nowhere")
    faults = await sync_folder(hub.hub.database, hub.hub.registry, folder)
    assert [str(each).partition(": ")[2].split(".")[0] for each in faults] == [
        "the file is not UTF-8", "the file cannot be read: No such file or directory",
    ]  # fmt: skip
    (folder / "broken.yaml").unlink()
    (folder / "gone.yaml").unlink()
    assert [await sync(hub, folder), await sync(hub, folder)] == [1, 1]
    await hub.send("store", "orders/paid", shopify_order(1, customer_locale=None))
    await hub.settle()
    write(folder, de_txt="neu")
    assert await sync(hub, folder) == 2
    await hub.send("store", "orders/paid", shopify_order(2, customer_locale=None))
    await hub.rows("insert into workspace (name, locale) values ('main', 'de-AT') "
                   "on conflict (name) do update set locale = 'de-AT'")  # fmt: skip
    await hub.hub.recipes.refresh(always=True)
    await hub.settle()
    client = hub.client
    client.headers["authorization"] = "Bearer test-admin-key-of-good-length"
    for (run_id,) in await hub.rows("select id from run order by id"):
        answer = await client.post(f"/v1/runs/{run_id}/approve", json={"step": "asked", "approved": True})
        assert answer.status_code == 200, answer.text
    while await hub.runner.drain():
        pass
    inputs = [unpack_json(row["input"]) for row in await hub.rows("select input from call order by id")]
    assert [(each["subject"], each["text"]) for each in inputs] == [("Erste", "alt"), ("Erste", "neu")]


async def test_a_recipe_that_is_written_by_api_names_the_templates_of_the_hubs_folder(hub: Harness) -> None:
    client = hub.client
    client.headers["authorization"] = "Bearer test-admin-key-of-good-length"
    source = RECIPE.replace("hello", "delivered").replace("order.paid", "fulfillment.delivered")
    source = source.replace("steps:", "inputs: {shop_name: {type: string, default: Shop}}\nsteps:")
    refused = await client.put("/v1/recipes/mine", json={"source": source.replace("delivered}", "deliverd}")})
    assert (refused.status_code, "did you mean 'delivered'?" in refused.text) == (422, True)
    made = await client.put("/v1/recipes/mine", json={"source": source})
    assert made.status_code in (200, 201), made.text
    kept = await hub.one("select templates from recipe_version")
    assert "delivered.de.html.j2" in kept
    tests = (
        "cases:\n- {name: asked, when: {type: fulfillment.delivered, data: {fulfillment: {id: f}}}, expect: waiting}\n"
    )
    tried = await client.post("/v1/recipes/mine/test", json={"tests": tests})
    assert tried.json()["passed"], tried.text

    (shown,) = [each for each in (await client.get("/v1/templates")).json()["items"] if each["name"] == "delivered"]
    assert (shown["locales"], shown["recipes"]) == (["", "de"], ["mine"])
    german = await client.get("/v1/templates/delivered/preview", params={"locale": "de-AT"})
    assert (german.json()["subject"], german.json()["recipe"]) == ("Ihr Paket ist angekommen", "mine")
    assert (await client.get("/v1/templates/nothing/preview")).status_code == 404
    unfit = await client.get("/v1/templates/delivered/preview", params={"sample": "hub.run_failed"})
    assert (unfit.status_code, "no connector has a sample" in unfit.text) == (422, True)


async def test_two_texts_are_compared_each_with_its_own_templates(hub: Harness) -> None:
    client = hub.client
    client.headers["authorization"] = "Bearer test-admin-key-of-good-length"
    await hub.send("store", "orders/paid", shopify_order(1))
    await hub.settle()
    wanted = {"recipe": "greet", "source": RECIPE, "templates": {"hello.subject.txt.j2": "A", "hello.txt.j2": "new"}}
    older = {"against_source": RECIPE, "against_templates": wanted["templates"] | {"hello.txt.j2": "old"}}  # type: ignore[operator]
    made = await client.post("/v1/backtests", json={**wanted, **older})
    assert made.status_code == 201, made.text
    stored = await hub.one("select wanted from backtest")
    assert [stored[side]["templates"]["hello.txt.j2"] for side in ("text", "against")] == ["new", "old"]


async def test_a_folder_that_went_away_or_cannot_be_read_takes_no_recipe_with_it(hub: Harness, tmp_path: Path) -> None:
    """A disk that is not mounted, a file that is no text: said, and what was good goes on."""
    folder = tmp_path / "recipes"
    write(folder, txt="old", subject_txt="First")
    assert await sync(hub, folder) == 1
    database, registry = hub.hub.database, hub.hub.registry
    (folder / "other.yaml").write_bytes("title: Für alle\n".encode("latin-1"))
    (folder / "third.yaml").mkdir()
    broken = [str(problem) for problem in await sync_folder(database, registry, folder)]
    assert [line.partition(": ")[0] for line in broken] == ["recipes/other.yaml:1:1", "recipes/third.yaml:1:1"]
    folder.rename(tmp_path / "elsewhere")
    (gone,) = await sync_folder(database, registry, folder)
    assert "there is no such folder of recipes" in str(gone)
    await hub.hub.recipes.refresh(always=True)
    assert hub.hub.recipes.find("main", "greet") is not None

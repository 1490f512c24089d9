"""What a shop sets of a recipe without a change of its file, by API: checked, kept by new versions, seen by runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bench import Bench, benched

GREETS = """
title: A thing with what the shop set
on: order.paid
inputs:
  word: {type: string, options: [hello, hi], description: How it begins}
  share: {type: number, default: 0.19, maximum: 1}
  after: {type: duration, default: 0s}
steps:
  - id: made
    use: testbench.make_native
    with: {id: "{{ order.id }}", note: "{{ inputs.word }} {{ order.total.amount * inputs.share }}"}
"""


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


async def test_a_shop_sets_inputs_without_a_change_of_the_file(bench: Bench) -> None:
    await bench.recipe("greets", GREETS)
    path = "/v1/recipes/greets/inputs"
    stands = await bench.get(path)
    assert "'word' must be set" in stands["problem"]
    assert [(each["name"], each["value"], each["set"]) for each in stands["inputs"]] == [
        ("word", None, False), ("share", "0.19", False), ("after", "0s", False)]  # fmt: skip
    event = await bench.order(1)
    decisions = (await bench.get(f"/v1/events/{event}"))["decisions"]
    assert "'word' must be set" in str(decisions)

    for wrong, said in (
        ({"word": "hey"}, "word should be one of: hello, hi"),
        ({"wrd": "hi"}, "no input 'wrd'; did you mean 'word'?"),
        ({"share": 2}, "share should be at most 1"),
        ({"word": "hi", "after": "soon"}, "'soon' is not a duration"),
    ):
        refused = await bench.api.patch(path, json=wrong)
        assert (refused.status_code, said in refused.json()["detail"]) == (400, True), refused.text
    assert (await bench.get(path))["problem"] is not None

    told = (await bench.api.patch(path, json={"word": "hi", "share": "0.5", "after": "60m"})).json()
    assert [(each["value"], each["set"]) for each in told["inputs"]] == [("hi", True), ("0.5", True), ("1h", True)]
    assert told["problem"] is None
    await bench.refresh()
    run = await bench.run(await bench.order(2), "greets")
    assert "hi 5.000" in str(run)
    await bench.recipe("greets", GREETS + "description: the next version\n")
    assert (await bench.api.patch(path, json={"share": None})).json()["inputs"][1]["value"] == "0.19"
    assert (await bench.get(path))["inputs"][0]["value"] == "hi"
    audited = await bench.hub.rows("select detail from audit where verb = 'set inputs' order by id")
    assert "word" in str(audited[0]["detail"])

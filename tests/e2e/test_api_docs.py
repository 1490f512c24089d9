"""The examples of docs/api.md are run: every `curl` and the httpx program, against a hub that has an order."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bench import KEY, TWO_STEPS, Bench, benched
from tests.support.serving import serving

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
STRICT = 'set -e\ncurl() { command curl -sS --fail-with-body "$@"; echo; }\n'


@pytest.fixture
async def bench(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(database_url, redis_url, tmp_path) as made:
        yield made


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_example_of_the_api_page_works(bench: Bench) -> None:
    bench.outside.statuses["/unsafe"] = [422]
    for number in (1, 2, 3):
        await bench.recipe("invoice-paid-orders", TWO_STEPS.replace("> 1", f"> {number}"))
    event = await bench.order()
    customer = await bench.hub.one("select id from customer limit 1")
    assert len(SHELL) >= 5
    assert PYTHON
    async with serving(bench.app) as url:
        known = {"TRADEWIND_URL": url, "TRADEWIND_KEY": KEY, "EVENT": event, "CUSTOMER": str(customer)}
        programs = [["bash", "-c", STRICT + each] for each in SHELL] + [[sys.executable, "-c", each] for each in PYTHON]
        for program in programs:
            ran = await asyncio.create_subprocess_exec(
                *program, env={**os.environ, **known}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            said, _ = await ran.communicate()
            assert ran.returncode == 0, f"{program[-1]}\n{said.decode()}"

"""The report of amounts, and a second reader of the bodies that shares no code with the connectors."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.domain.amounts import OrderAmounts, orders, report, topic_of
from app.recipes.payloads import bodies_in, payload_folder
from app.registry import Registry
from tests.support.orders import shopify_order

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared/payloads"
SENDERS = ("shopify", "woocommerce", "stripe", "gumroad")


def test_orders_of_a_folder_are_reported_with_what_does_not_add_up(tmp_path: Path) -> None:
    folder = tmp_path / "shopify/orders-paid"
    folder.mkdir(parents=True)
    (folder / "good.json").write_bytes(orjson.dumps(shopify_order(7)))
    (folder / "odd.json").write_bytes(orjson.dumps(shopify_order(8, total_price="99.99", total_price_set=None)))
    (folder / "broken.json").write_bytes(b"{")
    broken, good, odd = report(tmp_path, Registry())
    assert (good.number, str(good.total), good.off) == ("#7", "34.51 EUR", None)
    assert odd.off is not None
    assert "65.48 EUR" in odd.off
    assert broken.error is not None


def test_a_second_reader_agrees_on_number_currency_and_total_of_every_body() -> None:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            raise RuntimeError("../shared/payloads is required in CI")
        pytest.skip("../shared/payloads is not here")
    lines = list(report(SHARED, Registry()))
    assert [line for line in lines if line.differs] == []
    compared = {line.path.partition("/")[0] for line in lines if line.second}
    assert compared == {"shopify", "woocommerce", "stripe", "gumroad"}


def test_a_second_reader_of_our_own_payloads_agrees() -> None:
    lines = [line for sender in SENDERS for line in report_of(sender)]
    assert [line for line in lines if line.differs] == []
    assert sum(line.second is not None for line in lines) >= 40


def report_of(sender: str) -> Iterator[OrderAmounts]:
    """The report over the payloads in a connector's own folder."""
    connector = Registry()[sender]
    for folder in sorted(payload_folder(sender).iterdir()):
        topic = topic_of(connector, folder.name)
        for path in bodies_in(folder) if topic else ():
            yield from orders(connector, str(topic), path, f"{sender}/{folder.name}/{path.name}")


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"7", b"{}", b'{"total": {}, "line_items": 1}', b"\xff", b"a=b&c"]
)
def test_a_second_reader_of_what_is_no_order_reads_nothing(sender: str, body: bytes) -> None:
    source = Registry()[sender].source
    assert source is not None
    assert source.second_reading(body) is None


@pytest.mark.parametrize("sender", SENDERS)
def test_a_second_reader_shares_no_code_with_the_normaliser(sender: str) -> None:
    text = (ROOT / "connectors" / sender / "second.py").read_text()
    theirs = re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)
    assert set(theirs) <= {"json", "decimal", "urllib.parse", "app.connector"}


def test_the_command_prints_the_report_and_fails_where_the_two_readers_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shopify/orders-paid"
    folder.mkdir(parents=True)
    (folder / "good.json").write_bytes(orjson.dumps(shopify_order(7)))
    result = CliRunner().invoke(app, ["webhooks", "amounts", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "34.51 EUR" in result.output
    assert "a second reader agrees on 1 of 1" in result.output
    (folder / "odd.json").write_bytes(orjson.dumps(shopify_order(8, total_price="99.99")))
    result = CliRunner().invoke(app, ["webhooks", "amounts", str(tmp_path), "--trouble"])
    assert result.exit_code == 1, result.output
    assert "99.99" in result.output

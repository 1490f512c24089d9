"""The report of amounts, and a second reader of the bodies that shares no code with the connectors."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.domain.amounts import OrderAmounts, report
from app.registry import Registry
from tests.support.orders import shopify_order

SHARED = Path(__file__).parents[3] / "shared/payloads"
WHOLE_ORDERS = ("order.created", "order.updated", "order.paid", "order.cancelled", "order.fulfilled")


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


def second_reading(body: Any, sender: str) -> tuple[str, str, Decimal] | None:
    """(number, currency, total) as the sender writes them."""
    if sender == "shopify" and body.get("total_price") and body.get("name") and body.get("currency"):
        return str(body["name"]), body["currency"], Decimal(str(body["total_price"]))
    if sender == "woocommerce" and body.get("total") and body.get("currency"):
        return str(body.get("number") or body["id"]), body["currency"], Decimal(str(body["total"]))
    return None


def test_a_second_reader_agrees_on_number_currency_and_total_of_every_body() -> None:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            raise RuntimeError("../shared/payloads is required in CI")
        pytest.skip("../shared/payloads is not here")
    compared = 0
    for line in report(SHARED, Registry()):
        sender = line.path.partition("/")[0]
        if line.type in WHOLE_ORDERS and sender in ("shopify", "woocommerce"):
            compared += agrees(line, sender)
    assert compared >= 10


def agrees(line: OrderAmounts, sender: str) -> bool:
    body = json.loads((SHARED / line.path).read_text())
    read = second_reading(body["body"] if line.path.endswith("-with-headers.json") else body, sender)
    if read is None:
        return False
    assert line.total is not None, line.path
    assert (line.number, line.total.currency, line.total.amount) == read, line.path
    return True

"""A made-up shop: places an order every few seconds and tells the hub of it as Shopify would, by a signed webhook.

    python -m demo.shop --hub http://127.0.0.1:8000 --every 4

Every dozen orders is a day, on which also this happens: one order goes to an address that does not exist, one is
refunded, one is disputed, and the chat is away for a while (`DAY`).

It remembers its last order number in TRADEWIND_HOME, so that numbers go on after a restart. A webhook that the hub did
not take is sent again, unchanged, until it is: that is what a platform does.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import orjson

from app.domain.connections_file import Declared, read_connections
from app.errors import ConfigError
from app.registry import Registry
from connectors.shopify.sample import order
from connectors.shopify.sample_later import dispute, refund

FOLDER = Path(__file__).parent
SLUG = "demo-store"
TOPIC = "orders/paid"
FIRST = 1001
RETRY_SECONDS = 0.3
ORDERS_A_DAY = 12
OUTAGE = {"status": 503, "retry_after": 1}
"""What the sandbox of the chat answers while it is away."""


@dataclass(frozen=True)
class Shop:
    """The shop's side of the connection."""

    hub: str
    connection: Declared
    memory: Path
    sandbox: str = ""
    """Where faults are told to; without one, nothing is ever away."""

    def next_number(self) -> int:
        try:
            return int(self.memory.read_text()) + 1
        except (OSError, ValueError):
            return FIRST

    def place_order(self, client: httpx.Client) -> int:
        """Place one order and tell the hub until it has taken it; answers the order's number."""
        number = self.next_number()
        for happens in DAY.get((number - FIRST) % ORDERS_A_DAY, ()):
            happens(self, client, number)
        self.tell(client, TOPIC, orjson.dumps(paid_order(number)))
        self.memory.write_text(str(number))
        return number

    def refund(self, client: httpx.Client, number: int) -> None:
        """The order before is refunded in part."""
        self.tell(client, "refunds/create", orjson.dumps(refund(paid_order(number - 1), datetime.now(UTC))))

    def dispute(self, client: httpx.Client, number: int) -> None:
        """The buyer of an earlier order disputes its payment."""
        now = datetime.now(UTC)
        body = dispute(paid_order(number - 3), now, now + timedelta(days=7))
        self.tell(client, "disputes/create", orjson.dumps(body))

    def chat_goes(self, client: httpx.Client, number: int) -> None:
        """The chat is away: its lane parks, and what is to be posted waits, in order."""
        if self.sandbox:
            taken(lambda: client.post(f"{self.sandbox}/_faults/slack", json=OUTAGE))

    def chat_comes(self, client: httpx.Client, number: int) -> None:
        """The chat is back: its lane resumes by itself."""
        if self.sandbox:
            taken(lambda: client.delete(f"{self.sandbox}/_faults/slack"))

    def tell(self, client: httpx.Client, topic: str, body: bytes) -> None:
        """Sign and send; the same bytes under the same delivery id again while the hub does not take them."""
        source = self.connection.connector.source
        if source is None:
            raise LookupError(f"{self.connection.connector.slug} sends no webhooks")
        now, settings = datetime.now(UTC), self.connection.settings
        signed = source.signature.sign(body, settings, now)
        beside = source.headers(topic, body, settings, now) if source.headers else {}
        headers = {"content-type": source.content_type, **beside, **signed.headers}
        url = f"{self.hub}/webhooks/{self.connection.slug}"
        while not taken(lambda: client.post(url, content=body, headers=headers, params=dict(signed.query))):
            time.sleep(RETRY_SECONDS)


DAY = {
    0: (Shop.chat_comes,),
    3: (Shop.refund,),
    4: (Shop.dispute,),
    5: (Shop.chat_goes,),
    11: (Shop.chat_comes,),
}
"""The order of a day (counted from 0) before which something else happens."""
WRONG_ADDRESS = 2


def taken(send: Callable[[], httpx.Response]) -> bool:
    """Whether the hub took it; what it refuses for good is said and counts as taken."""
    try:
        status = send().status_code
    except httpx.TransportError as e:
        sys.stderr.write(f"the hub does not answer: {e}\n")
        return False
    if status >= 400:
        sys.stderr.write(f"the hub answered {status}\n")
    return status < 400 or (status < 500 and status != 429)


def paid_order(number: int) -> dict[str, Any]:
    """Order `number`: the same number is always the same order, but for its time."""
    astray = (number - FIRST) % ORDERS_A_DAY == WRONG_ADDRESS
    body = order(number, at=datetime.now(UTC), rng=random.Random(number), paid=True, country="US" if astray else None)
    if astray and body.get("shipping_address"):
        body["shipping_address"]["address1"] = "Nowhere Lane 0"
    return body


def open_shop(hub: str) -> Shop:
    declared = read_connections(FOLDER / "connections.yaml", Registry())
    connection = next(each for each in declared if each.slug == SLUG)
    home = Path(os.environ.get("TRADEWIND_HOME", ".tradewind"))
    return Shop(hub, connection, home / "demo-shop.txt", os.environ.get("TRADEWIND_SANDBOX", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description="A made-up shop whose orders flow.")
    parser.add_argument("--hub", default="http://127.0.0.1:8000")
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two orders")
    parser.add_argument("--count", type=int, help="stop after so many orders")
    said = parser.parse_args()
    signal.signal(signal.SIGTERM, _close)
    try:
        shop = open_shop(said.hub)
    except ConfigError as e:
        sys.stderr.write(f"the demo shop stays closed:\n{e}\n")
        raise SystemExit(2) from None
    with httpx.Client(timeout=10) as client:
        for _ in itertools.count() if said.count is None else range(said.count):
            shop.place_order(client)
            time.sleep(said.every)


def _close(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # at once: an order that was placed twice for that is one order to the hub


if __name__ == "__main__":
    main()

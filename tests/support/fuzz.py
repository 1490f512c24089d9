"""Requests to webhook addresses as no sender would make them, and some as one would."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.support.testconnector import connector


@dataclass(frozen=True)
class SignedBody:
    body: bytes
    headers: list[tuple[bytes, bytes]]

    def request(self, path: str) -> bytes:
        return post(path, self.body, headers=self.headers)


def signed(payload: Mapping[str, Any]) -> SignedBody:
    """A webhook of the test connector as it would send it."""
    body, settings, now = orjson.dumps(payload), connector.settings(), datetime.now(UTC)
    source = connector.source
    assert source is not None
    assert source.headers is not None
    headers = {
        **source.headers("order.paid", body, settings, now),
        **source.signature.sign(body, settings, now).headers,
    }
    return SignedBody(body, [(name.encode(), value.encode()) for name, value in headers.items()])


def post(path: str, body: bytes, method: str = "POST", headers: list[tuple[bytes, bytes]] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: hub", b"content-length: %d" % len(body)]
    lines += [b"%b: %b" % pair for pair in headers or []]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def exchange(port: int, request: bytes) -> bytes:
    """Send it and shut our side; what came back until the server had nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(0.5 if b"\r\n\r\n" in request else 0.02):
            writer.write(request)
            while b"\r\n\r\n" not in answer and (chunk := await reader.read(65_536)):
                answer += chunk
    except (TimeoutError, OSError):
        pass
    finally:
        writer.close()
    return answer


def statuses(answer: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"HTTP/1\.1 ([0-9]{3})", answer)]


# --- kinds of malformed requests --------------------------------------------------------------------------------

SLUGS = (
    "bench",
    "pings",
    "nowhere",
    "main/bench",
    "other/bench",
    "",
    "a/b/c",
    "..",
    "%00",
    "%ff",
    "bench%2f..",
    "-" * 300,
)
BODIES: tuple[Callable[[random.Random], bytes], ...] = (
    lambda dice: b"",
    lambda dice: dice.randbytes(dice.randrange(1, 300)),
    lambda dice: b"[" * dice.randrange(1, 5000),
    lambda dice: b'{"a":' * dice.randrange(1, 500),
    lambda dice: b'"\\ud800\\u0000"',
    lambda dice: b"%" + dice.randbytes(3) + b"=%zz&&&=",
    lambda dice: b"\xef\xbb\xbf{}",
    lambda dice: b"\xff\xfe{\x00}\x00",
    lambda dice: b"1e" + b"9" * dice.randrange(1, 2000),
    lambda dice: b"x" * dice.choice((99_999, 100_001)),
)
NAMES = (
    *(b"x-testbench-signature", b"x-testbench-topic", b"x-testbench-delivery", b"x-shopify-hmac-sha256"),
    *(b"stripe-signature", b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"host"),
    *(b"expect", b"connection", b"upgrade", b"cookie", b"authorization", b"x-request-id", b"x-forwarded-for"),
    *(b"range", b""),
)
VALUES = (
    *(b"", b"0", b"-1", b"99999999999999999999", b"chunked", b"gzip", b"gzip, chunked", b"100-continue", b"close"),
    *(b"h2c", b"t=1,v1=00", b"t=,v1=", b"\xff\xfe", b"a\x00b", b"a\tb", b"=?utf-8?b?aGk=?=", b"%n%s%x", b"x" * 5000),
    *(b"'; drop table webhook; --", b"${jndi:ldap://x}", b"multipart/form-data", b"application/json; charset=utf-99"),
)


def _target(dice: random.Random) -> str:
    path = f"/webhooks/{dice.choice(SLUGS)}"
    return path + dice.choice(("", "?", "?token=", "?token=%00", "?%zz", "?a=1&" * 50, "?token=" + "é"))


def _headers(dice: random.Random) -> list[tuple[bytes, bytes]]:
    given = [(dice.choice(NAMES), dice.choice(VALUES)) for _ in range(dice.randrange(6))]
    if dice.random() < 0.3:
        given.append((dice.randbytes(dice.randrange(1, 8)), dice.randbytes(dice.randrange(0, 20))))
    return given


def _plain(dice: random.Random) -> bytes:
    return post(_target(dice), dice.choice(BODIES)(dice), headers=_headers(dice))


def _chunked(dice: random.Random) -> bytes:
    head = f"POST {_target(dice)} HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    sizes = (b"5", b"0", b"-5", b"fffffffffffffffff", b"5;ext=" + b"x" * 100, b"zz", b"", b" 5", b"5\n", b"0005")
    chunks = b"".join(b"%b\r\n%b\r\n" % (dice.choice(sizes), dice.choice((b"hello", b"hi", b""))) for _ in range(4))
    return head + chunks + dice.choice((b"0\r\n\r\n", b"0\r\nx-testbench-signature: 00\r\n\r\n", b"", b"0\r\n"))


def _two_lengths(dice: random.Random) -> bytes:
    more = [(b"content-length", dice.choice((b"0", b"5", b"+5", b"5, 5", b"0x5"))), (b"transfer-encoding", b"chunked")]
    return post(_target(dice), b"hello", headers=more[: dice.randrange(1, 3)])


def _cut(dice: random.Random) -> bytes:
    whole = _plain(dice)
    return whole[: dice.randrange(1, len(whole))]


def _bits(dice: random.Random) -> bytes:
    whole = bytearray(_plain(dice)[:2000])
    for _ in range(dice.randrange(1, 20)):
        whole[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
    return bytes(whole)


def _line(dice: random.Random) -> bytes:
    method = dice.choice(("GET", "PUT", "TRACE", "CONNECT", "PRI", "post", "P\x00ST", "", "DELETE", "OPTIONS", "HEAD"))
    version = dice.choice(("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "HTTP/1.1\r\n ", "ICAP/1.0"))
    return f"{method} {_target(dice)} {version}\r\nhost: hub\r\n\r\n".encode()


def _lie(dice: random.Random) -> bytes:
    """Signed for another body, another topic, another time, or signed rightly and then changed."""
    real = signed({"id": "1", "amount": "1.00", "n": dice.random()})
    body = bytearray(real.body)
    body[dice.randrange(len(body))] ^= 1
    return SignedBody(bytes(body), real.headers).request("/webhooks/bench")


def _pipeline(dice: random.Random) -> bytes:
    return b"".join(_plain(dice) for _ in range(3))


KINDS = (_plain, _plain, _plain, _chunked, _two_lengths, _cut, _bits, _line, _lie, _lie, _pipeline)


def malformed(dice: random.Random) -> tuple[str, bytes]:
    """(its kind, the bytes) of one request."""
    kind = dice.choice(KINDS)
    return kind.__name__, kind(dice)

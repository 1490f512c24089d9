"""What is asked of an outside system: the rendered request, which is stored and re-sent byte for byte."""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

import orjson
from yarl import URL

from app.errors import PermanentError

Address = tuple[str, int]
"""Host and port as they stand in a URL, the host in lower case and without brackets."""

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that by RFC 9110 section 9.2.1 ask for no change."""

_METHOD = re.compile(r"[A-Z]{1,20}")
_URL = re.compile(r"https?://[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_NUMERIC_HOST = re.compile(r"[0-9.]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"})


@dataclass(frozen=True, slots=True)
class Request:
    """One rendered request, the thing that is stored and re-sent byte for byte.

    url: complete and already percent-encoded; nothing in it is changed. headers: in order, without credentials, which
    are added when it is sent. reads: it changes nothing outside, so that an unsure outcome may simply be repeated.
    redirects: how many times an answer may point to another path of the same scheme, host and port (if `reads`).
    Raises PermanentError for what cannot be sent.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reads: bool = False
    redirects: int = 0

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise PermanentError("the method is not an HTTP method in capitals")
        target(self.url)
        for name, value in self.headers:
            check_header(name, value)

    @property
    def only_reads(self) -> bool:
        return self.reads or self.method in READS

    @property
    def origin(self) -> str:
        """Scheme, host and port: as much of the URL as may be shown (paths and queries can hold secrets)."""
        return target(self.url).origin

    def dump(self) -> bytes:
        """The request as bytes: a line of JSON, then the body as it is. `load` is the exact inverse."""
        head = {"v": 1, "method": self.method, "url": self.url, "headers": self.headers}
        return orjson.dumps(head | {"reads": self.reads, "redirects": self.redirects}) + b"\n" + self.body

    @classmethod
    def load(cls, stored: bytes) -> "Request":
        """What `dump` made. Raises ValueError for anything else."""
        line, newline, body = stored.partition(b"\n")
        head = orjson.loads(line)
        if not newline or not isinstance(head, dict) or head.get("v") != 1:
            raise ValueError("this is not a stored request")
        headers = tuple((name, value) for name, value in head["headers"])
        return cls(head["method"], head["url"], headers, body, head["reads"], head["redirects"])


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once. exact: as aiohttp sends it."""

    exact: URL
    address: Address
    origin: str


@lru_cache(maxsize=4096)
def target(url: str) -> Target:
    """Raises PermanentError for a URL that is not absolute http(s), holds credentials or is not percent-encoded."""
    if not _URL.fullmatch(url):
        raise PermanentError("the URL is not an absolute, percent-encoded http or https URL")
    try:
        exact = URL(url, encoded=True)
        host, port = (exact.raw_host or "").lower(), exact.port
    except ValueError as error:
        raise PermanentError("the URL cannot be read") from error
    if exact.raw_user is not None or exact.raw_password is not None:
        raise PermanentError("the URL holds credentials; they belong into a header")
    if not _HOST.fullmatch(host) or not port or not _is_plain(host):
        raise PermanentError("the URL has no usable host and port")
    return Target(exact, (host, port), f"{exact.scheme}://{exact.host_port_subcomponent}")


def _is_plain(host: str) -> bool:
    """No `127.1`, `017.0.0.1` or `2130706433`: what looks like an address is written as one."""
    if ":" not in host and not _NUMERIC_HOST.fullmatch(host):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
        raise PermanentError(f"the header {name[:40]!r} cannot be set")
    if not _HEADER_VALUE.fullmatch(value):
        raise PermanentError(f"the header {name!r} holds control characters")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. pool: for a free connection; connect: for one address and its TLS handshake; read: between two parts of
    the answer; total: for everything, the wait for `before_send` included."""

    pool: float = 10.0
    connect: float = 10.0
    read: float = 30.0
    total: float = 60.0

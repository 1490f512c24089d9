"""What keeps us out of PostgreSQL, in words, and what mends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from app.errors import ConfigError

_NAMED = "Does TRADEWIND_DATABASE_URL name {} rightly? It is postgresql://user:password@host:port/name."
_MENDS = {
    "28P01": _NAMED.format("user and password"),
    "28000": "Does TRADEWIND_DATABASE_URL name the user, and does the server's pg_hba.conf let it in from here?",
    "3D000": "Make the database (`createdb`), or name another in TRADEWIND_DATABASE_URL.",
    "42501": "Make the user of TRADEWIND_DATABASE_URL the owner of the database and of its tables.",
    "42P01": "Run `tradewind migrate`.",
    "25006": "It only reads, as a standby does: name the primary in TRADEWIND_DATABASE_URL.",
    "53100": "Its disk is full: make room there.",
    "53300": "Raise its max_connections, or lower TRADEWIND_DATABASE_POOL.",
    "57P03": "Wait until it has started.",
}
"""By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


@dataclass(frozen=True)
class Refusal:
    """Why the database cannot be used, and what to do."""

    said: str
    mend: str

    def __str__(self) -> str:
        return f"{self.said.rstrip('.')}. {self.mend}"


def refusal(error: BaseException) -> Refusal | None:
    """What an error of asyncpg or SQLAlchemy means for who set the database up; None for one that is no matter of the
    set-up."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's errors carry the driver's
    state = getattr(cause, "sqlstate", None)
    if state in _MENDS:
        said = "the database has no tables of Tradewind yet" if state == "42P01" else str(cause.__cause__ or cause)
        return Refusal(said, _MENDS[state])
    if isinstance(error, TimeoutError):
        return Refusal("it does not answer in time", _NAMED.format("host and port"))
    if _away(error):
        return Refusal(f"it does not answer: {error}", f"Is PostgreSQL running? {_NAMED.format('host and port')}")
    return None


_ROUTES = ("OSError", "gaierror")
"""Of OSErrors, those of the way there: no route, no such name."""


def _away(error: BaseException) -> bool:
    """Whether nobody answers there; files and pipes have errors of their own."""
    if isinstance(error, BrokenPipeError):
        return False
    return isinstance(error, ConnectionError | asyncpg.PostgresConnectionError) or type(error).__name__ in _ROUTES


@contextmanager
def told(url: str) -> Iterator[None]:
    """What keeps us from using the database becomes a ConfigError, in a sentence."""
    try:
        yield
    except Exception as e:
        found = refusal(e)
        if found is None:
            raise
        raise ConfigError(f"PostgreSQL at {place(url)}: {found}") from e


def place(url: str) -> str:
    """Host, port and name of a server's address, without who we are there."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or ''}{parts.path}"

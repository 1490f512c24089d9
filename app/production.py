"""What a hub refuses to start with: no database, keys that others know, or could guess."""

from string import hexdigits

from app.crypto import check_random, parse_keys
from app.errors import ConfigError
from app.keyfile import made_keys
from app.settings import Settings

SHORTEST = 20
"""Characters of TRADEWIND_ADMIN_KEY, at least; `openssl rand -hex 24` makes 48."""
KNOWN = (
    *("admin", "change", "default", "demo", "example", "hunter2", "letmein", "password", "passw0rd", "placeholder"),
    *("qwerty", "sample", "secret", "test", "tradewind", "abc123", "123456", "key-of", "your-"),
)
"""Words of keys that stand in documentation, tests and lists of passwords."""


def check_database(settings: Settings) -> None:
    """Raises ConfigError where none is named."""
    if not settings.database_url:
        raise ConfigError("TRADEWIND_DATABASE_URL is not set; `tradewind dev` starts a database by itself.")


def check_secrets(settings: Settings) -> None:
    """Raises ConfigError for a key that is too short, known or not random, and for a key file that others may read."""
    check_random(parse_keys(settings.secret_keys or made_keys(settings.home)))
    key = settings.admin_key
    if not key:
        return
    if len(key) < SHORTEST:
        raise ConfigError(f"TRADEWIND_ADMIN_KEY is shorter than {SHORTEST} characters; {_MAKE_ONE}.")
    if len(set(key)) < 8 or _holds_known(key.lower()):
        raise ConfigError(f"TRADEWIND_ADMIN_KEY can be guessed: it is not random; {_MAKE_ONE}.")


_MAKE_ONE = "make one with `openssl rand -hex 24`, or leave it out: a first key is made and shown once"


def _holds_known(key: str) -> bool:
    """Whether a key is made of known words. One of 200,000 that `openssl rand -hex` makes holds `abc123` or `123456` by
    chance, once, and is of many digits beside."""
    met = [word for word in KNOWN if word in key]
    if len(met) != 1:
        return bool(met)
    before, *rest = key.split(met[0])
    beside = set(before).union(*rest)
    return len(key) < 32 or len(rest) > 1 or not beside.issubset(hexdigits) or len(beside) < 10 or "1234567" in key

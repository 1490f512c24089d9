"""Secrets at rest: AES-256-GCM under a key ring, and keyed hashes for keys that are kept for ever."""

import base64
import hashlib
import os
from collections.abc import Mapping

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import ConfigError

MAKE_ONE = "make one with `tradewind keys new-secret`"


class KeyRing:
    """The first key encrypts, all decrypt. A sealed value is: 1 version byte, 4 bytes of key id, 12 of nonce, text."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise ConfigError(f"TRADEWIND_SECRET_KEYS: each key is 32 bytes in base64; {MAKE_ONE}.")
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self.current = _key_id(keys[0])

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Keys in base64, separated by commas."""
        return cls(parse_keys(text))

    def seal(self, plain: bytes, about: bytes = b"") -> bytes:
        """Encrypt; `about` (the row it belongs to) must be given again to open it."""
        nonce = os.urandom(12)
        return b"\x01" + self.current + nonce + self._keys[self.current].encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes = b"") -> bytes:
        key = self._keys.get(self.key_id(sealed))
        if key is None:
            raise ConfigError("A secret was encrypted under a key that TRADEWIND_SECRET_KEYS no longer names.")
        try:
            return key.decrypt(sealed[5:17], sealed[17:], about)
        except InvalidTag as e:
            raise ConfigError("A stored secret does not open: it was changed, or belongs to another row.") from e

    def seal_json(self, value: Mapping[str, object], about: bytes = b"") -> bytes:
        return self.seal(orjson.dumps(value), about)

    def open_json(self, sealed: bytes, about: bytes = b"") -> dict[str, object]:
        opened: dict[str, object] = orjson.loads(self.open(sealed, about))
        return opened

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The ids of all keys, the one that encrypts first."""
        return tuple(self._keys)

    def reseal(self, sealed: bytes, about: bytes = b"") -> bytes:
        """The same secret under the key that encrypts now."""
        return self.seal(self.open(sealed, about), about)

    @staticmethod
    def key_id(sealed: bytes) -> bytes:
        return sealed[1:5]


def check_random(keys: list[bytes]) -> None:
    """Raises ConfigError for keys that nobody drew by lot: a repeated byte, a count, a sentence. (That 32 random bytes
    look like this happens once in 10^13 keys.)"""
    for key in keys:
        if len(set(key)) < 16 or all(32 <= byte < 127 for byte in key) or sorted(key) == list(key):
            raise ConfigError(f"TRADEWIND_SECRET_KEYS holds a key that can be guessed: it is not random; {MAKE_ONE}.")


def parse_keys(text: str) -> list[bytes]:
    """Keys in base64, separated by commas. Raises ConfigError."""
    try:
        return [base64.b64decode(part.strip(), validate=True) for part in text.split(",") if part.strip()]
    except ValueError as e:
        raise ConfigError("TRADEWIND_SECRET_KEYS is not base64, separated by commas.") from e


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"key id" + key).digest()[:4]


def new_key() -> str:
    """A fresh key, base64."""
    return base64.b64encode(os.urandom(32)).decode()


class Hasher:
    """16-byte keyed hashes of what must be recognised for ever but not read back."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __call__(self, *parts: str | bytes) -> bytes:
        """Hash the parts; their borders count."""
        state = hashlib.blake2b(key=self._secret, digest_size=16)
        for part in parts:
            raw = part.encode(errors="surrogatepass") if isinstance(part, str) else part
            state.update(len(raw).to_bytes(4, "big"))
            state.update(raw)
        return state.digest()

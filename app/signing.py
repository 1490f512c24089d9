"""How senders sign: pure functions over (headers, body, secrets), each with its inverse."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, SecretStr

from app.connector import RawWebhook, Signed
from app.errors import NotFoundError, SignatureError

S = TypeVar("S", bound=BaseModel)


def mac(secret: bytes, body: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes."""
    return hmac.digest(secret, body, hashlib.sha256)


@dataclass(frozen=True)
class HmacSignature(Generic[S]):
    """HMAC-SHA256 of the raw body in one header, base64 or hex, under any of several secrets (rotation overlaps).

    header: lower case; `also`: further names of the same header.
    """

    header: str
    secrets: Callable[[S], Sequence[SecretStr]]
    encoding: Literal["base64", "hex"] = "base64"
    also: Sequence[str] = ()

    def verify(self, raw: RawWebhook, settings: S, received_at: datetime) -> None:
        given = [raw.headers[name] for name in (self.header, *self.also) if name in raw.headers]
        if not given:
            raise SignatureError(f"no {self.header} header")
        if not any(self._matches(value, raw.body, settings) for value in given):
            raise SignatureError(f"{self.header} does not fit the body")

    def sign(self, body: bytes, settings: S, now: datetime) -> Signed:
        return Signed({self.header: self._encode(mac(key_of(self.secrets(settings)[0]), body))})

    def _matches(self, given: str, body: bytes, settings: S) -> bool:
        claimed = given.strip().encode("ascii", "replace")
        fits = [
            hmac.compare_digest(claimed, self._encode(mac(key_of(secret), body)).encode())
            for secret in self.secrets(settings)
        ]
        return any(fits)

    def _encode(self, digest: bytes) -> str:
        return digest.hex() if self.encoding == "hex" else base64.b64encode(digest).decode()


@dataclass(frozen=True)
class TokenSignature(Generic[S]):
    """For senders that sign nothing: `?token=` of the URL, any of several (rotation overlaps). A missing or wrong one,
    or a connection without tokens, looks like an unknown address."""

    tokens: Callable[[S], Sequence[SecretStr]]

    def verify(self, raw: RawWebhook, settings: S, received_at: datetime) -> None:
        given = raw.query.get("token", "").encode(errors="replace")
        fits = [hmac.compare_digest(given, key_of(token)) for token in self.tokens(settings)]
        if not any(fits):
            raise NotFoundError("the token of the URL is missing or wrong")

    def sign(self, body: bytes, settings: S, now: datetime) -> Signed:
        return Signed({}, {"token": self.tokens(settings)[0].get_secret_value()})


def key_of(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()

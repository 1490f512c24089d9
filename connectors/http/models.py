"""What a connection to any HTTP API is told, what its actions take, and what they give back."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from app.events import FreeDict, Text

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
MOST_TEXT, MOST_JSON = 65_536, 262_144
"""Characters of text, and bytes of JSON, that an answer's output keeps."""
_HIDDEN = re.compile(r"authorization|cookie|api-?key|token|secret", re.IGNORECASE)


class Settings(BaseModel):
    """One place that takes HTTP requests, and how it is proved who sends them.

    The URL is kept secret as a whole: that of a catch hook *is* the credential."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, description="Tells this place from others")]
    url: Annotated[SecretStr, Field(description="Where requests go; a step's `path` is added to it")]
    auth: Literal["none", "bearer", "basic", "header"] = "none"
    token: Annotated[SecretStr | None, Field(description="For bearer, and the header's value for header")] = None
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$", description="For header: its name")] = "X-API-Key"
    username: Annotated[Text, Field(description="For basic")] = None
    password: Annotated[SecretStr | None, Field(description="For basic")] = None
    signing_secret: Annotated[
        SecretStr | None, Field(description="whsec_...: bodies are signed as Standard Webhooks says")
    ] = None
    key_header: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9-]{1,60}$", description="Put the effect key here (Idempotency-Key)"),
    ] = None

    @field_validator("url")
    @classmethod
    def _is_usable(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or "@" in parts.netloc:
            raise ValueError("url must be absolute, http or https, without user, password or #")
        if parts.port == 0:  # one that is no number raises ValueError
            raise ValueError("url has a port that cannot be called")
        return url

    @field_validator("signing_secret")
    @classmethod
    def _is_a_key(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret)
        return secret

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.auth in ("bearer", "header") and self.token is None:
            raise ValueError(f"auth: {self.auth} needs a token")
        if self.auth == "basic" and (self.username is None or self.password is None):
            raise ValueError("auth: basic needs username and password")
        return self


def signing_key(secret: SecretStr) -> bytes:
    """The bytes of `whsec_<base64>`, padded or not. ValueError if they are no key."""
    text = secret.get_secret_value().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as e:
        raise ValueError("a signing secret is whsec_ and base64") from e
    if len(key) < 16:
        raise ValueError("a signing secret holds at least 16 bytes")
    return key


class _Sent(BaseModel):
    path: Annotated[str, Field(max_length=4000, description="Added to the connection's URL, as in /orders/7")] = ""
    params: Annotated[dict[str, str], Field(description="Of the query")] = Field(default_factory=dict)
    headers: Annotated[dict[str, str], Field(description="Without credentials: those belong to the connection")] = (
        Field(default_factory=dict)
    )
    accept: Annotated[list[int], Field(description="Statuses that are an answer too, as 404 when looking")] = Field(
        default_factory=list
    )

    @field_validator("path")
    @classmethod
    def _stays_below(cls, path: str) -> str:
        """A path made of an event's words cannot lead to another host or out of the connection's own path."""
        whole = path.partition("?")[0]
        if path and not path.startswith(("/", "?")):
            raise ValueError("path begins with / (or ? for a query alone)")
        if "#" in path or "\\" in path or re.search(r"(^|/)(\.|%2e){1,2}(/|$)", whole, re.IGNORECASE):
            raise ValueError("path has no #, no \\, and no part that is . or ..")
        return path

    @field_validator("headers")
    @classmethod
    def _holds_no_credentials(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if _HIDDEN.search(name):
                raise ValueError(f"{name}: credentials belong to the connection, where they are kept secret")
        return headers


class Request(_Sent):
    """A request. Its body is one of `body` (sent as JSON), `form` or `text`."""

    method: Method = "POST"
    body: Annotated[Any, Field(description="Anything; sent as JSON")] = None
    form: dict[str, str] | None = None
    text: Text = None
    content_type: Annotated[str, Field(description="Of text")] = "text/plain; charset=utf-8"

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if sum(each is not None for each in (self.body, self.form, self.text)) > 1:
            raise ValueError("give one of body, form and text")
        return self


class OutgoingEvent(BaseModel):
    """A canonical event, as CloudEvents 1.0 puts it."""

    id: Annotated[str, Field(description="Of the event in this hub")]
    type: Annotated[str, Field(description="As order.paid")]
    source: Annotated[str, Field(description="The connection that it came from, as /connections/main-store")]
    time: Annotated[datetime, Field(description="When it happened")]
    data: Annotated[FreeDict, Field(description="Its nouns")]


class Hook(BaseModel):
    """Anything, as the zap or the scenario shall see it."""

    data: FreeDict


class ZapierCatch(Hook):
    pass


class MakeWebhook(Hook):
    pass


class Answer(BaseModel):
    """What came back: `data` if it is JSON, else `text`, both bounded; `cut` says that something is missing."""

    status: Annotated[int, Field(examples=[200])]
    data: Any = None
    text: Text = None
    cut: bool = False

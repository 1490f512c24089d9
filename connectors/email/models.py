"""What a mail is made of, and who may be in its headers."""

import base64
import binascii
import re
from email.headerregistry import Address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

MOST_RECIPIENTS = 50
MOST_ATTACHED = 20_000_000
"""Bytes of all attachments of a mail; most servers refuse more than 25 MB as sent."""

_ADDRESS = re.compile(r"(?:[^<>\r\n\"]*|\"[^\"\r\n]*\"\s*)<([^<>\s]+)>|([^<>\s]+)")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[^@\s<>\"(),:;\\\[\]]{1,190}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ENCODED = re.compile(r"=\?.*\?=")
_HEADER = re.compile(r"X-[A-Za-z0-9-]{1,60}")


def header_text(value: str) -> str:
    """Text for a header. A line break in it would begin a header of somebody else's choice, also one that is written as
    an encoded word (RFC 2047): the standard library decodes those, and older versions write the break out."""
    if _CONTROL.search(value):
        raise ValueError("holds a line break or another control character")
    if _ENCODED.search(value):
        raise ValueError("holds an encoded word (=?...?=): write the text itself")
    return value.strip()


def mailbox(value: str) -> str:
    """`ada@example.com` or `Ada <ada@example.com>`; the domain of other scripts as the net knows it."""
    header_text(value)
    found = _ADDRESS.fullmatch(value.strip())
    plain = (found[1] or found[2]) if found else ""
    if not _MAILBOX.fullmatch(plain):
        raise ValueError("is not an e-mail address; write ada@example.com or Ada <ada@example.com>")
    _known_to_the_net(plain)
    return value.strip()


def parsed(value: str) -> Address:
    """A checked mailbox as headers take it."""
    name, _, rest = value.rpartition("<")
    plain = _known_to_the_net(rest.rstrip(">").strip())
    return Address(name.strip().strip('"').strip(), addr_spec=plain)


def _known_to_the_net(plain: str) -> str:
    local, _, domain = plain.rpartition("@")
    try:
        named = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        raise ValueError("has a domain that cannot be written to") from None
    if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", named):
        raise ValueError("has a domain that cannot be written to")
    return f"{local}@{named}"


Mailbox = Annotated[str, Field(max_length=320), AfterValidator(mailbox)]
Mailboxes = Mailbox | Annotated[list[Mailbox], Field(max_length=MOST_RECIPIENTS)]
HeaderText = Annotated[str, Field(max_length=900), AfterValidator(header_text)]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


class Settings(BaseModel):
    """A mail server that takes mail from us, and who we are there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sender: Annotated[Mailbox, Field(description="Who writes: My Shop <orders@shop.example>")]
    host: Annotated[
        str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$", description="smtp.example.com")
    ]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Field(description="tls (often port 465), starttls (587), or none: only for a server beside the hub"),
    ] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    reply_to: Annotated[Mailbox | None, Field(description="Where answers go, if not to the sender")] = None
    unsubscribe_mailto: Annotated[Mailbox | None, Field(description="Where readers may also write to unsubscribe")] = (
        None
    )


class Attachment(BaseModel):
    """A file: its bytes in base64, as other actions give them (`quickbooks.get_invoice_pdf`)."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(header_text)]
    content: Annotated[str, Field(description="The file in base64")]
    content_type: Annotated[str, Field(pattern=r"^[a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+$", max_length=100)] = (
        "application/octet-stream"
    )

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content, validate=True)

    @model_validator(mode="after")
    def _is_base64(self) -> "Attachment":
        try:
            _ = self.data
        except (binascii.Error, ValueError):
            raise ValueError("content is not base64") from None
        return self


class Send(BaseModel):
    """One mail. With a `template` of the recipes, `subject`, `html` and `text` come of it."""

    to: Annotated[Mailboxes, Field(description="One address, or a list")]
    cc: Mailboxes = []
    bcc: Annotated[Mailboxes, Field(description="They receive it unseen")] = []
    subject: Annotated[HeaderText, Field(min_length=1)]
    text: Annotated[str | None, Field(max_length=500_000, description="Made of the HTML if not given")] = None
    html: Annotated[str | None, Field(max_length=1_000_000)] = None
    reply_to: Mailbox | None = None
    attachments: Annotated[list[Attachment], Field(max_length=20)] = []
    purpose: Annotated[
        Literal["marketing", "transactional"],
        Field(
            description="marketing offers to unsubscribe; transactional (a confirmation) goes to who unsubscribed too"
        ),
    ] = "marketing"
    if_suppressed: Annotated[
        Literal["fail", "skip"], Field(description="What happens if an address is not written to any more")
    ] = "fail"
    headers: Annotated[dict[str, HeaderText], Field(description="Headers of your own: X-...")] = {}

    @model_validator(mode="after")
    def _holds_together(self) -> "Send":
        if not (self.text or self.html):
            raise ValueError("a mail needs text or html")
        if not listed(self.to):
            raise ValueError("to: nobody is named")
        if wrong := [name for name in self.headers if not _HEADER.fullmatch(name)]:
            raise ValueError(f"{wrong[0][:60]!r} cannot be set: headers of your own begin with X-")
        if sum(len(each.data) for each in self.attachments) > MOST_ATTACHED:
            raise ValueError(f"the attachments have more than {MOST_ATTACHED // 1_000_000} MB")
        return self

    @property
    def everybody(self) -> list[str]:
        """The plain addresses of all who receive it, each once."""
        return list(
            dict.fromkeys(parsed(each).addr_spec for each in (*listed(self.to), *listed(self.cc), *listed(self.bcc)))
        )


class Sent(BaseModel):
    """What became of a mail. `sent` is false where nobody was left to write to; `reason` says why."""

    sent: bool
    message_id: Annotated[str | None, Field(examples=["<1@example.com>"])] = None
    to: Annotated[list[str], Field(examples=[["ada@example.com"]])] = []
    said: Annotated[str | None, Field(description="The server's last words")] = None
    reason: str | None = None

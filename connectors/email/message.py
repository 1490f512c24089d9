"""From the input of `send` to the bytes that go out: the same for the same input, key and time."""

from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from html import escape
from html.parser import HTMLParser

from app.connector import EffectKey
from app.errors import PermanentError
from connectors.email.models import Send, Settings, listed, parsed

_BLOCKS = frozenset("address blockquote br div h1 h2 h3 h4 h5 h6 hr li ol p section table tr ul".split())  # noqa: SIM905
PLACEHOLDER = "%unsubscribe%"
"""Stands in a text or in HTML for the link by which its reader unsubscribes."""
_AS_WRITTEN = frozenset({"list-unsubscribe", "message-id"})
_SILENT = frozenset({"head", "style", "script", "title"})


class _Mail(EmailPolicy):
    """As the standard library folds headers, but for those that hold addresses a program reads: too long for a line it
    would make encoded words of them (RFC 2047), which are text for people only, and no mailbox would see the link."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in _AS_WRITTEN and value.isascii():
            return f"{name}: {value}".replace(", ", ",\r\n ").encode() + b"\r\n"
        return super().fold_binary(name, value)


def message_id(settings: Settings, key: EffectKey) -> str:
    """Made of the effect key: every attempt at one mail bears the same, and receivers drop what they have."""
    return f"<{key}@{parsed(settings.sender).domain}>"


def compose(
    settings: Settings, input: Send, key: EffectKey, now: datetime, unsubscribe: str | None, receivers: list[str]
) -> bytes:
    """The message. unsubscribe: the link for the reader; receivers: who still receives it."""
    message = EmailMessage(_Mail(linesep="\r\n", cte_type="7bit"))
    sender = parsed(settings.sender)
    message["From"] = sender
    message["To"] = [address for each in listed(input.to) if (address := parsed(each)).addr_spec in receivers]
    if cc := [address for each in listed(input.cc) if (address := parsed(each)).addr_spec in receivers]:
        message["Cc"] = cc
    reply_to = input.reply_to or settings.reply_to
    if reply_to:
        message["Reply-To"] = parsed(reply_to)
    message["Subject"] = input.subject
    message["Date"] = now
    message["Message-ID"] = message_id(settings, key)
    message["Auto-Submitted"] = "auto-generated"
    answers = settings.unsubscribe_mailto or reply_to or settings.sender
    for name, value in {**unsubscribing(settings, input, unsubscribe), **input.headers}.items():
        message[name] = value
    _fill(message, input, unsubscribe or f"mailto:{parsed(answers).addr_spec}?subject=unsubscribe")
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{key(f'boundary {number}')}")
    for part in message.walk():
        for name, value in part.items():
            if "\r" in value or "\n" in value:
                raise PermanentError(f"a line break would stand in the header {name}")
    return message.as_bytes()


def unsubscribing(settings: Settings, input: Send, link: str | None) -> dict[str, str]:
    """RFC 2369 and, where there is a link that takes a POST, RFC 8058."""
    if input.purpose != "marketing":
        return {}
    mailto = settings.unsubscribe_mailto
    ways = [f"<{link}>"] if link else []
    ways += [f"<mailto:{parsed(mailto).addr_spec}?subject=unsubscribe>"] if mailto else []
    if not ways:
        return {}
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if link and link.startswith("https:") else {}
    return {"List-Unsubscribe": ", ".join(ways), **one_click}


def _fill(message: EmailMessage, input: Send, way_out: str) -> None:
    html = (input.html or "").replace(PLACEHOLDER, escape(way_out))
    message.set_content((input.text or text_of(html)).replace(PLACEHOLDER, way_out), cte="quoted-printable")
    if html:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
    for each in input.attachments:
        kind, _, subtype = each.content_type.partition("/")
        name = each.name.replace("/", "_").replace("\\", "_")
        message.add_attachment(each.data, maintype=kind, subtype=subtype, filename=name)


class _Text(HTMLParser):
    """What of an HTML page is to be read, a line for each block, links written out."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0
        self.link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in _SILENT
        if tag in _BLOCKS:
            self.parts.append("\n")
        if tag == "li":
            self.parts.append("- ")
        if tag in ("td", "th"):
            self.parts.append(" ")
        if tag == "a":
            self.link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in _SILENT and self.silent > 0
        if tag == "a" and self.link.startswith("http"):
            self.parts.append(f" ({self.link})")
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(" ".join(data.split()) if not data.isspace() else " ")
            if data[-1:].isspace() and not data.isspace():
                self.parts.append(" ")


def text_of(html: str) -> str:
    """A plain text for readers without HTML."""
    page = _Text()
    page.feed(html)
    lines = [" ".join(line.split()) for line in "".join(page.parts).split("\n")]
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    return "\n".join(kept).strip() + "\n"

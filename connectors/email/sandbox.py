"""A fake mail server with a mailbox that one can read in the browser at `/email/`.

`bounce@` any domain is a mailbox that is not there, `full@` one that is full for now, and the sender must be the shop.
"""

import email
import hashlib
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.connector import Envelope, Json, Mailbox, Sandbox

USER, PASSWORD, SENDER = "shop", "sandbox-password", "orders@demo-store.example"
MOST = 500
_LOCKED = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'self'"
}
_LOCKED_MAIL = {"content-security-policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>:root{{color-scheme:light dark}}
body{{font:1rem/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;padding:0 1rem;overflow-wrap:anywhere}}
td,th{{text-align:left;padding:.25rem 1rem .25rem 0;vertical-align:top}}
td:first-child,th{{white-space:nowrap}}
pre{{white-space:pre-wrap;overflow-wrap:anywhere}}
iframe{{width:100%;height:34rem;border:1px solid #8888;background:#fff}}</style>
<main>{inside}</main></html>"""


@dataclass
class Kept:
    """A message that was taken."""

    id: str
    envelope: Envelope
    message: EmailMessage

    def head(self, name: str) -> str:
        return str(self.message.get(name, ""))

    def body(self, kind: str) -> str | None:
        part = self.message.get_body((kind,))
        return None if part is None else str(part.get_content()).replace("\r\n", "\n")

    def files(self) -> list[tuple[str, str, bytes]]:
        """(name, type, bytes) of the attachments."""
        found = []
        for part in self.message.iter_attachments():
            content = part.get_content()
            raw = content if isinstance(content, bytes) else str(content).encode()
            found.append((part.get_filename() or "file", part.get_content_type(), raw))
        return found

    def said(self) -> Json:
        return {
            "id": self.id,
            "mail_from": self.envelope.sender,
            "rcpt_to": list(self.envelope.recipients),
            "headers": {name: str(value) for name, value in self.message.items()},
            "subject": self.head("Subject"),
            "text": self.body("plain"),
            "html": self.body("html"),
            "attachments": [
                {"name": name, "content_type": kind, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
                for name, kind, raw in self.files()
            ],
        }


@dataclass
class Post:
    """All that was taken, the newest last."""

    kept: list[Kept] = field(default_factory=list)
    taken: int = 0

    def judge(self, verb: str, address: str) -> str | None:
        local = address.partition("@")[0].lower()
        if verb == "MAIL":
            return None if address == SENDER else f"553 5.7.1 {USER} may not send as {address}"
        if local == "bounce":
            return f"550 5.1.1 {address}: there is no such mailbox"
        return "452 4.2.2 the mailbox is full" if local == "full" else None

    def receive(self, envelope: Envelope) -> str:
        message = email.message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
        if not message.get("From") or not message.get("Date"):
            return "550 5.6.0 a message needs From and Date"
        self.taken += 1
        self.kept.append(Kept(str(self.taken), envelope, message))
        del self.kept[:-MOST]
        return f"250 2.0.0 taken as {self.taken}"

    def find(self, id: str) -> Kept | None:
        return next((each for each in self.kept if each.id == id), None)


def sandbox() -> Sandbox:
    post = Post()

    async def listing(request: Request) -> Response:
        rows = "".join(
            f"<tr><td>{escape(each.head('Date'))}<td>{escape(', '.join(each.envelope.recipients))}"
            f'<td><a href="{each.id}">{escape(each.head("Subject")) or "(no subject)"}</a>'
            f"<td>{len(each.files()) or ''}"
            for each in reversed(post.kept)
        )
        table = f"<table><tr><th>Date<th>To<th>Subject<th>Files{rows}</table>" if rows else "<p>No mail yet.</p>"
        return _page("Mailbox", f"<h1>Mailbox</h1>{table}")

    async def reading(request: Request) -> Response:
        found = post.find(str(request.path_params["id"]))
        return _page("Mailbox", "<p>There is no such mail.</p>", 404) if found is None else _page(*_mail(found))

    async def showing(request: Request) -> Response:
        """The HTML of a mail, alone and locked up: no script runs and nothing is fetched."""
        found = post.find(str(request.path_params["id"]))
        html = found.body("html") if found else None
        return HTMLResponse(html or "", 200 if html else 404, headers=_LOCKED_MAIL)

    async def attached(request: Request) -> Response:
        found = post.find(str(request.path_params["id"]))
        files, number = found.files() if found else [], int(request.path_params["number"])
        if number >= len(files):
            return Response(status_code=404)
        name = "".join(
            each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in files[number][0]
        )
        headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
        return Response(files[number][2], media_type=files[number][1], headers=headers)

    routes = [
        Route("/", listing, methods=["GET"]),
        Route("/{id:int}", reading, methods=["GET"]),
        Route("/{id:int}/html", showing, methods=["GET"]),
        Route("/{id:int}/files/{number:int}", attached, methods=["GET"]),
    ]
    settings: dict[str, Json] = {
        "sender": f"Demo Store <{SENDER}>",
        "host": "127.0.0.1",
        "port": 8002,
        "security": "none",
    }
    settings |= {"username": USER, "password": PASSWORD}
    mailbox = Mailbox({USER: PASSWORD}, post.judge, post.receive)
    return Sandbox(settings, routes, lambda: {"messages": [each.said() for each in post.kept]}, mailbox=mailbox)


def _mail(found: Kept) -> tuple[str, str]:
    subject = found.head("Subject") or "(no subject)"
    heads = "".join(f"<tr><th>{escape(name)}<td>{escape(str(value))}" for name, value in found.message.items())
    files = "".join(
        f'<li><a href="{found.id}/files/{number}">{escape(name)}</a> ({escape(kind)}, {len(raw):,} bytes)'
        for number, (name, kind, raw) in enumerate(found.files())
    )
    html = (
        f'<h2>HTML</h2><iframe sandbox src="{found.id}/html" title="the mail"></iframe>' if found.body("html") else ""
    )
    text = f"<h2>Text</h2><pre>{escape(found.body('plain') or '')}</pre>"
    inside = f'<p><a href="./">All mail</a></p><h1>{escape(subject)}</h1><table>{heads}</table>'
    return subject, inside + (f"<h2>Files</h2><ul>{files}</ul>" if files else "") + html + text


def _page(title: str, inside: str, status: int = 200) -> Response:
    return HTMLResponse(_PAGE.format(title=escape(title), inside=inside), status, headers=_LOCKED)

"""`/unsubscribe/{token}`: the link in a mail. A GET only asks (scanners follow links), a POST does it (RFC 8058)."""

from html import escape

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.api.context import HubDep

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Unsubscribe</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1rem}}:root{{color-scheme:light dark}}</style><main>{}</main></html>"""


@router.get("/unsubscribe/{token}")
async def ask(hub: HubDep, token: str) -> HTMLResponse:
    _, address = hub.suppressions.open_token(token)
    return _page(
        f"<h1>Unsubscribe</h1><p>Shall we stop writing to <strong>{escape(address)}</strong>?</p>"
        '<form method="post"><button>Unsubscribe</button></form>'
    )


@router.post("/unsubscribe/{token}")
async def unsubscribe(hub: HubDep, token: str) -> HTMLResponse:
    """A mail program's one click, or the button of the page."""
    workspace, address = hub.suppressions.open_token(token)
    await hub.suppressions.add(workspace, address, "unsubscribed")
    return _page(f"<h1>Done</h1><p>We do not write to <strong>{escape(address)}</strong> any more.</p>")


def _page(inside: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(inside), headers=_HEADERS)

"""Messages drawn of canonical objects, in Slack's Block Kit. Whatever somebody else wrote is escaped.

Limits by Slack's reference: 50 blocks, 150 characters of a header, 3,000 of a section, 2,000 of a field, 10 fields.
The text of a message that is changed: 4,000 bytes, entities counted whole (gitlab-org/gitlab, merge request 258898).
Beside them all of a message's blocks together: some 12,000 characters less what their containers take, which no page
says; 11,341 were refused with msg_blocks_too_long (slackapi/bolt-js, issues 2509 and 2867).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.connector import Json
from app.events import Dispute, HubTrouble, Money, Order
from connectors.slack.models import PostMessage, ReplyInThread, UpdateMessage

Block = dict[str, Json]
Content = PostMessage | ReplyInThread | UpdateMessage
MOST_ITEMS = 10
MOST_CHANGED = 4000
MOST_TEXT, MOST_ABOVE, LEAST_ABOVE = 10500, 9000, 100
"""Characters of all blocks, and of those above a card."""
FIELD = (1900, 900, 400, 150, 60)
"""Characters of a card's field: the first with which all cards of a message fit."""


def escape(text: str, most: int = 3000) -> str:
    """Slack's three entities; never longer than `most`, never cut within an entity."""
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    plain = text.translate({ord(char): entity for char, entity in entities.items()})
    if len(plain) <= most:
        return plain
    cut = plain[: most - 1]
    return cut[: cut.rfind("&")] + "…" if cut.rfind("&") > cut.rfind(";") else cut + "…"


def text_of(content: Content) -> str:
    """What notifications show, and clients without blocks."""
    if content.text is not None:
        return content.text[:40000] if content.markup else escape(content.text, 40000)
    for card in _titles(content):
        return escape(card)
    return "Message" if content.blocks else ""


def blocks_of(content: Content) -> list[Block] | None:
    """The card, under the text if there is one; None for plain text."""
    if content.blocks is not None:
        return list(content.blocks)
    card = _card(content)
    if not card or content.text is None:
        return card or None
    room = min(MOST_ABOVE, MOST_TEXT - length_of(card))
    return [*(_section(piece) for piece in pieces(_begun(text_of(content), room))), *card]


def _begun(text: str, most: int) -> str:
    """As much of a text as there is room for; " …" says that there is more."""
    text = text.strip()
    if len(text) <= most:
        return text
    return f"{pieces(text, most - 2)[0]} …" if most >= LEAST_ABOVE else ""


def changed(body: Block) -> Block:
    """The body of a message that is changed: a text that is too long for that stands in blocks, its beginning alone is
    what notifications show."""
    text = body.get("text")
    if not isinstance(text, str) or len(text.encode()) <= MOST_CHANGED:
        return body
    begun = text.encode()[: MOST_CHANGED - len(" …".encode())].decode(errors="ignore")
    short = f"{next(iter(pieces(text, len(begun))), '')} …"
    blocks = body.get("blocks") or [_section(piece) for piece in pieces(_begun(text, MOST_ABOVE))]
    return body | {"text": short, "blocks": blocks}


def length_of(blocks: Json) -> int:
    """Characters of all texts in blocks."""
    if isinstance(blocks, list):
        return sum(map(length_of, blocks))
    if not isinstance(blocks, dict):
        return 0
    text = blocks.get("text")
    return len(text) if isinstance(text, str) else sum(map(length_of, blocks.values()))


def pieces(text: str, most: int = 3000) -> list[str]:
    """A long text in parts that sections take, cut at a line's or word's end, never within an entity or a link."""
    parts = []
    while len(text) > most:
        cut = max(text.rfind("\n", most // 2, most), text.rfind(" ", most // 2, most))
        if cut < 0:
            cut = most
        for opens, ends in (("<", ">"), ("&", ";")):
            begun = text.rfind(opens, 0, cut)
            if 0 < cut - begun < most // 2 and text.find(ends, begun, cut) < 0 <= text.find(ends, cut, begun + most):
                cut = begun
        parts.append(text[:cut])
        text = text[cut:].lstrip("\n ")
    return [part for part in (*parts, text) if part.strip()]


def _titles(content: Content) -> Iterable[str]:
    if content.order is not None:
        yield _order_title(content.order)
    if content.dispute is not None:
        yield _dispute_title(content.dispute)
    if content.trouble is not None:
        yield content.trouble.title or "Something needs a look"


def _card(content: Content) -> list[Block]:
    blocks: list[Block] = []
    for most in FIELD:
        blocks = list(_cards(content, most))
        if length_of(blocks) <= MOST_TEXT:
            break
    return blocks


def _cards(content: Content, most: int) -> Iterable[Block]:
    if content.order is not None:
        yield from order_card(content.order, most)
    if content.dispute is not None:
        yield from dispute_card(content.dispute, most)
    if content.trouble is not None:
        yield from alert_card(content.trouble, most)


def order_card(order: Order, most: int = FIELD[0]) -> list[Block]:
    totals = order.totals
    address = order.shipping_address
    customer = order.customer
    name = (customer.name or " ".join(filter(None, (customer.first_name, customer.last_name)))) if customer else None
    fields = [
        ("Customer", name or order.email or (customer.email if customer else None)),
        ("Total", _money(order.total)),
        ("Payment", order.payment_status),
        ("Ship to", ", ".join(filter(None, (address.city, address.country_code))) if address else None),
        ("Discount", _money(totals.discount) if totals and totals.discount and totals.discount.amount else None),
        ("Note", order.note),
    ]
    lines = [
        f"{1 if line.quantity is None else line.quantity} × {line.title or line.sku or 'item'}"
        for line in order.line_items or ()
    ]
    link = order.links.get("admin") or order.links.get("status")
    return _blocks(_order_title(order), fields, lines, link, most)


def dispute_card(dispute: Dispute, most: int = FIELD[0]) -> list[Block]:
    fields = [
        ("Amount", _money(dispute.amount)),
        ("Reason", dispute.reason),
        ("Status", dispute.status),
        ("Evidence due", _time(dispute.due_by)),
        ("Order", dispute.order_id),
        ("Payment", dispute.payment_id),
    ]
    return _blocks(_dispute_title(dispute), fields, [], dispute.url, most)


def alert_card(trouble: HubTrouble, most: int = FIELD[0]) -> list[Block]:
    fields = [
        ("Recipe", trouble.recipe),
        ("Step", trouble.step),
        ("Connection", trouble.connection),
        ("Times", str(trouble.count) if trouble.count and trouble.count > 1 else None),
        ("First", _time(trouble.first_at)),
        ("Last", _time(trouble.last_at)),
    ]
    lines = [trouble.reason] if trouble.reason else []
    return _blocks(trouble.title or "Something needs a look", fields, lines, trouble.url, most)


def _order_title(order: Order) -> str:
    number = order.number or order.id or ""
    total = _money(order.total)
    return f"Order {number}: {total}" if total else f"Order {number}"


def _dispute_title(dispute: Dispute) -> str:
    amount = _money(dispute.amount)
    return f"Dispute over {amount}" if amount else "Dispute"


def _blocks(
    title: str, fields: Sequence[tuple[str, str | None]], lines: Sequence[str], link: str | None, most: int
) -> list[Block]:
    blocks: list[Block] = [{"type": "header", "text": {"type": "plain_text", "text": title[:150]}}]
    shown = [_mrkdwn(f"*{label}*\n{escape(value, most)}") for label, value in fields if value]
    if shown:
        blocks.append({"type": "section", "fields": shown})
    if lines:
        more = [f"and {len(lines) - MOST_ITEMS} more"] if len(lines) > MOST_ITEMS else []
        blocks.append(_section("\n".join(escape(line, 250) for line in [*lines[:MOST_ITEMS], *more])))
    if link and link.startswith("https://") and len(link) <= 3000:
        blocks.append(
            {
                "type": "actions",
                "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": link}],
            }
        )
    return blocks


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def _money(money: Money | None) -> str | None:
    return str(money.rounded()) if money is not None else None


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d %H:%M UTC") if moment is not None else None

"""What can be done in Slack. Nothing there tells a repeat from a new message: an unsure one is repeated by default."""

import base64
import binascii
import re
from decimal import Decimal
from urllib.parse import urlsplit

from app.connector import Action, Context, Json, Reply, action, unsafe, upsert
from app.errors import PermanentError, RetryableError, UnsureError
from app.events import Customer, LineItem, Money, Order, Totals
from connectors.slack.cards import Content, blocks_of, changed, text_of
from connectors.slack.models import (
    FileUploaded,
    Message,
    PostMessage,
    ReplyInThread,
    Settings,
    UpdateMessage,
    UploadFile,
)

SAMPLE_CHANNEL = "C0GENERAL01"
SAMPLE_TS = "1700000000.000001"
"""In the sandbox."""
_CHANNEL_ID = re.compile(r"[A-Z][A-Z0-9]{7,}")
_JSON = {"content-type": "application/json; charset=utf-8"}


def example_order() -> Order:
    total = Money(amount=Decimal("28.08"), currency="USD")
    return Order(
        id="5001",
        number="#1001",
        payment_status="paid",
        customer=Customer(first_name="Grace", last_name="Example"),
        totals=Totals(total=total),
        line_items=[LineItem(title="Mug <blue> & white", quantity=2)],
        links={"admin": "https://shop.example.com/orders/5001"},
    )


@action(
    safe=unsafe,
    if_unsure="repeat",
    example=lambda: PostMessage(text="A large order came in", channel="#orders", order=example_order()),
)
async def post_message(ctx: Context[Settings], input: PostMessage) -> Message:
    """Post a message to a channel, if wanted with a card of an order, a dispute or a trouble of the hub.

    An incoming webhook posts into its own channel, and gives back neither channel nor ts."""
    body = _content(input)
    if ctx.settings.webhook_url is not None:
        if input.channel is not None:
            raise PermanentError("an incoming webhook posts into its own channel only: leave `channel` out")
        await ctx.http.post(_hook_path(ctx.settings), json=body, headers=_JSON, limit_key="webhook")
        return Message()
    channel = input.channel or ctx.settings.channel
    if channel is None:
        raise PermanentError("say where to post: `channel`, on the step or the connection")
    return _message(await _call(ctx, "chat.postMessage", {**body, "channel": channel}, channel))


@action(
    safe=unsafe,
    if_unsure="repeat",
    example=lambda: ReplyInThread(text="It was paid", channel=SAMPLE_CHANNEL, ts=SAMPLE_TS),
)
async def reply_in_thread(ctx: Context[Settings], input: ReplyInThread) -> Message:
    """Reply to a message in its thread (bot token only)."""
    body = {**_content(input), "channel": input.channel, "thread_ts": input.ts}
    if input.broadcast:
        body["reply_broadcast"] = True
    return _message(await _call(ctx, "chat.postMessage", body, input.channel))


@action(
    safe=upsert,
    example=lambda: UpdateMessage(text="It was shipped", channel=SAMPLE_CHANNEL, ts=SAMPLE_TS),
)
async def update_message(ctx: Context[Settings], input: UpdateMessage) -> Message:
    """Change a message that the bot posted (bot token only)."""
    body = {name: value for name, value in changed(_content(input)).items() if name != "unfurl_links"}
    return _message(await _call(ctx, "chat.update", {**body, "channel": input.channel, "ts": input.ts}, None))


@action(
    safe=unsafe,
    if_unsure="repeat",
    example=lambda: UploadFile(name="report.csv", text="order,total\n1001,28.08\n", channel=SAMPLE_CHANNEL),
)
async def upload_file(ctx: Context[Settings], input: UploadFile) -> FileUploaded:
    """Share a file in a channel (bot token with files:write). Nobody sees it before its last request."""
    content, channel = _bytes(input), input.channel or ctx.settings.channel
    if channel is None:
        raise PermanentError("say where to share it: `channel`, on the step or the connection")
    if not _CHANNEL_ID.fullmatch(channel):
        raise PermanentError(f"files are shared by a channel's id (C0123456789), not by its name ({channel[:80]})")
    place = await ctx.http.post(
        "/api/files.getUploadURLExternal", form={"filename": input.name, "length": str(len(content))}, reads=True
    )
    upload = place.json()
    if "upload_url" not in upload or "file_id" not in upload:
        raise RetryableError("Slack's answer has no upload_url", status=place.status)
    octets = {"content-type": "application/octet-stream"}
    await ctx.http.post(upload["upload_url"], content=content, headers=octets, reads=True)
    body = {
        "files": [{"id": upload["file_id"], "title": input.title or input.name}],
        "channel_id": channel,
        "initial_comment": input.comment,
        "thread_ts": input.ts,
    }
    said = {name: value for name, value in body.items() if value is not None}
    answer = (await _call(ctx, "files.completeUploadExternal", said, channel)).json()
    if "files" not in answer:
        raise UnsureError("Slack's answer has no files")
    return FileUploaded(id=upload["file_id"], channel=channel)


async def _call(ctx: Context[Settings], method: str, body: dict[str, Json], channel: str | None) -> Reply:
    if ctx.settings.bot_token is None:
        raise PermanentError("this needs a bot token; an incoming webhook can only post")
    return await ctx.http.post(f"/api/{method}", json=body, headers=_JSON, limit_key=channel)


def _content(input: Content) -> dict[str, Json]:
    text, blocks = text_of(input), blocks_of(input)
    if not text and not blocks:
        raise PermanentError("the message is empty: give it a text, a card or blocks")
    return {"text": text, "unfurl_links": False, **({"blocks": blocks} if blocks else {}), **input.fields}


def _message(reply: Reply) -> Message:
    answer = reply.json()
    if not isinstance(answer, dict) or "ts" not in answer:
        raise UnsureError("Slack's answer has no ts", status=reply.status)
    return Message(channel=answer.get("channel"), ts=answer["ts"])


def _hook_path(settings: Settings) -> str:
    """The path alone: the host is the connection's (the vendor's, or a sandbox)."""
    url = settings.webhook_url.get_secret_value() if settings.webhook_url else ""
    return "/services/" + urlsplit(url).path.partition("/services/")[2]


def _bytes(input: UploadFile) -> bytes:
    if input.text is not None:
        return input.text.encode()
    try:
        return base64.b64decode(input.content or "", validate=True)
    except binascii.Error as e:
        raise PermanentError("`content` is not base64") from e


ACTIONS: list[Action] = [post_message, reply_in_thread, update_message, upload_file]

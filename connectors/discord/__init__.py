"""Discord: messages in a server's channels, by a bot."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field, SecretStr

from app.connector import Connector, Context, HeaderAuth, HttpOptions, Limit, Reply, action, native_key, upsert
from app.errors import UnsureError
from app.events import FreeDict
from connectors.discord.sandbox import CHANNEL, MESSAGE, sandbox

_MARKUP = re.compile(r"(https?://[\w./?=&%#:+~@,;!$-]+)|([\\*_~`|>\[\]()#@<-])")  # a link with \ in it is none
AGENT = {"user-agent": "DiscordBot (https://discord.com/developers/applications, 1.0) Tradewind"}
Channel = Annotated[str, Field(pattern=r"^\d{5,25}$", description="Right click on the channel > Copy Channel ID")]


class Settings(BaseModel, extra="forbid", hide_input_in_errors=True):
    """A bot in a Discord server."""

    server: Annotated[str, Field(min_length=1, description="A name for the server")] = "default"
    bot_token: Annotated[SecretStr, Field(description="discord.com/developers > Bot > Token")]
    channel: Annotated[Channel, Field(description="Where to post unless a step says so")]


class PostMessage(BaseModel):
    """What others wrote shows as it is; `markup` says that `text` holds formatting of your own. Nobody is pinged."""

    text: Annotated[str, Field(min_length=1, max_length=2000)]
    channel: Channel | None = None
    markup: bool = False
    fields: Annotated[FreeDict, Field(description="Discord's own fields, laid over what is made")] = {}


class UpdateMessage(PostMessage):
    id: Annotated[str, Field(pattern=r"^\d+$", description="As `post_message` gave it back")]


class Message(BaseModel):
    id: str


@action(
    safe=native_key(timedelta(minutes=2), max_length=25),
    if_unsure="repeat",
    example=lambda: PostMessage(text="Order #1001 was paid", channel=CHANNEL),
)
async def post_message(ctx: Context[Settings], input: PostMessage) -> Message:
    """Post a message to a channel. Discord drops a repeat within minutes, by a nonce made of the effect key."""
    body = {**_content(input), "nonce": ctx.key[:25], "enforce_nonce": True}
    channel = input.channel or ctx.settings.channel
    return _message(await ctx.http.post(f"/api/v10/channels/{channel}/messages", json=body, limit_key=channel))


@action(safe=upsert, example=lambda: UpdateMessage(id=MESSAGE, text="It was shipped", channel=CHANNEL))
async def update_message(ctx: Context[Settings], input: UpdateMessage) -> Message:
    """Change a message that the bot posted."""
    path = f"/api/v10/channels/{(channel := input.channel or ctx.settings.channel)}/messages/{input.id}"
    return _message(await ctx.http.request("PATCH", path, json=_content(input), limit_key=channel))


def _content(input: PostMessage) -> dict[str, object]:
    text = input.text if input.markup else _MARKUP.sub(lambda it: it[1] or f"\\{it[2]}", input.text)[:2000]
    return {"content": text, "allowed_mentions": {"parse": []}, **input.fields}


def _message(reply: Reply) -> Message:
    said = reply.json()
    if not isinstance(said, dict) or "id" not in said:
        raise UnsureError("Discord's answer has no id", status=reply.status)
    return Message(id=said["id"])


async def _test(ctx: Context[Settings]) -> str:
    return f"The bot {(await ctx.http.get('/api/v10/users/@me')).json()['username']}"


connector = Connector(
    slug="discord",
    title="Discord",
    category="chat",
    settings=Settings,
    account="server",
    actions=[post_message, update_message],
    auth=HeaderAuth(lambda settings: {"authorization": f"Bot {settings.bot_token.get_secret_value()}"}),
    http=HttpOptions(lambda settings: "https://discord.com", AGENT, limits=(Limit(45, 1), Limit(5, 5, keyed=True))),
    sandbox=sandbox,
    test=_test,
)

"""A fake Discord server with one channel."""

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.connector import Sandbox

TOKEN, CHANNEL, MESSAGE = "sandbox-bot-token", "100200300400", "1"
BOT = {"id": "9", "username": "tradewind", "discriminator": "0", "global_name": None, "avatar": None, "bot": True}
BOT |= {"public_flags": 0, "flags": 0}
LISTS: dict[str, object] = {name: [] for name in ["mentions", "mention_roles", "attachments", "embeds", "components"]}
PLAIN = {"type": 0, "flags": 0, "tts": False, "pinned": False, "mention_everyone": False, "edited_timestamp": None}
AS_SENT = ("content", "nonce", "embeds")


def sandbox() -> Sandbox:
    first = {"id": MESSAGE, "channel_id": CHANNEL, "content": "Welcome", "timestamp": "2026-01-01T00:00:00+00:00"}
    kept: dict[str, dict[str, object]] = {MESSAGE: {**LISTS, **PLAIN, "author": BOT, **first}}

    def refused(status: int, message: str, code: int = 0) -> Response:
        return JSONResponse({"message": message, "code": code}, status)

    async def handle(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bot {TOKEN}":
            return refused(401, "401: Unauthorized")
        if request.method == "GET":
            return JSONResponse(BOT)
        form = orjson.loads(await request.body())
        if not isinstance(form.get("content"), str) or not 0 < len(form["content"]) <= 2000:
            return refused(400, "Invalid Form Body", 50035)
        same = [each for each in kept.values() if form.get("enforce_nonce") and each.get("nonce") == form["nonce"]]
        id = request.path_params.get("id") or (same[0]["id"] if same else str(len(kept) + 1))
        if request.path_params["channel"] != CHANNEL:
            return refused(404, "Unknown Channel", 10003)
        if request.method == "PATCH" and id not in kept:
            return refused(404, "Unknown Message", 10008)
        if not same:
            said = {name: form[name] for name in AS_SENT if name in form}
            kept[id] = {**kept[MESSAGE], **kept.get(id, {}), **said, "id": id, "channel_id": CHANNEL}
        return JSONResponse(kept[id])

    routes = [
        Route("/api/v10/users/@me", handle, methods=["GET"]),
        Route("/api/v10/channels/{channel}/messages", handle, methods=["POST"]),
        Route("/api/v10/channels/{channel}/messages/{id}", handle, methods=["PATCH"]),
    ]
    return Sandbox({"bot_token": TOKEN, "channel": CHANNEL}, routes, lambda: kept, lambda status: refused(status, ""))

"""A fake Discord server with one channel."""

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.connector import Json, Sandbox

TOKEN, CHANNEL, MESSAGE, SENT = "sandbox-bot-token", "100200300400", "1", ("content", "nonce", "embeds")
BOT: Json = {"id": "9", "username": "tradewind", "discriminator": "0", "avatar": None, "public_flags": 0, "flags": 0}
LISTS: Json = {name: [] for name in ("mentions", "mention_roles", "attachments", "embeds", "components")}
PLAIN: Json = dict.fromkeys(("tts", "pinned", "mention_everyone"), False) | {"type": 0, "flags": 0, "author": BOT}
SAMPLE = LISTS | PLAIN | {"timestamp": "2026-01-01T00:00:00+00:00", "edited_timestamp": None, "content": "Welcome"}


def sandbox() -> Sandbox:
    kept: Json = {MESSAGE: SAMPLE | {"id": MESSAGE, "channel_id": CHANNEL}}

    def refused(status: int, message: str) -> Response:
        return JSONResponse({"message": message, "code": 0}, status)

    async def handle(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bot {TOKEN}":
            return refused(401, "401: Unauthorized")
        if request.method == "GET":
            return JSONResponse(BOT)
        form = orjson.loads(await request.body())
        if not isinstance(form.get("content"), str) or not 0 < len(form["content"]) <= 2000:
            return refused(400, "Invalid Form Body")
        same = [each for each in kept.values() if form.get("enforce_nonce") and each.get("nonce") == form["nonce"]]
        id = request.path_params.get("id") or (same[0]["id"] if same else str(len(kept) + 1))
        if request.path_params["channel"] != CHANNEL or (request.method == "PATCH" and id not in kept):
            return refused(404, "Unknown Channel or Message")
        if not same:
            kept[id] = (
                kept.get(id, SAMPLE) | {n: form[n] for n in SENT if n in form} | {"id": id, "channel_id": CHANNEL}
            )
        return JSONResponse(kept[id])

    paths = {"users/@me": "GET", "channels/{channel}/messages": "POST", "channels/{channel}/messages/{id}": "PATCH"}
    routes = [Route(f"/api/v10/{path}", handle, methods=[method]) for path, method in paths.items()]
    return Sandbox({"bot_token": TOKEN, "channel": CHANNEL}, routes, lambda: kept, lambda status: refused(status, ""))

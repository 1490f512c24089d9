"""A fake Discord server with one channel."""

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.connector import Sandbox

TOKEN, CHANNEL, MESSAGE = "sandbox-bot-token", "100200300400", "1"


def sandbox() -> Sandbox:
    kept = {MESSAGE: {"id": MESSAGE, "channel_id": CHANNEL, "content": "Welcome"}}

    def refused(status: int, message: str) -> Response:
        return JSONResponse({"message": message, "code": 0}, status)

    async def handle(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bot {TOKEN}":
            return refused(401, "401: Unauthorized")
        if request.method == "GET":
            return JSONResponse({"id": "9", "username": "tradewind"})
        form = orjson.loads(await request.body())
        if not 0 < len(form.get("content", "")) <= 2000:
            return refused(400, "Invalid Form Body")
        same = [each for each in kept.values() if form.get("enforce_nonce") and each.get("nonce") == form["nonce"]]
        id = request.path_params.get("id") or (same[0]["id"] if same else str(len(kept) + 1))
        if request.path_params["channel"] != CHANNEL or (request.method == "PATCH" and id not in kept):
            return refused(404, "Unknown Channel or Message")
        if not same:
            kept[id] = {**kept.get(id, {}), **form, "id": id, "channel_id": CHANNEL}
        return JSONResponse(kept[id])

    routes = [
        Route("/api/v10/users/@me", handle, methods=["GET"]),
        Route("/api/v10/channels/{channel}/messages", handle, methods=["POST"]),
        Route("/api/v10/channels/{channel}/messages/{id}", handle, methods=["PATCH"]),
    ]
    return Sandbox({"bot_token": TOKEN, "channel": CHANNEL}, routes, lambda: kept, lambda status: refused(status, ""))

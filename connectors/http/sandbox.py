"""A fake place that takes anything under /hooks/sandbox, checks token and signature, and keeps what came.

`/hooks/sandbox/status/<n>` answers that status, as a system of one's own might.
"""

import hmac
from datetime import UTC, datetime

import orjson
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import EffectKey, Json, Sandbox
from connectors.http.signing import signed

TOKEN = "sandbox-token-0123456789"  # noqa: S105
SECRET = "whsec_c2FuZGJveHNpZ25pbmdzZWNyZXQwMTIzNDU2Nzg5YWI"  # noqa: S105
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def sandbox() -> Sandbox:
    place = _Place()
    routes = [
        Route("/hooks/sandbox", place.take, methods=METHODS),
        Route("/hooks/sandbox/status/{status:int}", place.say, methods=METHODS),
        Route("/hooks/sandbox/{path:path}", place.take, methods=METHODS),
        Route("/{path:path}", place.unknown, methods=METHODS),
    ]
    settings = {
        "name": "sandbox",
        "url": "https://hooks.example.com/hooks/sandbox",
        "auth": "bearer",
        "token": TOKEN,
        "signing_secret": SECRET,
        "key_header": "Idempotency-Key",
    }
    return Sandbox(settings, routes, place.state)


class _Place:
    def __init__(self) -> None:
        self._taken: list[Json] = []

    def state(self) -> Json:
        return {"requests": self._taken}

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if not _proven(request, body):
            return Response("who are you?", status_code=401)
        if request.method in ("GET", "HEAD"):
            return _json({"taken": len(self._taken)})
        path = request.url.path.partition("/hooks/sandbox")[2]
        kept = {"method": request.method, "path": path, "body": body.decode(errors="replace")}
        self._taken.append({**kept, "key": request.headers.get("idempotency-key")})
        return _json({"status": "success", "id": f"r{len(self._taken)}"})

    async def say(self, request: Request) -> Response:
        body = await request.body()
        status = int(request.path_params["status"]) if _proven(request, body) else 401
        return Response("as told", status_code=status)

    async def unknown(self, request: Request) -> Response:
        return Response("who are you?", status_code=401)


def _proven(request: Request, body: bytes) -> bool:
    """Token and signature. How old it is does not matter here: tests have a clock of their own."""
    given = {name: request.headers.get(name, "") for name in HEADERS}
    if request.headers.get("authorization") != f"Bearer {TOKEN}" or not given["webhook-timestamp"].isdigit():
        return False
    at = datetime.fromtimestamp(int(given["webhook-timestamp"]), UTC)
    key = EffectKey(given["webhook-id"].removeprefix("msg_"))
    return hmac.compare_digest(
        given["webhook-signature"], signed(body, SecretStr(SECRET), key, at)["webhook-signature"]
    )


def _json(value: Json) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")

"""The bare endpoint to measure beside: reads the body, checks the HMAC, answers; the same uvicorn flags as the API."""

import base64
import hashlib
import hmac
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECRET = b"bench-secret"


async def take(request: Request) -> Response:
    body = await request.body()
    digest = base64.b64encode(hmac.digest(SECRET, body, hashlib.sha256)).decode()
    given = request.headers.get("x-shopify-hmac-sha256", "")
    return Response(status_code=200 if hmac.compare_digest(digest, given) else 401)


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/webhooks/{connection}", take, methods=["POST"])]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=65,
        limit_concurrency=5000,
        backlog=4096,
    )

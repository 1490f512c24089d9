"""`Idempotency-Key`: a POST that is repeated with its key does nothing more and is answered the same again.

The key belongs to the API key that sent it. It is taken before the route works and kept with the sealed answer for a
day. A process that dies in between leaves a key without an answer: a repeat then looks into the audit log, where every
change writes its line in its own transaction, and either works again or says that the request was done.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.domain.keys import Caller
from app.errors import ConflictError, MalformedError, RejectedError
from app.hub import Hub
from app.ids import new_id
from app.store import idempotency as store
from app.store.byhand import acting_under
from app.store.idempotency import Kept

MOST = 255
PATIENCE = 5.0
"""Seconds for which a repeat waits for the first request."""
HEADER = "idempotency-key"


class ReusedKeyError(RejectedError):
    """The key was sent with another request."""

    status = 422
    name = "idempotency-key-reused"


class AnsweredBefore(Exception):
    """The request was done; this is what it was answered."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class _Held:
    """A key that this request holds, and where its answer goes."""

    hub: Hub
    key: bytes
    id: UUID

    async def keep(self, status: int, kind: bytes, body: bytes) -> None:
        """Keep what was done; let go of the key where nothing was, so that the mended request may use it."""
        async with self.hub.database.acquire() as db:
            if status < 400:
                answer = orjson.dumps([status, kind.decode("latin-1"), body.decode()])
                await store.keep(db, self.key, self.id, self.hub.ring.seal(answer, self.key))
            elif status < 500:
                await store.let_go(db, self.key, self.id)
            else:
                await store.unlock(db, self.key, self.id)


async def once(request: Request, hub: Hub, caller: Caller) -> None:
    """Take the request's key, if it is a POST with one. Raises AnsweredBefore, ReusedKeyError, and ConflictError where
    the first request is under way, or was done and its answer lost."""
    given = request.headers.get(HEADER)
    if given is None or request.method != "POST":
        return
    if not given or len(given) > MOST or len(request.headers.getlist(HEADER)) > 1:
        raise MalformedError(f"an Idempotency-Key is given once, and has 1 to {MOST} characters")
    key = hub.hasher("idempotency", caller.workspace, caller.id, given)
    asked = hashlib.sha256(
        b"\0".join([request.url.path.encode(), request.url.query.encode(), await request.body()])
    ).digest()
    held = _Held(hub, key, new_id())
    until = asyncio.get_running_loop().time() + PATIENCE
    while not await _taken(held, caller.workspace, asked):
        if asyncio.get_running_loop().time() > until:
            raise ConflictError("the first request with this Idempotency-Key is under way: ask again in a while")
        await asyncio.sleep(0.1)
    acting_under.set(str(held.id))
    request.state.keep = held.keep


async def _taken(held: _Held, workspace: str, asked: bytes) -> bool:
    """Whether this request may work; False while the first one does. Raises as `once`."""
    async with held.hub.database.transaction() as db:
        kept = await store.claim(db, held.key, held.id, workspace, asked)
        if kept is None:
            return True
        _answer_again(held, kept, asked)
        if kept.locked:
            return False
        if await store.done(db, workspace, kept):
            raise ConflictError(
                f"the request with this Idempotency-Key was done at {kept.at:%Y-%m-%d %H:%M:%S} UTC and its answer was "
                "lost: look at what it made (GET /v1/audit) before you send another"
            )
        return await store.take_over(db, held.key, kept.id, held.id)


def _answer_again(held: _Held, kept: Kept, asked: bytes) -> None:
    """Raises AnsweredBefore where the answer is known, ReusedKeyError where it was to something else."""
    if kept.request != asked:
        raise ReusedKeyError("this Idempotency-Key was sent with another request: take a new one for each")
    if kept.answer is not None:
        status, kind, body = orjson.loads(held.hub.ring.open(kept.answer, held.key))
        headers = {"idempotency-replayed": "true"} | ({"content-type": kind} if kind else {})
        raise AnsweredBefore(Response(body, status, headers))

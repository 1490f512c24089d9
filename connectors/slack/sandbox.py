"""A fake Slack workspace: a few channels in memory, as strict as the vendor about what it is sent."""

import re
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.slack.cards import MOST_CHANGED, length_of

TOKEN = "xoxb-sandbox"  # noqa: S105
HOOK = "T0TRADE01/B0TRADE01/sandboxhook"
CHANNELS = {
    "C0GENERAL01": "general",
    "C0ORDERS001": "orders",
    "C0ALERTS001": "alerts",
    "C0FINANCE01": "finance",
    "C0SUPPORT01": "support",
    "C0ARCHIVE01": "archived",
    "C0PRIVATE01": "private",
}
_REFUSED = {"C0ARCHIVE01": "is_archived", "C0PRIVATE01": "not_in_channel"}
_STATUS_ERRORS = {401: "invalid_auth", 403: "missing_scope", 429: "ratelimited", 503: "service_unavailable"}
_SAMPLE = {"type": "message", "text": "Welcome", "ts": "1700000000.000001"}
MOST_TEXT = 12000
"""Characters that a message's blocks hold in all; Slack itself draws the line somewhere up to 13,000."""
BURST, WINDOW = 10, 10.0
"""Messages in a channel within so many seconds: one a second, and short bursts."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Text(_Form):
    type: Literal["mrkdwn", "plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=3000)]
    emoji: bool | None = None


class _Field(_Text):
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class _HeaderText(_Form):
    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=150)]


class _Header(_Form):
    type: Literal["header"]
    text: _HeaderText


class _Section(_Form):
    type: Literal["section"]
    text: _Text | None = None
    fields: Annotated[list[_Field] | None, Field(min_length=1, max_length=10)] = None


class _Button(_Form):
    type: Literal["button"]
    text: _Text
    url: Annotated[str | None, Field(max_length=3000)] = None
    action_id: str | None = None


class _Actions(_Form):
    type: Literal["actions"]
    elements: Annotated[list[_Button], Field(min_length=1, max_length=25)]


class _Context(_Form):
    type: Literal["context"]
    elements: Annotated[list[_Text], Field(min_length=1, max_length=10)]


class _Divider(_Form):
    type: Literal["divider"]


_Block = Annotated[_Header | _Section | _Actions | _Context | _Divider, Field(discriminator="type")]


class _Hook(_Form):
    text: Annotated[str | None, Field(max_length=40000)] = None
    blocks: Annotated[list[_Block] | None, Field(max_length=50)] = None
    unfurl_links: bool | None = None


class _Post(_Hook):
    channel: str
    thread_ts: str | None = None
    reply_broadcast: bool | None = None
    username: str | None = None
    icon_emoji: str | None = None
    icon_url: str | None = None
    mrkdwn: bool | None = None
    unfurl_media: bool | None = None
    metadata: dict[str, Any] | None = None


class _Update(_Form):
    channel: str
    ts: str
    text: Annotated[str | None, Field(max_length=40000)] = None
    blocks: Annotated[list[_Block] | None, Field(max_length=50)] = None


class _NamedFile(_Form):
    id: str
    title: str | None = None


class _Complete(_Form):
    files: Annotated[list[_NamedFile], Field(min_length=1)]
    channel_id: str
    initial_comment: str | None = None
    thread_ts: str | None = None


class _RefusedError(Exception):
    """Ends a request with `ok: false`."""


Method = Callable[[Request, bytes], Awaitable[dict[str, Json]]]


def sandbox(burst: int = BURST) -> Sandbox:
    """`burst`: messages within ten seconds that a channel takes."""
    workspace = _Workspace(burst)
    routes = [
        Route("/api/{method}", workspace.api, methods=["POST", "GET"]),
        Route("/services/{hook:path}", workspace.hook, methods=["POST"]),
        Route("/upload/{id}", workspace.upload, methods=["POST", "PUT"]),
    ]
    return Sandbox({"bot_token": TOKEN, "channel": "#general"}, routes, workspace.state, fault)


def fault(status: int) -> Response:
    """A status in Slack's words."""
    return _json({"ok": False, "error": _STATUS_ERRORS.get(status, "internal_error")}, status)


class _Workspace:
    def __init__(self, burst: int) -> None:
        self._burst = burst
        self._messages: dict[str, list[dict[str, Json]]] = {id: [] for id in CHANNELS}
        self._messages["C0GENERAL01"].append(dict(_SAMPLE))
        self._files: dict[str, dict[str, Json]] = {}
        self._recent: dict[str, deque[float]] = defaultdict(deque)
        self._count = 0
        self._methods: dict[str, Method] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "files.getUploadURLExternal": self._place,
            "files.completeUploadExternal": self._complete,
        }

    def state(self) -> Json:
        """Messages by channel name (without the sample one, unless it was changed), and files that were shared."""
        messages = {CHANNELS[id]: [each for each in kept if each != _SAMPLE] for id, kept in self._messages.items()}
        shared = [file for file in self._files.values() if file.get("channel")]
        return {"messages": messages, "files": [{**file, "content": None} for file in shared]}

    async def api(self, request: Request) -> Response:
        method = self._methods.get(request.path_params["method"])
        body = await request.body()
        try:
            if method is None:
                raise _RefusedError("unknown_method")
            self._authorise(request)
            return _json({"ok": True, **await method(request, body)})
        except _RefusedError as e:
            if str(e) == "ratelimited":
                return _limited()
            return _json({"ok": False, "error": str(e)})

    async def hook(self, request: Request) -> Response:
        """Statuses and plain text, as incoming webhooks answer."""
        if request.path_params["hook"] != HOOK:
            return Response("no_service", status_code=404)
        try:
            form = _Hook.model_validate_json(await request.body())
        except ValidationError:
            return Response("invalid_payload", status_code=400)
        if not form.text and not form.blocks:
            return Response("no_text", status_code=400)
        try:
            _measure(form.blocks)
            self._admit("webhook")
        except _RefusedError as e:
            return _limited() if str(e) == "ratelimited" else Response(str(e), status_code=400)
        self._keep("C0GENERAL01", form.text, form.blocks, None)
        return Response("ok")

    async def upload(self, request: Request) -> Response:
        file = self._files.get(request.path_params["id"])
        content = await request.body()
        if file is None or file["length"] != len(content):
            return Response("invalid upload", status_code=400)
        file["content"] = content
        return Response(f"OK - {len(content)}")

    # --- methods ------------------------------------------------------------------------------------------------

    async def _auth_test(self, request: Request, body: bytes) -> dict[str, Json]:
        team = {"url": "https://sandbox.slack.com/", "team": "Sandbox", "team_id": "T0TRADE01"}
        return {**team, "user": "tradewind", "user_id": "U0TRADE01"}

    async def _post(self, request: Request, body: bytes) -> dict[str, Json]:
        form = _read(_Post, request, body)
        channel = self._channel(form.channel)
        if not form.text and not form.blocks:
            raise _RefusedError("no_text")
        _measure(form.blocks)
        if form.thread_ts and not self._find(channel, form.thread_ts):
            raise _RefusedError("thread_not_found")
        self._admit(channel)
        message = self._keep(channel, form.text, form.blocks, form.thread_ts)
        return {"channel": channel, "ts": message["ts"], "message": _shown(message)}

    async def _update(self, request: Request, body: bytes) -> dict[str, Json]:
        form = _read(_Update, request, body)
        channel = self._channel(form.channel, by_name=False)
        message = self._find(channel, form.ts)
        if message is None:
            raise _RefusedError("message_not_found")
        _measure(form.blocks)
        if len((form.text or "").encode()) > MOST_CHANGED:
            raise _RefusedError("msg_too_long")
        message["text"] = form.text or ""
        message["blocks"] = _plain(form.blocks)
        return {"channel": channel, "ts": form.ts, "text": message["text"], "message": {"text": message["text"]}}

    async def _place(self, request: Request, body: bytes) -> dict[str, Json]:
        form = dict(parse_qsl(body.decode()))
        if not form.get("filename") or not form.get("length", "").isdigit() or form["length"] == "0":
            raise _RefusedError("invalid_arguments")
        self._count += 1
        id = f"F{self._count:010d}"
        self._files[id] = {"id": id, "name": form["filename"], "length": int(form["length"])}
        base = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        return {"upload_url": f"{base}/upload/{id}", "file_id": id}

    async def _complete(self, request: Request, body: bytes) -> dict[str, Json]:
        form = _read(_Complete, request, body)
        channel = self._channel(form.channel_id, by_name=False)
        for named in form.files:
            file = self._files.get(named.id)
            if file is None or "content" not in file:
                raise _RefusedError("file_not_found")
            file |= {"title": named.title, "channel": channel, "comment": form.initial_comment}
        return {"files": [{"id": named.id, "title": named.title} for named in form.files]}

    # --- rules --------------------------------------------------------------------------------------------------

    def _authorise(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            raise _RefusedError("not_authed")
        if scheme != "Bearer" or token != TOKEN:
            raise _RefusedError("invalid_auth")

    def _channel(self, said: str, by_name: bool = True) -> str:
        """Only posting takes a channel's name too."""
        names = {name: id for id, name in CHANNELS.items()} if by_name else {}
        id = said if said in CHANNELS else names.get(said.removeprefix("#"))
        if id is None:
            raise _RefusedError("channel_not_found")
        if id in _REFUSED:
            raise _RefusedError(_REFUSED[id])
        return id

    def _admit(self, channel: str) -> None:
        now, recent = time.monotonic(), self._recent[channel]
        while recent and recent[0] <= now - WINDOW:
            recent.popleft()
        if len(recent) >= self._burst:
            raise _RefusedError("ratelimited")
        recent.append(now)

    def _find(self, channel: str, ts: str) -> dict[str, Json] | None:
        return next((each for each in self._messages[channel] if each["ts"] == ts), None)

    def _keep(self, channel: str, text: str | None, blocks: Any, thread: str | None) -> dict[str, Json]:
        self._count += 1
        message: dict[str, Json] = {
            "type": "message",
            "text": text or "",
            "ts": f"{int(time.time())}.{self._count:06d}",
            **({"blocks": _plain(blocks)} if blocks else {}),
            **({"thread_ts": thread} if thread else {}),
        }
        self._messages[channel].append(message)
        return message


def _read(form: type[Any], request: Request, body: bytes) -> Any:
    """The arguments of a method, or Slack's word for what is wrong with them."""
    if not re.match(r"application/json\b", request.headers.get("content-type", "")):
        raise _RefusedError("invalid_post_type")
    try:
        return form.model_validate_json(body)
    except ValidationError as e:
        error = e.errors()[0]
        place = error["loc"][0] if error["loc"] else ""
        if error["type"] == "json_invalid":
            raise _RefusedError("invalid_json") from e
        if place == "blocks":
            raise _RefusedError("invalid_blocks") from e
        if place == "text":
            raise _RefusedError("msg_too_long") from e
        if place in ("channel", "channel_id"):
            raise _RefusedError("channel_not_found") from e
        raise _RefusedError("invalid_arg_name" if error["type"] == "extra_forbidden" else "invalid_arguments") from e


def _measure(blocks: Any) -> None:
    if length_of(_plain(blocks)) > MOST_TEXT:
        raise _RefusedError("msg_blocks_too_long")


def _shown(message: dict[str, Json]) -> dict[str, Json]:
    return {**message, "username": "tradewind"}


def _plain(blocks: Any) -> Json:
    return [block.model_dump(exclude_none=True) for block in blocks or ()]


def _limited() -> Response:
    return Response(
        orjson.dumps({"ok": False, "error": "ratelimited"}),
        status_code=429,
        headers={"retry-after": "1"},
        media_type="application/json",
    )


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")

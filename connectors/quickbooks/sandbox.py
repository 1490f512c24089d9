"""A fake of QuickBooks Online: a sample company in memory, as strict as the vendor about everything that we send."""

import base64
import hmac
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.quickbooks.sandbox_books import Company
from connectors.quickbooks.sandbox_fault import FaultError
from connectors.quickbooks.sandbox_query import run_query

REALM = "4620816365"
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105
TOKEN_SECONDS = 3600
_FAULTS: dict[int, tuple[str, str, str]] = {
    401: ("AuthenticationFault", "3200", "message=AuthenticationFailed; errorCode=003200; statusCode=401"),
    403: ("AuthorizationFault", "3100", "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"),
    429: ("ThrottleExceeded", "3001", "message=ThrottleExceeded; errorCode=003001; statusCode=429"),
}
Handler = Callable[[Request], Awaitable[Response]]


def sandbox(tax: Literal["us", "global"] = "us", per_minute: int = 500, at_once: int = 10) -> Sandbox:
    """A company with a few accounts, items and tax codes. Limits as Intuit states them, for each company."""
    server = _Server(Company(tax), per_minute, at_once)
    settings: dict[str, Json] = {
        "realm_id": REALM,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": _signed("refresh", "0"),
        "tax": tax,
        "deposit_account": "35",
        "home_currency": server.company.currency,
    }
    if tax == "global":
        settings |= {"tax_codes": {"0.19": "5", "0.07": "6"}, "untaxed_code": "7"}
    return Sandbox(settings, server.routes(), server.company.state, fault)


def fault(status: int) -> Response:
    """A status in Intuit's words."""
    kind, code, text = _FAULTS.get(status, ("SystemFault", "10000", "An application error has occurred"))
    return _faulty(FaultError(text, code, kind=kind, status=status))


class _Server:
    """Tokens, limits and request ids around the company's books."""

    def __init__(self, company: Company, per_minute: int, at_once: int) -> None:
        self.company = company
        self._per_minute = per_minute
        self._at_once = at_once
        self._recent: deque[float] = deque()
        self._running = 0
        self._refreshed = 0
        self._answers: dict[str, bytes] = {}

    def routes(self) -> list[Route]:
        company = "/v3/company/{realm}"
        return [
            Route("/oauth2/v1/tokens/bearer", self._tokens, methods=["POST"]),
            Route(f"{company}/query", self._guarded(self._query), methods=["GET", "POST"]),
            Route(f"{company}/companyinfo/{{id}}", self._guarded(self._company_info), methods=["GET"]),
            Route(f"{company}/{{entity}}", self._guarded(self._write), methods=["POST"]),
            Route(f"{company}/{{entity}}/{{id}}", self._guarded(self._read), methods=["GET"]),
            Route(f"{company}/{{entity}}/{{id}}/send", self._guarded(self._send), methods=["POST"]),
            Route(f"{company}/{{entity}}/{{id}}/pdf", self._guarded(self._pdf), methods=["GET"]),
        ]

    # --- tokens -------------------------------------------------------------------------------------------------

    async def _tokens(self, request: Request) -> Response:
        """Refresh tokens rotate; the one before the last is still taken. They are made so that a restart knows them."""
        wanted = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            return _json({"error": "invalid_client"}, 401)
        form = dict(parse_qsl((await request.body()).decode()))
        if form.get("grant_type") != "refresh_token":
            return _json({"error": "unsupported_grant_type"}, 400)
        number = _opened("refresh", form.get("refresh_token", ""))
        if number is None or number < self._refreshed - 1:
            return _json({"error": "invalid_grant", "error_description": "Incorrect or invalid refresh token"}, 400)
        self._refreshed = max(self._refreshed, number) + 1
        return _json(
            {
                "token_type": "bearer",
                "access_token": _signed("access", str(int(time.time()) + TOKEN_SECONDS)),
                "expires_in": TOKEN_SECONDS,
                "refresh_token": _signed("refresh", str(self._refreshed)),
                "x_refresh_token_expires_in": 8726400,
            }
        )

    # --- around every request -----------------------------------------------------------------------------------

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                self._admit(request)
            except FaultError as e:
                return _faulty(e)
            self._running += 1
            try:
                return await self._once(handler, request)
            except FaultError as e:
                return _faulty(e)
            finally:
                self._running -= 1

        return guarded

    def _admit(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        ends = _opened("access", token)
        if scheme != "Bearer" or ends is None or ends < time.time():
            raise FaultError(_FAULTS[401][2], "3200", kind="AuthenticationFault", status=401)
        if request.path_params["realm"] != REALM:
            raise FaultError(_FAULTS[403][2], "3100", kind="AuthorizationFault", status=403)
        if int(request.query_params.get("minorversion", "75")) < 75:
            raise FaultError("minorversion below 75 is not supported", "4002")
        now = time.monotonic()
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) >= self._per_minute or self._running >= self._at_once:
            raise FaultError(_FAULTS[429][2], "3001", kind="ThrottleExceeded", status=429)
        self._recent.append(now)

    async def _once(self, handler: Handler, request: Request) -> Response:
        """The same request id: the answer that the first one got."""
        id = request.query_params.get("requestid")
        if id is None or request.method != "POST":
            return await handler(request)
        if not 1 <= len(id) <= 50:
            raise FaultError("requestid must have 1 to 50 characters", "2050")
        if id not in self._answers:
            answer = await handler(request)
            self._answers[id] = bytes(answer.body)
        return Response(self._answers[id], media_type="application/json")

    # --- the books ----------------------------------------------------------------------------------------------

    async def _write(self, request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise FaultError("content type must be application/json", "2010", status=415)
        body = await request.body()
        if any(char > "\uffff" for char in body.decode()):
            return fault(500)  # as the vendor does of an emoji
        entity = self.company.entity(request.path_params["entity"])
        operation = request.query_params.get("operation")
        return _json(self.company.write(entity, body, operation))

    async def _read(self, request: Request) -> Response:
        entity = self.company.entity(request.path_params["entity"])
        return _json({entity: self.company.get(entity, request.path_params["id"]), "time": _now()})

    async def _query(self, request: Request) -> Response:
        text = request.query_params.get("query") or (await request.body()).decode()
        return _json({"QueryResponse": run_query(text, self.company), "time": _now()})

    async def _send(self, request: Request) -> Response:
        if request.headers.get("content-type") != "application/octet-stream":
            raise FaultError("content type must be application/octet-stream", "2010", status=415)
        entity = self.company.entity(request.path_params["entity"])
        return _json(self.company.send(entity, request.path_params["id"], request.query_params.get("sendTo")))

    async def _pdf(self, request: Request) -> Response:
        entity = self.company.entity(request.path_params["entity"])
        number = self.company.get(entity, request.path_params["id"]).get("DocNumber", "")
        if request.headers.get("accept") != "application/pdf":
            raise FaultError("only application/pdf can be had here", "2010", status=406)
        return Response(f"%PDF-1.4\n% {entity} {number}\n%%EOF\n".encode(), media_type="application/pdf")

    async def _company_info(self, request: Request) -> Response:
        info = {"Id": "1", "SyncToken": "0", "CompanyName": "Tradewind Sample Company", "Country": self.company.country}
        return _json({"CompanyInfo": info, "time": _now()})


def _signed(kind: str, value: str) -> str:
    return f"{kind}-{value}-{_mac(kind, value)}"


def _opened(kind: str, token: str) -> int | None:
    """The number in one of our tokens; None for any other text."""
    said, _, rest = token.partition("-")
    value, _, mac = rest.partition("-")
    if said != kind or not value.isdigit() or not hmac.compare_digest(mac.encode(), _mac(kind, value).encode()):
        return None
    return int(value)


def _mac(kind: str, value: str) -> str:
    return hmac.digest(CLIENT_SECRET.encode(), f"{kind}:{value}".encode(), "sha256").hex()[:24]


def _faulty(e: FaultError) -> Response:
    error = {"Message": e.message, "Detail": e.detail, "code": e.code, "element": e.element}
    return _json({"Fault": {"Error": [error], "type": e.kind}, "time": _now()}, e.status)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000-00:00", time.gmtime())


def _json(value: Json, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")

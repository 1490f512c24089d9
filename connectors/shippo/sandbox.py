"""A fake Shippo: addresses, rates, labels, refunds and tracking of one account, in memory.

There from the start: the label `sandbox-label`. An address whose street begins with `Nowhere` is not valid and gets no
rates; one in the city `Strike` gets rates, but no label (a 201 with status ERROR); in the city `Queue` the label is
still being bought when the answer comes, and is there when it is asked for again.
"""

import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.shippo.models import Format

TOKEN = "shippo_test_sandboxsandboxsandboxsandbox"  # noqa: S105
URL_TOKEN = "sandbox-url-token-0123456789"  # noqa: S105
SENDER = {
    "name": "Sandbox Shop",
    "address1": "215 Clayton St.",
    "city": "San Francisco",
    "province_code": "CA",
    "postal_code": "94117",
    "country_code": "US",
    "phone": "+1 555 0100",
}
BOXES = [
    {
        "name": "small",
        "length": "20",
        "width": "15",
        "height": "10",
        "tare": "80",
        "max_weight": "1000",
        "max_items": 3,
    },
    {"name": "large", "length": "40", "width": "30", "height": "30", "tare": "300", "max_weight": "20000"},
]
SERVICES = (
    ("USPS", "usps_ground_advantage", "4.80", 5),
    ("USPS", "usps_priority", "8.10", 2),
    ("UPS", "ups_next_day_air", "31.50", 1),
)
_TRACKED = ("PRE_TRANSIT", "TRANSIT", "DELIVERED", "RETURNED", "FAILURE", "UNKNOWN")
_ERRORS = {401: "Token does not exist", 404: "Not found.", 429: "Request was throttled."}
Body = dict[str, Json]
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[str, Field(pattern=r"^\d{1,6}(\.\d{1,4})?$")]
"""Up to six digits before the point and four behind it."""
CARRIER = "b741b99f95e841639b54272834bc478c"
"""The account at a carrier by which all rates are asked for."""
F = TypeVar("F", bound=BaseModel)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Address(_Form):
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    name: str | None = None
    company: str | None = None
    street1: str | None = None
    street2: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    phone: str | None = None
    email: str | None = None
    validate_: Annotated[bool, Field(alias="validate")] = False


class _Parcel(_Form):
    length: Number
    width: Number
    height: Number
    weight: Number
    distance_unit: Literal["cm", "in", "ft", "m", "mm", "yd"]
    mass_unit: Literal["g", "kg", "lb", "oz"]


class _Shipment(_Form):
    address_from: _Address
    address_to: _Address
    parcels: Annotated[list[_Parcel], Field(min_length=1)]
    metadata: Annotated[str, Field(max_length=100)] = ""
    extra: dict[str, Any] | None = None
    shipment_date: str | None = None
    carrier_accounts: list[str] = Field(default_factory=lambda: [CARRIER])
    address_return: _Address | None = None
    async_: Annotated[bool, Field(alias="async")]


class _Transaction(_Form):
    rate: Text
    label_file_type: Format
    metadata: Annotated[str, Field(max_length=100)] = ""
    async_: Annotated[bool, Field(alias="async")]


class _Refund(_Form):
    transaction: Text
    async_: Annotated[bool, Field(alias="async")]


class _Track(_Form):
    carrier: Text
    tracking_number: Text
    metadata: Annotated[str, Field(max_length=100)] = ""


class _RefusedError(Exception):
    def __init__(self, status: int, said: Json) -> None:
        super().__init__(status)
        self.answer = _json(said, status)


def sandbox() -> Sandbox:
    account = _Account()
    routes = [
        _route("/addresses", account.validate, "POST"),
        _route("/addresses", account.nothing, "GET"),
        _route("/shipments", account.quote, "POST"),
        _route("/transactions", account.buy, "POST"),
        _route("/transactions", account.newest, "GET"),
        _route("/transactions/{id}", account.label, "GET"),
        _route("/refunds", account.refund, "POST"),
        _route("/tracks", account.watch, "POST"),
        _route("/tracks/{carrier}/{number}", account.track, "GET"),
    ]
    settings = {"api_token": TOKEN, "sender": SENDER, "boxes": BOXES, "url_tokens": [URL_TOKEN]}
    return Sandbox(settings, routes, account.state, fault)


def fault(status: int) -> Response:
    """A status in Shippo's words."""
    return _json({"detail": _ERRORS.get(status, "Something went wrong.")}, status)


class _Account:
    def __init__(self) -> None:
        self._rates: dict[str, Body] = {}
        self._labels: list[Body] = []
        self._refunds: list[Body] = []
        self._watched: dict[str, str] = {}
        self._keep({"rate": "", "metadata": ""}, "sandbox-label", "SUCCESS", [])

    def state(self) -> Json:
        """What was bought, given back and watched; addresses and rates are only looked up."""
        return {"labels": self._labels, "refunds": self._refunds, "watched": self._watched}

    async def nothing(self, request: Request) -> Response:
        return _json({"count": 0, "next": None, "previous": None, "results": []})

    async def validate(self, request: Request) -> Response:
        form = await _form(_Address, request)
        address = form.model_dump(exclude_none=True, exclude={"validate_"})
        valid = _valid(form)
        text = {"source": "Shippo Address Validator", "code": "Address Not Found", "type": "address_error"}
        text["text"] = "The street is not known."
        results = {"is_valid": valid, "messages": [] if valid else [text]}
        more = {"validation_results": results} if form.validate_ else {}
        return _json({**_object("address1"), "is_complete": bool(form.street1), **address, **more}, 201)

    async def quote(self, request: Request) -> Response:
        form = await _form(_Shipment, request)
        id = f"shipment{len(self._rates) // len(SERVICES) + 1}"
        if not _valid(form.address_to) or form.address_from.country != form.address_to.country:
            message = {"source": "USPS", "code": "", "text": "The address or customs declaration is not valid."}
            return _json(_shipment(id, form, [], [message]), 201)
        rates = [_rate(id, number, *service) for number, service in enumerate(SERVICES)]
        self._rates |= {each["object_id"]: {**each, "city": form.address_to.city} for each in rates}
        return _json(_shipment(id, form, rates, []), 201)

    async def buy(self, request: Request) -> Response:
        form = await _form(_Transaction, request)
        rate = self._rates.get(form.rate)
        if rate is None:
            raise _RefusedError(400, {"rate": [f"Rate with supplied object_id {form.rate} not found."]})
        said = {"rate": form.rate, "metadata": form.metadata, "label_file_type": form.label_file_type}
        id = f"label{len(self._labels)}"
        if rate["city"] == "Strike":
            message = {"source": rate["provider"], "code": "", "text": "The carrier refuses parcels to this place."}
            return _json(self._keep(said, id, "ERROR", [message]), 201)
        label = self._keep(said, id, "SUCCESS", [])
        if rate["city"] == "Queue":
            return _json({**label, "status": "QUEUED", "tracking_number": "", "label_url": ""}, 201)
        return _json(label, 201)

    async def newest(self, request: Request) -> Response:
        """The newest first, in pages."""
        size, page = int(request.query_params.get("results", "25")), int(request.query_params.get("page", "1"))
        newest = self._labels[::-1]
        found = newest[size * (page - 1) : size * page]
        following = f"{request.url.include_query_params(page=page + 1)}" if size * page < len(newest) else None
        return _json({"count": len(newest), "next": following, "previous": None, "results": found})

    async def label(self, request: Request) -> Response:
        return _json(self._found(request.path_params["id"]))

    async def refund(self, request: Request) -> Response:
        form = await _form(_Refund, request)
        label = self._found(form.transaction, 400)
        if label["status"] != "SUCCESS":
            raise _RefusedError(400, {"__all__": ["The transaction cannot be refunded (again)."]})
        label["status"] = "REFUNDPENDING"
        refund = {**_object(f"refund{len(self._refunds)}"), "transaction": form.transaction, "status": "PENDING"}
        self._refunds.append(refund)
        return _json(refund, 201)

    async def watch(self, request: Request) -> Response:
        form = await _form(_Track, request)
        self._watched[f"{form.carrier}/{form.tracking_number}"] = form.metadata
        return _json(_tracking(form.carrier, form.tracking_number, form.metadata), 201)

    async def track(self, request: Request) -> Response:
        return _json(_tracking(request.path_params["carrier"], request.path_params["number"], ""))

    def _keep(self, said: Body, id: str, status: str, messages: list[Body]) -> Body:
        made = status == "SUCCESS"
        number = f"9205590164917312{len(self._labels):06d}" if made else ""
        label = {
            **_object(id),
            **said,
            "object_state": "VALID",
            "status": status,
            "tracking_status": "UNKNOWN",
            "tracking_number": number,
            "tracking_url_provider": f"https://tools.usps.com/go/TrackConfirmAction?tLabels={number}" if made else "",
            "label_url": f"https://labels.example.com/{id}.pdf?signature=sandbox" if made else "",
            "messages": messages,
        }
        self._labels.append(label)
        return label

    def _found(self, id: str, otherwise: int = 404) -> Body:
        for label in self._labels:
            if label["object_id"] == id:
                return label
        raise _RefusedError(otherwise, {"detail": "Not found."})


def _valid(address: _Address) -> bool:
    return bool(address.street1 and address.city and address.zip) and not (address.street1 or "").startswith("Nowhere")


def _object(id: str) -> Body:
    """What every object of Shippo's says of itself."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    owner = {"object_owner": "shop@example.com", "test": True}
    return {"object_id": id, "object_created": now, "object_updated": now, **owner}


def _shipment(id: str, form: _Shipment, rates: list[Body], messages: list[Body]) -> Body:
    asked = form.model_dump(exclude_none=True, exclude={"async_": True, "address_from": {"validate_"}})
    said = {**_object(id), **asked}
    return {**said, "status": "SUCCESS", "rates": rates, "messages": messages}


def _rate(shipment: str, number: int, provider: str, token: str, amount: str, days: int) -> Body:
    level = {"token": token, "name": token.replace("_", " ").title(), "terms": ""}
    price = {"amount": amount, "currency": "USD", "amount_local": amount, "currency_local": "USD"}
    said = {**_object(f"{shipment}-{number}"), "shipment": shipment, "carrier_account": CARRIER, **price}
    cheapest = ["CHEAPEST"] if Decimal(amount) < 5 else []
    return {**said, "provider": provider, "servicelevel": level, "estimated_days": days, "attributes": cheapest}


def _tracking(carrier: str, number: str, metadata: str) -> Body:
    """What the carrier does not know is left out."""
    status = number.removeprefix("SHIPPO_")
    said: Body = {"carrier": carrier, "tracking_number": number, "metadata": metadata, "messages": []}
    if carrier != "shippo" or status not in _TRACKED or status == "UNKNOWN":
        return {**said, "tracking_history": []}
    now = {
        **_object(f"state-{number}"),
        "status": status,
        "status_details": f"It is {status.lower()}.",
        "status_date": "2026-11-20T10:00:00Z",
        "location": {"city": "San Francisco", "state": "CA", "zip": "94117", "country": "US"},
    }
    return {**said, "tracking_status": now, "tracking_history": [now]}


async def _form(form: type[F], request: Request) -> F:
    """Shippo names each wrong field with its messages."""
    try:
        return form.model_validate_json(await request.body())
    except ValidationError as e:
        fields: dict[str, list[str]] = {}
        for each in e.errors():
            fields.setdefault(str(each["loc"][0]) if each["loc"] else "__all__", []).append(each["msg"])
        raise _RefusedError(400, fields) from e


def _route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    async def handle(request: Request) -> Response:
        if request.headers.get("authorization") != f"ShippoToken {TOKEN}":
            return fault(401)
        try:
            return await handler(request)
        except _RefusedError as e:
            return e.answer

    return Route(path, handle, methods=[method])


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")

"""A fake Mailchimp: one audience and one store in memory, as strict as the vendor about what it is sent.

There from the start: ada (subscribed), left (unsubscribed), bounced (cleaned), all @example.com. An address that begins
with `forgotten` is in compliance state; one that begins with `eager` has signed up to too many lists.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.connector import Json, Sandbox
from connectors.mailchimp.forms import (
    KINDS,
    BuyerForm,
    CustomerForm,
    EventForm,
    Form,
    MemberForm,
    StoreForm,
    TagsForm,
    VariantForm,
)
from connectors.mailchimp.models import hash_of

API_KEY = "0123456789abcdef0123456789abcdef-us99"
URL_TOKEN = "sandbox-url-token-0123456789"  # noqa: S105
LIST, STORE = "a1b2c3d4e5", "sandbox-store"
_TITLES = {401: "API Key Invalid", 403: "Forbidden", 404: "Resource Not Found", 429: "Too Many Requests"}
Body = dict[str, Json]
F = TypeVar("F", bound=Form)


class _RefusedError(Exception):
    def __init__(self, status: int, title: str, detail: str, errors: list[Body] | None = None) -> None:
        super().__init__(detail)
        self.answer = _problem(status, title, detail, errors)


def sandbox() -> Sandbox:
    audience = _Audience()
    shop = _Shop(audience)
    list_path, store = "/3.0/lists/{list}", "/3.0/ecommerce/stores/{store}"
    member = list_path + "/members/{hash}"
    routes = [
        _route("/3.0/ping", _ping, "GET"),
        _route(list_path, audience.read, "GET"),
        _route(member, audience.put, "PUT"),
        _route(member, audience.archive, "DELETE"),
        _route(member + "/tags", audience.tag, "POST"),
        _route(member + "/events", audience.add_event, "POST"),
        _route(member + "/events", audience.events, "GET"),
        _route("/3.0/ecommerce/stores", shop.make_store, "POST"),
        _route(store, shop.store, "GET"),
        _route(store, shop.change_store, "PATCH"),
        _route(store + "/customers/{id}", shop.put_customer, "PUT"),
        _route(store + "/products/{id}/variants/{variant}", shop.put_variant, "PUT"),
        _route(store + "/{kind}", shop.make, "POST"),
        _route(store + "/{kind}/{id}", shop.read, "GET"),
        _route(store + "/{kind}/{id}", shop.change, "PATCH"),
        _route(store + "/carts/{id}", shop.delete_cart, "DELETE"),
    ]
    settings = {"list_id": LIST, "api_key": API_KEY, "store_id": STORE, "url_tokens": [URL_TOKEN]}
    return Sandbox(settings, routes, lambda: {**audience.state(), **shop.state()}, fault)


def fault(status: int) -> Response:
    """A status in Mailchimp's words."""
    return _problem(status, _TITLES.get(status, "Internal Server Error"), "As told.")


async def _ping(request: Request) -> Response:
    return _json({"health_status": "Everything's Chimpy!"})


class _Audience:
    def __init__(self) -> None:
        self._members: dict[str, Body] = {}
        for name, status in (("ada", "subscribed"), ("left", "unsubscribed"), ("bounced", "cleaned")):
            self._add(f"{name}@example.com", status)

    def state(self) -> Body:
        """Members by address, with tags and events."""
        return {"members": {each["email_address"]: each for each in self._members.values()}}

    async def read(self, request: Request) -> Response:
        self._check_list(request)
        subscribed = sum(each["status"] == "subscribed" for each in self._members.values())
        return _json({"id": LIST, "name": "Sandbox", "stats": {"member_count": subscribed}})

    async def put(self, request: Request) -> Response:
        """`status_if_new` for who is new; `status` would override anybody's choice, as the vendor's does."""
        self._check_list(request)
        form = await _form(MemberForm, request)
        email, hash = form.email_address, request.path_params["hash"]
        if hash != hash_of(email):
            raise _RefusedError(400, "Invalid Resource", "The subscriber hash does not fit the address.")
        self._check_compliance(email)
        member = self._members.get(hash) or self._add(email, form.status_if_new)
        if form.status is not None:
            self._override(member, form.status)
        member["merge_fields"] |= form.merge_fields
        if form.language:
            member["language"] = form.language
        return _json(_shown(member))

    async def archive(self, request: Request) -> Response:
        member = self._member(request)
        if member["status"] == "archived":
            raise _RefusedError(405, "Method Not Allowed", "This list member cannot be removed.")
        member["status"] = "archived"
        return Response(status_code=204)

    async def tag(self, request: Request) -> Response:
        member = self._member(request)
        for tag in (await _form(TagsForm, request)).tags:
            others = [each for each in member["tags"] if each != tag.name]
            member["tags"] = [*others, tag.name] if tag.status == "active" else others
        return Response(status_code=204)

    async def add_event(self, request: Request) -> Response:
        member = self._member(request)
        member["events"].append((await _form(EventForm, request)).model_dump(exclude_none=True))
        return Response(status_code=204)

    async def events(self, request: Request) -> Response:
        events = self._member(request)["events"]
        return _json({"events": events, "total_items": len(events)})

    def _add(self, email: str, status: str) -> Body:
        member: Body = {"id": hash_of(email), "email_address": email, "contact_id": hash_of(email)[:16]}
        member |= {"status": status, "merge_fields": {}, "tags": [], "events": []}
        self._members[member["id"]] = member
        return member

    def _override(self, member: Body, status: str) -> None:
        if member["status"] in ("unsubscribed", "cleaned") and status == "subscribed":
            raise _RefusedError(400, "Member In Compliance State", f"{member['email_address']} is in compliance state.")
        member["status"] = status

    def _check_compliance(self, email: str) -> None:
        if email.startswith("forgotten"):
            raise _RefusedError(400, "Member In Compliance State", f"{email} is already a list member in compliance.")
        if email.startswith("eager"):
            raise _RefusedError(400, "Invalid Resource", f"{email} has signed up to a lot of lists very recently.")

    def _check_list(self, request: Request) -> None:
        if request.path_params["list"] != LIST:
            raise _missing()

    def _member(self, request: Request) -> Body:
        self._check_list(request)
        member = self._members.get(request.path_params["hash"])
        if member is None:
            raise _missing()
        return member


class _Shop:
    def __init__(self, audience: _Audience) -> None:
        self._audience = audience
        self._stores: dict[str, Body] = {
            STORE: {"id": STORE, "list_id": LIST, "name": "Sandbox store", "currency_code": "EUR"}
        }
        self._customers: dict[str, Body] = {}
        self._kept: dict[str, dict[str, Body]] = {kind: {} for kind in KINDS}
        self._kept["carts"]["open-cart"] = {"id": "open-cart"}

    def state(self) -> Body:
        return {"stores": self._stores, "customers": self._customers, **self._kept}

    async def make_store(self, request: Request) -> Response:
        form = await _form(StoreForm, request)
        if form.id in self._stores:
            raise _taken("store")
        self._stores[form.id] = form.model_dump(exclude_none=True)
        return _json(self._stores[form.id])

    async def store(self, request: Request) -> Response:
        return _json(self._of(request))

    async def change_store(self, request: Request) -> Response:
        self._of(request).update(await _some(StoreForm, request))
        return _json(self._of(request))

    async def put_customer(self, request: Request) -> Response:
        self._of(request)
        form = await _form(CustomerForm, request)
        return _json(self._keep_buyer(form))

    async def put_variant(self, request: Request) -> Response:
        product = self._found(request, "products")
        variant = (await _form(VariantForm, request)).model_dump(exclude_none=True)
        others = [each for each in product["variants"] if each["id"] != variant["id"]]
        product["variants"] = sorted([*others, variant], key=lambda each: str(each["id"]))
        return _json(variant)

    async def make(self, request: Request) -> Response:
        self._of(request)
        kind = _kind(request)
        body = (await _form(KINDS[kind], request)).model_dump(exclude_none=True)
        if body["id"] in self._kept[kind]:
            raise _taken(kind.removesuffix("s"))
        self._check_lines(body)
        if "customer" in body:
            body["customer"] = self._keep_buyer(BuyerForm.model_validate(body["customer"]))
        self._kept[kind][body["id"]] = body
        return _json(body)

    async def read(self, request: Request) -> Response:
        return _json(self._found(request, _kind(request)))

    async def change(self, request: Request) -> Response:
        kind = _kind(request)
        found, changes = self._found(request, kind), await _some(KINDS[kind], request)
        if "customer" in changes:
            changes["customer"] = {**found["customer"], **changes["customer"]}
        found.update(changes)
        return _json(found)

    async def delete_cart(self, request: Request) -> Response:
        cart = self._found(request, "carts")
        del self._kept["carts"][cart["id"]]
        return Response(status_code=204)

    def _of(self, request: Request) -> Body:
        store = self._stores.get(request.path_params["store"])
        if store is None:
            raise _missing()
        return store

    def _found(self, request: Request, kind: str) -> Body:
        self._of(request)
        found = self._kept[kind].get(request.path_params["id"])
        if found is None:
            raise _missing()
        return found

    def _check_lines(self, body: Body) -> None:
        for line in body.get("lines", ()):
            product = self._kept["products"].get(line["product_id"])
            if product is None or line["product_variant_id"] not in [each["id"] for each in product["variants"]]:
                detail = f"A product with the provided ID ({line['product_id']}) and variant does not exist."
                raise _RefusedError(400, "Bad Request", detail)

    def _keep_buyer(self, form: BuyerForm) -> Body:
        known = self._customers.get(form.id)
        if known is None and form.email_address is None:
            raise _RefusedError(400, "Bad Request", "customer.email_address is required for a new customer.")
        self._customers[form.id] = {**(known or {}), **form.model_dump(exclude_none=True)}
        return dict(self._customers[form.id])


def _kind(request: Request) -> str:
    kind = str(request.path_params["kind"])
    if kind not in KINDS:
        raise _missing()
    return kind


async def _form(form: type[F], request: Request) -> F:
    try:
        return form.model_validate_json(await request.body())
    except ValidationError as e:
        raise _invalid(e) from e


async def _some(form: type[Form], request: Request) -> Body:
    """The fields of a PATCH: none is required, each must fit, ids and lines cannot be changed."""
    try:
        changes = orjson.loads(await request.body())
        form.model_validate(changes)
    except orjson.JSONDecodeError as e:
        raise _RefusedError(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.") from e
    except ValidationError as e:
        if [each for each in e.errors() if each["type"] != "missing"]:
            raise _invalid(e) from e
    return {name: value for name, value in changes.items() if name not in ("id", "lines", "variants")}


def _invalid(error: ValidationError) -> _RefusedError:
    errors = [
        {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"]} for each in error.errors()[:10]
    ]
    return _RefusedError(400, "Invalid Resource", "The resource submitted could not be validated.", errors)


def _missing() -> _RefusedError:
    return _RefusedError(404, "Resource Not Found", "The requested resource could not be found.")


def _taken(what: str) -> _RefusedError:
    return _RefusedError(400, "Bad Request", f"A {what} with the provided ID already exists in the account.")


def _route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    async def handle(request: Request) -> Response:
        if not _proven(request):
            return _problem(401, "API Key Invalid", "Your API key may be invalid.")
        try:
            return await handler(request)
        except _RefusedError as e:
            return e.answer

    return Route(path, handle, methods=[method])


def _proven(request: Request) -> bool:
    scheme, _, proof = request.headers.get("authorization", "").partition(" ")
    try:
        key = base64.b64decode(proof, validate=True).decode().partition(":")[2] if scheme == "Basic" else proof
    except ValueError:
        return False
    return scheme in ("Basic", "Bearer") and key == API_KEY


def _shown(member: Body) -> Body:
    kept = {name: value for name, value in member.items() if name != "events"}
    return {**kept, "tags": [{"id": number, "name": tag} for number, tag in enumerate(member["tags"])]}


def _problem(status: int, title: str, detail: str, errors: list[Body] | None = None) -> Response:
    said: dict[str, Any] = {"type": "https://mailchimp.com/developer/marketing/docs/errors/", "title": title}
    said |= {"status": status, "detail": detail, "instance": "sandbox"}
    if errors:
        said["errors"] = errors
    return Response(orjson.dumps(said), status_code=status, media_type="application/problem+json")


def _json(value: Json) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")

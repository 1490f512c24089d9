"""Every request that an action sends in a test, and every answer that a sandbox gives, held against what the vendor
describes: an OpenAPI description, a GraphQL schema, or property tables.

The descriptions lie beside the checkout in `../shared/specs`; where they do not, nothing is checked, and CI fails.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import httpx
import orjson
from jsonschema import Draft202012Validator

from tests.support.vendorspecs import SPECS, VendorSpec

OPENAPI = ("quickbooks", "slack", "stripe", "mailchimp")
NOT_DESCRIBED = {
    "quickbooks": {"GET /v3/company/{}/invoice/{}/pdf"},
    "slack": {
        "POST /api/files.getUploadURLExternal",
        "POST /upload/{}",
        "POST /api/files.completeUploadExternal",
        "POST /services/{}/{}/{}",
    },
    "mailchimp": {"PUT /3.0/ecommerce/stores/{}/products/{}/variants/{}"},
    "woocommerce": set[str](),
    "shopify": {"GET /admin/api/{}/fulfillment_orders/{}.json"},
    "stripe": {"GET /v1/checkout/sessions/{}/line_items"},
}
"""Requests that a vendor's description leaves out: each must stand here, so that none slips through."""
CREATION_ONLY = {"body : 'Line' is a required property", "body : 'CustomerRef' is a required property"}
"""Intuit's description asks every invoice for what only a new one needs; voiding names Id and SyncToken alone."""


@dataclass(frozen=True)
class Verdict:
    """What a description says of one request with its answer. wrong is None where it leaves the request out."""

    operation: str
    wrong: list[str] | None


class Description(Protocol):
    def judge(self, request: httpx.Request, path: str, answer: httpx.Response | None) -> Verdict: ...


@cache
def description(slug: str) -> Description | None:
    """How the vendor describes a connector's system; None if it does not, or the folder is not there."""
    if slug not in NOT_DESCRIBED:
        return None
    if not SPECS.exists():
        if os.environ.get("CI"):
            raise FileNotFoundError(f"CI needs the vendors' descriptions in {SPECS.name} beside the checkout")
        return None
    if slug == "shopify":
        return GraphQl()
    if slug == "woocommerce":
        return Tables()
    return OpenApi(slug, VendorSpec(SPECS / f"{slug}.json"))


def judge(slug: str, request: httpx.Request, answer: httpx.Response | None) -> Verdict | None:
    """The verdict on a request (and its answer, unless a fault was told); None where nothing is described. What was
    sent and answered alike before is not judged anew."""
    described = description(slug)
    if described is None:
        return None
    said = (answer.status_code, answer.content) if answer is not None else ()
    alike = hash((slug, request.method, str(request.url), request.headers.get("content-type"), request.content, said))
    if alike not in _JUDGED:
        _JUDGED[alike] = _verdict(slug, described, request, answer)
    return _JUDGED[alike]


_JUDGED: dict[int, Verdict] = {}


def _verdict(slug: str, described: Description, request: httpx.Request, answer: httpx.Response | None) -> Verdict:
    path = request.url.path.removeprefix(f"/{slug}")
    verdict = described.judge(request, path, answer)
    if verdict.wrong is None and verdict.operation not in NOT_DESCRIBED[slug]:
        return Verdict(verdict.operation, ["it is described nowhere"])
    return verdict


def left_out(slug: str, method: str, path: str) -> str:
    """The entry of NOT_DESCRIBED that a request fits; without one, the request as it is."""
    for entry in NOT_DESCRIBED[slug]:
        if re.fullmatch(re.escape(entry).replace(r"\{\}", "[^/]+"), f"{method} {path}"):
            return entry
    return f"{method} {path}"


@dataclass
class OpenApi:
    """An OpenAPI description."""

    slug: str
    vendor: VendorSpec

    def judge(self, request: httpx.Request, path: str, answer: httpx.Response | None) -> Verdict:
        operation = self.vendor.operation(request.method, path)
        if operation is None:
            return Verdict(left_out(self.slug, request.method, path), None)
        wrong = self.vendor.check_request(request, path)
        if request.url.params.get("operation") == "void":
            wrong = [each for each in wrong if each not in CREATION_ONLY]
        if answer is not None and answer.status_code < 300 and not refuses(answer):
            wrong += self.vendor.check_answer(request, path, answer)
        return Verdict(f"{operation.method} {operation.template}", wrong)


def refuses(answer: httpx.Response) -> bool:
    """Slack, Intuit and Shopify (of a whole document) refuse with status 200, in a form that no description has."""
    return answer.content.startswith((b'{"ok":false', b'{"Fault"', b'{"errors"', b'{"data":null,"errors"'))


@cache
def _read(schema: Any, text: str) -> tuple[Any, list[str]]:
    """(document, why it does not fit the schema); no document where it is none."""
    from graphql import GraphQLError, parse, validate

    try:
        document = parse(text)
    except GraphQLError as e:
        return None, [e.message]
    return document, [each.message for each in validate(schema, document)]


class GraphQl:
    """Shopify's Admin schema: the document is valid, its variables fit, and the answer is one to it."""

    def __init__(self) -> None:
        from graphql import build_schema

        (path,) = SPECS.glob("shopify-admin-*.graphql")
        self.schema = build_schema(path.read_text(), assume_valid=True)

    def judge(self, request: httpx.Request, path: str, answer: httpx.Response | None) -> Verdict:
        from graphql import execute_sync

        if not path.endswith("/graphql.json"):
            return Verdict(left_out("shopify", request.method, path), None)
        asked = orjson.loads(request.content)
        document, wrong = _read(self.schema, asked["query"])
        if document is None:
            return Verdict("a document", wrong)
        first: Any = document.definitions[0]
        names = ", ".join(dict.fromkeys(each.name.value for each in first.selection_set.selections))
        said = orjson.loads(answer.content) if answer is not None else {}
        result = execute_sync(
            self.schema,
            document,
            said.get("data") or {},
            variable_values=asked["variables"],
            field_resolver=lambda source, info, **given: source.get(info.path.key),
            type_resolver=lambda value, info, type_: value.get("__typename") or value["id"].split("/")[3],
        )
        wrong = wrong + [each.message for each in result.errors or () if "Variable" in each.message]
        if said.get("data") and not wrong:
            wrong += [each.message for each in result.errors or ()]
            wrong += [] if result.data == said["data"] else ["the answer holds what was not asked for"]
        return Verdict(f"{first.operation.value} {names}", wrong)


_ROUTES = (
    (r"/orders/[^/]+", "orders / Order"),
    (r"/orders/[^/]+/notes", "order-notes / Order note"),
    (r"/orders/[^/]+/refunds", "order-refunds / Order refund"),
    (r"/products", "products / Product"),
    (r"/products/[^/]+", "products / Product"),
    (r"/products/[^/]+/variations/[^/]+", "product-variations / Product variation"),
    (r"/coupons", "coupons / Coupon"),
    (r"/webhooks", "webhooks / Webhook"),
    (r"/webhooks/[^/]+", "webhooks / Webhook"),
)
_READONLY_BUT_NEEDED = {"delivery_url"}
"""The derived tables call it read-only and mandatory at once."""


class Tables:
    """WooCommerce's property tables: no body names what they do not, or what is only read."""

    def __init__(self) -> None:
        self.schemas: Mapping[str, Any] = orjson.loads((SPECS / "woocommerce.schemas.json").read_bytes())["schemas"]

    def judge(self, request: httpx.Request, path: str, answer: httpx.Response | None) -> Verdict:
        below = path.removeprefix("/wp-json/wc/v3")
        route, name = next((each for each in _ROUTES if re.fullmatch(each[0], below)), ("", None))
        if name is None:
            return Verdict(left_out("woocommerce", request.method, path), None)
        operation = f"{request.method} {route.replace('[^/]+', '{id}')}"
        schema = self.schemas[name]
        wrong = self._body(request, schema) if request.method != "GET" else []
        if answer is not None and answer.status_code < 300:
            said = answer.json()
            for each in said if isinstance(said, list) else [said]:
                wrong += [f"answer: {error.message}" for error in Draft202012Validator(schema).iter_errors(_own(each))]
        return Verdict(operation, wrong)

    def _body(self, request: httpx.Request, schema: Mapping[str, Any]) -> list[str]:
        body = orjson.loads(request.content)
        wrong = [error.message for error in Draft202012Validator(schema).iter_errors(body)]
        wrong += [f"{name} is only read" for name in set(body) & set(schema["x-readonly"]) - _READONLY_BUT_NEEDED]
        for entry in body.get("meta_data", []):
            meta = Draft202012Validator(self.schemas["orders / Order - Meta data"])
            wrong += [f"meta_data: {error.message}" for error in meta.iter_errors(entry)]
        if request.method == "POST":
            wrong += [f"{name} is missing" for name in schema["x-mandatory"] if name not in body]
        return wrong


def _own(said: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what WordPress puts beside its properties (newer versions name a variation's parent), and
    without what is not set."""
    return {name: value for name, value in said.items() if name not in ("_links", "parent_id") and value is not None}

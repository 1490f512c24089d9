"""The sandbox's shop: what it holds in memory, and what each query and mutation does to it.

Every id exists that does not end in 404, so that orders of the demo and of recipe tests need not be put in first;
orders that end in 405 are held from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from connectors.shopify.sample import CATALOGUE

Json = dict[str, Any]
Payload = Json
HELD_AT_MOST = 10
TAGS_AT_MOST = 250


def number(gid: str) -> int:
    return int(gid.split("?", 1)[0].rsplit("/", 1)[-1])


def gid(kind: str, id: int | str) -> str:
    return f"gid://shopify/{kind}/{id}"


def said(message: str, *field: str, code: str | None = None) -> Json:
    return {"message": message, "field": list(field) or None, "code": code}


class Shop:
    """Methods bear the names of Shopify's queries and mutations, which GraphQL finds them by."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics
        self._ids = 990_000_000
        self.orders: dict[str, Json] = {}
        self.customers: dict[str, Json] = {}
        self.inventory: dict[str, int] = {}
        self.discounts: dict[str, Json] = {}
        self.products: dict[str, Json] = {}
        self.metafields: dict[str, Json] = {}
        self.webhooks: list[Json] = []

    def state(self) -> Json:
        """What was done to it, for people and tests."""
        names = ("orders", "customers", "inventory", "discounts", "products", "metafields", "webhooks")
        return {name: getattr(self, name) for name in names}

    def _new(self, kind: str) -> str:
        self._ids += 1
        return gid(kind, self._ids)

    # --- orders and customers -----------------------------------------------------------------------------------

    def _order(self, id: str) -> Json | None:
        if "/Order/" not in id or id.endswith("404"):
            return None
        return self.orders.setdefault(
            id,
            {
                "__typename": "Order",
                "id": id,
                "name": f"#{number(id) % 10_000}",
                "note": None,
                "tags": [],
                "closed": False,
                "cancelledAt": None,
                "displayFinancialStatus": "PENDING",
                "status": "OPEN",
                "holds": [self._held("tradewind", {"reason": "OTHER"})] if id.endswith("405") else [],
                "sent": {},
                "parcels": [],
            },
        )

    def _customer(self, id: str) -> Json | None:
        if "/Customer/" not in id or id.endswith("404"):
            return None
        return self.customers.setdefault(id, {"__typename": "Customer", "id": id, "tags": []})

    def order(self, info: Any, id: str) -> Json | None:
        found = self._order(id)
        return None if found is None else self._shown(found)

    def _shown(self, order: Json) -> Json:
        return {**order, "fulfillmentOrders": {"nodes": [self._to_send(order)]}, "fulfillments": order["parcels"]}

    def _to_send(self, order: Json) -> Json:
        """The one fulfilment order of an order: two lines of two pieces, at one place."""
        id_ = number(order["id"])
        lines = [
            {
                "id": gid("FulfillmentOrderLineItem", id_ * 10 + n),
                "remainingQuantity": 2 - order["sent"].get(str(n), 0),
                "lineItem": {"id": gid("LineItem", id_ * 2 + n)},
            }
            for n in range(2)
        ]
        return {
            "id": gid("FulfillmentOrder", id_ * 10),
            "status": self._status(order, lines),
            "fulfillmentHolds": order["holds"],
            "assignedLocation": {"location": {"id": gid("Location", 7100042001)}},
            "lineItems": {"nodes": lines},
        }

    def _status(self, order: Json, lines: Sequence[Json]) -> str:
        if order["cancelledAt"] or not any(line["remainingQuantity"] for line in lines):
            return "CLOSED"
        return "ON_HOLD" if order["holds"] else "OPEN"

    def tagsAdd(self, info: Any, id: str, tags: list[str]) -> Payload:  # noqa: N802
        return self._tagged(id, lambda old: [*old, *(tag for tag in tags if tag not in old)])

    def tagsRemove(self, info: Any, id: str, tags: list[str]) -> Payload:  # noqa: N802
        return self._tagged(id, lambda old: [tag for tag in old if tag not in tags])

    def _tagged(self, id: str, change: Any) -> Payload:
        node = self._order(id) or self._customer(id)
        if node is None:
            return {"node": None, "userErrors": [said("Couldn't find a taggable resource", "id")]}
        tags = list(dict.fromkeys(change(node["tags"])))
        if len(tags) > TAGS_AT_MOST:
            return {"node": None, "userErrors": [said(f"Tags can't be more than {TAGS_AT_MOST}", "tags")]}
        node["tags"] = sorted(tags)
        return {"node": node, "userErrors": []}

    def orderUpdate(self, info: Any, input: Json) -> Payload:  # noqa: N802
        return self._changed(input["id"], {name: value for name, value in input.items() if name != "id"})

    def orderClose(self, info: Any, input: Json) -> Payload:  # noqa: N802
        return self._changed(input["id"], {"closed": True})

    def orderMarkAsPaid(self, info: Any, input: Json) -> Payload:  # noqa: N802
        order = self._order(input["id"])
        if order is not None and order["displayFinancialStatus"] == "PAID":
            return {"order": None, "userErrors": [said("Order cannot be marked as paid.", "id")]}
        return self._changed(input["id"], {"displayFinancialStatus": "PAID"})

    def _changed(self, id: str, fields: Mapping[str, Any]) -> Payload:
        order = self._order(id)
        if order is None:
            return {"order": None, "userErrors": [said("Order does not exist", "id")]}
        order.update(fields)
        return {"order": self._shown(order), "userErrors": []}

    def orderCancel(self, info: Any, orderId: str, reason: str, restock: bool, **more: Any) -> Payload:  # noqa: N802, N803
        order = self._order(orderId)
        if order is None:
            return {"job": None, "orderCancelUserErrors": [said("Order does not exist", "orderId", code="NOT_FOUND")]}
        if order["cancelledAt"]:
            already = said("Order has already been cancelled", "orderId", code="INVALID")
            return {"job": None, "orderCancelUserErrors": [already]}
        order.update(
            cancelledAt=datetime.now(UTC).isoformat(timespec="seconds"), cancelReason=reason, restocked=restock
        )
        return {"job": {"id": self._new("Job"), "done": False}, "orderCancelUserErrors": []}

    # --- fulfilment ---------------------------------------------------------------------------------------------

    def _order_of(self, id: str) -> Json | None:
        return self._order(gid("Order", number(id) // 10)) if "/FulfillmentOrder/" in id else None

    def fulfillmentOrderHold(self, info: Any, id: str, fulfillmentHold: Json) -> Payload:  # noqa: N802, N803
        order = self._order_of(id)
        if order is None:
            return _unknown_fulfillment_order()
        handle = fulfillmentHold["handle"]
        if any(each["handle"] == handle for each in order["holds"]):
            twice = said("Handle must be unique", "fulfillmentHold", code="DUPLICATE_FULFILLMENT_HOLD_HANDLE")
            return {"fulfillmentHold": None, "fulfillmentOrder": None, "userErrors": [twice]}
        if len(order["holds"]) >= HELD_AT_MOST:
            many = said("The hold limit is reached", "id", code="FULFILLMENT_ORDER_HOLD_LIMIT_REACHED")
            return {"fulfillmentHold": None, "fulfillmentOrder": None, "userErrors": [many]}
        hold = self._held(handle, fulfillmentHold)
        order["holds"].append(hold)
        return {"fulfillmentHold": hold, "fulfillmentOrder": self._to_send(order), "userErrors": []}

    def _held(self, handle: str, said: Json) -> Json:
        hold = {"id": self._new("FulfillmentHold"), "handle": handle, "heldByRequestingApp": True}
        return hold | {"reason": said["reason"], "reasonNotes": said.get("reasonNotes")}

    def fulfillmentOrderReleaseHold(self, info: Any, id: str, holdIds: list[str] | None = None) -> Payload:  # noqa: N802, N803
        order = self._order_of(id)
        if order is None:
            return _unknown_fulfillment_order()
        order["holds"] = [each for each in order["holds"] if holdIds is not None and each["id"] not in holdIds]
        return {"fulfillmentOrder": self._to_send(order), "userErrors": []}

    def fulfillmentCreate(self, info: Any, fulfillment: Json) -> Payload:  # noqa: N802
        parts = fulfillment["lineItemsByFulfillmentOrder"]
        orders = [self._order_of(part["fulfillmentOrderId"]) for part in parts]
        if not parts or None in orders:
            return {"fulfillment": None, "userErrors": [said("Fulfillment order does not exist.", "fulfillment")]}
        for part, order in zip(parts, orders, strict=True):
            refusal = self._send(order or {}, part.get("fulfillmentOrderLineItems"))
            if refusal:
                return {"fulfillment": None, "userErrors": [said(refusal, "fulfillment")]}
        parcel = {
            "id": self._new("Fulfillment"),
            "status": "SUCCESS",
            "trackingInfo": [fulfillment.get("trackingInfo") or {}],
        }
        (orders[0] or {})["parcels"].append(parcel)
        return {"fulfillment": parcel, "userErrors": []}

    def _send(self, order: Json, lines: Sequence[Json] | None) -> str | None:
        """Count the lines as sent; why not, if not."""
        node = self._to_send(order)
        if node["status"] != "OPEN":
            return f"Fulfillment order {number(node['id'])} has an unfulfillable status= {node['status'].lower()}."
        left = {line["id"]: line["remainingQuantity"] for line in node["lineItems"]["nodes"]}
        wanted = {each["id"]: each["quantity"] for each in lines} if lines else left
        if any(count > left.get(id_, 0) for id_, count in wanted.items()):
            return "Invalid fulfillment order line item quantity requested."
        for id_, count in wanted.items():
            place = str(number(id_) % 10)
            order["sent"][place] = order["sent"].get(place, 0) + count
        return None

    # --- discounts, products, metafields ------------------------------------------------------------------------

    def codeDiscountNodeByCode(self, info: Any, code: str) -> Json | None:  # noqa: N802
        return self.discounts.get(code.lower())

    def discountCodeBasicCreate(self, info: Any, basicCodeDiscount: Json) -> Payload:  # noqa: N802, N803
        wanted = basicCodeDiscount
        for name in ("title", "code", "startsAt", "customerGets", "context"):
            if not wanted.get(name):
                blank = said(f"{name} can't be blank", "basicCodeDiscount", name, code="BLANK")
                return {"codeDiscountNode": None, "userErrors": [blank]}
        if not 0 <= wanted["customerGets"]["value"].get("percentage", 0) <= 1:
            wide = said("Value must be between 0.0 and 1.0", "percentage", code="VALUE_OUTSIDE_RANGE")
            return {"codeDiscountNode": None, "userErrors": [wide]}
        if wanted["code"].lower() in self.discounts:
            taken = said("Code must be unique. Please try a different code.", "code", code="TAKEN")
            return {"codeDiscountNode": None, "userErrors": [taken]}
        basic = {"__typename": "DiscountCodeBasic", **wanted}
        node = {"id": self._new("DiscountCodeNode"), "codeDiscount": basic}
        self.discounts[wanted["code"].lower()] = node
        return {"codeDiscountNode": node, "userErrors": []}

    def productSet(self, info: Any, input: Json, identifier: Json | None = None, **more: Any) -> Payload:  # noqa: N802
        handle = (identifier or {}).get("handle") or input.get("handle")
        product = self.products.get(str(handle))
        if product is None and not input.get("title"):
            blank = said("Title can't be blank", "input", "title", code="INVALID_PRODUCT")
            return {"product": None, "userErrors": [blank]}
        product = self.products.setdefault(str(handle), {"id": self._new("Product"), "handle": handle, "variants": {}})
        product["fields"] = {**product.get("fields", {}), **{n: v for n, v in input.items() if n != "variants"}}
        if "variants" in input:
            known = {each["sku"]: each for each in product["variants"].get("nodes", ())}
            product["variants"] = {"nodes": [self._variant(each, known) for each in input["variants"]]}
        return {"product": {**product, "variants": product["variants"] or {"nodes": []}}, "userErrors": []}

    def _variant(self, given: Json, known: Mapping[str, Json]) -> Json:
        sku = given.get("sku")
        old = known.get(str(sku))
        id_ = old["id"] if old else self._new("ProductVariant")
        item = {"id": gid("InventoryItem", number(id_) + 2_100_000_000_000)}
        return {"id": id_, "sku": sku, "price": given.get("price"), "inventoryItem": item}

    def productVariant(self, info: Any, id: str) -> Json | None:  # noqa: N802
        """Of products made here; of any other variant too, as with orders."""
        known = [each for each in self.productVariants(info)["nodes"] if each["id"] == id]
        if id.endswith("404"):
            return None
        item = {"id": gid("InventoryItem", number(id) + 2_100_000_000_000)}
        return known[0] if known else {"id": id, "sku": None, "inventoryItem": item}

    def product(self, info: Any, id: str) -> Json | None:
        made = next((each for each in self.products.values() if each["id"] == id), None)
        if made is not None or id.endswith("404"):
            return made
        return {"id": id, "handle": "unknown", "variants": {"nodes": [self.productVariant(info, id)]}}

    def productByIdentifier(self, info: Any, identifier: Json) -> Json | None:  # noqa: N802
        return self.products.get(str(identifier.get("handle")))

    def productVariants(self, info: Any, query: str | None = None, **page: Any) -> Json:  # noqa: N802
        wanted = (query or "").removeprefix("sku:").strip('"')
        variants = [each for product in self.products.values() for each in product["variants"].get("nodes", ())]
        found = [each for each in variants if not wanted or each["sku"] == wanted]
        return {"nodes": found or [_of_catalogue(n) for n, each in enumerate(CATALOGUE) if each[0] == wanted]}

    def metafieldsSet(self, info: Any, metafields: list[Json]) -> Payload:  # noqa: N802
        if len(metafields) > 25:
            many = said("Exceeded the maximum metafields input limit of 25.", "metafields", code="TOO_MANY")
            return {"metafields": None, "userErrors": [many]}
        if any(number(each["ownerId"]) % 1000 == 404 for each in metafields):
            return {"metafields": None, "userErrors": [said("Owner does not exist.", "metafields", code="INVALID")]}
        made = [self._metafield(each) for each in metafields]
        return {"metafields": made, "userErrors": []}

    def _metafield(self, given: Json) -> Json:
        name = f"{given['ownerId']} {given.get('namespace')}.{given['key']}"
        old = self.metafields.get(name)
        self.metafields[name] = {"id": old["id"] if old else self._new("Metafield"), **given}
        return self.metafields[name]

    # --- stock --------------------------------------------------------------------------------------------------

    def inventoryAdjustQuantities(self, info: Any, input: Json) -> Payload:  # noqa: N802
        return self._moved(input["changes"], lambda change, old: old + change["delta"])

    def inventorySetQuantities(self, info: Any, input: Json) -> Payload:  # noqa: N802
        return self._moved(input["quantities"], lambda level, old: level["quantity"])

    def _moved(self, changes: Sequence[Json], after: Any) -> Payload:
        for change in changes:
            refusal = self._refusal(change)
            if refusal:
                return {"inventoryAdjustmentGroup": None, "userErrors": [refusal]}
        made = []
        for change in changes:
            place = self._level(change)
            old = self.inventory.get(place, 0)
            self.inventory[place] = after(change, old)
            made.append({"delta": self.inventory[place] - old, "quantityAfterChange": self.inventory[place]})
        return {
            "inventoryAdjustmentGroup": {"id": self._new("InventoryAdjustmentGroup"), "changes": made},
            "userErrors": [],
        }

    def _level(self, change: Json) -> str:
        return f"{number(change['inventoryItemId'])}:{number(change['locationId'])}"

    def _refusal(self, change: Json) -> Json | None:
        if "changeFromQuantity" not in change:
            return said("changeFromQuantity must be given; null turns the check off", "changeFromQuantity")
        if change["inventoryItemId"].endswith("404"):
            return said("The inventory item does not exist", "inventoryItemId", code="INVALID_INVENTORY_ITEM")
        expected = change["changeFromQuantity"]
        if expected is not None and expected != self.inventory.get(self._level(change), 0):
            return said("The quantity has changed meanwhile", "changeFromQuantity", code="CHANGE_FROM_QUANTITY_STALE")
        return None

    # --- the rest -----------------------------------------------------------------------------------------------

    def shop(self, info: Any) -> Json:
        return {"name": "Tea House", "myshopifyDomain": "tea-house.myshopify.com", "currencyCode": "USD"}

    def webhookSubscriptions(self, info: Any, uri: str | None = None, **page: Any) -> Json:  # noqa: N802
        return {"nodes": [each for each in self.webhooks if uri is None or each["uri"] == uri]}

    def webhookSubscriptionCreate(self, info: Any, topic: str, webhookSubscription: Json) -> Payload:  # noqa: N802, N803
        uri = webhookSubscription.get("uri") or ""
        if any(each["topic"] == topic and each["uri"] == uri for each in self.webhooks):
            taken = said("Address for this topic has already been taken", "webhookSubscription", "callbackUrl")
            return {"webhookSubscription": None, "userErrors": [taken]}
        if not uri.startswith("https://"):
            return {"webhookSubscription": None, "userErrors": [said("Address is invalid", "webhookSubscription")]}
        made = {"id": self._new("WebhookSubscription"), "topic": topic, "uri": uri}
        self.webhooks.append(made)
        return {"webhookSubscription": made, "userErrors": []}


def _of_catalogue(place: int) -> Json:
    """The variant that the sample orders name so."""
    item = {"id": gid("InventoryItem", 46_200_000_000_000 + place)}
    return {"id": gid("ProductVariant", 44_100_000_000_000 + place), "sku": CATALOGUE[place][0], "inventoryItem": item}


def _unknown_fulfillment_order() -> Payload:
    unknown = said("Fulfillment order not found", "id", code="FULFILLMENT_ORDER_NOT_FOUND")
    return {"fulfillmentHold": None, "fulfillmentOrder": None, "userErrors": [unknown]}

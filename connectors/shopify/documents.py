"""The GraphQL documents that our actions send, API version 2026-07. Each is checked against Shopify's own schema."""

from __future__ import annotations

SHOP = "query { shop { name myshopifyDomain currencyCode } }"

TAGS_ADD = """mutation TagsAdd($id: ID!, $tags: [String!]!) {
  tagsAdd(id: $id, tags: $tags) {
    node { id ... on Order { tags } ... on Customer { tags } }
    userErrors { field message }
  }
}"""

TAGS_REMOVE = """mutation TagsRemove($id: ID!, $tags: [String!]!) {
  tagsRemove(id: $id, tags: $tags) {
    node { id ... on Order { tags } ... on Customer { tags } }
    userErrors { field message }
  }
}"""

NOTE = "query Note($id: ID!) { order(id: $id) { id note } }"

NOTE_SET = """mutation NoteSet($input: OrderInput!) {
  orderUpdate(input: $input) { order { id note } userErrors { field message } }
}"""

ARCHIVE = """mutation Archive($id: ID!) {
  orderClose(input: {id: $id}) { order { id closed } userErrors { field message } }
}"""

STANDING = "query Standing($id: ID!) { order(id: $id) { id cancelledAt displayFinancialStatus } }"

CANCEL = """mutation Cancel(
  $id: ID!, $reason: OrderCancelReason!, $restock: Boolean!, $refund: Boolean!, $notify: Boolean!, $note: String
) {
  orderCancel(
    orderId: $id, reason: $reason, restock: $restock, notifyCustomer: $notify, staffNote: $note,
    refundMethod: {originalPaymentMethodsRefund: $refund}
  ) { job { id done } orderCancelUserErrors { code field message } }
}"""

MARK_PAID = """mutation MarkPaid($id: ID!) {
  orderMarkAsPaid(input: {id: $id}) { order { id displayFinancialStatus } userErrors { field message } }
}"""

FULFILLMENT_ORDERS = """query FulfillmentOrders($id: ID!) {
  order(id: $id) {
    id
    fulfillmentOrders(first: 50) {
      nodes {
        id
        status
        fulfillmentHolds { id handle heldByRequestingApp }
        assignedLocation { location { id } }
        lineItems(first: 100) { nodes { id remainingQuantity lineItem { id } } }
      }
    }
    fulfillments(first: 50) { id status trackingInfo(first: 20) { number } }
  }
}"""


def hold(count: int) -> str:
    """Holds for so many fulfilment orders at once: one request, sent again byte for byte if it was lost."""
    variables = ", ".join(f"$id{n}: ID!" for n in range(count))
    fields = "\n".join(
        f"  hold{n}: fulfillmentOrderHold(id: $id{n}, fulfillmentHold: $hold) "
        "{ fulfillmentHold { id handle } userErrors { code field message } }"
        for n in range(count)
    )
    return f"mutation Hold($hold: FulfillmentOrderHoldInput!, {variables}) {{\n{fields}\n}}"


def release(count: int) -> str:
    variables = ", ".join(f"$id{n}: ID!, $holds{n}: [ID!]!" for n in range(count))
    fields = "\n".join(
        f"  release{n}: fulfillmentOrderReleaseHold(id: $id{n}, holdIds: $holds{n}) "
        "{ fulfillmentOrder { id status } userErrors { code field message } }"
        for n in range(count)
    )
    return f"mutation Release({variables}) {{\n{fields}\n}}"


def fulfill(count: int) -> str:
    """A parcel for each place that goods leave from."""
    variables = ", ".join(f"$parcel{n}: FulfillmentInput!" for n in range(count))
    fields = "\n".join(
        f"  parcel{n}: fulfillmentCreate(fulfillment: $parcel{n}) "
        "{ fulfillment { id status } userErrors { field message } }"
        for n in range(count)
    )
    return f"mutation Fulfill({variables}) {{\n{fields}\n}}"


DISCOUNT_CREATE = """mutation DiscountCreate($discount: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $discount) {
    codeDiscountNode { id }
    userErrors { code field message }
  }
}"""

DISCOUNT = """query Discount($code: String!) {
  codeDiscountNodeByCode(code: $code) { id codeDiscount { __typename ... on DiscountCodeBasic { title } } }
}"""

ITEM_OF_SKU = """query ItemOfSku($query: String!) {
  productVariants(first: 3, query: $query) { nodes { id sku inventoryItem { id } } }
}"""

ITEM_OF_VARIANT = "query ItemOfVariant($id: ID!) { productVariant(id: $id) { id sku inventoryItem { id } } }"

ITEMS_OF_PRODUCT = """query ItemsOfProduct($id: ID!) {
  product(id: $id) { id variants(first: 2) { nodes { id sku inventoryItem { id } } } }
}"""

INVENTORY_ADJUST = """mutation InventoryAdjust($input: InventoryAdjustQuantitiesInput!, $key: String!) {
  inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id changes { delta quantityAfterChange } }
    userErrors { code field message }
  }
}"""

INVENTORY_SET = """mutation InventorySet($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id changes { delta quantityAfterChange } }
    userErrors { code field message }
  }
}"""

PRODUCT_OF_HANDLE = """query ProductOfHandle($handle: String!) {
  productByIdentifier(identifier: {handle: $handle}) { id }
}"""

PRODUCT_SET = """mutation ProductSet($identifier: ProductSetIdentifiers, $input: ProductSetInput!) {
  productSet(identifier: $identifier, input: $input, synchronous: true) {
    product { id handle variants(first: 100) { nodes { id sku } } }
    userErrors { code field message }
  }
}"""

METAFIELDS_SET = """mutation MetafieldsSet($metafields: [MetafieldsSetInput!]!) {
  metafieldsSet(metafields: $metafields) { metafields { id namespace key } userErrors { code field message } }
}"""

WEBHOOKS = """query Webhooks($uri: String!) {
  webhookSubscriptions(first: 250, uri: $uri) { nodes { id topic uri } }
}"""


def subscribe(topics: list[str]) -> str:
    """Subscriptions to the topics, in GraphQL's words (ORDERS_PAID), at one address."""
    fields = "\n".join(
        f"  {topic}: webhookSubscriptionCreate(topic: {topic}, webhookSubscription: {{uri: $uri, format: JSON}}) "
        "{ webhookSubscription { id } userErrors { field message } }"
        for topic in topics
    )
    return f"mutation Subscribe($uri: String!) {{\n{fields}\n}}"


FIXED = {name: text for name, text in globals().items() if name.isupper() and isinstance(text, str)}
"""Name -> text of every document above that is not made to measure."""

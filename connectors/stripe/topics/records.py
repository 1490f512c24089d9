"""Customers, products and prices."""

from collections.abc import Mapping

from app.connector import Facts
from app.events import CustomerEvent, ProductEvent, Ref
from connectors.stripe.body import Notice
from connectors.stripe.models import Settings
from connectors.stripe.nouns import catalog, people
from connectors.stripe.topics.statement import Handler, Said, event


def _customer(name: str) -> Handler:
    def handle(notice: Notice, facts: Facts[Settings]) -> Said:
        who = people.customer(notice.object)
        ref = Ref("customer", notice.object.must("id"))
        return [event(notice, facts, f"customer.{name}", ref, ref, CustomerEvent(customer=who))]

    return handle


def _product(name: str) -> Handler:
    def handle(notice: Notice, facts: Facts[Settings]) -> Said:
        ref = Ref("product", notice.object.must("id"))
        data = ProductEvent(product=catalog.product(notice.object))
        return [event(notice, facts, f"product.{name}", ref, ref, data)]

    return handle


def price_changed(notice: Notice, facts: Facts[Settings]) -> Said:
    """A price made, changed or deleted changes its product. The object is the price: its versions are its own."""
    o = notice.object
    product = catalog.product_of_price(o)
    if notice.topic == "price.deleted" and product.variants:
        product = product.model_copy(update={"variants": [product.variants[0].model_copy(update={"active": False})]})
    price = Ref("price", o.must("id"))
    return [event(notice, facts, "product.updated", price, catalog.product_subject(o), ProductEvent(product=product))]


TOPICS: Mapping[str, Handler] = {
    "customer.created": _customer("created"),
    "customer.updated": _customer("updated"),
    "customer.deleted": _customer("deleted"),
    "product.created": _product("created"),
    "product.updated": _product("updated"),
    "product.deleted": _product("deleted"),
    "price.created": price_changed,
    "price.updated": price_changed,
    "price.deleted": price_changed,
}

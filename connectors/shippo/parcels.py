"""From an order to a parcel in Shippo's words: what is still to be shipped, which box, how heavy. Pure."""

import math
from decimal import ROUND_UP, Decimal
from fnmatch import fnmatchcase

from app.connector import Json
from app.errors import PermanentError
from app.events import Address, LineItem
from connectors.shippo.models import Box, Settings, _Parcel

Body = dict[str, Json]


def to_ship(input: _Parcel) -> list[tuple[LineItem, Decimal]]:
    """The items and how many of each; PermanentError if there is nothing."""
    items = input.items if input.items is not None else input.order.line_items or []
    found = [
        (item, count)
        for item in items
        if item.requires_shipping is not False and not item.gift_card and (count := _count(item)) > 0
    ]
    if not found:
        raise PermanentError("nothing of the order has to be shipped")
    return found


def _count(item: LineItem) -> Decimal:
    said = [item.fulfillable_quantity, item.current_quantity, item.quantity]
    return Decimal(next((each for each in said if each is not None), 1))


def packed(input: _Parcel, settings: Settings) -> tuple[Box, Decimal]:
    """(box, grams with it). PermanentError says which item has no weight, or that no box fits."""
    items = to_ship(input)
    goods = None if input.weight is not None else sum((_grams(*each, settings) for each in items), Decimal(0))
    box = _named(input.box, settings) if input.box else _fitting(items, goods, input.weight, settings)
    return box, goods + box.tare if goods is not None else input.weight or Decimal(0)


def _grams(item: LineItem, count: Decimal, settings: Settings) -> Decimal:
    weight = item.weight or settings.item_weight
    if weight is None:
        name = item.sku or item.title or item.id or "an item"
        raise PermanentError(f"{name} has no weight: say it in the shop, or `item_weight` on the connection")
    return weight * count


def _named(name: str, settings: Settings) -> Box:
    for box in settings.boxes:
        if box.name == name:
            return box
    raise PermanentError(f"there is no box {name!r}; there are {', '.join(box.name for box in settings.boxes)}")


def _fitting(
    items: list[tuple[LineItem, Decimal]], goods: Decimal | None, weight: Decimal | None, settings: Settings
) -> Box:
    """The first box for goods of so many grams, or for a parcel that weighs so much with its box."""
    pieces = sum(math.ceil(count) for _, count in items)
    for box in settings.boxes:
        grams = goods if goods is not None else (weight or Decimal(0)) - box.tare
        if _holds(box, pieces, grams) and all(_takes(box, item) for item, _ in items):
            return box
    heavy = goods if goods is not None else weight or Decimal(0)
    raise PermanentError(f"no box fits {pieces} pieces of {heavy.normalize():f} g: add one, or split the order")


def _holds(box: Box, pieces: int, grams: Decimal) -> bool:
    return (box.max_items is None or pieces <= box.max_items) and (box.max_weight is None or grams <= box.max_weight)


def _takes(box: Box, item: LineItem) -> bool:
    return not box.skus or any(fnmatchcase(item.sku or "", pattern) for pattern in box.skus)


def parcel_body(box: Box, grams: Decimal) -> Body:
    """Numbers are text in Shippo's API, of at most four decimals; never rounded to less than it is."""
    sizes = {"length": box.length, "width": box.width, "height": box.height, "weight": grams}
    rounded = {name: size.quantize(Decimal("0.0001"), ROUND_UP).normalize() for name, size in sizes.items()}
    return {name: f"{size:f}" for name, size in rounded.items()} | {
        "distance_unit": box.unit,
        "mass_unit": "g",
    }


def address_body(address: Address) -> Body:
    name = address.name or " ".join(filter(None, (address.first_name, address.last_name)))
    said = {
        "name": name or address.company,
        "company": address.company,
        "street1": address.address1,
        "street2": address.address2,
        "city": address.city,
        "state": address.province_code or address.province,
        "zip": address.postal_code,
        "country": address.country_code or address.country,
        "phone": address.phone,
        "email": address.email,
    }
    return {name: value for name, value in said.items() if value}


def address_of(body: Body) -> Address:
    """Shippo's address as ours."""
    names = {
        "name": "name",
        "company": "company",
        "address1": "street1",
        "address2": "street2",
        "city": "city",
        "province_code": "state",
        "postal_code": "zip",
        "country_code": "country",
    }
    return Address.model_validate({ours: body.get(theirs) or None for ours, theirs in names.items()})


def destination(input: _Parcel, settings: Settings) -> Address:
    """Where it goes; PermanentError if nobody says, or if it is abroad."""
    to = input.to or input.order.shipping_address
    if to is None or not (to.country_code or to.country):
        raise PermanentError("the order has no shipping address with a country")
    home, there = settings.sender, to.country_code or to.country
    if (there or "").casefold() not in {(each or "").casefold() for each in (home.country_code, home.country)}:
        if not to.country_code and len(there or "") != 2:
            raise PermanentError(
                f"the shipping address names its country as {there!r}, without its code, and the sender's is"
                f" {home.country_code}: say its `country_code`, or the sender's `country` in the same words"
            )
        raise PermanentError(
            f"the parcel goes abroad (from {home.country_code} to {there}), and customs declarations are not there "
            "yet: buy this label by hand"
        )
    order = input.order
    more = {"email": to.email or order.email, "phone": to.phone or order.phone}
    return to.model_copy(update={**more, "country_code": home.country_code})

"""A made-up shop: orders and what follows them, in the shape and size of Shopify's own bodies (API 2026-07).

The demo shop places orders with it, the benchmark measures with it, fixtures were drawn from it. All values are ours.
Amounts are counted in cents and add up; the same `rng` makes the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

Json = dict[str, Any]
Product = tuple[str, str, str, int, int, str]

SHOP_ID, LOCATION_ID = 61000201, 7100042001
CATALOGUE: Sequence[Product] = (
    # sku, title, variant, cents, grams, kind
    ("MUG-BLUE", "Harbour mug", "Blue", 1800, 410, "goods"),
    ("MUG-SAND", "Harbour mug", "Sand", 1800, 410, "goods"),
    ("TEA-EARL", "Earl of the Isles tea", "100 g", 1250, 130, "goods"),
    ("TEA-MINT", "Moor mint tea", "80 g", 990, 110, "goods"),
    ("POT-IRON", "Cast iron teapot", "0.8 l", 6400, 1900, "goods"),
    ("TOWEL-LIN", "Linen tea towel", "Natural", 2250, 160, "goods"),
    ("CANDLE-FIG", "Fig and cedar candle", "220 g", 2900, 480, "goods"),
    ("BOOK-BREW", "The slow brew", "Hardcover", 3400, 720, "goods"),
    ("BOARD-OAK", "Oak serving board", "Large", 5200, 1350, "goods"),
    ("BREW-PDF", "The slow brew, e-book", "PDF", 1200, 0, "digital"),
    ("CLASS-TEA", "Tasting class, recording", "", 3900, 0, "digital"),
    ("GIFT-50", "Gift card", "$50.00", 5000, 0, "gift"),
)
_FIRST = ("Ada", "Bruno", "Carla", "Dana", "Emil", "Faye", "Goran", "Hana", "Ivo", "Jonna", "Karim", "Lena", "Omar")
_LAST = ("Abara", "Brandt", "Castel", "Dvorak", "Eriksen", "Falk", "Grau", "Holm", "Ivers", "Jansen", "Kovac", "Petit")
_STREETS = ("Mill Lane", "Harbour Road", "Linden Street", "Station Road", "Orchard Way", "Quay Street", "Chapel Hill")
_PLACES: dict[str, Sequence[tuple[str, str, str, str]]] = {
    "US": (
        ("Portland", "Maine", "ME", "04101"),
        ("Austin", "Texas", "TX", "78701"),
        ("Boulder", "Colorado", "CO", "80302"),
    ),
    "CA": (("Halifax", "Nova Scotia", "NS", "B3H 1A1"), ("Kingston", "Ontario", "ON", "K7L 1A1")),
    "GB": (("Bristol", "England", "ENG", "BS1 4DJ"), ("Leith", "Scotland", "SCT", "EH6 6QU")),
    "DE": (("Bremen", "Bremen", "HB", "28195"), ("Jena", "Thuringia", "TH", "07743")),
    "FR": (("Nantes", "", "", "44000"), ("Lyon", "", "", "69002")),
}
COUNTRIES = {"US": "United States", "CA": "Canada", "GB": "United Kingdom", "DE": "Germany", "FR": "France"}
_SALES_TAX = {"ME": 55, "TX": 82, "CO": 49}  # tenths of a percent
_BUYS_IN = {"CA": ("CAD", 1372), "GB": ("GBP", 781), "DE": ("EUR", 922), "FR": ("EUR", 922)}  # thousandths of a dollar
_CALLING = {"US": "+1207555", "CA": "+1902555", "GB": "+44117496", "DE": "+494215550", "FR": "+33240555"}


def order(
    number: int,
    *,
    lines: int | Sequence[tuple[str, int]] | None = None,
    country: str | None = None,
    paid: bool = True,
    tip: bool | None = None,
    discount: bool | None = None,
    buyer: Json | None = None,
    at: datetime | None = None,
    rng: Random | None = None,
) -> Json:
    """One order of the shop, as `orders/create` and `orders/paid` state it: about 7 KB as JSON.

    lines: how many, or (sku, quantity) pairs. country: of the buyer; abroad the buyer pays in another currency.
    tip, discount: None leaves them to chance. buyer: `customer()` of an earlier order, for one who comes back.
    """
    rng = rng or Random(number)
    at = at or datetime(2026, 11, 1, 9, tzinfo=UTC) + timedelta(minutes=7 * (number % 100_000))
    country = country or rng.choices(list(COUNTRIES), (70, 8, 8, 8, 6))[0]
    bag = _bag(rng, lines)
    who = buyer or customer(rng, country, at)
    return _Order(
        number, rng, at, country, bag, who, paid, _by_chance(tip, rng, 12), _by_chance(discount, rng, 4)
    ).body()


def _by_chance(wanted: bool | None, rng: Random, one_in: int) -> bool:
    return rng.randrange(one_in) == 0 if wanted is None else wanted


def _bag(rng: Random, lines: int | Sequence[tuple[str, int]] | None) -> list[tuple[Product, int]]:
    if lines is None or isinstance(lines, int):
        chosen = rng.sample(CATALOGUE, lines or rng.choices((1, 2, 3), (5, 4, 2))[0])
        return [(each, 1 if each[5] != "goods" else rng.choices((1, 2, 4), (8, 3, 1))[0]) for each in chosen]
    by_sku = {each[0]: each for each in CATALOGUE}
    return [(by_sku[sku], quantity) for sku, quantity in lines]


def customer(rng: Random, country: str, at: datetime) -> Json:
    """A new customer, without the fields that bodies have lost since 2025-01."""
    first, last, id_ = rng.choice(_FIRST), rng.choice(_LAST), rng.randrange(7_200_000_000_000, 7_300_000_000_000)
    home = {"id": id_ + 11, "customer_id": id_, **address(rng, country, first, last)}
    return {
        "id": id_,
        "created_at": iso(at),
        "updated_at": iso(at),
        "first_name": first,
        "last_name": last,
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "email": f"{first}.{last}{id_ % 997}@example.com".lower(),
        "phone": None,
        "currency": "USD",
        "tax_exemptions": [],
        "admin_graphql_api_id": f"gid://shopify/Customer/{id_}",
        "default_address": {**home, "country_name": COUNTRIES[country], "default": True},
    }


def address(rng: Random, country: str, first: str, last: str) -> Json:
    city, province, code, postal = rng.choice(_PLACES[country])
    return {
        "first_name": first,
        "last_name": last,
        "company": None,
        "address1": f"{rng.randrange(1, 180)} {rng.choice(_STREETS)}",
        "address2": None,
        "city": city,
        "province": province or None,
        "country": COUNTRIES[country],
        "zip": postal,
        "phone": f"{_CALLING[country]}{rng.randrange(1000, 9999)}",
        "name": f"{first} {last}",
        "province_code": code or None,
        "country_code": country,
    }


def iso(moment: datetime) -> str:
    """In the shop's own time, as Shopify writes it."""
    return (moment - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S-05:00")


class _Order:
    """The amounts of one order in cents, and the body that states them."""

    def __init__(
        self,
        number: int,
        rng: Random,
        at: datetime,
        country: str,
        bag: list[tuple[Product, int]],
        who: Json,
        paid: bool,
        tip: bool,
        discount: bool,
    ) -> None:
        self.number, self.rng, self.at, self.bag, self.who, self.paid = number, rng, at, bag, who, paid
        self.id = 5_600_000_000_000 + number * 1024 + rng.randrange(1024)
        self.theirs, self.rate = _BUYS_IN.get(country, ("USD", 1000))
        self.place = who["default_address"]
        self.tax_rate = _SALES_TAX.get(self.place["province_code"] or "", 0) if country == "US" else 0
        self.ships = any(product[5] == "goods" for product, _ in bag)
        self.shipping = 0 if not self.ships else 795 if country == "US" else 1990
        self.tip = 300 if tip else 0
        self.off = [price * count // 10 if discount else 0 for (_, _, _, price, _, _), count in bag]
        self.tax = [self._taxed(product, count, off) for (product, count), off in zip(bag, self.off, strict=True)]
        self.items = sum(product[3] * count for product, count in bag)

    def _taxed(self, product: Product, count: int, off: int) -> int:
        return 0 if product[5] == "gift" else (product[3] * count - off) * self.tax_rate // 1000

    def pair(self, *cents: int) -> Json:
        """Both sides of a sum: each part is converted and rounded by itself, so that the buyer's side adds up too."""
        return {
            "shop_money": {"amount": _text(sum(cents)), "currency_code": "USD"},
            "presentment_money": {"amount": _text(sum(map(self._converted, cents))), "currency_code": self.theirs},
        }

    def _converted(self, cents: int) -> int:
        return cents if self.rate == 1000 else (abs(cents) * self.rate + 500) // 1000 * (1 if cents >= 0 else -1)

    def named(self, **amounts: Sequence[int]) -> Json:
        """`name` in shop money, and `name_set` with both."""
        found: Json = {}
        for name, cents in amounts.items():
            found |= {name: _text(sum(cents)), f"{name}_set": self.pair(*cents)}
        return found

    def parts(self) -> list[int]:
        prices = [product[3] for product, count in self.bag for _ in range(count)]
        return [*prices, *(-off for off in self.off), *self.tax, self.shipping, self.tip]

    def body(self) -> Json:
        prices = [product[3] for product, count in self.bag for _ in range(count)]
        net = [*prices, *(-off for off in self.off)]
        token = UUID(int=self.rng.getrandbits(128)).hex
        return {
            "id": self.id,
            "admin_graphql_api_id": f"gid://shopify/Order/{self.id}",
            "app_id": 580111,
            "browser_ip": f"203.0.113.{self.rng.randrange(1, 255)}",
            "buyer_accepts_marketing": self.rng.random() < 0.4,
            "cancel_reason": None,
            "cancelled_at": None,
            "cart_token": f"hWN{token[:20]}",
            "checkout_id": self.id + 31_000_000_000,
            "checkout_token": token,
            "client_details": {
                "accept_language": "en-US",
                "browser_height": None,
                "browser_ip": "203.0.113.9",
                "browser_width": None,
                "session_hash": None,
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            },
            "closed_at": None,
            "company": None,
            "confirmation_number": token[:9].upper(),
            "confirmed": True,
            "contact_email": self.who["email"],
            "created_at": iso(self.at),
            "currency": "USD",
            "current_shipping_price_set": self.pair(self.shipping),
            **self.named(current_subtotal_price=net, current_total_discounts=self.off),
            "current_total_additional_fees_set": None,
            "current_total_duties_set": None,
            **self.named(current_total_price=self.parts(), current_total_tax=self.tax),
            "customer_locale": "en-US" if self.theirs == "USD" else "en",
            "device_id": None,
            "discount_codes": self._codes(),
            "duties_included": False,
            "email": self.who["email"],
            "estimated_taxes": False,
            "financial_status": "paid" if self.paid else "pending",
            "fulfillment_status": None,
            "landing_site": "/?utm_source=newsletter&utm_medium=email&utm_campaign=november",
            "landing_site_ref": None,
            "location_id": None,
            "merchant_of_record_app_id": None,
            "name": f"#{self.number}",
            "note": "Please leave it with the neighbours" if self.rng.random() < 0.1 else None,
            "note_attributes": [],
            "number": self.number - 1000,
            "order_number": self.number,
            "order_status_url": f"https://tea.example.com/{SHOP_ID}/orders/{token}/authenticate?key=sample",
            "original_total_additional_fees_set": None,
            "original_total_duties_set": None,
            "payment_gateway_names": ["shopify_payments" if self.paid else "manual"],
            "phone": None,
            "po_number": None,
            "presentment_currency": self.theirs,
            "processed_at": iso(self.at),
            "reference": None,
            "referring_site": "https://search.example.com/",
            "source_identifier": None,
            "source_name": "web",
            "source_url": None,
            **self.named(subtotal_price=net),
            "tags": "",
            "tax_exempt": False,
            "tax_lines": [self._tax_line(self.tax)] if any(self.tax) else [],
            "taxes_included": False,
            "test": False,
            "token": token[::-1],
            "total_cash_rounding_payment_adjustment_set": self.pair(0),
            "total_cash_rounding_refund_adjustment_set": self.pair(0),
            **self.named(total_discounts=self.off, total_line_items_price=prices),
            "total_outstanding": "0.00" if self.paid else _text(sum(self.parts())),
            **self.named(total_price=self.parts()),
            "total_shipping_price_set": self.pair(self.shipping),
            **self.named(total_tax=self.tax),
            "total_tip_received": _text(self.tip),
            "total_weight": sum(product[4] * count for product, count in self.bag),
            "updated_at": iso(self.at + timedelta(seconds=2)),
            "user_id": None,
            "billing_address": {**_bare(self.place), "latitude": None, "longitude": None},
            "customer": self.who,
            "discount_applications": self._applications(),
            "fulfillments": [],
            "line_items": [*map(self._line, range(len(self.bag))), *self._tip_line()],
            "payment_terms": None,
            "refunds": [],
            "shipping_address": {**_bare(self.place), "latitude": 43.66, "longitude": -70.26} if self.ships else None,
            "shipping_lines": [self._shipping_line()] if self.ships else [],
            "returns": [],
        }

    def _codes(self) -> list[Json]:
        return [{"code": "TEATIME10", "amount": _text(sum(self.off)), "type": "percentage"}] if any(self.off) else []

    def _applications(self) -> list[Json]:
        if not any(self.off):
            return []
        return [
            {
                "target_type": "line_item",
                "type": "discount_code",
                "value": "10.0",
                "value_type": "percentage",
                "allocation_method": "across",
                "target_selection": "all",
                "code": "TEATIME10",
            }
        ]

    def _tax_line(self, cents: Sequence[int]) -> Json:
        return {
            "price": _text(sum(cents)),
            "rate": self.tax_rate / 1000,
            "title": f"{self.place['province']} State Tax",
            "price_set": self.pair(*cents),
            "channel_liable": False,
        }

    def _line(self, index: int) -> Json:
        (sku, title, variant, cents, grams, kind), count = self.bag[index]
        place, off, tax = CATALOGUE.index(self.bag[index][0]), self.off[index], self.tax[index]
        return {
            "id": self.id * 2 + index,
            "admin_graphql_api_id": f"gid://shopify/LineItem/{self.id * 2 + index}",
            "attributed_staffs": [],
            "current_quantity": count,
            "fulfillable_quantity": count,
            "fulfillment_service": "manual",
            "fulfillment_status": None,
            "gift_card": kind == "gift",
            "grams": grams,
            "name": f"{title} - {variant}" if variant else title,
            **self.named(price=[cents]),
            "product_exists": True,
            "product_id": 8_100_000_000_000 + place,
            "properties": [],
            "quantity": count,
            "requires_shipping": kind == "goods",
            "sales_line_item_group_id": None,
            "sku": sku,
            "taxable": kind != "gift",
            "title": title,
            **self.named(total_discount=[0]),
            "variant_id": 44_100_000_000_000 + place,
            "variant_inventory_management": "shopify" if kind == "goods" else None,
            "variant_title": variant or None,
            "vendor": "Tea House",
            "tax_lines": [self._tax_line([tax])] if tax else [],
            "duties": [],
            "discount_allocations": [{**self.named(amount=[off]), "discount_application_index": 0}] if off else [],
        }

    def _tip_line(self) -> list[Json]:
        """A tip is a line item as well, of no product."""
        if not self.tip:
            return []
        line = {
            "id": self.id * 2 + 900,
            "admin_graphql_api_id": f"gid://shopify/LineItem/{self.id * 2 + 900}",
            "current_quantity": 1,
            "gift_card": False,
            "grams": 0,
            "name": "Tip",
            **self.named(price=[self.tip]),
            "product_exists": False,
            "product_id": None,
            "quantity": 1,
            "requires_shipping": False,
            "sku": None,
            "taxable": False,
            "title": "Tip",
            "tip": {"payment_gateway": None, "payment_method": None},
            "variant_id": None,
            "tax_lines": [],
            "discount_allocations": [],
        }
        return [line]

    def _shipping_line(self) -> Json:
        name = "Standard" if self.shipping < 1000 else "International"
        return {
            "id": self.id + 77,
            "carrier_identifier": None,
            "code": name,
            "current_discounted_price_set": self.pair(self.shipping),
            **self.named(discounted_price=[self.shipping]),
            "is_removed": False,
            "phone": None,
            **self.named(price=[self.shipping]),
            "requested_fulfillment_service_id": None,
            "source": "shopify",
            "title": name,
            "tax_lines": [],
            "discount_allocations": [],
        }


_HOME_ONLY = {"id", "customer_id", "country_name", "default"}


def _bare(place: Json) -> Json:
    return {name: value for name, value in place.items() if name not in _HOME_ONLY}


def _text(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"

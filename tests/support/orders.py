"""Shopify order bodies with values of our own, for tests."""

from datetime import UTC, datetime
from typing import Any


def shopify_order(
    number: int = 1001, *, email: str = "ada@example.com", price: str = "12.00", **more: Any
) -> dict[str, Any]:
    """A paid order of two mugs with shipping and 19 % tax on top, as `orders/paid` carries it."""
    total_items = f"{float(price) * 2:.2f}"
    tax = f"{round((float(total_items) + 5) * 0.19, 2):.2f}"
    total = f"{float(total_items) + 5 + float(tax):.2f}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")

    def money(amount: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": amount, "currency_code": "EUR"},
            "presentment_money": {"amount": amount, "currency_code": "EUR"},
        }

    tax_lines = [{"title": "VAT", "rate": 0.19, "price": tax, "price_set": money(tax)}]
    return {
        "id": 5_000_000_000_000 + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{5_000_000_000_000 + number}",
        "name": f"#{number}",
        "order_number": number,
        "email": email,
        "contact_email": email,
        "created_at": now,
        "processed_at": now,
        "updated_at": now,
        "currency": "EUR",
        "presentment_currency": "EUR",
        "financial_status": "paid",
        "fulfillment_status": None,
        "taxes_included": False,
        "test": False,
        "subtotal_price": total_items,
        "subtotal_price_set": money(total_items),
        "total_line_items_price": total_items,
        "total_line_items_price_set": money(total_items),
        "total_shipping_price_set": money("5.00"),
        "total_discounts": "0.00",
        "total_discounts_set": money("0.00"),
        "total_tax": tax,
        "total_tax_set": money(tax),
        "total_price": total,
        "total_price_set": money(total),
        "current_total_price": total,
        "current_total_price_set": money(total),
        "tax_lines": tax_lines,
        "line_items": [
            {
                "id": 7_000_000_000_000 + number,
                "product_id": 81,
                "variant_id": 91,
                "sku": "MUG-1",
                "title": "Mug",
                "quantity": 2,
                "price": price,
                "price_set": money(price),
                "total_discount": "0.00",
                "total_discount_set": money("0.00"),
                "requires_shipping": True,
                "taxable": True,
                "gift_card": False,
                "grams": 300,
                "tax_lines": [{"title": "VAT", "rate": 0.19, "price": f"{float(total_items) * 0.19:.2f}",
                               "price_set": money(f"{float(total_items) * 0.19:.2f}")}],
                "discount_allocations": [],
            }
        ],
        "shipping_lines": [
            {
                "id": 1,
                "title": "Standard",
                "code": "standard",
                "price": "5.00",
                "price_set": money("5.00"),
                "discounted_price": "5.00",
                "discounted_price_set": money("5.00"),
                "tax_lines": [{"title": "VAT", "rate": 0.19, "price": "0.95", "price_set": money("0.95")}],
                "discount_allocations": [],
            }
        ],
        "customer": {
            "id": 6_000_000_000_000 + number,
            "email": email,
            "first_name": "Ada",
            "last_name": "Example",
        },
        "billing_address": {
            "first_name": "Ada", "last_name": "Example", "address1": "1 High St", "city": "Leeds", "zip": "LS1 1AA",
            "country": "United Kingdom", "country_code": "GB",
        },
        "shipping_address": {
            "first_name": "Ada", "last_name": "Example", "address1": "1 High St", "city": "Leeds", "zip": "LS1 1AA",
            "country": "United Kingdom", "country_code": "GB",
        },
        "discount_applications": [],
        "discount_codes": [],
        "refunds": [],
        "fulfillments": [],
        **more,
    }  # fmt: skip

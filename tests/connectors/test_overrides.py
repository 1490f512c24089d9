"""Actions know the mapping, and each field that they make can still be another."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from connectors.mailchimp.models import UpsertMember
from tests.connectors.conftest import REGISTRY, open_bench

OWN: list[tuple[str, str, dict[str, Any]]] = [
    ("quickbooks", "find_or_create_customer", {"Notes": "from the shop", "GivenName": "G."}),
    ("quickbooks", "find_or_create_item", {"Taxable": True, "Type": "Service"}),
    ("quickbooks", "create_invoice", {"DocNumber": "X-1", "PrivateNote": "mine"}),
    ("quickbooks", "create_sales_receipt", {"TxnDate": "2026-01-02"}),
    ("quickbooks", "create_credit_memo", {"CustomerMemo": {"value": "sorry"}}),
    ("quickbooks", "create_refund_receipt", {"PaymentRefNum": "r-1"}),
    ("quickbooks", "record_payment", {"PrivateNote": "mine"}),
    ("slack", "post_message", {"username": "Shop", "icon_emoji": ":mug:", "unfurl_links": True}),
    ("slack", "reply_in_thread", {"text": "other"}),
    ("slack", "update_message", {"text": "other"}),
    ("shippo", "get_rates", {"extra": {"signature_confirmation": "STANDARD"}, "metadata": "mine"}),
    ("shippo", "buy_label", {"shipment_date": "2026-12-01T00:00:00Z"}),
    ("mailchimp", "upsert_member", {"vip": True, "language": "de"}),
    ("mailchimp", "upsert_customer", {"company": "Example & Sons", "opt_in_status": False}),
    ("mailchimp", "upsert_product", {"published_at_foreign": "2026-01-01T00:00:00Z"}),
    ("mailchimp", "upsert_order", {"tracking_number": "92055901", "order_total": 7}),
    ("mailchimp", "upsert_cart", {"campaign_id": "c1"}),
    ("discord", "post_message", {"embeds": [{"title": "Order"}]}),
    ("discord", "update_message", {"embeds": [{"title": "Order"}]}),
]


@pytest.mark.parametrize("slug", dict.fromkeys(slug for slug, _, _ in OWN))
async def test_a_steps_own_fields_go_out_instead_of_what_is_made(slug: str) -> None:
    async for bench in open_bench(REGISTRY[slug]):
        for number, (_, name, fields) in enumerate(each for each in OWN if each[0] == slug):
            action = next(each for each in bench.connector.actions if each.name == name)
            bench.recorder.seen.clear()
            await bench.ok(action, action.example().model_copy(update={"fields": fields}), key=bytes([number] * 16))
            bodies = [orjson.loads(request.content or b"{}") for request, _ in bench.recorder.seen]
            assert any(body.items() >= fields.items() for body in bodies), (name, bodies)


def test_no_field_subscribes_again_who_left() -> None:
    with pytest.raises(ValidationError, match="status_if_new"):
        UpsertMember(email="ada@example.com", fields={"status": "subscribed"})

"""Topics that are known and mean nothing to us, each with its reason."""

from __future__ import annotations

_ELSEWHERE = "said already by another topic that is read: "
_LATER = "kept for later: "
_SET_UP = "about how the shop is set up, not about what happens in it"

_REASONS: dict[str, str] = {
    _LATER + "a draft becomes an order when it is completed; orders/create says so": """
        draft_orders/create draft_orders/update draft_orders/delete""",
    _LATER + "a cart has no buyer yet; checkouts begin with a contact": "carts/create carts/update",
    _LATER + "subscriptions run by an app; their orders come as orders/*": """
        subscription_contracts/create subscription_contracts/update subscription_contracts/activate
        subscription_contracts/cancel subscription_contracts/expire subscription_contracts/fail
        subscription_contracts/pause subscription_billing_attempts/success subscription_billing_attempts/failure
        subscription_billing_attempts/challenged subscription_billing_cycles/skip subscription_billing_cycles/unskip
        subscription_billing_cycle_edits/create subscription_billing_cycle_edits/update
        subscription_billing_cycle_edits/delete selling_plan_groups/create selling_plan_groups/update
        selling_plan_groups/delete customer_payment_methods/create customer_payment_methods/update
        customer_payment_methods/revoke""",
    _ELSEWHERE + "order_transactions/create": "tender_transactions/create",
    _ELSEWHERE + "fulfillment_orders/placed_on_hold and hold_released": """
        fulfillment_holds/added fulfillment_holds/released""",
    _ELSEWHERE + "customers/update": """
        customers/merge customers/purchasing_summary customer.joined_segment customer.left_segment""",
    _ELSEWHERE + "products/update and inventory_levels/update": """
        variants/in_stock variants/out_of_stock inventory_items/create inventory_items/update inventory_items/delete""",
    _ELSEWHERE + "fulfillments/create": """
        fulfillment_orders/cancellation_request_accepted fulfillment_orders/cancellation_request_rejected
        fulfillment_orders/cancellation_request_submitted fulfillment_orders/cancelled
        fulfillment_orders/fulfillment_request_accepted fulfillment_orders/fulfillment_request_rejected
        fulfillment_orders/fulfillment_request_submitted fulfillment_orders/fulfillment_service_failed_to_complete
        fulfillment_orders/line_items_prepared_for_local_delivery fulfillment_orders/line_items_prepared_for_pickup
        fulfillment_orders/manually_reported_progress_stopped fulfillment_orders/merged fulfillment_orders/moved
        fulfillment_orders/order_routing_complete fulfillment_orders/progress_reported fulfillment_orders/rescheduled
        fulfillment_orders/scheduled_fulfillment_order_ready fulfillment_orders/split""",
    _ELSEWHERE + "returns/process": "reverse_deliveries/attach_deliverable reverse_fulfillment_orders/dispose",
    _ELSEWHERE + "orders/updated": """
        orders/link_requested orders/shopify_protect_eligibility_changed payment_schedules/due payment_terms/create
        payment_terms/update payment_terms/delete shipping_addresses/create shipping_addresses/update""",
    _LATER + "there is no consent for WhatsApp in our language yet": "customers_whats_app_marketing_consent/update",
    _LATER + "goods between places of the shop itself": """
        inventory_shipments/add_items inventory_shipments/create inventory_shipments/delete
        inventory_shipments/mark_in_transit inventory_shipments/receive_items inventory_shipments/remove_items
        inventory_shipments/update_item_quantities inventory_shipments/update_tracking inventory_transfers/add_items
        inventory_transfers/cancel inventory_transfers/complete inventory_transfers/ready_to_ship
        inventory_transfers/remove_items inventory_transfers/updated inventory_transfers/update_item_quantities""",
    _LATER + "business customers": """
        companies/create companies/update companies/delete company_contacts/create company_contacts/update
        company_contacts/delete company_contact_roles/assign company_contact_roles/revoke company_locations/create
        company_locations/update company_locations/delete""",
    "about the catalogue's arrangement; products/* say what changes in the goods": """
        collections/create collections/update collections/delete collection_listings/add collection_listings/remove
        collection_listings/update collection_publications/create collection_publications/update
        collection_publications/delete product_listings/add product_listings/remove product_listings/update
        product_publications/create product_publications/update product_publications/delete
        scheduled_product_listings/add scheduled_product_listings/remove scheduled_product_listings/update
        product_feeds/create product_feeds/update product_feeds/full_sync product_feeds/full_sync_finish
        product_feeds/incremental_sync metaobjects/create metaobjects/update metaobjects/delete
        metafield_definitions/create metafield_definitions/update metafield_definitions/delete""",
    "about groups and offers, not about one customer or order": """
        customer_groups/create customer_groups/update customer_groups/delete segments/create segments/update
        segments/delete discounts/create discounts/update discounts/delete discounts/redeemcode_added
        discounts/redeemcode_removed""",
    _SET_UP: """
        shop/update locations/create locations/update locations/delete locations/activate locations/deactivate
        themes/create themes/update themes/delete themes/publish domains/create domains/update domains/destroy
        locales/create locales/update locales/destroy markets/create markets/update markets/delete
        markets_backup_region/update profiles/create profiles/update profiles/delete tax_services/create
        tax_services/update customer_account_settings/update delivery_promise_settings/update channels/delete
        finance_app_staff_member/grant finance_app_staff_member/revoke finance_app_staff_member/update
        finance_app_staff_member/delete finance_kyc_information/update""",
    "about the app and its own bill": """
        app/scopes_update app_subscriptions/update app_subscriptions/approaching_capped_amount
        app_purchases_one_time/update bulk_operations/finish audit_events/admin_api_activity""",
}

IGNORED: dict[str, str] = {topic: reason for reason, topics in _REASONS.items() for topic in topics.split()}
"""Topic -> why nothing comes of it."""

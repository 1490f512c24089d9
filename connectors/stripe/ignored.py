"""Topics that Stripe has and Tradewind makes nothing of, each with its reason. What is in no table is unknown."""

_WHY = {
    "nothing is reserved or paid yet; payment_intent.succeeded or .payment_failed will say how it ended": """
        payment_intent.created payment_intent.processing payment_intent.requires_action
        payment_intent.partially_funded""",
    "the money is on its way; charge.succeeded or charge.failed will say how it ended": "charge.pending",
    "it changes neither what is owed nor what is paid; invoice.finalized, .paid, .payment_failed and .voided do": """
        invoice.updated invoice.sent invoice.upcoming invoice.overdue invoice.will_be_due invoice.overpaid
        invoice.marked_uncollectible invoice.finalization_failed invoice.payment_action_required
        invoice.payment_attempt_required""",
    "invoice.paid says that the invoice is paid": "invoice_payment.paid",
    "an item waits for an invoice; invoice.created says what is billed": """
        invoiceitem.created invoiceitem.updated invoiceitem.deleted""",
    "the payout has not arrived yet; payout.paid or payout.failed will say how it ended": """
        payout.created payout.updated""",
    "no money moved to or from the bank": "payout.canceled payout.reconciliation_completed",
    "customer.updated says what changes of the customer; this is a way to pay, a tax number or a discount": """
        customer.source.created customer.source.updated customer.source.deleted customer.source.expiring
        customer.bank_account.created customer.bank_account.updated customer.bank_account.deleted
        customer.card.created customer.card.updated customer.card.deleted customer.tax_id.created
        customer.tax_id.updated customer.tax_id.deleted customer.discount.created customer.discount.updated
        customer.discount.deleted customer_cash_balance_transaction.created cash_balance.funds_available""",
    "a way to pay was kept, changed or dropped; no money moved": """
        payment_method.attached payment_method.automatically_updated payment_method.card_automatically_updated
        payment_method.detached payment_method.updated mandate.updated setup_intent.created setup_intent.canceled
        setup_intent.requires_action setup_intent.setup_failed setup_intent.succeeded setup_intent.updated
        source.canceled source.chargeable source.failed source.mandate_notification
        source.refund_attributes_required source.transaction.created source.transaction.updated""",
    "plans are prices by their old name; price.* says the same": "plan.created plan.updated plan.deleted",
    "discounts and tax rates show in the sales that use them": """
        coupon.created coupon.updated coupon.deleted promotion_code.created promotion_code.updated tax_rate.created
        tax_rate.updated tax.settings.updated""",
    "a way to a sale, not a sale; checkout.session.completed is": "payment_link.created payment_link.updated",
    "an offer, not a sale; the invoice or subscription that comes of it is": """
        quote.created quote.finalized quote.accepted quote.canceled quote.will_expire""",
    "a plan for later; the subscription says what becomes of it": """
        subscription_schedule.aborted subscription_schedule.canceled subscription_schedule.completed
        subscription_schedule.created subscription_schedule.expiring subscription_schedule.released
        subscription_schedule.updated""",
    "there is no event for credit notes yet; the refund that comes with one is told by refund.created": """
        credit_note.created credit_note.updated credit_note.voided""",
    "Stripe closed its Orders API in 2022; it had no order of a shop": """
        order.created order.payment_failed order.payment_succeeded order.updated order_return.created sku.created
        sku.updated sku.deleted recipient.created recipient.updated recipient.deleted""",
    "Stripe's own suspicion, not the bank's decision; charge.dispute.created is": """
        radar.early_fraud_warning.created radar.early_fraud_warning.updated review.opened review.closed""",
    "about the Stripe account itself, not about a sale": """
        account.updated account.application.authorized account.application.deauthorized
        account.external_account.created account.external_account.updated account.external_account.deleted
        capability.updated person.created person.updated person.deleted balance.available
        balance_settings.updated file.created apps.install.created apps.install.updated apps.install.deleted
        billing_portal.configuration.created billing_portal.configuration.updated billing_portal.session.created
        reporting.report_run.failed reporting.report_run.succeeded reporting.report_type.updated
        sigma.scheduled_query_run.created reserve.hold.created reserve.hold.updated reserve.plan.created
        reserve.plan.disabled reserve.plan.expired reserve.plan.updated reserve.release.created""",
    "money between Stripe accounts, not between shop and buyer": """
        transfer.created transfer.updated transfer.reversed transfer.paid transfer.failed application_fee.created
        application_fee.refunded application_fee.refund.updated topup.created topup.succeeded topup.failed
        topup.canceled topup.reversed""",
    "metering and entitlements of subscriptions; the invoice says what is billed": """
        billing.alert.triggered billing.credit_balance_transaction.created billing.credit_grant.created
        billing.credit_grant.updated billing.meter.created billing.meter.deactivated billing.meter.reactivated
        billing.meter.updated entitlements.active_entitlement_summary.updated""",
    "card readers and test clocks": """
        terminal.reader.action_failed terminal.reader.action_succeeded terminal.reader.action_updated
        test_helpers.test_clock.advancing test_helpers.test_clock.created test_helpers.test_clock.deleted
        test_helpers.test_clock.internal_failure test_helpers.test_clock.ready""",
    "a product of Stripe that is no part of selling": """
        climate.order.canceled climate.order.created climate.order.delayed climate.order.delivered
        climate.order.product_substituted climate.product.created climate.product.pricing_updated
        financial_connections.account.account_numbers_updated financial_connections.account.created
        financial_connections.account.deactivated financial_connections.account.disconnected
        financial_connections.account.expected_deactivation_date_updated
        financial_connections.account.reactivated financial_connections.account.refreshed_balance
        financial_connections.account.refreshed_inferred_balances
        financial_connections.account.refreshed_ownership financial_connections.account.refreshed_transactions
        financial_connections.account.supported_payment_method_types_updated
        financial_connections.account.upcoming_account_number_expiry
        financial_connections.account.upcoming_deactivation
        financial_connections.authorization.expected_deactivation_date_updated
        financial_connections.authorization.upcoming_deactivation
        identity.verification_session.canceled identity.verification_session.created
        identity.verification_session.processing identity.verification_session.redacted
        identity.verification_session.requires_input identity.verification_session.verified
        issuing_authorization.created issuing_authorization.request issuing_authorization.updated
        issuing_card.created issuing_card.updated issuing_cardholder.created issuing_cardholder.updated
        issuing_dispute.closed issuing_dispute.created issuing_dispute.funds_reinstated
        issuing_dispute.funds_rescinded issuing_dispute.submitted issuing_dispute.updated
        issuing_personalization_design.activated issuing_personalization_design.deactivated
        issuing_personalization_design.rejected issuing_personalization_design.updated issuing_token.created
        issuing_token.updated issuing_transaction.created issuing_transaction.purchase_details_receipt_updated
        issuing_transaction.updated three_d_secure.authentication.canceled
        three_d_secure.authentication.challenge_started three_d_secure.authentication.errored
        three_d_secure.authentication.failed three_d_secure.authentication.requires_challenge
        three_d_secure.authentication.requires_submission three_d_secure.authentication.succeeded
        treasury.credit_reversal.created treasury.credit_reversal.posted treasury.debit_reversal.completed
        treasury.debit_reversal.created treasury.debit_reversal.initial_credit_granted
        treasury.financial_account.closed treasury.financial_account.created
        treasury.financial_account.features_status_updated treasury.inbound_transfer.canceled
        treasury.inbound_transfer.created treasury.inbound_transfer.failed treasury.inbound_transfer.succeeded
        treasury.outbound_payment.canceled treasury.outbound_payment.created
        treasury.outbound_payment.expected_arrival_date_updated treasury.outbound_payment.failed
        treasury.outbound_payment.posted treasury.outbound_payment.returned
        treasury.outbound_payment.tracking_details_updated treasury.outbound_transfer.canceled
        treasury.outbound_transfer.created treasury.outbound_transfer.expected_arrival_date_updated
        treasury.outbound_transfer.failed treasury.outbound_transfer.posted treasury.outbound_transfer.returned
        treasury.outbound_transfer.tracking_details_updated treasury.received_credit.created
        treasury.received_credit.failed treasury.received_credit.succeeded treasury.received_debit.created""",
}

IGNORED: dict[str, str] = {topic: reason for reason, topics in _WHY.items() for topic in topics.split()}

"""QuickBooks: what an order becomes, and what happens when the books do not play along."""

import asyncio
import base64
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.connector import Reply
from app.errors import CredentialError, PermanentError, RetryableError, TradewindError, UnsureError
from app.events import (
    Address,
    Customer,
    Fee,
    LineItem,
    Money,
    Order,
    Refund,
    RefundLine,
    ShippingLine,
    TaxLine,
    Totals,
    total,
    unit,
)
from app.pipeline.deliver.attempt import Attempt
from app.pipeline.deliver.outcome import Ok
from app.registry import Registry
from app.sandbox import make_app
from connectors.quickbooks import books
from connectors.quickbooks.actions import example_order, example_refund
from connectors.quickbooks.faults import DuplicateNameError, StaleError, problem
from connectors.quickbooks.lines import Draft, Wanted, draft_of_order, draft_of_refund, item_name, to_json
from connectors.quickbooks.models import (
    CreateCreditMemo,
    CreateInvoice,
    CreateRefundReceipt,
    FindOrCreateCustomer,
    FindOrCreateItem,
    InvoiceRef,
    RecordPayment,
    SendInvoice,
    Settings,
)
from connectors.quickbooks.sandbox import sandbox
from connectors.quickbooks.sandbox_books import Company
from tests.connectors.conftest import BASE, KEY, Bench, Recorder, due_call


class Meddler(httpx.AsyncBaseTransport):
    """Answers one POST to a path that ends so, and passes everything else on. `after`: lets so many through first."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, body: bytes, path: str = "/invoice", status: int = 400, after: int = 0
    ) -> None:
        self.inner, self.body, self.path, self.status, self.after = inner, body, path, status, after
        self.struck = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or not request.url.path.endswith(self.path) or self.struck:
            return await self.inner.handle_async_request(request)
        if self.after:
            self.after -= 1
            return await self.inner.handle_async_request(request)
        self.struck = True
        return httpx.Response(self.status, stream=httpx.ByteStream(self.body))


US = Settings.model_validate({**sandbox().settings})
CUSTOMER = {"CustomerRef": {"value": "1"}}
GLOBAL = Settings.model_validate({**sandbox("global").settings})


def eur(amount: str | int | Decimal) -> Money:
    return Money(amount=Decimal(amount), currency="EUR")


def usd(amount: str | int) -> Money:
    return Money(amount=Decimal(amount), currency="USD")


def keyed(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
async def german(quickbooks: Bench) -> Bench:
    """The bench with a company outside the US."""
    connector = replace(quickbooks.connector, sandbox=lambda: sandbox("global"))
    app = make_app(Registry(connector))
    people = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    recorder = Recorder(httpx.ASGITransport(app))
    return Bench(connector, recorder, dict(sandbox("global").settings), people)


# --- lines ------------------------------------------------------------------------------------------------------


def sum_of(draft: Draft) -> Money | None:
    parts = [part.net for part in draft.parts]
    return total([*parts, draft.tax, -draft.discount if draft.discount else None])


RATES = [Decimal(0), Decimal("0.07"), Decimal("0.19")]


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Orders whose parts need not make the total: as untidy as life, in currencies with and without cents."""
    currency = draw(st.sampled_from(["EUR", "JPY"]))
    amounts = st.integers(0, 100_000).map(lambda number: Money(amount=number * unit(currency), currency=currency))
    maybe = st.one_of(st.none(), amounts)

    def taxed(line: Any) -> Any:
        rate = draw(st.sampled_from(RATES))
        tax_lines = [TaxLine(rate=rate, amount=line.tax)] if rate else []
        return line.model_copy(update={"tax_lines": tax_lines} if line.tax and rate else {"tax": None})

    lines = draw(
        st.lists(
            st.builds(
                LineItem,
                title=st.sampled_from(["Mug", "Tea: green", "A\tB"]),
                sku=st.sampled_from([None, "A", "B"]),
                quantity=st.one_of(st.integers(1, 20), st.sampled_from([Decimal("1.5"), Decimal("0.333")])),
                price=amounts,
                tax=maybe,
                discount=maybe,
                gift_card=st.booleans(),
            ),
            max_size=4,
        )
    )
    shipping = draw(st.lists(st.builds(ShippingLine, price=amounts, tax=maybe, discount=maybe), max_size=2))
    stated = ("items", "shipping", "tax", "discount", "tip", "duty", "fees", "rounding")
    totals = Totals(total=draw(amounts), **{name: draw(maybe) for name in stated})
    return Order(
        id="1",
        number="1001",
        currency=currency,
        taxes_included=draw(st.booleans()),
        line_items=[taxed(line) for line in lines],
        shipping_lines=[taxed(line) for line in shipping],
        fee_lines=draw(st.lists(st.builds(Fee, amount=amounts), max_size=1)),
        tax_lines=[TaxLine(rate=RATES[2], amount=totals.tax)],
        totals=totals,
    )


@pytest.mark.parametrize("model", ["us", "global"])
@given(order=orders())
@settings(max_examples=40, deadline=None)
def test_quickbooks_comes_to_the_total_that_the_shop_states_for_any_order(
    model: Literal["us", "global"], order: Order
) -> None:
    """Or refuses what has no one meaning: where every line needs a tax code, but none can be told."""
    chosen = US if model == "us" else GLOBAL
    try:
        draft = draft_of_order(order, chosen)
    except PermanentError as refused:
        if model == "us" or "does not tell which of its lines bear" not in str(refused):
            raise
        return
    body = to_json(draft, {part.item: "1" for part in draft.parts}, chosen)
    kept = Company(model, order.currency or "").write(
        "Invoice", orjson.dumps({**CUSTOMER, **body}, default=float), None
    )
    assert Decimal(str(kept["Invoice"]["TotalAmt"])) == order.total.amount  # type: ignore[union-attr]


@st.composite
def half_told(draw: st.DrawFn) -> Order:
    """Orders at 19 %, of which some lines, or there is no line at all, leave it to the order to say so."""
    cents, included = st.integers(100, 100_000).map(lambda number: eur(Decimal(number) / 100)), draw(st.booleans())
    rate = RATES[2]

    def tax_on(gross: Money) -> Money:
        return Money(amount=gross.amount * rate / (1 + rate) if included else gross.amount * rate, currency="EUR")

    prices = draw(st.lists(cents, min_size=1, max_size=3))
    shipping, silent_shipping, taxed_shipping = (
        draw(st.one_of(st.none(), cents)),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    tells = [draw(st.booleans()) for _ in prices]
    tax_of_shipping = tax_on(shipping).rounded() if shipping and taxed_shipping else eur(0)
    said = [tax_on(price).rounded() for price in prices]
    lines = [
        LineItem(
            title="Mug",
            quantity=1,
            price=price,
            **({"tax": tax, "tax_lines": [TaxLine(rate=rate, amount=tax)]} if told else {}),
        )
        for price, tax, told in zip(prices, said, tells, strict=True)
    ]
    ships = {} if silent_shipping else {"tax": tax_of_shipping}
    items, tax = sum(prices), sum(said) + tax_of_shipping
    whole = items + (shipping or eur(0)) + (eur(0) if included else tax)
    parts: list[Decimal] = draw(st.sampled_from([[], [rate], [rate, rate], [Decimal("0.095"), Decimal("0.095")]]))
    return Order(
        id="1",
        currency="EUR",
        taxes_included=included,
        line_items=draw(st.sampled_from([lines, []])),
        shipping_lines=draw(st.sampled_from([[ShippingLine(price=shipping, **ships)], []])) if shipping else [],
        tax_lines=[TaxLine(rate=each, amount=tax) for each in parts] or None,
        totals=Totals(items=items, shipping=shipping, tax=tax, total=whole),
    )


@pytest.mark.parametrize("chosen", [US, GLOBAL], ids=["us", "global"])
@given(order=half_told())
@settings(max_examples=60, deadline=None)
def test_a_tax_that_lines_leave_to_the_order_is_the_tax_of_the_document_for_any_order(
    chosen: Settings, order: Order
) -> None:
    """To a cent a line; before, it went to shipping, or to a rounding of the size of a tax, or was refused."""
    draft, totals = draft_of_order(order, chosen), order.totals
    assert totals is not None
    assert totals.tax is not None
    cents = eur("0.01") * 5
    assert abs(draft.tax - totals.tax) <= cents
    assert draft.adjustment is None or abs(draft.adjustment) <= cents
    assert all(part.net > eur(0) for part in draft.parts if not part.text.startswith("Rounding"))
    assert sum_of(draft) == order.total


@pytest.mark.parametrize(
    ("lines", "shipping", "tax", "stated", "codes"),
    [
        pytest.param([], "5", "19.95", [], ["5", "5"], id="no lines"),
        pytest.param([], "5", "19.00", ["0.19"], ["5", "7"], id="no lines, shipping untaxed"),
        pytest.param([("100", None)], "5", "19.95", ["0.19"], ["5", "5"], id="shipping taxed"),
        pytest.param([("100", None)], "5", "19.00", [], ["5", "7"], id="shipping untaxed"),
        pytest.param([("10", "1.90"), ("10", "1.90")], "5", "3.81", [], ["5", "5", "7", "7"], id="a cent over"),
        pytest.param([("100", None)], "5", "19.95", ["0.095", "0.095"], ["5", "5"], id="two taxes on the same"),
        pytest.param([("100", None)], "5", "19.95", ["0.19", "0.19"], ["5", "5"], id="one rate said twice"),
        pytest.param([("100", None), ("100", "0")], "5", "19.00", ["0.19"], ["5", "7", "7"], id="one says none"),
    ],
)
def test_who_bears_a_tax_is_told_by_what_makes_it(
    lines: list[tuple[str, str | None]], shipping: str, tax: str, stated: list[str], codes: list[str]
) -> None:
    order = told(lines, shipping, tax, stated)
    draft = draft_of_order(order, GLOBAL)
    assert [part.code for part in draft.parts] == codes
    assert abs(draft.tax - eur(tax)) <= eur("0.01")


@pytest.mark.parametrize("lines", [[("100", None), ("100", None)], []], ids=["one of two lines", "no lines"])
def test_a_tax_that_nobody_can_place_is_refused_with_the_reason(lines: list[tuple[str, str | None]]) -> None:
    order = told(lines, "5", "19.00" if lines else "13.00", ["0.19"])
    with pytest.raises(PermanentError, match="does not tell which of its lines bear"):
        draft_of_order(order, GLOBAL)
    assert draft_of_order(order, US).adjustment is None


def test_a_tax_at_no_known_rate_is_never_more_than_those_cost_who_bear_it() -> None:
    order = told([("1", None)], "100", "16.13", []).model_copy(update={"taxes_included": True})
    assert [part.code for part in draft_of_order(order, US).parts[:2]] == ["TAX", "TAX"]
    assert all(part.net > eur(0) for part in draft_of_order(order, US).parts[:2])


def test_a_rate_said_twice_is_not_taken_for_both_at_once_where_that_fits_too() -> None:
    order = told([("1", None)], "1", "0.38", ["0.19", "0.19"])
    assert [part.code for part in draft_of_order(order, GLOBAL).parts] == ["5", "5"]


def told(lines: list[tuple[str, str | None]], shipping: str, tax: str, stated: list[str]) -> Order:
    """Prices without tax; what a line says of its own, and what the order says."""
    items = total([eur(price) for price, _ in lines]) or eur(100)
    return Order(
        id="8",
        currency="EUR",
        line_items=[
            LineItem(title="Mug", quantity=1, price=eur(price), tax=None if own is None else eur(own))
            for price, own in lines
        ],
        tax_lines=[TaxLine(rate=rate, amount=eur(1)) for rate in stated],
        totals=Totals(items=items, shipping=eur(shipping), tax=eur(tax), total=items + eur(shipping) + eur(tax)),
    )


def test_an_order_without_lines_bears_its_tax_on_its_items_not_on_its_shipping() -> None:
    for included, net in ((False, "100.00"), (True, "80.05")):
        order = told([], "5", "19.95", []).model_copy(update={"taxes_included": included})
        parts = draft_of_order(order, US).parts
        assert [(part.text, str(part.net.amount.quantize(Decimal("0.01"))), part.code) for part in parts[:2]] == [
            ("Order 8", net, "TAX"),
            ("Shipping", "5.00", "NON"),
        ]


@given(order=orders(), amount=st.integers(0, 100_000), lines=st.integers(0, 3), shipping=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_credit_comes_to_the_refunds_amount_for_any_refund(
    order: Order, amount: int, lines: int, shipping: bool
) -> None:
    def money(units: int) -> Money:
        return Money(amount=units * unit(order.currency or ""), currency=order.currency or "")

    refund = Refund(
        id="7",
        amount=money(amount),
        shipping=money(amount // 3) if shipping else None,
        lines=[RefundLine(line_item_id="1", quantity=1, amount=money(amount // 5 + n)) for n in range(lines)],
    )
    draft = draft_of_refund(refund, order, US)
    body = to_json(draft, {part.item: "1" for part in draft.parts}, US)
    made = Company("us", order.currency or "").write(
        "CreditMemo", orjson.dumps({**CUSTOMER, **body}, default=float), None
    )
    assert Decimal(str(made["CreditMemo"]["TotalAmt"])) == refund.amount.amount  # type: ignore[union-attr]


def plain_order(totals: Totals, included: bool, **update: Any) -> Order:
    """Two lines that state neither their tax nor their discount, which only the order does."""
    lines = [
        LineItem(title=title, quantity=1, price=eur(price)) for title, price in (("Mug", "23.80"), ("Cup", "11.90"))
    ]
    return Order(id="8", currency="EUR", taxes_included=included, line_items=lines, totals=totals, **update)


def test_a_tax_that_only_the_order_states_is_spread_over_its_lines() -> None:
    totals = Totals(items=eur("35.70"), tax=eur("5.70"), total=eur("35.70"))
    for chosen, code in ((US, "TAX"), (GLOBAL, "5")):
        draft = draft_of_order(plain_order(totals, included=True), chosen)
        assert [(str(part.net.amount), part.code) for part in draft.parts] == [("20.00", code), ("10.00", code)]
        assert (draft.adjustment, str(draft.tax.amount)) == (None, "5.70")


def test_a_discount_that_only_the_order_states_bears_the_codes_of_its_lines() -> None:
    totals = Totals(items=eur("35.70"), discount=eur("3.57"), total=eur("32.13"))
    draft = draft_of_order(plain_order(totals, included=False), GLOBAL)
    assert [str(part.net.amount) for part in draft.parts] == ["23.80", "-2.38", "11.90", "-1.19"]
    assert draft.adjustment is None


@pytest.mark.parametrize("included", [False, True])
def test_a_discount_that_only_lines_state_is_one_of_the_document(included: bool) -> None:
    line = LineItem(title="Mug", quantity=1, price=eur("11.90" if included else 10), discount=eur(1), tax=eur("1.71"))
    whole = eur("10.90") if included else eur("10.71")
    draft = draft_of_order(
        Order(id="8", line_items=[line], taxes_included=included, totals=Totals(total=whole, tax=eur("1.71"))), US
    )
    assert draft.adjustment is None
    assert draft.discount is not None
    assert draft.discount.amount > Decimal("0.8")
    assert sum_of(draft) == whole


def test_shipping_without_a_line_bears_the_tax_that_is_left() -> None:
    totals = Totals(items=eur(10), shipping=eur("1.19"), tax=eur("0.19"), total=eur("11.19"))
    lines = [LineItem(title="Mug", quantity=1, price=eur(10), tax=eur(0))]
    draft = draft_of_order(Order(id="8", taxes_included=True, line_items=lines, totals=totals), GLOBAL)
    assert [(part.text, str(part.net.amount), part.code) for part in draft.parts] == [
        ("Mug", "10.00", "7"),
        ("Shipping", "1.00", "5"),
    ]


def test_a_tax_of_pennies_is_still_of_a_rate_that_has_a_code() -> None:
    """19 % of 0.37 is 0.07, and 0.07 of 0.37 is 18.9 %."""
    line = LineItem(title="Pin", quantity=1, price=eur("0.37"), tax=eur("0.07"))
    totals = Totals(items=eur("0.37"), tax=eur("0.07"), total=eur("0.44"))
    assert draft_of_order(Order(id="8", line_items=[line], totals=totals), GLOBAL).parts[0].code == "5"


@pytest.mark.parametrize("chosen", [US, GLOBAL], ids=["us", "global"])
def test_an_order_that_states_its_total_alone_is_a_sale_not_a_rounding(chosen: Settings) -> None:
    order = Order(id="8", totals=Totals(total=eur("119.00"), tax=eur("19.00")))
    draft = draft_of_order(order, chosen)
    assert [(part.text, part.net) for part in draft.parts] == [("Order 8", eur(100))]
    assert (draft.tax, draft.adjustment) == (eur(19), None)
    with_tip = draft_of_order(Order(id="8", totals=Totals(total=eur(12), tip=eur(2))), chosen)
    assert [(part.text, part.net) for part in with_tip.parts] == [("Order 8", eur(10)), ("Tip", eur(2))]


def test_an_order_of_nothing_still_has_a_line() -> None:
    draft = draft_of_order(Order(id="8", number="8", totals=Totals(total=eur(0))), US)
    assert [(part.text, part.net) for part in draft.parts] == [("Order 8", eur(0))]


def test_an_order_of_nothing_but_tax_has_a_line_of_nothing() -> None:
    draft = draft_of_order(Order(id="1", totals=Totals(items=eur(0), tax=eur("0.01"), total=eur("0.01"))), US)
    assert (sum_of(draft), draft.adjustment) == (eur("0.01"), None)


def test_a_tidy_order_needs_no_adjustment() -> None:
    draft = draft_of_order(example_order(), US)
    assert draft.adjustment is None
    assert [(part.text, str(part.net.amount), part.code) for part in draft.parts] == [
        ("Mug", "24.00", "TAX"),
        ("Shipping: Standard", "5.00", "NON"),
    ]
    assert draft.discount == Money(amount=Decimal("3.00"), currency="USD")


def test_a_missing_cent_becomes_a_line_that_says_so() -> None:
    order = example_order()
    assert order.totals is not None
    more = order.totals.total + Money(amount=Decimal("0.01"), currency="USD")  # type: ignore[operator]
    draft = draft_of_order(order.model_copy(update={"totals": order.totals.model_copy(update={"total": more})}), US)
    assert draft.adjustment == Money(amount=Decimal("0.01"), currency="USD")
    assert draft.parts[-1].text == "Rounding to the order's total"


def german_order(**update: Any) -> Order:
    """Prices with 19 % and 7 % tax inside, a discount on one line: 2 x 11.90 - 2.38 + 10.70 + 4.76 shipping."""
    nineteen, seven = Decimal("0.19"), Decimal("0.07")
    values = {
        "id": "7",
        "number": "1007",
        "currency": "EUR",
        "taxes_included": True,
        "line_items": [
            LineItem(
                title="Mug",
                sku="MUG",
                quantity=2,
                price=eur("11.90"),
                discount=eur("2.38"),
                tax=eur("3.42"),
                tax_lines=[TaxLine(rate=nineteen, amount=eur("3.42"))],
            ),
            LineItem(
                title="Book",
                quantity=1,
                price=eur("10.70"),
                tax=eur("0.70"),
                tax_lines=[TaxLine(rate=seven, amount=eur("0.70"))],
            ),
        ],
        "shipping_lines": [
            ShippingLine(price=eur("4.76"), tax=eur("0.76"), tax_lines=[TaxLine(rate=nineteen, amount=eur("0.76"))])
        ],
        "totals": Totals(
            items=eur("34.50"), shipping=eur("4.76"), discount=eur("2.38"), tax=eur("4.88"), total=eur("36.88")
        ),
    }
    return Order(**{**values, **update})


def test_where_prices_hold_tax_lines_are_net_and_discounts_bear_their_own_code() -> None:
    draft = draft_of_order(german_order(), GLOBAL)
    assert [(part.text, str(part.net.amount), part.code) for part in draft.parts] == [
        ("Mug", "20.00", "5"),
        ("Discount on Mug", "-2.00", "5"),
        ("Book", "10.00", "6"),
        ("Shipping", "4.00", "5"),
    ]
    assert (str(draft.tax.amount), draft.adjustment, sum_of(draft)) == ("4.88", None, eur("36.88"))


def test_a_rate_without_a_tax_code_is_refused_with_the_mend() -> None:
    line = LineItem(
        title="Wine", quantity=1, price=eur(20), tax=eur(4), tax_lines=[TaxLine(rate="0.25", amount=eur(4))]
    )
    with pytest.raises(PermanentError, match=r"rate of 0\.25: add it to the connection's tax_codes"):
        draft_of_order(german_order(line_items=[line]), GLOBAL)


def test_money_finer_than_its_currency_is_refused() -> None:
    order = Order(id="1", currency="EUR", totals=Totals(items=eur("1.005"), total=eur("1.005")))
    with pytest.raises(PermanentError, match="round it first"):
        draft_of_order(order, US)


def test_an_order_without_a_total_is_refused() -> None:
    with pytest.raises(PermanentError, match="states no total"):
        draft_of_order(Order(id="1"), US)


def test_fees_tip_and_duty_are_lines_of_their_own() -> None:
    totals = Totals(items=eur(10), fees=eur(1), tip=eur(2), duty=eur(3), total=eur(16))
    order = Order(id="1", currency="EUR", fee_lines=[Fee(title="Gift wrap", amount=eur(1))], totals=totals)
    assert [part.text for part in draft_of_order(order, US).parts] == ["Order 1", "Gift wrap", "Tip", "Duties"]


def test_a_refund_without_lines_is_one_line_of_its_amount() -> None:
    draft = draft_of_refund(Refund(id="1", amount=eur(5)), None, US)
    assert [(part.text, part.net) for part in draft.parts] == [("Refund", eur(5))]


@pytest.mark.parametrize("rates", [["0.19"], ["0.19", "0.19"], ["0.07", "0.19"], ["0.095", "0.095"]])
def test_the_tax_of_a_refund_without_lines_says_its_rate(rates: list[str]) -> None:
    order = Order(id="8", tax_lines=[TaxLine(rate=rate, amount=eur(1)) for rate in rates])
    draft = draft_of_refund(Refund(id="1", amount=eur(119), tax=eur(19)), order, GLOBAL)
    assert [(part.net, part.code) for part in draft.parts] == [(eur(100), "5")]


def sold(*rates: str, shipping: str | None = None) -> Order:
    """An order of things at 119 or 107 with their tax in it, and shipping at 19 %."""
    each = {"0.19": (eur(119), eur(19)), "0.07": (eur(107), eur(7))}
    lines = [
        LineItem(id=rate, title=rate, quantity=1, price=price, tax=tax, tax_lines=[TaxLine(rate=rate, amount=tax)])
        for rate in rates
        for price, tax in [each[rate]]
    ]
    sent = [ShippingLine(title="Post", price=eur(shipping or 0), tax_lines=[TaxLine(rate="0.19", amount=eur("0.95"))])]
    parts = [*(line.price for line in lines), *([eur(shipping)] if shipping else [])]
    return Order(
        id="8",
        currency="EUR",
        taxes_included=True,
        line_items=lines,
        shipping_lines=sent if shipping else [],
        totals=Totals(items=total([line.price for line in lines]), total=total(parts)),
    )


@pytest.mark.parametrize("company", [US, GLOBAL])
def test_a_refund_of_the_whole_order_is_the_orders_own_lines(company: Settings) -> None:
    order = sold("0.19", "0.07", shipping="5.95")
    draft = draft_of_refund(Refund(id="1", amount=order.total), order, company)
    assert draft == draft_of_order(order, company)
    assert (draft.adjustment, draft.tax) == (None, eur("26.95"))


def test_money_given_back_without_its_tax_said_bears_the_only_rate_of_its_order() -> None:
    """Half of the shipping bears half of its tax; a line bears what it bore when it was sold."""
    order = sold("0.19", shipping="5.95")
    for refund, net, tax in [
        (Refund(id="1", amount=eur("11.90")), eur(10), eur("1.90")),
        (Refund(id="1", amount=eur("2.38"), shipping=eur("2.38")), eur(2), eur("0.38")),
        (
            Refund(id="1", amount=eur("59.50"), lines=[RefundLine(line_item_id="0.19", amount=eur("59.50"))]),
            eur(50),
            eur("9.50"),
        ),
    ]:
        draft = draft_of_refund(refund, order, GLOBAL)
        assert [(part.net, part.code) for part in draft.parts] == [(net, "5")]
        assert (draft.tax, draft.adjustment) == (tax, None)
    line = Refund(id="1", amount=eur(107), lines=[RefundLine(line_item_id="0.07", amount=eur(107))])
    assert [part.code for part in draft_of_refund(line, sold("0.19", "0.07"), GLOBAL).parts] == ["6"]


def test_the_tax_of_a_refund_is_that_of_its_silent_line() -> None:
    refund = Refund(id="1", amount=eur(119), tax=eur(19), lines=[RefundLine(title="Mug", amount=eur(100))])
    draft = draft_of_refund(refund, None, GLOBAL)
    assert [(part.net, part.code) for part in draft.parts] == [(eur(100), "5")]
    assert (draft.tax, draft.adjustment) == (eur(19), None)


def test_a_refund_whose_tax_nobody_tells_is_refused_with_the_mend() -> None:
    """Guessed, it would stand in the books as untaxed, or taxed twice."""
    alone = [Refund(id="1", amount=eur(5)), Refund(id="1", amount=eur(5), lines=[RefundLine(amount=eur(5))])]
    for refund in alone:
        with pytest.raises(PermanentError, match=r"give the refund with its `tax` .* or the `order`"):
            draft_of_refund(refund, None, GLOBAL)
    with pytest.raises(PermanentError, match="its order bears several tax rates"):
        draft_of_refund(alone[0], sold("0.19", "0.07"), GLOBAL)
    free = draft_of_refund(alone[0].model_copy(update={"tax": eur(0)}), None, GLOBAL)
    assert [(part.net, part.code) for part in free.parts] == [(eur(5), "7")]


@pytest.mark.parametrize(("amount", "booked"), [("3.765", False), ("3.760", True)])
def test_quickbooks_keeps_two_decimals_whatever_the_currency(amount: str, booked: bool) -> None:
    money = Money(amount=amount, currency="KWD")
    order = Order(id="1", currency="KWD", totals=Totals(items=money, total=money))
    if booked:
        assert draft_of_order(order, US).total == money
    else:
        with pytest.raises(PermanentError, match="keeps two decimals"):
            draft_of_order(order, US)


def test_a_refund_of_more_than_its_lines_is_made_up_for() -> None:
    refund = Refund(id="1", amount=eur(15), lines=[RefundLine(title="Mug", quantity=1, amount=eur(12))])
    draft = draft_of_refund(refund, None, US)
    assert (draft.adjustment, sum_of(draft)) == (eur(3), eur(15))


@pytest.mark.parametrize("chosen", [US, GLOBAL], ids=["us", "global"])
@pytest.mark.parametrize("price", [pytest.param("11.90", id="with tax"), pytest.param("10.00", id="without")])
@pytest.mark.parametrize("included", [None, False, True])
def test_a_refund_holds_tax_in_its_prices_if_that_makes_its_amount(
    chosen: Settings, price: str, included: bool | None
) -> None:
    """Whatever its order says, or nobody."""
    order = None if included is None else Order(id="8", taxes_included=included, totals=Totals(total=eur(50)))
    line = RefundLine(title="Mug", quantity=1, amount=eur(price), tax=eur("1.90"))
    draft = draft_of_refund(Refund(id="1", amount=eur("11.90"), tax=eur("1.90"), lines=[line]), order, chosen)
    assert [part.net for part in draft.parts] == [eur(10)]
    assert (draft.tax, draft.adjustment) == (eur("1.90"), None)


@pytest.mark.parametrize("chosen", [US, GLOBAL], ids=["us", "global"])
def test_the_tax_of_shipping_given_back_is_tax_where_the_refund_states_that_of_its_goods_alone(
    chosen: Settings,
) -> None:
    nineteen = [TaxLine(rate=RATES[2], amount=eur("0.95"))]
    order = Order(
        id="1",
        currency="EUR",
        line_items=[LineItem(id="m", title="Mug", quantity=1, price=eur(10), tax=eur("1.90"))],
        shipping_lines=[ShippingLine(price=eur(5), tax=eur("0.95"), tax_lines=nineteen)],
        totals=Totals(items=eur(10), shipping=eur(5), tax=eur("2.85"), total=eur("17.85")),
    )
    line = RefundLine(line_item_id="m", quantity=1, amount=eur(10), tax=eur("1.90"))
    refund = Refund(id="1", amount=eur("17.85"), tax=eur("1.90"), shipping=eur(5), lines=[line])
    draft = draft_of_refund(refund, order, chosen)
    assert (draft.tax, draft.adjustment) == (eur("2.85"), None)


@pytest.mark.parametrize(
    ("name", "plain"), [("A:B", "A B"), ("a\tb\n c", "a b c"), ("x" * 200, "x" * 100), (":", "Item")]
)
def test_names_of_items_are_as_quickbooks_takes_them(name: str, plain: str) -> None:
    assert item_name(name) == plain


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        *(({"tax_codes": {rate: "5"}}, "written as") for rate in ("19", "19%", "0,19", "", ".", "NaN", "-0.1", "1")),
        ({"tax_codes": {"0.19": "5", "0.190": "6"}}, "two codes"),
        *(({"timezone": zone}, "one is Europe/Berlin") for zone in ("Mars/X", "", "../etc/passwd", "Europe")),
        ({"home_currency": "Euro"}, "pattern"),
    ],
    ids=str,
)
def test_settings_with_which_no_document_can_be_made_are_refused_when_saved(wrong: dict[str, Any], mend: str) -> None:
    with pytest.raises(ValidationError, match=mend):
        Settings.model_validate({**sandbox("global").settings, **wrong})


def test_settings_may_be_written_as_people_write_them() -> None:
    said = {"tax_codes": {".07": "6", "0.190": "5", "0": "7"}, "home_currency": "eur", "timezone": "Europe/Berlin"}
    assert Settings.model_validate({**sandbox("global").settings, **said}).home_currency == "EUR"


# --- customers --------------------------------------------------------------------------------------------------


async def test_a_customer_is_found_by_mail_address_in_any_case(quickbooks: Bench) -> None:
    found = await quickbooks.ok(
        "find_or_create_customer", FindOrCreateCustomer(customer=Customer(email="ADA@example.com"))
    )
    assert (found.id, found.created) == ("1", False)


@pytest.mark.parametrize(
    "taken", ["Ada Example", "Mug Supplies Ltd", "Emily Platt"], ids=["customer", "vendor", "employee"]
)
async def test_a_name_that_somebody_bears_gets_the_mail_address_behind_it(quickbooks: Bench, taken: str) -> None:
    found = await quickbooks.ok(
        "find_or_create_customer", FindOrCreateCustomer(customer=Customer(name=taken, email="new@example.com"))
    )
    assert (found.name, found.created) == (f"{taken} (new@example.com)", True)


async def test_two_buyers_of_one_name_without_a_mail_address_are_one_customer(quickbooks: Bench) -> None:
    walk_in = FindOrCreateCustomer(customer=Customer(name="Jo"))
    first = await quickbooks.ok("find_or_create_customer", walk_in, key=keyed(1))
    second = await quickbooks.ok("find_or_create_customer", walk_in, key=keyed(2))
    assert (first.id, second.created) == (second.id, False)


async def test_a_nameless_buyer_whose_name_a_vendor_bears_is_one_customer_for_ever(quickbooks: Bench) -> None:
    vendor = FindOrCreateCustomer(customer=Customer(name="Mug Supplies Ltd"))
    found = [await quickbooks.ok("find_or_create_customer", vendor, key=keyed(number)) for number in range(3)]
    assert [(each.name, each.created) for each in found] == [
        ("Mug Supplies Ltd (2)", True),
        ("Mug Supplies Ltd (2)", False),
        ("Mug Supplies Ltd (2)", False),
    ]


async def test_an_order_in_another_currency_goes_to_that_persons_customer_in_it(quickbooks: Bench) -> None:
    wish = CreateInvoice(order=german_order(), customer_id="1")
    made = [await quickbooks.ok("create_invoice", wish, key=keyed(number)) for number in range(2)]
    assert (str(made[0].total), made[0].customer_id) == ("36.88 EUR", made[1].customer_id)
    pay = RecordPayment(customer_id="1", invoice_id=made[0].id, amount=made[0].total)
    await quickbooks.ok("record_payment", pay, key=keyed(2))
    state = await quickbooks.state()
    (customer,) = state["customers"]
    assert (customer["DisplayName"], customer["CurrencyRef"]) == ("Ada Example EUR", {"value": "EUR"})
    assert state["payments"][0]["CustomerRef"] == {"value": customer["Id"]}


async def test_without_multi_currency_an_order_in_another_is_refused_not_booked(quickbooks: Bench) -> None:
    wish = CreateInvoice(order=german_order(), customer_id="1")
    failed = await quickbooks.failed("create_invoice", wish, home_currency=None)
    assert failed.kind == "permanent"
    assert "home_currency" in failed.error


async def test_an_order_without_a_customer_is_the_online_customers(quickbooks: Bench) -> None:
    found = await quickbooks.ok("find_or_create_customer", FindOrCreateCustomer(order=Order(id="1")))
    assert found.name == "Online customer"


async def test_a_quote_in_an_address_is_no_way_into_the_query(quickbooks: Bench) -> None:
    who = FindOrCreateCustomer(customer=Customer(name="O'Neil \\' or", email="o'neil@example.com"))
    first = await quickbooks.ok("find_or_create_customer", who, key=keyed(1))
    second = await quickbooks.ok("find_or_create_customer", who, key=keyed(2))
    assert (first.created, second.created, first.id) == (True, False, second.id)


async def test_with_several_currencies_a_buyer_is_a_customer_in_each(quickbooks: Bench) -> None:
    order = Order(id="1", currency="EUR", customer=Customer(name="Ada Example", email="ada@example.com"))
    found = await quickbooks.ok("find_or_create_customer", FindOrCreateCustomer(order=order), home_currency="USD")
    assert (found.name, found.created) == ("Ada Example EUR", True)
    assert (await quickbooks.state())["customers"][0]["CurrencyRef"] == {"value": "EUR"}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"name": ":"}, "Online customer"),
        ({"name": "\n\t", "company": "Mugs: and more"}, "Mugs and more"),
        ({"first_name": "Ada:", "last_name": "Ex\nample"}, "Ada Ex ample"),
    ],
    ids=["no name in it", "the company's instead", "in its parts"],
)
async def test_a_name_that_quickbooks_would_refuse_is_made_plain(
    quickbooks: Bench, said: dict[str, str], name: str
) -> None:
    made = await quickbooks.ok("find_or_create_customer", FindOrCreateCustomer(customer=Customer(**said)))
    assert (made.name, made.created) == (name, True)


@pytest.mark.parametrize("email", ["not-an-address", "ada@", f"{'a' * 95}@example.com", " ada @example.com"])
async def test_a_buyer_whose_address_is_misspelt_is_invoiced_all_the_same(quickbooks: Bench, email: str) -> None:
    """Cut, an address would be another's; sent as it is, QuickBooks would refuse the whole document."""
    order = example_order().model_copy(update={"email": email, "customer": Customer(name="Eve", email=email)})
    found = await quickbooks.ok("find_or_create_customer", FindOrCreateCustomer(order=order))
    assert (found.name, found.email) == ("Eve", None)
    await quickbooks.ok("create_invoice", CreateInvoice(order=order, customer_id=found.id))
    assert "BillEmail" not in (await quickbooks.state())["invoices"][0]


# --- items ------------------------------------------------------------------------------------------------------


async def test_an_item_is_made_once_for_many_orders(quickbooks: Bench) -> None:
    for number in range(3):
        await quickbooks.ok("create_invoice", key=keyed(number))
    state = await quickbooks.state()
    assert [item["Name"] for item in state["items"]] == ["Mug"]
    assert len(state["invoices"]) == 3


async def test_emoji_are_left_out_of_the_books(quickbooks: Bench) -> None:
    """QuickBooks answers 500 to one, each time: the order would never be invoiced."""
    line = LineItem(
        title="Mug \U0001f468\u200d\U0001f469\u200d\U0001f467 & \U0001f389", sku="M\U0001f389", quantity=1, price=usd(9)
    )
    order = Order(
        id="1\U0001f389", number="#1\U0001f389", line_items=[line], totals=Totals(items=usd(9), total=usd(9)),
        billing_address=Address(address1="\U0001f3e0 High St", country_code="US"),
    )  # fmt: skip
    buyer = FindOrCreateCustomer(customer=Customer(name="Ada \U0001f389"), order=order)
    for number in range(2):
        found = await quickbooks.ok("find_or_create_customer", buyer, key=keyed(9 + number))
        assert (found.name, found.created) == ("Ada", number == 0)
        wanted = CreateInvoice(order=order, customer_id=found.id, memo="Thanks \U0001f64f")
        await quickbooks.ok("create_invoice", wanted, key=keyed(number))
    (item,) = (await quickbooks.state())["items"]
    assert (item["Name"], item["Sku"]) == ("Mug &", "M")


async def test_an_item_of_a_long_sku_is_made_and_found_again(quickbooks: Bench) -> None:
    """QuickBooks keeps 100 characters of one."""
    line = LineItem(title="Mug", sku="M" * 140, quantity=1, price=usd(10))
    for number in range(2):
        order = Order(id=f"{number}", line_items=[line], totals=Totals(items=usd(10), total=usd(10)))
        await quickbooks.ok("create_invoice", CreateInvoice(order=order, customer_id="1"), key=keyed(number))
    assert [item["Sku"] for item in (await quickbooks.state())["items"]] == ["M" * 100]


async def test_invoices_at_the_same_time_make_a_new_item_once(quickbooks: Bench) -> None:
    await asyncio.gather(*(quickbooks.ok("create_invoice", key=keyed(number)) for number in range(6)))
    state = await quickbooks.state()
    assert [item["Name"] for item in state["items"]] == ["Mug"]
    assert len(state["invoices"]) == 6


async def test_an_item_of_another_sku_but_that_name_is_taken(quickbooks: Bench) -> None:
    await quickbooks.ok("find_or_create_item", FindOrCreateItem(name="Mug"), key=keyed(1))
    found = await quickbooks.ok("find_or_create_item", FindOrCreateItem(name="mug", sku="OTHER"), key=keyed(2))
    assert not found.created


async def test_the_item_beside_an_inactive_one_is_found_again(quickbooks: Bench) -> None:
    made = await quickbooks.ok("find_or_create_item", FindOrCreateItem(name="Mug"), key=keyed(1))
    body = {"Id": made.id, "SyncToken": "0", "sparse": True, "Active": False}
    await quickbooks.people.post(
        "/quickbooks/v3/company/4620816365/item", json=body, headers={"authorization": f"Bearer {quickbooks.token}"}
    )
    again = [await quickbooks.ok("find_or_create_item", FindOrCreateItem(name="Mug"), key=keyed(n)) for n in (2, 3)]
    assert [(each.name, each.created) for each in again] == [("Mug (2)", True), ("Mug (2)", False)]
    assert again[0].id == again[1].id


async def test_an_order_of_hundreds_of_lines_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def query(ctx: Any, entity: str, where: str, most: int = 100) -> list[dict[str, Any]]:
        asked.append(where)
        return [{"Id": sku, "Sku": sku} for sku in re.findall(r"'(\w+)'", where)]

    monkeypatch.setattr(books, "query", query)
    items = [Wanted(f"Thing {n}", f"T{n}") for n in range(300)]
    assert await books.find_items(None, items) == {item: item.sku for item in items}  # type: ignore[arg-type]
    assert (len(asked), max(map(len, asked)) < 1000) == (8, True)


async def test_missing_items_count_as_the_general_one_if_told(quickbooks: Bench) -> None:
    await quickbooks.ok("create_invoice", items="match", key=keyed(1))
    assert [item["Name"] for item in (await quickbooks.state())["items"]] == ["Sales"]


# --- documents --------------------------------------------------------------------------------------------------


async def test_an_invoice_bears_the_orders_number_total_and_key(quickbooks: Bench) -> None:
    made = await quickbooks.ok("create_invoice")
    assert (made.number, str(made.total), made.off_by, made.adjustment) == ("1001", "28.08 USD", None, None)
    kept = (await quickbooks.state())["invoices"][0]
    assert KEY.hex() in kept["PrivateNote"]
    assert (kept["DueDate"], kept["BillEmail"]) == ("2026-12-04", {"Address": "grace@example.com"})


async def test_a_german_invoice_comes_to_the_orders_total(german: Bench) -> None:
    made = await german.ok("create_invoice", CreateInvoice(order=german_order(), customer_id="1"))
    assert (str(made.total), made.off_by) == ("36.88 EUR", None)


async def test_own_fields_lie_over_what_is_made_of_the_order(quickbooks: Bench) -> None:
    wish = CreateInvoice(
        order=example_order(), customer_id="1", number="X-1", email="b@example.com", fields={"TxnDate": "2026-01-02"}
    )
    await quickbooks.ok("create_invoice", wish)
    kept = (await quickbooks.state())["invoices"][0]
    assert (kept["DocNumber"], kept["BillEmail"]["Address"], kept["TxnDate"]) == ("X-1", "b@example.com", "2026-01-02")


async def test_quickbooks_own_opinion_of_the_total_is_said(quickbooks: Bench) -> None:
    wish = CreateInvoice(order=example_order(), customer_id="1", fields={"TxnTaxDetail": {"TotalTax": 3}})
    made = await quickbooks.ok("create_invoice", wish)
    assert str(made.off_by) == "0.92 USD"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"CustomerRef": {"value": "999"}}, "2500"),
        ({"Custmer": "x"}, "2010"),
        ({"Line": []}, "2020"),
        ({"DocNumber": "x" * 22}, "2050"),
        ({"DocNumber": 1001}, "2050"),
    ],
)
async def test_what_quickbooks_refuses_is_permanent(quickbooks: Bench, fields: dict[str, Any], code: str) -> None:
    wish = CreateInvoice(order=example_order(), customer_id="1", fields=fields)
    failed = await quickbooks.failed("create_invoice", wish)
    assert failed.kind == "permanent"
    assert f"({code})" in failed.error
    assert (await quickbooks.state())["invoices"] == []


async def test_an_amount_that_is_not_quantity_times_price_is_refused(quickbooks: Bench) -> None:
    detail = {"ItemRef": {"value": "1"}, "Qty": 2, "UnitPrice": 3}
    line = {"Amount": 7, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": detail}
    failed = await quickbooks.failed(
        "create_invoice", CreateInvoice(order=example_order(), customer_id="1", fields={"Line": [line]})
    )
    assert "6070" in failed.error


async def test_a_sent_invoice_says_so_and_to_whom(quickbooks: Bench) -> None:
    made = await quickbooks.ok("create_invoice")
    sent = await quickbooks.ok("send_invoice", SendInvoice(invoice_id=made.id, to="x@example.com"), key=keyed(1))
    assert (sent.status, sent.to) == ("EmailSent", "x@example.com")


async def test_an_invoice_without_an_address_cannot_be_sent(quickbooks: Bench) -> None:
    bare = example_order().model_copy(update={"email": None, "customer": None})
    made = await quickbooks.ok("create_invoice", CreateInvoice(order=bare, customer_id="1"))
    assert (await quickbooks.failed("send_invoice", SendInvoice(invoice_id=made.id), key=keyed(1))).kind == "permanent"


@pytest.mark.parametrize("action", ["send_invoice", "void_invoice", "get_invoice_pdf"])
async def test_an_invoices_id_is_one_part_of_the_path_whatever_it_holds(quickbooks: Bench, action: str) -> None:
    given = SendInvoice if action == "send_invoice" else InvoiceRef
    await quickbooks.failed(action, given(invoice_id="101/send?operation=void"))
    assert b"/invoice/101%2Fsend%3Foperation%3Dvoid" in quickbooks.recorder.seen[-1][0].url.raw_path


async def test_a_payment_settles_its_invoice(quickbooks: Bench) -> None:
    made = await quickbooks.ok("create_invoice")
    pay = RecordPayment(customer_id="1", invoice_id=made.id, amount=made.total, reference="pi_" + "x" * 40)
    await quickbooks.ok("record_payment", pay, key=keyed(1))
    state = await quickbooks.state()
    assert state["invoices"][0]["Balance"] == 0
    assert len(state["payments"][0]["PaymentRefNum"]) == 21


async def test_a_void_invoice_stays_with_a_total_of_zero(quickbooks: Bench) -> None:
    made = await quickbooks.ok("create_invoice")
    await quickbooks.ok("void_invoice", InvoiceRef(invoice_id=made.id), key=keyed(1))
    kept = (await quickbooks.state())["invoices"][0]
    assert (kept["TotalAmt"], kept["DocNumber"]) == (0, "1001")


async def test_a_stale_sync_token_is_read_again(quickbooks: Bench) -> None:
    """Somebody changes the invoice between our read and our change."""
    stale = b'{"Fault":{"Error":[{"Message":"Stale Object Error","code":"5010"}],"type":"ValidationFault"}}'
    meddled = Meddler(quickbooks.recorder.inner, stale)
    quickbooks.recorder.inner = meddled
    await quickbooks.ok("void_invoice")
    assert meddled.struck
    assert [request.method for request, _ in quickbooks.recorder.seen] == ["GET", "POST", "GET", "POST"]


async def test_a_payment_of_three_decimals_is_refused_before_it_is_sent(quickbooks: Bench) -> None:
    pay = RecordPayment(customer_id="1", amount=Money(amount=Decimal("10.125"), currency="KWD"))
    failed = await quickbooks.failed("record_payment", pay)
    assert (failed.kind, "keeps two decimals" in failed.error) == ("permanent", True)
    assert quickbooks.recorder.seen == []


async def test_a_fault_in_a_200_is_a_failure(quickbooks: Bench) -> None:
    fault = b'{"Fault":{"Error":[{"Message":"No","Detail":"really","code":"6000"}],"type":"ValidationFault"}}'
    quickbooks.recorder.inner = Meddler(quickbooks.recorder.inner, fault, "/payment", 200)
    failed = await quickbooks.failed("record_payment")
    assert (failed.kind, failed.status) == ("permanent", 200)
    assert "No: really" in failed.error


async def test_a_credit_memo_is_the_refunds_amount(quickbooks: Bench) -> None:
    made = await quickbooks.ok(
        "create_credit_memo", CreateCreditMemo(refund=example_refund(), customer_id="1", order=example_order())
    )
    assert (str(made.total), made.number) == ("13.04 USD", "R1001-77")


async def test_a_refund_receipt_without_an_account_says_what_is_missing(quickbooks: Bench) -> None:
    failed = await quickbooks.failed(
        "create_refund_receipt", CreateRefundReceipt(refund=example_refund()), deposit_account=None
    )
    assert "deposit_account" in failed.error


async def test_a_pdf_comes_whole(quickbooks: Bench) -> None:
    pdf = await quickbooks.ok("get_invoice_pdf")
    content = base64.b64decode(pdf.content)
    assert content.startswith(b"%PDF")
    assert len(content) == pdf.size


async def test_an_invoice_retried_after_its_items_were_made_bills_the_right_ones(quickbooks: Bench) -> None:
    """The first attempt makes one item and is cut off at the second."""
    lines = [
        LineItem(title=title, sku=title.upper(), quantity=1, price=Money(amount=Decimal(10), currency="USD"))
        for title in ("Mug", "Cup")
    ]
    whole = Money(amount=Decimal(20), currency="USD")
    order = Order(id="9", number="9", currency="USD", line_items=lines, totals=Totals(items=whole, total=whole))
    wish = CreateInvoice(order=order, customer_id="1")
    action = next(each for each in quickbooks.connector.actions if each.name == "create_invoice")
    attempt = Attempt(due_call(quickbooks.connector, action, wish.model_dump(mode="json", exclude_none=True), KEY))
    quickbooks.recorder.inner = Meddler(quickbooks.recorder.inner, b"oops", "/item", 500, after=1)
    assert (await quickbooks.failed("create_invoice", wish, attempt=attempt)).kind == "unsure"
    outcome = await quickbooks.perform("create_invoice", wish, stored=tuple(attempt.requests))
    assert isinstance(outcome, Ok), outcome
    state = await quickbooks.state()
    names = {item["Id"]: item["Name"] for item in state["items"]}
    billed = [line["SalesItemLineDetail"]["ItemRef"]["value"] for line in state["invoices"][0]["Line"]]
    assert [names[id] for id in billed] == ["Mug", "Cup"]


# --- the sandbox's own strictness -------------------------------------------------------------------------------


async def refresh(bench: Bench, token: str, secret: str = "sandbox-secret") -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await bench.people.post("/quickbooks/oauth2/v1/tokens/bearer", data=form, auth=("sandbox-client", secret))


async def test_refresh_tokens_rotate_and_the_one_before_the_last_still_works(quickbooks: Bench) -> None:
    tokens = [str(quickbooks.settings["refresh_token"])]
    for _ in range(3):
        tokens.append((await refresh(quickbooks, tokens[-1])).json()["refresh_token"])
    assert len(set(tokens)) == 4
    assert (await refresh(quickbooks, tokens[-2])).status_code == 200
    refused = await refresh(quickbooks, tokens[0])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_restarted_sandbox_knows_the_tokens_that_it_gave(quickbooks: Bench) -> None:
    given = (await refresh(quickbooks, str(quickbooks.settings["refresh_token"]))).json()
    later = (await refresh(quickbooks, given["refresh_token"])).json()
    await quickbooks.people.delete("/_state/quickbooks")
    assert (await refresh(quickbooks, later["refresh_token"])).status_code == 200
    quickbooks.token = given["access_token"]
    assert await quickbooks.test()


async def test_a_wrong_client_gets_no_token(quickbooks: Bench) -> None:
    assert (await refresh(quickbooks, str(quickbooks.settings["refresh_token"]), "wrong")).status_code == 401


async def test_more_requests_than_the_company_may_are_throttled(quickbooks: Bench) -> None:
    connector = replace(quickbooks.connector, sandbox=lambda: sandbox(per_minute=2))
    app = make_app(Registry(connector))
    people = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    bench = Bench(connector, Recorder(httpx.ASGITransport(app)), quickbooks.settings, people)
    await bench.ok("void_invoice")
    throttled = await bench.failed("void_invoice")
    assert (throttled.kind, throttled.status) == ("throttled", 429)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("select * from Customer where DisplayName = 'a", "4000"),
        ("select * from Customer where Shoe = 'a'", "4001"),
        ("delete from Customer", "4000"),
        ("select * from Customer where DisplayName = 'a' and", "4000"),
        ("select * from Customer maxresults 2000", "4001"),
    ],
)
async def test_a_query_that_quickbooks_would_not_read_is_refused(quickbooks: Bench, query: str, code: str) -> None:
    await quickbooks.test()
    answer = await quickbooks.people.get(
        "/quickbooks/v3/company/4620816365/query",
        params={"query": query},
        headers={"authorization": f"Bearer {quickbooks.token}"},
    )
    assert (answer.status_code, answer.json()["Fault"]["Error"][0]["code"]) == (400, code)


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "code", "error"),
    [
        (400, "ValidationFault", "6240", DuplicateNameError),
        (400, "ValidationFault", "5010", StaleError),
        (400, "ValidationFault", "610", PermanentError),
        (400, "ValidationFault", "999999", PermanentError),
        (200, "ValidationFault", "6000", PermanentError),
        (401, "AuthenticationFault", "3200", CredentialError),
        (403, "AuthorizationFault", "3100", CredentialError),
        (403, "AuthorizationFault", "120", PermanentError),
        (403, "ValidationFault", "6190", CredentialError),
        (429, "ThrottleExceeded", "3001", RetryableError),
        (500, "SystemFault", "10000", UnsureError),
        (200, "SystemFault", "10000", UnsureError),
    ],
)
def test_each_fault_ends_in_its_class(status: int, kind: str, code: str, error: type[TradewindError]) -> None:
    body = f'{{"Fault":{{"Error":[{{"Message":"m","code":"{code}"}}],"type":"{kind}"}}}}'.encode()
    assert type(problem(Reply(status, {}, body))) is error


@pytest.mark.parametrize("body", [b"", b"<html>Fault</html>", b'{"Customer": {"Notes": "\\"Fault\\""}}', b'["Fault"]'])
def test_what_is_no_fault_is_left_to_its_status(body: bytes) -> None:
    assert problem(Reply(200, {}, body)) is None

"""Money keeps its promises: exact, of one currency, never a float."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.events import CurrencyError, Money, exponent, from_minor, money, total, unit

CODES = st.sampled_from(["EUR", "JPY", "KWD", "CLF", "USD", "ISK"])
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=6)
FINE = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, allow_infinity=False, places=9)
WEIGHTS = st.lists(st.integers(0, 10**6) | st.decimals(0, 1000, places=3), min_size=1, max_size=12)


def euros(amount: str | int | Decimal) -> Money:
    return Money(amount=amount, currency="EUR")


@pytest.mark.parametrize(
    "amount", [1.5, 0.0, float("nan"), True, None, [], "", "abc", "1,5", " 1", "1_0", "NaN", "1e400"]
)
def test_what_is_not_an_exact_number_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError):
        Money(amount=amount, currency="EUR")


@pytest.mark.parametrize("amount", ["Infinity", "NaN", "sNaN", "1E+1000000", "1E-31", "1E-1000000", "1E15"])
def test_a_decimal_out_of_bounds_is_refused(amount: str) -> None:
    with pytest.raises(ValidationError):
        euros(Decimal(amount))


def test_a_positive_exponent_is_written_out() -> None:
    assert euros(Decimal("1E+3")).model_dump_json() == '{"amount":"1000","currency":"EUR"}'
    assert str(euros(Decimal("0E+31")).amount) == "0"


@pytest.mark.parametrize("body", ['{"amount": 1.5, "currency": "EUR"}', '{"amount": null, "currency": "EUR"}'])
def test_a_float_in_json_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        Money.model_validate_json(body)


@pytest.mark.parametrize("code", ["", "E", "EU", "€", "12", "EUR EUR", "EURO_AREA"])
def test_what_is_no_currency_code_is_refused(code: str) -> None:
    with pytest.raises(ValidationError):
        Money(amount="1", currency=code)


def test_a_code_in_small_letters_is_the_same_currency() -> None:
    assert Money(amount="1", currency="eur") == euros(1)


@given(AMOUNTS | FINE, CODES)
def test_json_keeps_value_type_and_decimals(amount: Decimal, code: str) -> None:
    before = Money(amount=amount, currency=code)
    after = Money.model_validate_json(before.model_dump_json())
    assert after == before
    assert type(after.amount) is Decimal
    assert after.amount.as_tuple() == before.amount.as_tuple()
    assert isinstance(before.model_dump(mode="json")["amount"], str)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_whatever_is_accepted_can_be_read_back(amount: Decimal) -> None:
    try:
        before = euros(amount)
    except ValidationError:
        return
    assert Money.model_validate_json(before.model_dump_json()) == before


@given(AMOUNTS, FINE)
def test_arithmetic_is_exact(one: Decimal, other: Decimal) -> None:
    a, b = euros(one), euros(other)
    assert Fraction((a + b).amount) == Fraction(one) + Fraction(other)
    assert Fraction((a - b).amount) == Fraction(one) - Fraction(other)
    assert (-a).amount == -one
    assert abs(a).amount == abs(one)
    assert a + b - b == a
    assert sum([a, b]) == a + b == total([a, None, b])


@given(st.decimals(-1000, 1000, places=4), st.decimals(-10, 10, places=5))
def test_a_product_is_exact_until_it_is_rounded(amount: Decimal, rate: Decimal) -> None:
    assert Fraction((euros(amount) * rate).amount) == Fraction(amount) * Fraction(rate)
    assert rate * euros(amount) == euros(amount) * rate


@pytest.mark.parametrize("factor", [0.5, "2", None, True, euros(2)])
def test_money_is_multiplied_by_exact_numbers_only(factor: object) -> None:
    with pytest.raises(TypeError):
        euros(1) * factor  # type: ignore[operator]


@pytest.mark.parametrize("other", [1, "1", Decimal(1), 0.5, None])
def test_money_is_added_to_money_only(other: object) -> None:
    with pytest.raises(TypeError):
        euros(1) + other  # type: ignore[operator]
    with pytest.raises(TypeError):
        other + euros(1)  # type: ignore[operator]


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_two_currencies_are_refused(operation: str) -> None:
    with pytest.raises(CurrencyError):
        getattr(euros(1), operation)(Money(amount=1, currency="USD"))
    with pytest.raises(CurrencyError):
        total([euros(1), Money(amount=1, currency="USD")])


def test_equality_of_two_currencies_is_just_false() -> None:
    assert euros(1) != Money(amount=1, currency="USD")
    assert euros("1.0") == euros("1.00")
    assert hash(euros("1.0")) == hash(euros("1.00"))


@given(AMOUNTS, AMOUNTS)
def test_order_is_the_order_of_amounts(one: Decimal, other: Decimal) -> None:
    a, b = euros(one), euros(other)
    assert (a < b, a <= b, a > b, a >= b) == (one < other, one <= other, one > other, one >= other)


@pytest.mark.parametrize(
    ("amount", "code", "rounded"),
    [
        ("0.005", "EUR", "0.01"),
        ("-0.005", "EUR", "-0.01"),
        ("0.0049999", "EUR", "0.00"),
        ("2.675", "EUR", "2.68"),
        ("1", "EUR", "1.00"),
        ("0.5", "JPY", "1"),
        ("1.0005", "KWD", "1.001"),
        ("1.00005", "CLF", "1.0001"),
        ("1.005", "USDT", "1.01"),
    ],
)
def test_rounding_is_half_up_to_the_unit_of_the_currency(amount: str, code: str, rounded: str) -> None:
    assert str(Money(amount=amount, currency=code).rounded().amount) == rounded


@given(FINE, CODES)
def test_a_rounded_amount_is_within_half_a_unit_and_says_so(amount: Decimal, code: str) -> None:
    before = Money(amount=amount, currency=code)
    after = before.rounded()
    assert abs(Fraction(after.amount) - Fraction(amount)) <= Fraction(unit(code)) / 2
    assert after.is_rounded
    assert after.rounded() == after
    assert before.is_rounded == (before == after)
    assert from_minor(after.minor(), code) == after


def test_an_amount_finer_than_its_unit_has_no_minor_units() -> None:
    with pytest.raises(ValueError, match="round"):
        euros("1.005").minor()
    assert Money(amount=5, currency="UGX").minor(places=2) == 500


@given(FINE, CODES, WEIGHTS)
def test_the_parts_of_a_split_sum_to_the_whole(amount: Decimal, code: str, weights: list[Decimal | int]) -> None:
    assume(any(weights))
    whole = Money(amount=amount, currency=code)
    parts = whole.allocate(weights)
    assert len(parts) == len(weights)
    assert sum(parts, Money.zero(code)) == whole
    assert all(part.amount == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


@given(st.integers(-(10**9), 10**9), CODES, WEIGHTS)
def test_no_part_of_a_split_is_a_unit_off_its_share(units: int, code: str, weights: list[Decimal | int]) -> None:
    assume(any(weights))
    whole = from_minor(units, code)
    assert whole is not None
    shares = [Fraction(weight) / sum(map(Fraction, weights)) for weight in weights]
    for part, share in zip(whole.allocate(weights), shares, strict=True):
        assert part.is_rounded
        assert abs(Fraction(part.amount) - Fraction(whole.amount) * share) < Fraction(unit(code))


def test_the_largest_remainder_gets_what_is_left_and_the_first_on_a_tie() -> None:
    assert [str(part.amount) for part in euros("10.00").allocate([1, 1, 1])] == ["3.34", "3.33", "3.33"]
    assert [str(part.amount) for part in euros("0.05").allocate([7, 3])] == ["0.04", "0.01"]
    assert [str(part.amount) for part in euros("-10.00").allocate([1, 1, 1])] == ["-3.34", "-3.33", "-3.33"]
    assert [str(part.amount) for part in Money(amount=100, currency="JPY").allocate([1, 2])] == ["33", "67"]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [-1, 3]])
def test_a_split_by_nothing_or_by_less_than_nothing_is_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        euros(1).allocate(weights)


def test_units_follow_iso_4217() -> None:
    found = {code: exponent(code) for code in ["EUR", "jpy", "ISK", "UGX", "KWD", "TND", "CLF", "MGA", "HUF", "XYZ"]}
    assert found == {"EUR": 2, "jpy": 0, "ISK": 0, "UGX": 0, "KWD": 3, "TND": 3, "CLF": 4, "MGA": 2, "HUF": 2, "XYZ": 2}


def test_what_a_sender_does_not_say_is_no_money() -> None:
    assert (
        money(None, "EUR") is money("", "EUR") is money("1", None) is money("1", "") is from_minor(None, "EUR") is None
    )
    assert total([]) is total([None]) is None
    assert money("1100000", "vnd") == Money(amount=1_100_000, currency="VND")
    assert from_minor(1090, "eur") == euros("10.90")
    assert str(from_minor(500, "UGX", places=2)) == "5.00 UGX"


def test_money_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        euros(1).amount = Decimal(2)  # type: ignore[misc]

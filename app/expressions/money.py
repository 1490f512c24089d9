"""Money inside expressions: objects `{amount: Decimal, currency: "EUR"}`, exact until rounded to the unit."""

from decimal import Decimal
from typing import Any

from app.events import unit
from app.expressions.sandbox import ROUNDING, calculate, exact, is_number, kind_name

# languages that write a comma before the cents, and those of them that group thousands by a space
_COMMA_AND_SPACE = frozenset(["bg", "cs", "fi", "fr", "hu", "lt", "lv", "nb", "no", "pl", "ru", "sk", "sv", "uk"])
_COMMA_AND_POINT = frozenset(["da", "de", "el", "es", "et", "hr", "id", "it", "nl", "pt", "ro", "sl", "sr", "tr", "vi"])


def is_money(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= {"amount", "currency"} and len(value) == 2


def _money(value: Any, name: str) -> dict[str, Any]:
    if not is_money(value):
        raise TypeError(f"{name} needs money (an amount with its currency), not {kind_name(value)}")
    return value  # type: ignore[no-any-return]


def round_money(value: Any) -> dict[str, Any]:
    """Half up to the currency's unit."""
    money = _money(value, "round")
    amount = exact(money["amount"]).quantize(unit(str(money["currency"])), context=ROUNDING)
    return {"amount": unsigned(amount), "currency": money["currency"]}


def unsigned(number: Decimal) -> Decimal:
    """The same number; nothing is not less than nothing (`-0.00`)."""
    return number or number.copy_abs()


def say_money(value: Any, locale: str = "en") -> str:
    """`1,234.50 EUR`; in a language that writes a comma `1.234,50 EUR`. Nothing for nothing."""
    if value is None:
        return ""
    money = round_money(_money(value, "money"))
    text = f"{money['amount']:,f}"
    language = str(locale)[:2].lower()
    if language in _COMMA_AND_POINT | _COMMA_AND_SPACE:
        point = "\u00a0" if language in _COMMA_AND_SPACE else "."
        text = text.replace(",", "\0").replace(".", ",").replace("\0", point)
    return f"{text} {money['currency']}"


def times(value: Any, factor: Any) -> dict[str, Any]:
    """Money times a number, exact: `order.total|times(0.1)|round`."""
    money = _money(value, "times")
    if not is_number(factor):
        raise TypeError(f"times needs a number, not {kind_name(factor)}")
    return {"amount": calculate("*", exact(money["amount"]), exact(factor)), "currency": money["currency"]}

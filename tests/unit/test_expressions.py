"""The recipe language's expressions: exact, typed, helpful, and impossible to break out of or to burn time with."""

import time
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ConfigError, PermanentError
from app.expressions import (
    EvaluationError,
    ExpressionError,
    compile_condition,
    compile_expression,
    compile_template,
    compile_tree,
    compile_value,
    render,
    sandbox,
)

ORDER = {
    "id": "9007199254740993",
    "number": "1001",
    "total": {"amount": Decimal("1190.50"), "currency": "EUR"},
    "customer": {"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "phone": "030 1234567"},
    "guest": None,
    "items": [
        {"sku": "A", "price": Decimal("10.10"), "quantity": 2, "taxes": [{"rate": Decimal("0.19")}], "note": None},
        {"sku": "B", "price": Decimal("5"), "quantity": 1, "taxes": [], "note": "gift"},
    ],
    "tags": ["vip", "new", "vip"],
    "keys": "the shop's own word",
    "address": {
        "address1": "Hauptstr. 1",
        "postal_code": "10115",
        "city": "Berlin",
        "country_code": "DE",
        "name": "Ada L.",
    },
    "created_at": datetime(2026, 11, 22, 23, 30, tzinfo=UTC),
    "test": False,
}
SCOPE = {"order": ORDER, "big": "x" * 90_000, "many": list(range(9_000)), "now": datetime(2026, 11, 25, tzinfo=UTC)}


def value(source: str, **scope: object) -> object:
    return compile_expression(source).evaluate({**SCOPE, **scope})


def text(source: str) -> object:
    return compile_value(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("order.total.amount * 0.19", Decimal("226.1950")),
        ("0.1 + 0.2", Decimal("0.3")),
        ("1.10", Decimal("1.10")),
        ("order.total.amount == 1190.5", True),
        ("6 / 4", Decimal("1.5")),
        ("7 // 2", 3),
        ("-7 // 2.0", Decimal(-4)),
        ("-7 % 3.0", Decimal("2.0")),
        ("123456789012345678901234.56 * 1.01", Decimal("124691356902469135690246.9056")),
        ("order.items | sum('price')", Decimal("15.10")),
        ("order.items | map('quantity') | sum", 3),
        ("(order.total.amount * 0.19) | round(2)", Decimal("226.20")),
        ("2.5 | round", Decimal(3)),
        ("1250 | round(-2)", Decimal("1.3E+3")),
        ("-2.5 | abs", Decimal("2.5")),
        ("'42' | int", 42),
        ("19.99 | int", 19),
        ("'19.99' | number", Decimal("19.99")),
    ],
)
def test_numbers_are_exact(source: str, expected: object) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)
    assert str(result) == str(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("order.number", "1001"),
        ("order.items[0].sku", "A"),
        ("order.items[:1] | map('sku')", ["A"]),
        ("order['total']['currency']", "EUR"),
        ("order.items | where('quantity', '>', 1) | map('sku')", ["A"]),
        ("order.items | where('sku', 'B') | first", ORDER["items"][1]),
        ("order.items | where('note') | map('sku')", ["B"]),
        ("order.items | where('sku', 'in', ['A', 'C']) | length", 1),
        ("order.items | sort('price') | map('sku') | join(', ')", "B, A"),
        ("order.items | max('price')", ORDER["items"][0]),
        ("order.items | map('price') | min", Decimal(5)),
        ("order.tags | unique", ["vip", "new"]),
        ("order.tags | last", "vip"),
        ("[] | first", None),
        ("order.tags | reverse | join('-')", "vip-new-vip"),
        ("'vip' in order.tags", True),
        ("order.guest.email", None),
        ("order.guest.email | default('nobody')", "nobody"),
        ("order.missing | default(5)", 5),
        ("order.missing is defined", False),
        ("order.guest is none", True),
        ("order.number == '1001' and not order.test", True),
        ("order.number ~ '-' ~ 1", "1001-1"),
        ("'big' if order.total.amount > 1000 else 'small'", "big"),
        ("{'a': [order.number, 0.5]}", {"a": ["1001", Decimal("0.5")]}),
        ("order.total | money", "1,190.50 EUR"),
        ("order.total | money('de')", "1.190,50 EUR"),
        ("order.total | times(0.333) | round", {"amount": Decimal("396.44"), "currency": "EUR"}),
        ("[order.total, order.total] | sum", {"amount": Decimal("2381.00"), "currency": "EUR"}),
        ("{'amount': 1000.5, 'currency': 'JPY'} | money", "1,001 JPY"),
        ("order.created_at | date('%d %b %Y', 'Europe/Berlin')", "23 Nov 2026"),
        ("order.created_at | time('%H:%M', 'America/New_York')", "18:30"),
        ("order.created_at | weekday", "sunday"),
        ("order.created_at | iso", "2026-11-22T23:30:00Z"),
        ("order.created_at | add_days(3) > now", True),
        ("order.created_at | hours_until(now)", Decimal("48.5")),
        ("order.created_at | add_minutes(30) | hour('Europe/Berlin')", 1),
        ("order.customer | name", "Ada Lovelace"),
        ("order.customer | name('first')", "Ada"),
        ("order.address | address", "Ada L., Hauptstr. 1, 10115 Berlin, DE"),
        ("order.customer.phone | phone('DE')", "+49301234567"),
        ("'no number' | phone('DE')", None),
        ("' Ada ' | trim | upper", "ADA"),
        ("'Hello there' | truncate(6)", "Hello…"),
        ("'a-b' | replace('-', '+')", "a+b"),
        ("'a, b,,c' | split", ["a", "b", "c"]),
        ("'a b&c' | urlencode", "a%20b%26c"),
        ("{'a': 1.50, 'b': none} | tojson", '{"a":1.50,"b":null}'),
        ("order.total | items | length", 2),
        ("'Ada' | starts_with('A') and 'Ada' | ends_with('a')", True),
    ],
)
def test_the_language_says_what_shops_need(source: str, expected: object) -> None:
    assert value(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Order {{ order.number }}: {{ order.total }}", "Order 1001: 1,190.50 EUR"),
        ("Hi {{ order.guest.name }}!", "Hi !"),
        ("{{ order.number }}{{ order.items | length }}", "10012"),
        ("{% for item in order.items %}{{ loop.index }}/{{ loop.length }} {{ item.sku }} {% endfor %}", "1/2 A 2/2 B "),
        ("{% for item in order.items if item.note %}{{ item.sku }}{% else %}none{% endfor %}", "B"),
        ("{% if order.test %}test{% else %}real{% endif %}", "real"),
        ("{{ 'men’s, o’neil-MC, we’re d’arcy' | title }}!", "Men’s, O’Neil-Mc, We’re D’Arcy!"),
        ("{{ -1 * 0.00 }} {{ -0.001 | round(2) }} {{ order.total | times(-0.000001) }}", "0.00 0.00 0.00 EUR"),
        ("{% set vat = order.total.amount * 0.19 %}{{ vat | round(2) }}", "226.20"),
        ("at {{ order.created_at }}", "at 2026-11-22T23:30:00Z"),
        ("{{ 1.10 }} and {{ order.test }}", "1.10 and false"),
        ("no expression at all", "no expression at all"),
        ("  {{ order.items | length }}\n", 2),
    ],
)
def test_text_is_filled_in(source: str, expected: object) -> None:
    assert text(source) == expected


TRICKY = st.sampled_from(["1001", "1e5", "[1, 2]", "00123", "None", "true", "{{ x }}"])
NUMBERS = st.booleans() | st.integers() | st.decimals(allow_nan=False)
TIMES = st.dates() | st.datetimes(timezones=st.just(UTC))
plain = st.recursive(
    st.none() | NUMBERS | TIMES | st.text() | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and repr(one) == repr(other)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_a_single_expression_keeps_value_and_type(data: object) -> None:
    scope = {"x": data, "order": {"inner": data}}
    assert same(compile_value("{{ x }}").evaluate(scope), data)
    assert same(render(compile_tree({"a": ["{{ order.inner }}", 5]}), scope), {"a": [data, 5]})
    assert same(compile_expression("[x, {'b': order.inner}]").evaluate(scope), [data, {"b": data}])


def test_conditions_are_bools() -> None:
    assert compile_condition("order.tags").evaluate(SCOPE) is True
    assert compile_condition("order.guest").evaluate(SCOPE) is False
    with pytest.raises(ExpressionError, match="leave out"):
        compile_condition("{{ order.test }}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("order.totl.amount", "no 'totl' here; did you mean 'total'"),
        ("ordr.number", "no 'ordr' here; did you mean 'order'"),
        ("order.items[7]", "no item 7: the list has 2"),
        ("order.items | map('skuu')", "did you mean 'sku'"),
        ("[order.totl]", "did you mean 'total'"),
        ("{'a': order.totl}", "did you mean 'total'"),
        ("order.number.length", "text has no field 'length'"),
        ("order.created_at.year", "a time has no field 'year'"),
        ("order.totl == 1", "did you mean 'total'"),
        ("order.number | truncate(order.totl)", "did you mean 'total'"),
        ("order.guest.spent > 3", "nothing and a number"),
        ("order.number > 3", "text and a number"),
        ("order.number + 1", "two numbers, not text and a number"),
        ("none + 1", "nothing"),
        ("true + 1", "true or false"),
        ("1 / 0", "division by zero"),
        ("1 // 0", "division by zero"),
        ("1.5 % 0", "division by zero"),
        ("[order.total, {'amount': 1, 'currency': 'USD'}] | sum", "EUR and USD cannot be added"),
        ("order.created_at | date('%d', 'Mars/Base')", "no time zone 'Mars/Base'"),
        ("'x' | int", "not a whole number"),
    ],
)
def test_a_wrong_expression_is_told_what_is_wrong(source: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        value(source)
    assert source in str(caught.value)
    assert isinstance(caught.value, PermanentError)


def test_objects_do_not_stand_among_text() -> None:
    with pytest.raises(EvaluationError, match="join or tojson"):
        text("Items: {{ order.items }}")


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("order.x y", 1, 9, "'y' does not belong here"),
        ("order.", 1, 6, "expected name"),
        ("a ==\n  b ? 1", 2, 5, "is not part of the language; write `this if condition else that`"),
        ("a && b", 1, 3, "&& is not part of the language; write `and`"),
        ("a = 1", 1, 3, "write `==`"),
        ("a AND b", 1, 3, "write `and`"),
        ("order.total | mony", 1, 15, "did you mean 'money'"),
        ("order.items | where", 1, 15, "'where' needs 'field'"),
        ("order is fancy", 1, 7, "no test 'fancy'"),
        ("1 if order.test", 1, 1, "needs its `else`"),
        ("order.number.upper()", 1, 19, "use a filter"),
        ("", 1, 1, "empty"),
    ],
)
def test_a_mistake_in_writing_has_its_line_and_column(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        compile_expression(source)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert isinstance(caught.value, ConfigError)


def test_a_mistake_inside_nested_values_has_its_path() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_tree({"to": ["fine", {"name": "{{ order. }}"}]})
    assert caught.value.path == ("to", 1, "name")


ESCAPES = [
    "''.__class__",
    "order.__class__",
    "order['__class__']",
    "order['__cl' ~ 'ass__']",
    "(1).__class__.__mro__",
    "order | attr('keys')",
    "'%s' % order",
    "'{0.__class__}' | format(1)",
    "'{0.__class__}'.format(order)",
    "''.join(['a'])",
    "'a'.format_map(order)",
    "[].append(1)",
    "{}.update(order)",
    "order.items | map('sku.__class__')",
    "order.items | sort(key='__class__')",
    "'a' | replace('a', 'b', __class__=1)",
    "(order.items | first).__class__",
    "{'a': 1}['a'].real",
    "order.total.amount.as_tuple",
    "true.real",
    "cycler('a')",
    "namespace()",
    "lipsum()",
    "joiner",
    "dict()",
    "range(10)",
    "environment",
    "context",
    "big['a':'b']",
    "order[::2]",
    "order.items | map('__class__')",
    "order.items | map('attr', '__class__')",
    "order.items | sort('__class__')",
    "order.keys()",
    "order.customer.email.upper()",
    "'{0.__class__}'.format(order)",
    "'%s' % order",
    "range(3)",
    "lipsum()",
    "cycler('a')",
    "namespace(a=1)",
    "dict(a=1)",
    "joiner",
    "self",
    "self._TemplateReference__context",
    "_result",
    "context",
    "environment.globals",
    "caller",
    "order.created_at.tzinfo",
    "order.total.amount.as_tuple",
    "order.items | batch(2, 'x')",
    "order.items | groupby('sku')",
    "order | pprint",
    "order | xmlattr",
    "'x' | format(1)",
    "none.__init__",
    "order[none]",
    "order.items['append']",
    "(order.missing).__class__",
    "order.missing._undefined_obj",
    "order.tags | select('callable')",
    "order is callable",
    "order.number is sameas(order.number)",
    "'%d' is even",
    "'%s' is divisibleby(order)",
    "3 is divisibleby('x')",
    "'a\\x00b'",
    "order.number ~ '\\ud800'",
    "{1: order.number}",
    "{order.total.amount: 1}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_but_data_is_reachable(source: str) -> None:
    with pytest.raises((ExpressionError, EvaluationError)):
        value(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% extends 'x' %}",
        "{% block b %}{% endblock %}",
        "{% call order.x() %}{% endcall %}",
        "{% filter upper %}x{% endfilter %}",
        "{% with a = 1 %}{% endwith %}",
        "{% for x in order.items recursive %}{{ loop(x) }}{% endfor %}",
        "{% set self = 1 %}",
        "{% set _result = 1 %}",
        "{% set ns.x = 1 %}",
        "{% autoescape false %}{% endautoescape %}",
        "{% do order %}",
        "{% for x in order.items %}{{ loop.cycle('a') }}{% endfor %}",
        "{% for x in order.items %}{{ loop.__init__ }}{% endfor %}",
        "{% for x in order.items %}{{ loop._iterator }}{% endfor %}",
    ],
)
def test_templates_hold_no_other_statements(source: str) -> None:
    with pytest.raises((ExpressionError, EvaluationError)):
        text(source)


NESTED = "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}"
BURNERS = [
    "{{ 'a' * 1000000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ [1] * 1000000000 }}",
    "{{ 5 | round(-50000000) }}",
    "{{ 5 | round(50000000) }}",
    "{{ 1e400 }}",
    "{{ 1e29 * 1e29 * 1e29 }}",
    "{{ 1e1000000 | int }}",
    "{{ 9999999999999999999 * 9999999999999999999 }}",
    "{{ '9' * 40 }}",
    "{{ big ~ big }}",
    "{{ big + big }}",
    "{{ [big, big] | join }}",
    "{{ many | join(big) }}",
    "{{ big | replace('x', big) }}",
    "{{ big | replace('', big) }}",
    "{{ [big, big] | tojson }}",
    "{{ many + many }}",
    "{{ order.created_at | date('%1000000000d') }}",
    "{{ order.created_at | date('%5000000Y%d') }}",
    "{{ order.created_at | add_days(1e20) }}",
    "{{ order.created_at | add_days(900000000) }}",
    "{{ big | date }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ order.items | tojson(indent=1000000) }}",
    "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    "{{ " + "not " * 450 + "1 }}",
    "{{ " + "1+" * 900 + "1 }}",
    "{{ " + "[" * 900 + "]" * 900 + " }}",
    "{{ 1" + ".x" * 900 + " }}",
    "{{ x" + "|upper" * 300 + " }}",
    "{{ '" + "a" * 2_000 + "' }}",
    "{% if 1 %}" * 180 + "{% endif %}",
    NESTED,
    "{% for a in many %}{% for b in many if b < 0 %}{% endfor %}{% endfor %}",
    "{% for a in many %}{{ many | sum }}{% endfor %}",
    "{% for a in many %}{{ many | sort | length }}{% endfor %}",
    "{% for a in many %}{{ big | replace('x', 'y') | length }}{% endfor %}",
    "{% for a in many %}{{ big }}{% endfor %}",
    "{% for a in many %}{% if big == big ~ '' %}{% endif %}{% endfor %}",
    "{% for a in many %}{% if many == many + [1] %}{% endif %}{% endfor %}",
    "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
    "{% set a = [1,2,3,4,5] %}" + "{% set a = [a, a] %}" * 30 + "{{ a | tojson }}",
    "{% set a = 9 %}" + "{% set a = a * a %}" * 60 + "{{ a }}",
    "{% set a = [many] %}" + "{% set a = a + a %}" * 13 + "{{ a | tojson }}",
    "{% set a = [big] %}" + "{% set a = a + a %}" * 13 + "{{ a | tojson }}",
    "{{ '%1000000000d' is even }}",
    "{{ '%1000000000s' is divisibleby(3) }}",
]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("source", BURNERS)
def test_nothing_burns_the_event_loop(source: str) -> None:
    began = time.thread_time()
    with pytest.raises((ExpressionError, EvaluationError)):
        text(source)
    assert time.thread_time() - began < 1.5


OTHERS = list(range(9_000))
LONG = {"others": OTHERS, "texts": [{"text": f"{'x' * 20}y{'x' * 20}{n}", "list": OTHERS} for n in range(5_000)]}
LONG_BURNERS = [
    "{% if texts[7].text in big %}{% endif %}",
    "{% if many == others %}{% endif %}",
    "{% if many[::2] %}{% endif %}",
    "{% if big[::-1] %}{% endif %}",
    "{% if 8999 in many %}{% endif %}",
    "{{ texts | where('text', 'in', big) | length }}",
    "{{ texts | where('list', 'contains', -1) | length }}",
    "{{ texts | where('list', many) | length }}",
    "{{ texts | where('list', 'in', [others]) | length }}",
    "{% if texts | sort('text') %}{% endif %}",
    "{% if texts | unique('text') | map('text') %}{% endif %}",
    "{% if big | split('x') %}{% endif %}",
    "{% if big | urlencode %}{% endif %}",
]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("part", LONG_BURNERS)
def test_nothing_that_a_template_says_a_thousand_times_burns_the_event_loop(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is looked at often enough however little a single part seems to cost."""
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.1)
    page = compile_template("{% for a in many %}" + part * 1_000 + "{% endfor %}")
    began = time.thread_time()
    with pytest.raises(EvaluationError):
        page.evaluate({**SCOPE, **LONG})
    assert time.thread_time() - began < 1.6


def test_a_number_from_outside_may_be_absurd() -> None:
    huge = Decimal("1E+1000000")
    for source in ("x | int", "x + 1", "x | round(2)", "x * 2", "'' ~ x", "x | tojson", "[x] | sum"):
        with pytest.raises(EvaluationError, match="too large"):
            value(source, x=huge)


def test_a_digit_is_never_lost_silently() -> None:
    with pytest.raises(EvaluationError, match="too long"):
        value("x * x * x * x * x", x=Decimal("1." + "3" * 40))


def test_html_templates_escape_what_is_put_in() -> None:
    page = compile_template("<b>{{ name }}</b>{{ '<i>' ~ name }}{{ [name] | join }}", html=True)
    assert page.evaluate({"name": "<x&y>"}) == (
        "<b>&lt;x&amp;y&gt;</b>&lt;i&gt;&lt;x&amp;y&gt;&lt;x&amp;y&gt;"
    )  # fmt: skip
    assert compile_template("{{ name }}").evaluate({"name": "<x>"}) == "<x>"


def test_a_loop_over_an_absent_list_takes_no_turn() -> None:
    page = compile_template("{% for a in order.items %}{{ a }}{% else %}none{% endfor %}")
    assert page.evaluate({"order": {"items": None}}) == "none"
    with pytest.raises(EvaluationError, match="a loop needs a list, not text"):
        page.evaluate({"order": {"items": "abc"}})


def test_dates_without_a_time_are_shown() -> None:
    assert value("day | date('%d.%m.%Y')", day=date(2026, 1, 2)) == "02.01.2026"
    assert value("day | iso", day=date(2026, 1, 2)) == "2026-01-02"


def test_an_expression_is_compiled_once() -> None:
    condition = compile_condition("order.total.amount > 0 and not order.test")
    condition.evaluate(SCOPE)
    program = condition._program
    assert condition.evaluate(SCOPE) == condition.evaluate(SCOPE)
    assert condition._program is program

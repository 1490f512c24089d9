"""The recipe language: everything a recipe can say is read, and every mistake is told with its place and its mend."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field, model_validator

from app.connector import Action, Context, action, lookup, unsafe, upsert
from app.documents import DocumentError
from app.events import Customer, Money, Order
from app.expressions import EvaluationError, compile_tree
from app.recipes import (
    Approve,
    Block,
    Call,
    Choose,
    Emit,
    Loaded,
    Parallel,
    Recipe,
    SetFacts,
    Stop,
    Wait,
    WaitFor,
    check_connections,
    check_together,
    connection_of,
    load_text,
    over_at,
    parse_cron,
    parse_duration,
    parse_recipe,
    say_duration,
    settled,
    used,
)
from app.recipes.durations import parse_local_time
from app.recipes.values import rule_broken


class FindCustomer(BaseModel):
    customer: Customer


class CustomerFound(BaseModel):
    id: str
    created: bool = False


class CreateInvoice(BaseModel):
    order: Order
    customer_id: str
    due_in_days: int = Field(14, ge=0, le=365, description="Days until the invoice is due")
    total: Money | None = None


class Invoice(BaseModel):
    id: str
    number: str | None = None
    total: Money | None = None


class Post(BaseModel):
    channel: str = Field(pattern="^[#@]")
    text: str
    tags: list[str] = []


class Posted(BaseModel):
    ts: str


class Tag(BaseModel):
    order_id: str
    tags: list[str]


class Tagged(BaseModel):
    order_id: str
    tags: list[str] = []


class Label(BaseModel):
    id: str


def _example() -> BaseModel:
    return Label(id="1")


async def _find(ctx: Any, input: Any) -> BaseModel | None:
    return None


@action(safe=lookup(timedelta(minutes=1), _find), example=_example, makes="invoice")
async def create_invoice(ctx: Context[Any], input: CreateInvoice) -> Invoice:
    """Make an invoice."""
    return Invoice(id="1")


@action(safe=upsert, example=_example)
async def find_or_create_customer(ctx: Context[Any], input: FindCustomer) -> CustomerFound:
    """Find a customer, or make one."""
    return CustomerFound(id="1")


@action(safe=unsafe, example=_example, if_unsure="repeat")
async def post_message(ctx: Context[Any], input: Post) -> Posted:
    """Write a message."""
    return Posted(ts="1")


@action(safe=upsert, example=_example, causes=("order.updated",))
async def tag_order(ctx: Context[Any], input: Tag) -> Tagged:
    """Tag an order."""
    return Tagged(order_id="1")


@action(safe=upsert, example=_example, causes=("order.updated", "order.paid"))
async def mark_paid(ctx: Context[Any], input: Label) -> Label:
    """Mark an order as paid."""
    return Label(id="1")


@action(safe=unsafe, example=_example, makes="label")
async def buy_label(ctx: Context[Any], input: Label) -> Label:
    """Buy a label."""
    return Label(id="1")


class Shelf:
    """A catalogue of a few systems."""

    _all: Mapping[str, Mapping[str, Action]] = {
        "quickbooks": {each.name: each for each in (create_invoice, find_or_create_customer)},
        "slack": {"post_message": post_message},
        "shopify": {"tag_order": tag_order},
        "easypost": {"buy_label": buy_label},
        "woocommerce": {"mark_paid": mark_paid},
    }

    def connectors(self) -> Sequence[str]:
        return tuple(self._all)

    def actions(self, connector: str) -> Mapping[str, Action]:
        return self._all.get(connector, {})

    def store_actions(self) -> Mapping[str, Mapping[str, Action]]:
        return {"shopify": {"tag_order": tag_order}}

    def store_refusals(self) -> Mapping[str, Mapping[str, str]]:
        return {"woocommerce": {"tag_order": "it knows no tags"}}


SHELF = Shelf()
INVOICE = """\
title: Invoice every paid order
stage: purchase
on: order.paid
where: order.total.amount > 0 and not order.test
inputs:
  due_days: {type: integer, default: 14, description: Days until the invoice is due}
steps:
  - id: customer
    use: quickbooks.find_or_create_customer
    with: {customer: "{{ order.customer }}"}
  - id: invoice
    use: quickbooks.create_invoice
    with: {order: "{{ order }}", customer_id: "{{ steps.customer.id }}", due_in_days: "{{ inputs.due_days }}"}
  - use: store.tag_order
    with: {order_id: "{{ order.id }}", tags: [invoiced]}
"""
WHOLE = """\
title: Everything a recipe can say
description: One of each.
stage: checkout
group: reminders
enabled: true
priority: 5
was: [old-name]
on:
  - {event: [checkout.created, checkout.updated], connection: main-store, test: true, historical: only}
  - {event: vip.reached, platform: shopify}
  - {schedule: "0 9 * * mon-fri", timezone: Europe/Berlin}
where: checkout.customer.email and checkout.total.amount > 0
inputs:
  delay: {type: duration, default: 1h}
  rate: {type: number, default: 0.1, minimum: 0, maximum: 0.5}
  tone: {type: string, options: [warm, plain], required: true}
once_per: {value: checkout.id, within: 30d}
again: restart
cancel_on:
  - event: order.created
    where: order.checkout_id == run.checkout.id or order.customer.email == run.checkout.customer.email
    reason: They bought
limits: {per: customer.email, at_most: 1, within: 7d, over: skip}
quiet_hours: {from: "21:00", to: "08:00", timezone: customer}
connection: {slack: team}
on_error:
  - id: tell
    use: slack.post_message
    with: {channel: "#ops", text: "{{ error.message }}"}
steps:
  - wait: "{{ inputs.delay }}"
  - wait: {until: next 09:00, timezone: customer}
  - wait: {until: "{{ checkout.created_at | add_days(3) }}"}
  - id: bought
    wait_for: {event: order.created, where: order.customer.email == run.checkout.customer.email, timeout: 23h}
  - choose:
      - when: steps.bought.timed_out
        steps:
          - id: ask
            use: slack.post_message
            if: checkout.total.amount > 100
            with: {channel: "#sales", text: "Call {{ customer | name }} about {{ checkout.total }}"}
            retry: {attempts: 3, within: 2h}
            on_error: continue
            timeout: 5m
            connection: team
            effect: calls
    otherwise:
      - stop: They bought order {{ steps.bought.event.order.number }}
  - parallel:
      - {id: left, use: slack.post_message, with: {channel: "#a", text: a}}
      - - {id: right, use: slack.post_message, with: {channel: "#b", text: b}}
        - emit: vip.asked
          with: {email: "{{ checkout.customer.email }}"}
  - for_each: checkout.line_items
    as: line
    key: line.sku
    at_once: 5
    steps:
      - {id: line, use: slack.post_message, with: {channel: "#c", text: "{{ line.title }}"}}
  - set:
      customer: {attributes: {asked: "{{ now }}", rate: "{{ inputs.rate }}"}, add_tags: [asked], remove_tags: [cold]}
  - id: ok
    approve: {title: "Write to {{ customer | name }}?", message: It is their third time}
    timeout: 2d
    on_error:
      - stop: {reason: nobody answered, failed: true}
  - if: steps.ok.approved
    stop: true
"""


def load(text: str, name: str = "a-recipe", emitted: Sequence[str] = ("vip.reached",)) -> Loaded:
    return load_text(text, name, SHELF, emitted)


def good(text: str) -> Recipe:
    loaded = load(text)
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.usable
    assert loaded.recipe is not None
    return loaded.recipe


def told(text: str) -> list[str]:
    return [str(problem).removeprefix("a-recipe.yaml:") for problem in load(text).problems]


def with_steps(steps: str, on: str = "order.paid", more: str = "") -> str:
    return f"title: A\non: {on}\n{more}steps:\n{steps}"


def test_the_recipe_of_the_handbook_is_read_and_found_right() -> None:
    recipe = good(INVOICE)
    assert recipe.title == "Invoice every paid order"
    assert [trigger.event for trigger in recipe.triggers] == ["order.paid"]
    assert [step.path for step in recipe.all_steps()] == ["customer", "invoice", "store.tag_order"]
    assert recipe.where is not None
    assert recipe.where.evaluate({"order": {"total": {"amount": Decimal(5)}, "test": False}}) is True
    first = recipe.steps[0].does
    assert isinstance(first, Call)
    assert first.use == "quickbooks.find_or_create_customer"
    assert recipe.inputs["due_days"].default == 14


def test_everything_the_language_can_say_is_read() -> None:
    recipe = good(WHOLE)
    assert [(each.event, each.connection, each.platform, each.historical, each.test) for each in recipe.triggers] == [
        ("checkout.created", "main-store", None, "only", "also"),
        ("checkout.updated", "main-store", None, "only", "also"),
        ("vip.reached", None, "shopify", "no", "no"),
    ]
    assert (recipe.schedules[0].cron, recipe.schedules[0].timezone) == ("0 9 * * mon-fri", "Europe/Berlin")
    assert recipe.events == ("checkout.created", "checkout.updated", "vip.reached", "schedule.due")
    assert (recipe.group, recipe.priority, recipe.was, recipe.again) == ("reminders", 5, ("old-name",), "restart")
    assert recipe.once_per is not None
    assert recipe.once_per.within == timedelta(days=30)
    assert recipe.limits[0].over == "skip"
    assert recipe.quiet_hours is not None
    assert recipe.quiet_hours.timezone == "customer"
    assert recipe.waits
    kinds = [step.kind for step in recipe.steps]
    assert kinds == ["wait", "wait", "wait", "wait_for", "choose", "parallel", "steps", "set", "approve", "stop"]
    assert [type(step.does) for step in recipe.steps] == [
        *(Wait, Wait, Wait, WaitFor, Choose, Parallel, Block, SetFacts, Approve, Stop)
    ]
    deepest = next(step for step in recipe.all_steps() if step.id == "ask").does
    assert isinstance(deepest, Call)
    assert (deepest.connection, deepest.effect) == ("team", "calls")
    assert any(isinstance(step.does, Emit) for step in recipe.all_steps())


def test_paths_of_steps_are_stable_and_told_apart() -> None:
    paths = [step.path for step in good(WHOLE).all_steps()]
    assert len(paths) == len(set(paths))
    assert paths[:5] == ["wait", "wait-2", "wait-3", "bought", "choose"]
    assert {"ask", "left", "right", "emit", "line", "tell", "stop", "stop-2", "stop-3"} <= set(paths)
    assert good(WHOLE).step("ask").kind == "use"
    with pytest.raises(KeyError, match="no step 'nothing'"):
        good(WHOLE).step("nothing")


def test_a_version_is_known_by_what_it_says_not_by_its_layout() -> None:
    assert parse_recipe(INVOICE, "a").digest == parse_recipe("# a comment\n" + INVOICE, "a").digest
    assert parse_recipe(INVOICE, "a").digest != parse_recipe(INVOICE.replace("14", "15"), "a").digest


def test_a_waiting_where_gives_the_equalities_that_find_the_run() -> None:
    recipe = good(WHOLE)
    branches = recipe.cancel_on[0].branches
    assert [[str(equality) for equality in branch] for branch in branches] == [
        ["order.checkout_id"],
        ["order.customer.email"],
    ]
    scope = {"run": {"checkout": {"id": "c1", "customer": {"email": "a@b.c"}}}}
    assert [branch[0].value.evaluate(scope) for branch in branches] == ["c1", "a@b.c"]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("order.id == run.order.id", [["order.id"]]),
        ("run.order.id == order.id and order.total.amount > 5", [["order.id"]]),
        ("order.id == run.order.id or order.number == steps.x.number", [["order.id"], ["order.number"]]),
        ("(order.id == run.order.id or order.email == run.order.email) and order.note == inputs.note",
         [["order.id", "order.note"], ["order.email", "order.note"]]),
        ("order.id == order.number", [[]]),
        ("order.id == '5'", [[]]),
        ("order.id != run.order.id", [[]]),
        ("order.total.amount > run.order.total.amount", [[]]),
        ("order.id == run.order.id or order.test", [["order.id"], []]),
        ("not (order.id == run.order.id)", [[]]),
    ],
)  # fmt: skip
def test_each_or_branch_needs_an_equality(where: str, found: list[list[str]]) -> None:
    text = with_steps(f'  - wait_for: {{event: order.paid, where: "{where}", timeout: 1h}}\n')
    recipe = parse_recipe(text, "a")
    deed = recipe.steps[0].does
    assert isinstance(deed, WaitFor)
    assert [[str(equality) for equality in branch] for branch in deed.awaited.branches] == found
    untied = [line for line in told(text) if "nothing ties" in line]
    assert bool(untied) == any(not branch for branch in found)


def test_an_absent_value_equals_nothing_while_waiting() -> None:
    where = good(WHOLE).cancel_on[0].where
    order, checkout = {"checkout_id": None, "customer": {"email": "a@b.c"}}, {"id": None, "customer": None}
    assert where.evaluate({"order": order, "run": {"checkout": checkout}}) is False
    checkout = {"id": None, "customer": {"email": "a@b.c"}}
    assert where.evaluate({"order": order, "run": {"checkout": checkout}}) is True
    assert where.evaluate({"order": order | {"customer": None}, "run": {"checkout": checkout}}) is False


STEP = "  - use: slack.post_message\n"
LABEL = "  - use: easypost.buy_label\n    with: {id: a}\n"
STAY = "{wait: 1h}"
MISTAKES = [
    ("", "1:1: the file holds no recipe. It begins with `title:`, `on:` and `steps:`."),
    ("title: A\n", "1:1: the file needs the key 'on'. Add it."),
    ("title: A\non: order.paid\nstep: []\nsteps: []\n", "3:1: there is no key 'step' here. Did you mean 'steps'?"),
    ("title: A\non: order.paid\nsteps: []\n", "3:8: steps is empty. Write a step, or leave the key out."),
    ("title: A\ntitle: B\n", "2:1: 'title' is here twice. It is also in line 1; keep one."),
    (INVOICE.replace("on: order.paid", "on: order.payd"),
     "3:5: there is no event 'order.payd'. Did you mean 'order.paid'?"),
    (INVOICE.replace("on: order.paid", "on: {event: order.paid, platfrom: shopify}"),
     "3:25: there is no key 'platfrom' here. Did you mean 'platform'?"),
    (INVOICE.replace("on: order.paid", "on: {event: order.paid, platform: shopifi}"),
     "3:35: there is no connector 'shopifi'. Did you mean 'shopify'?"),
    (INVOICE.replace("on: order.paid", 'on: {schedule: "0 25 * * *"}'),
     "3:16: '25' is not an hour. It goes from 0 to 23."),
    (INVOICE.replace("order.total.amount >", "order.totl.amount >"),
     "4:14: order has no 'totl'. Did you mean 'total'?"),
    (INVOICE.replace("where: order.total.amount", "where: order.total"),
     "4:13: a Money cannot be compared with a whole number. Use its amount, as in `order.total.amount`."),
    (INVOICE.replace("and not", "and nott"), "4:40: 'order' does not belong here."),
    (INVOICE.replace("type: integer, default: 14", "type: integer, default: soon"),
     "6:38: due_days: 'soon' is not a number."),
    (INVOICE.replace("type: integer", "type: int"), "6:20: type should be one of: "),
    (INVOICE.replace("use: quickbooks.create_invoice", "use: quickbooks.create_invoce"),
     "12:10: quickbooks has no action 'create_invoce'. Did you mean 'create_invoice'?"),
    (INVOICE.replace("use: quickbooks.create_invoice", "use: quickboks.create_invoice"),
     "12:10: there is no connector 'quickboks'. Did you mean 'quickbooks'?"),
    (INVOICE.replace("use: store.tag_order", "use: store.tag_ordr"),
     "14:10: no shop that may send this has the action 'tag_ordr'. Did you mean 'tag_order'?"),
    (INVOICE.replace("on: order.paid", "on: {event: order.paid, platform: woocommerce}"),
     "14:10: no shop that may send this has the action 'tag_order'; it knows no tags."),
    (INVOICE.replace("customer_id:", "custmer_id:"),
     "13:34: quickbooks.create_invoice takes no 'custmer_id'. Did you mean 'customer_id'?"),
    (INVOICE.replace("customer_id:", "custmer_id:"), "13:11: quickbooks.create_invoice needs 'customer_id'."),
    (INVOICE.replace("{{ steps.customer.id }}", "{{ steps.custmer.id }}"),
     "13:57: steps has no 'custmer'. Did you mean 'customer'?"),
    (INVOICE.replace("{{ steps.customer.id }}", "{{ steps.customer.idd }}"),
     "13:66: steps.customer has no 'idd'. Did you mean 'id'?"),
    (INVOICE.replace("{{ order.customer }}", "{{ steps.invoice.id }}"),
     "10:32: the step 'invoice' is not done yet here. Use the results of earlier steps only."),
    (INVOICE.replace("{{ inputs.due_days }}", "{{ inputs.due_day }}"),
     "13:98: inputs has no 'due_day'. Did you mean 'due_days'?"),
    (INVOICE.replace('order: "{{ order }}"', 'order: "{{ order.customer }}"'),
     "13:19: 'order' should be an Order, not a Customer."),
    (INVOICE.replace('"{{ steps.customer.id }}"', '"{{ order.customer.orders_count }}"'),
     "13:47: 'customer_id' should be text, not a whole number. Make text of it with `| string`."),
    (INVOICE.replace('"{{ inputs.due_days }}"', '"{{ inputs.due_days / 2 }}"'),
     "13:87: 'due_in_days' should be a whole number, not a number. Make a whole number of it with `| int`."),
    (INVOICE.replace('"{{ inputs.due_days }}"', "400"), "13:87: due_in_days: it should be less than or equal to 365."),
    (INVOICE.replace("tags: [invoiced]", "tags: invoiced"), "15:46: tags: it should be a valid list."),
    (INVOICE.replace("tags: [invoiced]", 'tags: "{{ order.number }}"'),
     "15:46: 'tags' should be a list, not text. Put it in a list: [...]."),
    (INVOICE.replace("id: invoice\n", "id: customer\n"),
     "11:9: the id 'customer' is already used in line 8. Give this step another id."),
    (INVOICE.replace("id: invoice\n", 'id: invoice\n    effect: "{{ order.id }}"\n'),
     "12:13: effect is taken to the letter: nothing is put in for {{ }}. Write it out."),
    ("title: T\non: order.paid\ninputs:\n  a: {type: integer, options: [1, b]}\nsteps:\n  - stop: true\n",
     "4:35: a: 'b' is not a number. Write one like 10 or 0.5."),
    (INVOICE + 'cancel_on: {event: order.cancelled, where: order.id == run.order.id, reason: "{{ order.id }}"}\n',
     "16:78: reason is taken to the letter: nothing is put in for {{ }}. Write it out."),
    (INVOICE.replace("id: invoice\n", "id: Invoice-1\n"),
     "11:9: 'Invoice-1' is not a step's id. Use small letters, digits and underscores."),
    (INVOICE + '  - use: store.tag_order\n    with: {order_id: "{{ order.id }}", tags: [b]}\n',
     "16:10: store.tag_order is used twice without an id (also in line 14). "
     "Give one of them an id: its effects are remembered under that name."),
    (with_steps("  - wiat: 3d\n"), "4:5: there is no key 'wiat' here. Did you mean 'wait'?"),
    (with_steps("  - wait: 3 days\n"), "4:11: '3 days' is not a duration. Write one like 90m, 3d or 1h30m."),
    (with_steps("  - wait: {until: someday}\n"),
     "4:19: 'someday' is not a moment. Write one like next 09:00 or monday 08:30."),
    (with_steps('  - wait: "{{ order.total.amount }}"\n'), "4:11: a duration is text like 3d, not a number."),
    (with_steps("  - wait: 3d\n    stop: true\n"), "4:5: a step does one thing, and this one has wait and stop."),
    (with_steps("  - wait: 3d\n    with: {a: 1}\n"), "5:5: there is no key 'with' here."),
    (with_steps("  - stop: true\n  - wait: 3d\n"), "5:5: this step is never reached: "),
    (with_steps("  - choose:\n      - {when: order.test, steps: [{stop: true}]}\n    otherwise: [{stop: b}]\n"
                "  - wait: 3d\n"), "7:5: this step is never reached: the recipe has stopped before it."),
    (with_steps("  - wait_for: {event: order.paid, where: order.id == run.order.id}\n"),
     "4:15: wait_for needs a timeout. Say how long to wait at most, as in `timeout: 23h`."),
    (with_steps("  - wait_for: {event: order.paid, where: order.total.amount > 5, timeout: 1h}\n"),
     "4:42: nothing ties the awaited event to the run in this. Equate one of its fields"),
    (with_steps("  - wait_for: {event: order.paid, where: order.id == run.ordr.id, timeout: 1h}\n"),
     "4:58: run has no 'ordr'. Did you mean 'order'?"),
    (with_steps("  - wait_for: {event: ordr.paid, where: order.id == run.order.id, timeout: 1h}\n"),
     "4:23: there is no event 'ordr.paid'. Did you mean 'order.paid'?"),
    (with_steps("  - for_each: order.tags\n    use: easypost.buy_label\n    with: {id: \"{{ item }}\"}\n"),
     "4:15: for_each needs a key: its items have no id. Say what tells one from another, as in `key: item.sku`."),
    (with_steps("  - for_each: order.total\n    key: item\n    use: easypost.buy_label\n    with: {id: a}\n"),
     "4:15: for_each needs a list, not a Money."),
    (with_steps("  - for_each: order.line_items\n    as: order\n    steps: [{wait: 1h}]\n"),
     "5:9: 'order' already means something here. Choose another name with `as`."),
    (with_steps("  - for_each: order.line_items\n    if: item.sku\n    steps: [{wait: 1h}]\n"),
     "5:9: there is no 'item' here."),
    (with_steps("  - wait: 1h\n    as: line\n"), "5:5: as goes with for_each. Add for_each, or leave it out."),
    (with_steps("  - emit: order.paid\n"), "4:11: 'order.paid' is the hub's own word. Choose another than 'order'."),
    (with_steps("  - emit: order.shiny\n"), "4:11: 'order.shiny' is not a name of your own."),
    (with_steps("  - set: {order: {atributes: {a: 1}}}\n"),
     "4:19: there is no key 'atributes' here. Did you mean 'attributes'?"),
    (with_steps("  - set: {order: {add_tags: vip}}\n"), "4:29: add_tags should be a list, not text. As in `[vip]`."),
    (with_steps("  - set: {order: {add_tags: [vip]}}\n", "product.created"),
     "4:11: there is no order in this recipe's events."),
    (with_steps(STEP + "    with: {channel: ops, text: hi}\n"), "5:21: channel: "),
    (with_steps(STEP + '    with: {channel: "#ops", text: "{{ order.customer }}"}\n'),
     "5:35: 'text' should be text, not a Customer. Name a field of it."),
    (with_steps(STEP + '    with: {channel: "#ops", text: "Hi {{ order.customer }}"}\n'),
     "5:47: a Customer cannot stand among text. Choose a field of it."),
    (with_steps(STEP + '    with: {channel: "#ops", text: "{{ order.total | money(5 }}"}\n'), "5:61: "),
    (with_steps(STEP + "    with: {channel: \"#ops\", text: {{ order.number }}}\n"),
     "5:35: an expression stands here without quotes."),
    (with_steps(STEP + "    if: \"{{ order.test }}\"\n    with: {channel: '#ops', text: a}\n"),
     "5:10: this is an expression already. Leave out {{ and }}."),
    (with_steps(STEP + "    with: {channel: '#ops', text: a}\n    retry: {attempts: 0}\n"),
     "6:23: attempts should be a whole number from 1 to 1000."),
    (with_steps("  - use: slack\n"), "4:10: 'slack' is not an action. Write one like quickbooks.create_invoice."),
    (with_steps("  - approve: {message: a}\n"), "4:14: approve needs the key 'title'."),
    (with_steps("  - parallel: [{wait: 1h}]\n"), "4:15: one branch is not parallel to anything."),
    (with_steps("  - wait: 1h\n", more="once_per: order\n"), "3:11: once_per should be one plain value, not an Order."),
    (with_steps("  - wait: 1h\n", more="again: always\n"), "3:8: again should be one of: ignore, restart, queue."),
    (with_steps("  - wait: 1h\n", more="quiet_hours: {from: 9pm, to: '08:00'}\n"),
     "3:21: '9pm' is not a time of day. Write one like 09:00."),
    (with_steps("  - wait: 1h\n", more="quiet_hours: {from: '21:00', to: '08:00', timezone: Berlin}\n"),
     "3:53: there is no time zone 'Berlin'. Write one like Europe/Berlin, or customer or shop."),
    (with_steps("  - wait: 1h\n", more="limits: {per: customer.emial, at_most: 1, within: 7d}\n"),
     "3:24: customer has no 'emial'. Did you mean 'email'?"),
    (with_steps("  - wait: 1h\n", more="cancel_on: {event: order.cancelled, where: order.id == run.order.idd}\n"),
     "3:66: run.order has no 'idd'. Did you mean 'id'?"),
    (with_steps("  - use: store.tag_order\n    with: {order_id: a, tags: [a]}\n", '{schedule: daily}'),
     "4:10: a schedule comes from no shop, so `store` means nothing. Name its connection."),
    (with_steps("  - use: easypost.buy_label\n    with: {id: a}\n    if_unsure: repeat\n"),
     "6:16: warning: easypost.buy_label would act twice if its first try did: it is not safe to repeat."),
    (with_steps(LABEL + "    retry: {attempts: 20, within: 10m}\n"),
     "6:12: warning: easypost.buy_label is not safe to repeat, and 20 tries within 10m follow too closely. Give it"),
    (with_steps(LABEL + "    retry: {attempts: 20}\n"),
     "6:12: warning: easypost.buy_label is not safe to repeat, and 20 tries are many chances to act twice."),
    (INVOICE.replace("due_days }}\"}\n", "due_days }}\"}\n    retry: {within: 30s}\n"),
     "14:12: warning: whether quickbooks.create_invoice acted can be seen only 1m after it, and its tries end within"),
    (with_steps("  - wait: 1h\n    timeout: 2h\n"), "5:5: wait takes no timeout. It goes with use, wait_for, approve"),
    (with_steps("  - wait: {until: next 09:00, timezone: Berlin}\n"),
     "4:41: there is no time zone 'Berlin'. Write one like Europe/Berlin, or customer or shop."),
    (with_steps("  - choose: []\n"), "4:13: choose is empty. Write its branches: `- when: ...`"),
    (with_steps("  - set: {order: {}}\n"), "4:18: nothing of the order is set. Write `attributes:` or `add_tags:`"),
    (with_steps("  - wait: 1h\n", more="on_error: ignore\n"),
     "3:11: on_error should be fail, continue, or a list of steps."),
    (with_steps("  - wait: 1h\n", more='where: order.id and "a" == "b"\n'),
     "3:8: this is never true: no event runs the recipe. `enabled: false` switches a recipe off."),
    (with_steps("  - wait: 1h\n    if: not true or order.test and false\n"),
     "5:9: this step is never reached: its `if` is never true. Remove the step, or its `if`."),
    (with_steps(f"  - choose:\n      - {{when: true, steps: [{STAY}]}}\n"
                f"      - {{when: order.test, steps: [{STAY}]}}\n"),
     "6:16: this branch is never taken: a branch before it always is."),
    (with_steps(f"  - choose:\n      - {{when: 1 == 2, steps: [{STAY}]}}\n"),
     "5:16: this branch is never taken: its `when` is never true."),
    (with_steps(f"  - choose:\n      - {{when: 2 > 1, steps: [{STAY}]}}\n    otherwise: [{STAY}]\n"),
     "6:16: `otherwise` is never taken: a branch before it always is."),
    (with_steps("  - wait_for: {event: order.paid, where: order.id == run.order.id, timeout: 1h}\n"),
     "4:42: no event ever ends this wait: order.paid comes once for each order, and that began the run. Wait for"),
    (with_steps("  - wait_for: {event: order.created, where: order.id == run.order.id, timeout: 1h}\n"),
     "4:23: warning: order.created comes before order.paid of the same order: what began the run is later. Wait for"),
    (with_steps("  - wait: 1h\n", more="cancel_on: {event: checkout.updated, where: checkout.id == run.order.id}\n"),
     "3:45: warning: checkout.id is the id of one checkout, and run.order.id of one order: they are hardly ever the"),
    (with_steps("  - wait: 1h\n", more="cancel_on: {event: order.paid, where: order.id == run.order.id}\n"),
     "3:39: no event ever cancels a run: order.paid comes once for each order, and that began the run."),
    (with_steps("  - wait_for: {event: order.updated, where: order.id == run.order.id and false, timeout: 1h}\n"),
     "4:45: this is never true: no event ever ends this wait."),
    (with_steps("  - wait_for: {event: order.updated, where: order.id == run.order.id, timeout: 0s}\n"),
     "4:5: this waits for no time at all."),
    (with_steps(STEP + '    with: {channel: "#ops", text: "{{ order.created_at | date(\'%Q\') }}"}\n'),
     "5:58: date cannot use the format '%Q'. Write one like '%d %b %Y'."),
    (with_steps(STEP + "    with: {channel: '#ops', text: a}\n", more="where: order.tags == 'vip'\n"),
     "3:13: a list never equals text. Ask whether the list holds it, as in `'vip' in order.tags`."),
    (with_steps("  - wait: 1h\n", more="where: >\n  not order.test\n\n  and order.totl.amount > 5\n"),
     "6:13: order has no 'totl'."),
    (with_steps("  - wait: 1h\n", more="where: not order.test\n  and order.totl.amount > 5\n"),
     "4:13: order has no 'totl'."),
    (with_steps("  - wait: 1h\n", more='where: "order.number == \\"\\u00e4\\" and order.totl"\n'),
     "3:46: order has no 'totl'."),
    (with_steps("  - wait: 1h\n", more="where: 'order.number == ''a'' and order.totl'\n"),
     "3:41: order has no 'totl'."),
    (with_steps("  - stop: |\n      A line\n      {{ order.totl }}\n"), "6:16: order has no 'totl'."),
    (with_steps("  - wait: 1h\n", more="enabled: yes\n"), "3:10: enabled should be true or false, not 'yes'."),
    (with_steps("  - wait: 1h\n", "true"), "2:5: on should name an event. Write one like order.paid."),
    ("title: A\non: order.paid\nsteps:\n", "3:1: steps should be a list."),
    ("title: A\0\n", "1:9: U+0000 cannot stand in a file. Remove the character."),
    (with_steps("  - parallel:\n      - - stop: a\n      - wait: 1h\n  - wait: 1h\n"),
     "7:5: this step is never reached: the recipe has stopped before it."),
    (with_steps("  - choose:\n      - {when: true, steps: [{stop: a}]}\n  - wait: 1h\n"),
     "6:5: this step is never reached: the recipe has stopped before it."),
    (with_steps("  - parallel: []\n"), "4:15: parallel is empty."),
    (with_steps("  - wait: 1h\n", more="where: order.test\n"),
     "3:8: this is never true: test events do not run this recipe. Take them in `on`, as in `on: {event: order.paid,"),
    (with_steps("  - wait_for: {event: order.updated, where: event.id == run.event.id, timeout: 1h}\n"),
     "4:45: this is never true: no event ever ends this wait."),
    (with_steps("  - wait: 1h\n    if: order.note and not order.note\n"), "5:9: this step is never reached"),
    (with_steps("  - wait: 1h\n", more="quiet_hours: {from: '21:00', to: '21:00'}\n"), "3:14: these quiet"),
    (with_steps("  - wait: 1h\n", more="was: Old Name\n"), "3:6: 'Old Name' is not a recipe's name."),
    (with_steps("  - wait: 1h\n", more="inputs: {a: {type: number, minimum: 3, maximum: 2}}\n"),
     "3:37: the minimum 3 is more than the maximum 2."),
    (with_steps("  - set: {customer: {add_tags: [vip]}}\n", "product.created"),
     "4:11: there is no customer in this recipe's events."),
    (with_steps(STEP + "    with: {channel: '#ops', text: \"{{ order.line_items | sum('title') }}\"}\n"),
     "5:58: sum needs numbers or money, not text."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[each for _, each in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_its_mend(text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in told(text)), told(text)
    assert all(problem.mend for problem in load(text).problems)


@pytest.mark.parametrize(
    "text",
    [
        INVOICE.replace("on: order.paid", "on: order.payd"),
        INVOICE.replace("on: order.paid", "on: parcel.lost"),
        INVOICE.replace("on: order.paid", "on: {event: order.paid, platform: shopifi}"),
        INVOICE.replace("on: order.paid\n", ""),
        INVOICE.replace("on: order.paid", "on: 5"),
        INVOICE.replace("    use: quickbooks.find_or_create_customer", "    uze: quickbooks.find_or_create_customer"),
        INVOICE.replace("type: integer", "type: whole"),
        with_steps("  - for_each: order.total\n    use: easypost.buy_label\n    with: {id: a}\n"),
        with_steps("  - emit: order.paid\n"),
        with_steps("  - wait_for: order.paid\n"),
    ],
)
def test_one_mistake_is_told_once(text: str) -> None:
    """What follows from it is not told: fields of a misspelt event, results of a step that could not be read."""
    assert len(told(text)) == 1, told(text)


def test_what_may_happen_is_not_refused() -> None:
    """What looks like the mistakes above and is none."""
    later = "  - wait_for: {event: order.paid, where: %s, timeout: 1h}\n"
    good(with_steps(later % "order.id == run.order.id", "[order.created, order.paid]"))
    good(with_steps(later % "order.customer.id == run.order.customer.id"))
    good(with_steps(later % "order.id == run.order.id or order.customer.id == run.order.customer.id"))
    good(with_steps(later.replace("order.paid", "order.updated") % "order.id == run.order.id"))
    good(with_steps(later.replace("order.paid", "order.created") % "order.customer.id == run.order.customer.id"))
    good(with_steps(later.replace("paid", "created") % "order.id == run.order.id", "[order.created, order.paid]"))
    good(with_steps("  - wait: 1h\n    if: true\n", more="where: true\n"))
    good(with_steps(LABEL + "    retry: {attempts: 5, within: 4h}\n"))
    good(with_steps(LABEL + "    retry: false\n"))
    tagging = "  - {use: store.tag_order, with: {order_id: a, tags: [b]}, retry: {attempts: 20, within: 1m}}\n"
    good(with_steps(tagging))


def test_one_pass_finds_every_mistake() -> None:
    text = (
        INVOICE.replace("order.total", "order.totl").replace("inputs.due_days", "inputs.due").replace("tags:", "tag:")
    )
    assert len(told(text)) == 4


def test_a_step_of_another_branch_is_not_seen_beside_it() -> None:
    branch = '{id: %s, use: slack.post_message, with: {channel: "#a", text: "%s"}}'
    text = with_steps(
        f"  - parallel:\n      - {branch % ('one', 'a')}\n      - {branch % ('two', '{{ steps.one.ts }}')}\n"
    )
    assert told(text) == [
        "6:82: the step 'one' is not done yet here. Use the results of earlier steps only."
    ]  # fmt: skip


def test_results_are_seen_after_their_branches() -> None:
    good(WHOLE + '  - {id: last, use: slack.post_message, with: {channel: "#a", text: "{{ steps.left.ts }}"}}\n')


def test_results_of_a_for_each_are_a_list() -> None:
    loop = (
        "  - id: labels\n    for_each: order.line_items\n    use: easypost.buy_label\n    with: {id: '{{ item.id }}'}\n"
    )
    after = '  - {use: slack.post_message, with: {channel: "#a", text: "%s"}}\n'
    good(with_steps(loop + after % "{{ steps.labels | map('id') | join }}"))
    (line,) = told(with_steps(loop + after % "{{ steps.labels.id }}"))
    assert "a list has no 'id'. Take one item" in line


def test_a_broken_file_is_told_not_raised() -> None:
    loaded = load("title: [")
    assert not loaded.usable
    assert loaded.recipe is None
    assert "the file ends in the middle" in str(loaded.problems[0])
    with pytest.raises(DocumentError):
        parse_recipe("5", "a")


def test_the_fields_that_a_recipe_reads_are_known() -> None:
    assert used(good(INVOICE)) == {
        "order": {"total.amount", "test", "customer", "", "id"},
        "steps": {"customer.id"},
        "inputs": {"due_days"},
    }


def test_inputs_are_set_by_type_and_within_limits() -> None:
    recipe = good(WHOLE)
    assert settled(recipe, {"tone": "warm"}) == {"delay": "1h", "rate": Decimal("0.1"), "tone": "warm"}
    assert settled(recipe, {"tone": "plain", "rate": "0.25", "delay": "90m"})["rate"] == Decimal("0.25")
    for given, message in (
        ({}, "'tone' must be set"),
        ({"tone": "cold"}, "one of: warm, plain"),
        ({"tone": "warm", "rate": 5}, "at most 0.5"),
        ({"tone": "warm", "rate": "much"}, "'much' is not a number"),
        ({"tone": "warm", "dlay": "1h"}, "did you mean 'delay'"),
        ({"tone": "warm", "delay": "soon"}, "not a duration"),
    ):
        with pytest.raises(ValueError, match=message):
            settled(recipe, given)


def test_triggers_take_what_they_name_and_nothing_else() -> None:
    plain = good(INVOICE).triggers[0]
    assert plain.takes("order.paid", "shop", "shopify", historical=False, test=False)
    assert not plain.takes("order.paid", "shop", "shopify", historical=True, test=False)
    assert not plain.takes("order.paid", "shop", "shopify", historical=False, test=True)
    narrow = good(WHOLE).triggers[0]
    assert narrow.takes("checkout.created", "main-store", "shopify", historical=True, test=True)
    assert not narrow.takes("checkout.created", "other", "shopify", historical=True, test=True)
    assert not narrow.takes("checkout.created", "main-store", "shopify", historical=False, test=True)


def pair(text: str, name: str) -> tuple[Any, Any]:
    loaded = load_text(text, name, SHELF, ("a.done", "b.done", "c.done"))
    assert loaded.usable, loaded.problems
    return loaded.recipe, loaded.document


def test_recipes_that_run_each_other_for_ever_are_found() -> None:
    one = pair(with_steps("  - emit: b.done\n", "a.done"), "one")
    two = pair(with_steps("  - emit: a.done\n", "b.done"), "two")
    three = pair(with_steps("  - emit: c.done\n", "b.done"), "three")
    assert [str(problem) for problem in check_together([one, two, three], SHELF)] == [
        "one.yaml:4:11: this makes a loop without end: one -> two -> one. Emit an event that none of them takes.",
        "two.yaml:4:11: this makes a loop without end: two -> one -> two. Emit an event that none of them takes.",
    ]
    assert check_together([one, three], SHELF) == []
    (itself,) = check_together([pair(with_steps("  - emit: a.done\n", "a.done"), "self")], SHELF)
    assert "self -> self" in itself.message


def test_a_call_that_sets_off_its_own_event_is_warned_of() -> None:
    tagging = "  - use: store.tag_order\n    with: {order_id: '{{ order.id }}', tags: [a]}\n"
    (warning,) = check_together([pair(with_steps(tagging, "order.updated"), "one")], SHELF)
    assert warning.severity == "warning"
    assert "sets off order.updated" in warning.message
    assert check_together([pair(with_steps(tagging, "order.updated", "once_per: order.id\n"), "one")], SHELF) == []
    named = tagging.replace("store.", "shopify.")
    elsewhere = "{event: order.updated, platform: slack}"
    assert check_together([pair(with_steps(named, elsewhere), "one")], SHELF) == [], "it is set off at another system"


def test_what_happens_once_to_an_order_runs_nothing_again() -> None:
    paying = "  - use: woocommerce.mark_paid\n    with: {id: '{{ order.id }}'}\n"
    assert check_together([pair(with_steps(paying, "order.paid"), "one")], SHELF) == []
    (warning,) = check_together([pair(with_steps(paying, "[order.paid, order.updated]"), "one")], SHELF)
    assert "sets off order.updated" in warning.message


def test_two_recipes_that_make_the_same_thing_are_warned_of() -> None:
    label = "  - use: easypost.buy_label\n    with: {id: a}\n"
    one, two = pair(with_steps(label), "one"), pair(with_steps(label), "two")
    (warning,) = check_together([one, two], SHELF)
    assert str(warning).startswith("two.yaml:4:10: warning: one makes a label for order.paid too.")
    shared = label + "    effect: label\n"
    assert check_together([pair(with_steps(shared), "one"), pair(with_steps(shared), "two")], SHELF) == []
    message = '  - use: slack.post_message\n    with: {channel: "#a", text: a}\n'
    assert check_together([pair(with_steps(message), "one"), pair(with_steps(message), "two")], SHELF) == []


def test_what_the_connected_shops_cannot_do_is_said() -> None:
    tagging = "  - use: store.tag_order\n    with: {order_id: '{{ order.id }}', tags: [a]}\n"

    def said(on: str, **connections: list[str]) -> list[tuple[str, str]]:
        found = check_connections(*pair(with_steps(tagging, on), "one"), SHELF, connections)
        return [(each.severity, each.message) for each in found]

    assert said("order.paid", shopify=["tea"]) == []
    assert said("order.paid", shopify=["tea"], woocommerce=["wool"]) == [], "woocommerce is no shop to this shelf"
    only = "{event: order.paid, connection: wool}"
    assert said(only, shopify=["tea"], woocommerce=["wool"]) == [
        ("error", "no connected shop can tag order: wool: it knows no tags")
    ]
    both = "[{event: order.paid, connection: tea}, {event: order.created, connection: wool}]"
    assert said(both, shopify=["tea"], woocommerce=["wool"]) == [
        ("warning", "not every connected shop can tag order: wool: it knows no tags")
    ]


def test_a_name_is_claimed_once() -> None:
    one = pair(with_steps("  - wait: 1h\n"), "one")
    two = pair(with_steps("  - wait: 1h\n", more="was: [one]\n"), "two")
    (problem,) = check_together([one, two], SHELF)
    assert "the recipe one is or was called 'one' too" in str(problem)


def test_a_call_knows_its_connection() -> None:
    recipe, document = pair(INVOICE, "invoice")
    call = recipe.steps[0].does
    assert connection_of(recipe, call, {"quickbooks": ["books"]}) == "books"
    assert connection_of(recipe, call, {"quickbooks": ["books", "other"]}) is None
    assert check_connections(recipe, document, SHELF, {"quickbooks": ["books"]}) == []
    several = check_connections(recipe, document, SHELF, {"quickbooks": ["books", "other"]})
    assert "quickbooks has several connections, and none is named. Add `connection:` with one of: books, other." in str(
        several[0]
    )
    renamed, place = pair(INVOICE.replace("on: order.paid", "on: {event: order.paid, connection: mian}"), "invoice")
    (unknown,) = check_connections(renamed, place, SHELF, {"quickbooks": ["books"], "shopify": ["main"]})
    assert str(unknown) == "invoice.yaml:3:37: there is no connection 'mian'. Did you mean 'main'?"
    step = INVOICE.replace("  - use: store", "    connection: boks\n  - use: store")
    (strange,) = check_connections(*pair(step, "invoice"), SHELF, {"quickbooks": ["books"]})
    assert "14:17: quickbooks has no connection 'boks'. Did you mean 'books'?" in str(strange)
    (first, _) = check_connections(recipe, document, SHELF, {})
    assert "there is no connection to quickbooks" in str(first)
    named, _ = pair(INVOICE + "connection: {quickbooks: other}\n", "invoice")
    assert connection_of(named, call, {"quickbooks": ["books", "other"]}) == "other"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90m", 5400), ("3d", 259_200), ("1h30m", 5400), ("2w", 1_209_600), ("45s", 45), ("1h 30m", 5400)],
)
def test_durations_say_what_they_mean(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds
    assert parse_duration(say_duration(parse_duration(text))).total_seconds() == seconds


@pytest.mark.parametrize(
    ("said", "chosen", "refused"),
    [
        ("{type: duration, options: [36h, 72h]}", "36h", "2d"),
        ("{type: time, options: ['9:00']}", "09:00", "9:30"),
        ("{type: date, options: ['2026-02-01']}", "2026-02-01", "2026-02-02"),
        ("{type: integer, options: ['1', 3]}", 1, 2),
        ("{type: list, options: [a, b]}", ["b", "a"], ["a", "c"]),
    ],
)
def test_an_option_may_be_chosen_as_it_is_written(said: str, chosen: object, refused: object) -> None:
    recipe = parse_recipe(f"title: T\non: order.paid\ninputs:\n  a: {said}\nsteps:\n  - stop: true\n", "t")
    settled(recipe, {"a": chosen})
    with pytest.raises(ValueError, match="a should be one of"):
        settled(recipe, {"a": refused})


@pytest.mark.parametrize("text", ["", "3", "d", "3 days", "-1h", "1.5h", "999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("next 09:00", "2026-11-22T07:59:00", "2026-11-22T08:00:00"),
        ("next 09:00", "2026-11-22T08:00:00", "2026-11-23T08:00:00"),
        ("monday 08:30", "2026-11-22T12:00:00", "2026-11-23T07:30:00"),
        ("sunday 13:00", "2026-11-22T12:00:00", "2026-11-29T12:00:00"),
        ("next 02:30", "2026-03-28T12:00:00", "2026-03-29T01:30:00"),  # skipped: clocks go from 2 to 3
        ("next 02:30", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),  # comes twice: its first
        ("next 09:00", "2026-03-28T12:00:00", "2026-03-29T07:00:00"),
    ],
)
def test_local_times_are_met_through_clock_changes(text: str, now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert parse_local_time(text).after(moment, BERLIN) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        ("3h", datetime(2026, 11, 22, 15, tzinfo=UTC)),
        ('"{{ inputs.hours }}h"', datetime(2026, 11, 22, 14, tzinfo=UTC)),
        ("{until: next 09:00}", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ('{until: "{{ now | add_days(2) }}"}', datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("{until: \"{{ '2026-12-24' }}\"}", datetime(2026, 12, 23, 23, tzinfo=UTC)),
        ("{until: \"{{ '2026-12-24T10:00:00+02:00' }}\"}", datetime(2026, 12, 24, 8, tzinfo=UTC)),
    ],
)
def test_a_wait_is_over_when_it_says(wait: str, expected: datetime) -> None:
    deed = parse_recipe(with_steps(f"  - wait: {wait}\n"), "a").steps[0].does
    assert isinstance(deed, Wait)
    assert over_at(deed, {"now": NOON, "inputs": {"hours": 2}}, NOON, BERLIN) == expected


FAR = "{until: \"{{ '9999-12-31T23:59:59-05:00' }}\"}"
EMPTY = '{until: "{{ none }}"}'


@pytest.mark.parametrize(
    "wait", ['"{{ now }}"', '"{{ 5 }}"', '{until: "{{ 5 }}"}', "{until: \"{{ 'soon' }}\"}", FAR, EMPTY]
)
def test_a_wait_without_sense_fails_when_it_comes(wait: str) -> None:
    deed = parse_recipe(with_steps(f"  - wait: {wait}\n"), "a").steps[0].does
    assert isinstance(deed, Wait)
    with pytest.raises(EvaluationError, match=r"duration|no time"):
        over_at(deed, {"now": NOON}, NOON, BERLIN)


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("0 9 * * mon-fri", "2026-11-20T12:00:00", "2026-11-23T08:00:00"),
        ("0 9 * * fri-sun", "2026-11-21T12:00:00", "2026-11-22T08:00:00"),
        ("0 9 * * mon-sun", "2026-11-21T12:00:00", "2026-11-22T08:00:00"),
        ("*/15 * * * *", "2026-11-20T12:01:00", "2026-11-20T12:15:00"),
        ("0 0 1 * *", "2026-11-20T12:00:00", "2026-11-30T23:00:00"),
        ("daily", "2026-11-20T12:00:00", "2026-11-20T23:00:00"),
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        ("hourly", "2026-10-25T00:00:00", "2026-10-25T01:00:00"),
        ("*/30 * * * *", "2026-10-25T00:30:00", "2026-10-25T01:00:00"),
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        ("0 12 13 * fri", "2026-11-01T00:00:00", "2026-11-06T11:00:00"),
        ("0 0 29 2 *", "2026-11-01T00:00:00", "2028-02-28T23:00:00"),
    ],
)
def test_schedules_name_local_times(text: str, now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert parse_cron(text).after(moment, BERLIN) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * * * foo", "0 0 31 2 *", "*/0 * * * *", "5-1 * * * *"]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_cron(text)


class Mail(BaseModel):
    to: str = Field(pattern="@")
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_body(self) -> "Mail":
        if (self.text is None) == (self.html is None):
            raise ValueError("give text or html")
        return self


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "{{ order.email }}"}, "give text or html"),
        ({"to": "a@b.de", "headers": {"X-A": "{{ order.id }}"}}, "give text or html"),
        ({"to": "{{ order.email }}", "text": "a", "html": "b"}, "give text or html"),
        ({"to": "{{ order.email }}", "text": "{{ order.note }}", "html": "b"}, None),  # the note may be nothing
        ({"to": "{{ order.email }}", "text": "{{ order.note }}", "html": "{{ order.note }}"}, None),
        ({"to": "{{ order.email }}", "text": "a"}, None),
        ({"to": "nobody"}, None),  # said of the field itself
    ],
)
def test_a_rule_over_all_of_an_input_is_told_where_no_value_could_keep_it(given: object, said: str | None) -> None:
    values = compile_tree(given)
    assert isinstance(values, Mapping)
    assert rule_broken(Mail, values) == said
    assert rule_broken(Post, {}) is None

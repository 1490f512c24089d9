"""What the keys mean that stand inside another key: for editors, as hover texts, and for the reference page."""

from collections.abc import Mapping
from typing import Any

Texts = Mapping[str, str]

TRIGGER: Texts = {
    "event": "The event, or several.",
    "connection": "Only of this connection, by its slug.",
    "platform": "Only of connections of this connector, as `shopify`.",
    "historical": "Whether imported events of the past run it: true (these too), only (none but these) or false.",
    "test": "Whether test events run it: true, only or false.",
}
SCHEDULE: Texts = {
    "schedule": "Five fields of cron, as `0 9 * * mon-fri`; or `hourly`, `daily`, `weekly`, `monthly`.",
    "timezone": "The zone of the schedule's times; the workspace's if not said.",
}
INPUT: Texts = {
    "type": "What kind of value it is.",
    "default": "Its value where a shop sets none.",
    "description": "What it is for, for the shop.",
    "minimum": "The least a number may be, or a text or list may be long.",
    "maximum": "The most.",
    "options": "The only values that it may have.",
    "required": "Whether a shop must set it: true where it has no default.",
}
ONCE: Texts = {
    "value": "An expression; events for which it is the same run the recipe once, those without it each for itself.",
    "within": "After this span the value is free again; never if not said.",
}
AWAITED: Texts = {
    "event": "The event, or several.",
    "where": "Which one: it equates a field of the awaited event with a value of the run, `order.id == run.order.id`.",
    "connection": "Only of this connection, by its slug.",
    "reason": "Why the run is cancelled, in your words.",
    "timeout": "How long to wait at most.",
}
LIMIT: Texts = {
    "per": "An expression; runs for which it is the same share the limit.",
    "at_most": "How many runs may begin to call.",
    "within": "... in any span of this length.",
    "over": "What is too much waits for a free place (defer), or ends (skip).",
}
QUIET: Texts = {
    "from": "When quiet begins, as 21:00.",
    "to": "When it ends.",
    "timezone": "Whose local time: customer (of their address, else the shop's), shop, or a zone as Europe/Berlin.",
}
RETRY: Texts = {
    "attempts": "At most so many tries; the hub's own rule if not said.",
    "within": "... and no longer than this.",
}
WAIT: Texts = {
    "until": "The next such local time, `next 09:00` or `monday 08:30`, or an expression that gives a time.",
    "timezone": "Whose local time: customer, shop (the default), or a zone.",
}
BRANCH: Texts = {"when": "Its steps are taken where this is true.", "steps": "What is done then."}
NOUNS: Texts = {
    "customer": "What to remember of the customer; read later as `customer.attributes.level`, `customer.tags`.",
    "order": "What to remember of the order.",
}
REMEMBER: Texts = {
    "attributes": "Values by name.",
    "add_tags": "Tags that it has from now on.",
    "remove_tags": "Tags that it has no more.",
}
APPROVE: Texts = {"title": "The question.", "message": "What helps to decide."}
STOP: Texts = {"reason": "Why, kept with the run.", "failed": "true: the run counts as failed."}


def told(texts: Texts, properties: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Properties of an object with what each means; what has a description of its own says it after."""
    return {name: {**each, "description": texts[name]} for name, each in properties.items()}

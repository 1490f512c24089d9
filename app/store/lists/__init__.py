"""Lists that people page through: newest first, by keyset, with filters. A cursor is the last id that was shown."""

from app.store.lists.deeds import DeedFilter, audit
from app.store.lists.effects import EffectFilter, effects, numbers
from app.store.lists.events import EVENT_FIELDS, EventFilter, events, stream
from app.store.lists.inbound import (
    RefusedFilter,
    WebhookFilter,
    connection_health,
    rejected,
    webhook_counts,
    webhooks,
)
from app.store.lists.jobs import JobFilter, backtests, replays
from app.store.lists.runs import RunFilter, runs
from app.store.lists.setup import connections, recipe_version, recipe_versions, recipes
from app.store.lists.where import Page, deeds_before, matching, named_before

__all__ = [
    "EVENT_FIELDS",
    "DeedFilter",
    "EffectFilter",
    "EventFilter",
    "JobFilter",
    "Page",
    "RefusedFilter",
    "RunFilter",
    "WebhookFilter",
    "audit",
    "backtests",
    "connection_health",
    "connections",
    "deeds_before",
    "effects",
    "events",
    "matching",
    "named_before",
    "numbers",
    "recipe_version",
    "recipe_versions",
    "recipes",
    "rejected",
    "replays",
    "runs",
    "stream",
    "webhook_counts",
    "webhooks",
]

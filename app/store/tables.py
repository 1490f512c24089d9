"""Every table, once. Migrations under `migrations/` make them; `tests/e2e/test_migrations.py` compares the two.

Partitioned tables are ranged by `at`, the millisecond in their UUIDv7 id, so `id = x and at >= time_of(x)` finds a row
in one partition. Rows of different retention point to each other by id without a foreign key.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.store.kinds import WEBHOOK_STATES

metadata = MetaData()

RUN_STATES = ("running", "waiting", "held", "done", "failed", "cancelled")
STEP_STATES = ("running", "done", "skipped", "failed", "cancelled")
CALL_STATES = ("due", "captured", "done", "skipped", "uncertain", "dead", "cancelled")
ATTEMPT_STATES = ("sending", "ok", "retryable", "unsure", "permanent", "late")
EFFECT_STATES = ("reserved", "done", "uncertain", "released")


def _time(name: str, *, nullable: bool = True, default: bool = False) -> Column[Any]:
    server = text("clock_timestamp()") if default else None
    return Column(name, DateTime(timezone=True), nullable=nullable and not default, server_default=server)


def _id() -> Column[Any]:
    return Column("id", Uuid, nullable=False)


def _workspace() -> Column[Any]:
    return Column("workspace", Text, nullable=False, server_default="main")


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")


def _count(name: str) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default="0")


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, server_default="false")


_SIGNS = r"'[\x01-/\x3a-@\[-`{-\x7f]+'"
"""What is no letter and no digit, of ASCII: names are of any script."""
_PARTITIONED: dict[str, Any] = {"postgresql_partition_by": "RANGE (at)"}


# --- configuration ----------------------------------------------------------------------------------------------

setting = Table(
    "setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    _time("updated_at", default=True),
)

workspace = Table(
    "workspace",
    metadata,
    Column("name", Text, primary_key=True),
    Column("timezone", Text, nullable=False, server_default="UTC"),
    Column("currency", Text),
    Column("locale", Text),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    _time("created_at", default=True),
)

connection = Table(
    "connection",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("slug", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("alias", Text, nullable=False, server_default=""),
    Column("role", Text),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    Column("secrets", LargeBinary, nullable=False),
    Column("credentials", LargeBinary),
    Column("credentials_version", Integer, nullable=False, server_default="0"),
    _time("credentials_expire_at"),
    Column("base_url", Text),
    Column("origin", Text, nullable=False, server_default="api"),
    _flag("paused"),
    _flag("removed"),
    Column("problem", Text),
    _time("probed_at"),
    Column("probe_works", Boolean),
    Column("probe_said", Text),
    _time("authorised_until"),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    Column("history", Text, nullable=False, server_default="unknown"),
    CheckConstraint("role in ('shop', 'payments')", name="role_known"),
    _one_of("history", ("unknown", "complete")),
    UniqueConstraint("workspace", "connector", "account", "alias", name="connection_account"),
    Index("connection_slug", "workspace", "slug", unique=True, postgresql_where=text("not removed")),
)

recipe = Table(
    "recipe",
    metadata,
    _workspace(),
    Column("name", Text, nullable=False),
    Column("version_id", Uuid, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    _flag("paused"),
    _flag("removed"),
    Column("inputs", JSONB, nullable=False, server_default="{}"),
    Column("origin", Text, nullable=False, server_default="api"),
    _time("updated_at", default=True),
    PrimaryKeyConstraint("workspace", "name"),
)

recipe_version = Table(
    "recipe_version",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    _time("created_at", default=True),
    Column("templates", JSONB, nullable=False, server_default="{}"),
    UniqueConstraint("workspace", "name", "number", name="recipe_version_number"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace", Text),
    Column("name", Text, nullable=False, server_default=""),
    Column("prefix", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    Column("connections", ARRAY(Uuid)),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    _time("created_at", default=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workspace", Text),
    Column("actor", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    _time("at", default=True),
    Index("audit_by_time", "workspace", "at"),
    Index("audit_by_actor", "workspace", "actor", "id"),
    Index("audit_by_verb", "workspace", "verb", "id"),
    Index("audit_by_object", "workspace", "object", "id", postgresql_ops={"object": "text_pattern_ops"}),
    Index(
        "audit_by_words",
        text("to_tsvector('simple'::regconfig, regexp_replace(coalesce(object, ''), '[^A-Za-z0-9]+', ' ', 'g'))"),
        postgresql_using="gin",
    ),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("id", Uuid, nullable=False),
    _workspace(),
    Column("request", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    _time("at", default=True),
    _time("locked_until", nullable=False),
    _time("expires_at", nullable=False),
    Index("idempotency_expiring", "expires_at"),
)

# --- what came in -----------------------------------------------------------------------------------------------

webhook = Table(
    "webhook",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("connection_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="due"),
    Column("reason", Text),
    Column("reads", JSONB),
    _flag("test"),
    _count("events"),
    _time("normalised_at"),
    PrimaryKeyConstraint("id", "at"),
    _one_of("state", WEBHOOK_STATES),
    Index("webhook_due", "id", postgresql_where=text("state = 'due'")),
    Index("webhook_by_state", "workspace", "connection_id", "state", "id"),
    Index("webhook_newest", "workspace", "id"),
    Index("webhook_by_topic", "workspace", "topic", "id"),
    Index(
        "webhook_by_reason",
        text("to_tsvector('simple'::regconfig, regexp_replace(coalesce(reason, ''), '[^A-Za-z0-9]+', ' ', 'g'))"),
        postgresql_using="gin",
        postgresql_where=text("state in ('unknown', 'malformed')"),
    ),
    **_PARTITIONED,
)

delivery = Table(
    "delivery",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("webhook_id", Uuid, nullable=False),
    _time("expires_at"),
    Index("delivery_expiring", "expires_at", postgresql_where=text("expires_at is not null")),
)

rejected = Table(
    "rejected",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("slug", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("size", Integer, nullable=False),
    _time("at", default=True),
    Index("rejected_by_slug", "workspace", "slug", "at"),
)

# --- canonical events -------------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("type", Text, nullable=False),
    Column("connection_id", Uuid),
    Column("webhook_id", Uuid),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("subject_connection_id", Uuid),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("version", Text),
    _time("occurred_at", nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    _flag("test"),
    _flag("historical"),
    Column("note", Text),
    Column("echo", Text),
    Column("number", Text),
    Column("email", Text),
    Column("customer_id", Uuid),
    Column("decisions", JSONB, nullable=False, server_default="{}"),
    _flag("waiters_due"),
    Column(
        "written",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text::bigint + stream_offset())"),
    ),
    PrimaryKeyConstraint("id", "at"),
    Index("event_by_subject", "workspace", "subject_id", "subject_kind", "id"),
    Index("event_by_object", "workspace", "object_id", "id", postgresql_where=text("object_id <> subject_id")),
    Index("event_by_number", "workspace", "number", postgresql_where=text("number is not null")),
    Index("event_by_email", "workspace", "email", postgresql_where=text("email is not null")),
    Index("event_by_type", "workspace", "type", "id"),
    Index("event_stream", "workspace", "written", "id"),
    Index("event_newest", "workspace", "id"),
    Index("event_by_connection", "workspace", "connection_id", "id"),
    Index("event_by_both", "workspace", "connection_id", "type", "id"),
    Index("event_test", "workspace", "id", postgresql_where=text("test")),
    Index("event_waiters_due", "id", postgresql_where=text("waiters_due")),
    **_PARTITIONED,
)

event_identity = Table(
    "event_identity",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("event_id", Uuid, nullable=False),
)

object_state = Table(
    "object_state",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _workspace(),
    Column("connection_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("version", Text),
    Column("data", JSONB, nullable=False, server_default="{}"),
    _time("updated_at", default=True),
)

timer = Table(
    "timer",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("kind", Text, nullable=False),
    Column("connection_id", Uuid),
    Column("key", LargeBinary, unique=True),
    Column("data", JSONB, nullable=False, server_default="{}"),
    _time("due_at", nullable=False),
    Index("timer_due", "due_at"),
    Index("timer_reads", "connection_id", "due_at", postgresql_where=text("kind = 'read'")),
)

customer = Table(
    "customer",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("email", Text),
    Column("phone", Text),
    Column("name", Text),
    Column("profile", JSONB, nullable=False, server_default="{}"),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    _count("orders"),
    Column("lifetime", JSONB, nullable=False, server_default="{}"),
    _time("first_order_at"),
    _time("last_order_at"),
    Column("merged_into", Uuid),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    Index("customer_by_email", "workspace", "email"),
    Index("customer_by_phone", "workspace", "phone", postgresql_where=text("phone is not null")),
    Index("customer_newest", "workspace", "id"),
    Index(
        "customer_by_words",
        text(f"to_tsvector('simple'::regconfig, regexp_replace(coalesce(name, ''), {_SIGNS}, ' ', 'g'))"),
        text(f"to_tsvector('simple'::regconfig, regexp_replace(coalesce(email, ''), {_SIGNS}, ' ', 'g'))"),
        postgresql_using="gin",
    ),
)

customer_key = Table(
    "customer_key",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("customer_id", Uuid, nullable=False, index=True),
    Column("kind", Text, nullable=False),
)

customer_order = Table(
    "customer_order",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _workspace(),
    Column("customer_id", Uuid),
    Column("connection_id", Uuid, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("number", Integer),
    Column("currency", Text),
    Column("paid", Numeric),
    Column("refunded", Numeric, nullable=False, server_default="0"),
    _time("ordered_at", nullable=False),
    Index("customer_order_by_customer", "customer_id", "number"),
)

order_link = Table(
    "order_link",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _workspace(),
    Column("connection_id", Uuid, nullable=False),
    Column("order_id", Text, nullable=False),
)

# --- runs -------------------------------------------------------------------------------------------------------

run = Table(
    "run",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("recipe", Text, nullable=False),
    Column("version_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("connection_id", Uuid),
    Column("subject", LargeBinary, nullable=False),
    Column("once_value", Text, nullable=False, server_default=""),
    _count("generation"),
    Column("mode", Text, nullable=False, server_default="live"),
    Column("replay_of", Uuid),
    Column("replay_id", Uuid),
    Column("data", LargeBinary),
    Column("state", Text, nullable=False, server_default="running"),
    Column("reason", Text),
    _time("due_at"),
    _time("ended_at"),
    _time("told_at"),
    PrimaryKeyConstraint("id", "at"),
    _one_of("state", RUN_STATES),
    CheckConstraint("mode in ('live', 'dry')", name="mode_known"),
    Index("run_due", "due_at", postgresql_where=text("due_at is not null")),
    Index("run_by_event", "event_id"),
    Index("run_in_order", "workspace", "recipe", "subject", "event_id", postgresql_where=text("state = 'running'")),
    Index("run_by_recipe", "workspace", "recipe", "id"),
    Index("run_held", "workspace", "recipe", "event_id", postgresql_where=text("state = 'held'")),
    Index("run_newest", "workspace", "id"),
    Index("run_by_connection", "workspace", "connection_id", "id"),
    Index(
        "run_by_state",
        "workspace",
        "state",
        "id",
        postgresql_where=text("state in ('failed', 'cancelled', 'waiting')"),
        postgresql_include=["event_id"],
    ),
    Index(
        "run_by_error",
        text("to_tsvector('simple'::regconfig, regexp_replace(coalesce(reason, ''), '[^A-Za-z0-9]+', ' ', 'g'))"),
        postgresql_using="gin",
        postgresql_where=text("state = 'failed'"),
    ),
    Index("run_by_replay", "replay_id", postgresql_where=text("replay_id is not null")),
    Index(
        "run_untold",
        "workspace",
        "recipe",
        postgresql_where=text("state = 'failed' and (told_at is null or told_at < ended_at)"),
    ),
    **_PARTITIONED,
)

once = Table(
    "once",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    _time("expires_at"),
    Index("once_expiring", "expires_at", postgresql_where=text("expires_at is not null")),
)

step = Table(
    "step",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("run_id", Uuid, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="running"),
    Column("output", JSONB),
    Column("error", Text),
    _time("due_at"),
    _time("ended_at"),
    PrimaryKeyConstraint("id", "at"),
    _one_of("state", STEP_STATES),
    Index("step_by_run", "run_id"),
    **_PARTITIONED,
)

waiter = Table(
    "waiter",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("event_type", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("step", Text),
    Index("waiter_by_value", "workspace", "event_type", "path", "value"),
    Index("waiter_by_run", "run_id"),
)

heard = Table(
    "heard",
    metadata,
    Column("run_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("run_id", "event_id"),
)

place = Table(
    "place",
    metadata,
    Column("key", LargeBinary, nullable=False),
    Column("run_id", Uuid, nullable=False),
    _time("at", nullable=False),
    _time("expires_at", nullable=False),
    PrimaryKeyConstraint("key", "run_id"),
    Index("place_expiring", "expires_at"),
)

remembered = Table(
    "remembered",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _workspace(),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Column("add_tags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("remove_tags", ARRAY(Text), nullable=False, server_default="{}"),
    _time("updated_at", default=True),
)

# --- delivery ---------------------------------------------------------------------------------------------------

call = Table(
    "call",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("connection_id", Uuid, nullable=False),
    Column("run_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("item", Text),
    Column("action", Text, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("effect_key", LargeBinary, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("options", JSONB, nullable=False, server_default="{}"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    _flag("late"),
    Column("state", Text, nullable=False, server_default="due"),
    Column("due_at", DateTime(timezone=True), nullable=False),
    _count("attempts"),
    _count("failures"),
    _flag("unsure"),
    _time("sent_at"),
    Column("output", JSONB),
    Column("error", Text),
    Column("error_kind", Text),
    Column("question", Text),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    _time("lease_until"),
    _time("ended_at"),
    _time("told_at"),
    PrimaryKeyConstraint("id", "at"),
    _one_of("state", CALL_STATES),
    Index("call_untold", "connection_id", postgresql_where=text("state = 'uncertain' and told_at is null")),
    Index(
        "call_due",
        "connection_id",
        text("priority desc"),
        "event_id",
        "id",
        postgresql_where=text("state = 'due' and not late"),
    ),
    Index(
        "call_late",
        "connection_id",
        text("priority desc"),
        "due_at",
        "id",
        postgresql_where=text("state = 'due' and late"),
    ),
    Index("call_open", "connection_id", "subject", postgresql_where=text("state in ('due', 'uncertain')")),
    Index("call_by_run", "run_id"),
    Index("call_by_connection", "connection_id", "id"),
    Index("call_uncertain", "workspace", "id", postgresql_where=text("state = 'uncertain'")),
    Index("call_by_effect", "effect_key", postgresql_where=text("state in ('due', 'uncertain')")),
    Index(
        "call_by_error",
        text("to_tsvector('simple'::regconfig, regexp_replace(coalesce(error, ''), '[^A-Za-z0-9]+', ' ', 'g'))"),
        postgresql_using="gin",
        postgresql_where=text("error is not null"),
    ),
    **_PARTITIONED,
)

echo = Table(
    "echo",
    metadata,
    Column("connection_id", Uuid, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    _time("at", default=True),
    Index("echo_of", "connection_id", "object_id"),
)

attempt = Table(
    "attempt",
    metadata,
    _id(),
    _time("at", nullable=False),
    _workspace(),
    Column("call_id", Uuid, nullable=False),
    Column("connection_id", Uuid, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("requests", LargeBinary),
    Column("response", LargeBinary),
    Column("status", SmallInteger),
    Column("error", Text),
    Column("deadline", DateTime(timezone=True)),
    Column("duration_ms", Integer),
    _time("ended_at"),
    PrimaryKeyConstraint("id", "at"),
    _one_of("state", ATTEMPT_STATES),
    Index("attempt_by_call", "call_id"),
    Index("attempt_sending", "connection_id", postgresql_where=text("state = 'sending'")),
    **_PARTITIONED,
)

effect = Table(
    "effect",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    _workspace(),
    Column("state", Text, nullable=False),
    Column("call_id", Uuid, nullable=False),
    Column("label", Text),
    Column("output", JSONB),
    _flag("doubled"),
    _time("at", default=True),
    _time("ended_at"),
    Column("mark", Text, Computed("case when state in ('uncertain', 'released') then state end", persisted=True)),
    _one_of("state", EFFECT_STATES),
    # By a column of its own, which does not change when an effect is done: such an update touches no index.
    Index("effect_newest", "workspace", "call_id", "key"),
    Index("effect_marked", "workspace", "mark", "call_id", "key", postgresql_where=text("mark is not null")),
)

lane = Table(
    "lane",
    metadata,
    Column("connection_id", Uuid, primary_key=True),
    _workspace(),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    _time("lease_until"),
    _flag("bell"),
    _flag("paused"),
    _flag("halted"),
    Column("state", Text, nullable=False, server_default="open"),
    Column("reason", Text),
    _time("parked_at"),
    _time("resumed_at"),
    _time("probe_at"),
    _count("probes"),
    Column("pauses", JSONB, nullable=False, server_default="{}"),
    Column("windows", JSONB, nullable=False, server_default="{}"),
    CheckConstraint("state in ('open', 'parked')", name="state_known"),
)

replay = Table(
    "replay",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("filter", JSONB, nullable=False, server_default="{}"),
    Column("options", JSONB, nullable=False, server_default="{}"),
    Column("state", Text, nullable=False, server_default="draft"),
    Column("preview", JSONB),
    Column("cursor", Text),
    _count("done"),
    Column("total", Integer),
    Column("report", JSONB, nullable=False, server_default="{}"),
    Column("actor", Text, nullable=False, server_default=""),
    _time("created_at", default=True),
    _time("ended_at"),
    _time("next_at"),
    Index("replay_open", "id", postgresql_where=text("state in ('running', 'previewing')")),
    Index("replay_by_workspace", "workspace", "id"),
)

backtest = Table(
    "backtest",
    metadata,
    Column("id", Uuid, primary_key=True),
    _workspace(),
    Column("recipe", Text, nullable=False),
    Column("wanted", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="queued"),
    _count("events"),
    Column("share", Double, nullable=False, server_default="0"),
    Column("report", JSONB),
    Column("error", Text),
    Column("actor", Text, nullable=False, server_default=""),
    _count("begun"),
    Column("owner", Text),
    _time("created_at", default=True),
    _time("started_at"),
    _time("heard_at"),
    _time("ended_at"),
    Index("backtest_open", "id", postgresql_where=text("state in ('queued', 'running')")),
    Index("backtest_by_workspace", "workspace", "id"),
)

trouble = Table(
    "trouble",
    metadata,
    Column("kind", Text, nullable=False),
    Column("object", Text, nullable=False),
    _workspace(),
    Column("mark", Text),
    _time("told_at"),
    PrimaryKeyConstraint("kind", "object"),
)

suppression = Table(
    "suppression",
    metadata,
    _workspace(),
    Column("key", LargeBinary, nullable=False),
    Column("address", Text),
    Column("reason", Text, nullable=False),
    Column("said", Text),
    Column("since", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    PrimaryKeyConstraint("workspace", "key"),
    Index("suppression_newest", "workspace", "since"),
)

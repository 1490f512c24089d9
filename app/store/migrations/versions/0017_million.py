"""Lists of a million events: each filter, and those that are asked for together, by an index."""

from alembic import op

revision = "0017"
down_revision = "0016"

INDEXES = r"""
create index event_by_both on event (workspace, connection_id, type, id);
create index event_test on event (workspace, id) where test;
create index webhook_by_topic on webhook (workspace, topic, id);
create index webhook_by_reason on webhook using gin (to_tsvector('simple'::regconfig,
    regexp_replace(coalesce(reason, ''), '[^A-Za-z0-9]+', ' ', 'g'))) where state in ('unknown', 'malformed');
create index call_by_connection on call (connection_id, id);
create index audit_by_actor on audit (workspace, actor, id);
create index audit_by_verb on audit (workspace, verb, id);
create index audit_by_object on audit (workspace, object text_pattern_ops, id);
create index audit_by_words on audit using gin (to_tsvector('simple'::regconfig,
    regexp_replace(coalesce(object, ''), '[^A-Za-z0-9]+', ' ', 'g')));
create index customer_newest on customer (workspace, id);
create index customer_by_phone on customer (workspace, phone) where phone is not null;
create index customer_by_words on customer using gin (
    to_tsvector('simple'::regconfig, regexp_replace(coalesce(name, ''), '[\x01-/\x3a-@\[-`{-\x7f]+', ' ', 'g')),
    to_tsvector('simple'::regconfig, regexp_replace(coalesce(email, ''), '[\x01-/\x3a-@\[-`{-\x7f]+', ' ', 'g')));
drop index effect_uncertain;
alter table effect drop column uncertain;
alter table effect add column mark text
    generated always as (case when state in ('uncertain', 'released') then state end) stored;
create index effect_marked on effect (workspace, mark, call_id, key) where mark is not null
"""


def upgrade() -> None:
    for statement in INDEXES.split(";"):
        op.execute(statement)

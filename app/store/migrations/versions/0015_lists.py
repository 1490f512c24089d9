"""Lists that are quick with a million rows, errors found by their words, and a stream of events that skips none."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        "create function stream_offset() returns bigint language sql immutable parallel safe as 'select 0::bigint'"
    )
    op.execute(
        "alter table event add column written bigint not null "
        "default (pg_current_xact_id()::text::bigint + stream_offset())"
    )
    op.execute("create index event_stream on event (workspace, written, id)")
    op.execute("create index event_newest on event (workspace, id)")
    op.execute("create index event_by_connection on event (workspace, connection_id, id)")
    op.execute("create index run_newest on run (workspace, id)")
    op.execute("create index run_by_connection on run (workspace, connection_id, id)")
    op.execute(
        "create index run_by_state on run (workspace, state, id) where state in ('failed', 'cancelled', 'waiting')"
    )
    op.execute("drop index run_failed")
    op.execute(
        "create index run_by_error on run using gin (to_tsvector('simple'::regconfig, "
        "regexp_replace(coalesce(reason, ''), '[^A-Za-z0-9]+', ' ', 'g'))) where state = 'failed'"
    )
    op.execute("create index webhook_newest on webhook (workspace, id)")
    op.execute("create index effect_newest on effect (workspace, call_id, key)")

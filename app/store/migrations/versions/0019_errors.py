"""Effects by their calls' errors, and the events of failed runs, from indexes alone."""

from alembic import op

revision = "0019"
down_revision = "0018"

INDEXES = r"""
create index call_by_error on call using gin (to_tsvector('simple'::regconfig,
    regexp_replace(coalesce(error, ''), '[^A-Za-z0-9]+', ' ', 'g'))) where error is not null;
drop index run_by_state;
create index run_by_state on run (workspace, state, id) include (event_id)
    where state in ('failed', 'cancelled', 'waiting')
"""


def upgrade() -> None:
    for statement in INDEXES.split(";"):
        op.execute(statement)

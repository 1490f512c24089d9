"""Calls of runs that waited have an index of their own: a lane takes them and the others in turn."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("alter table call add column late boolean default 'false' not null")
    op.execute("drop index call_due")
    op.execute(
        "create index call_due on call (connection_id, priority desc, event_id, id) where state = 'due' and not late"
    )
    op.execute("create index call_late on call (connection_id, priority desc, due_at, id) where state = 'due' and late")

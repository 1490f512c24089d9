"""When a lane was opened last is known to every process: the time in which it was parked ages no call."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("alter table lane add column resumed_at timestamptz")

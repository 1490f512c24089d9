"""What an outside system said of when to come back is known to the next owner of a lane."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("alter table lane add column pauses jsonb default '{}' not null")
    op.execute("alter table effect set (fillfactor = 85)")

"""What the rate windows of a lane hold is known to its next owner."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("alter table lane add column windows jsonb default '{}' not null")

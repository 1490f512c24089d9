"""A lane can be paused apart from its connection."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("alter table lane add column halted boolean default 'false' not null")

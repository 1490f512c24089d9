"""What calls are about to change at a store, so that the webhooks which come of it can be told."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("alter table event add column echo text")
    op.execute(
        """create table echo (
            connection_id uuid not null, object_id text not null, action text not null,
            at timestamp with time zone default clock_timestamp() not null)"""
    )
    op.execute("create index echo_of on echo (connection_id, object_id)")

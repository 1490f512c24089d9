"""Answers kept for repeats, declared workspaces, a stream of events that skips none, and indexes for lists."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        """create table idempotency (
            key bytea not null, id uuid not null, workspace text default 'main' not null, request bytea not null,
            answer bytea, at timestamp with time zone default clock_timestamp() not null,
            locked_until timestamp with time zone not null, expires_at timestamp with time zone not null,
            primary key (key))"""
    )
    op.execute("create index idempotency_expiring on idempotency (expires_at)")
    op.execute(
        """insert into workspace (name) select 'main' union select workspace from connection
           union select workspace from recipe union select workspace from api_key where workspace is not null
           on conflict do nothing"""
    )

"""Addresses that are not written to any more."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """create table suppression (
            workspace text default 'main' not null, key bytea not null, address text, reason text not null, said text,
            since timestamp with time zone default now() not null, primary key (workspace, key))"""
    )
    op.execute("create index suppression_newest on suppression (workspace, since)")

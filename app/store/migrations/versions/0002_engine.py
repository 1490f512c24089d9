"""What the engine keeps beside runs: events that came for waiters, places under limits, what `set` remembered."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """create table heard (
            run_id uuid not null, event_id uuid not null, primary key (run_id, event_id))"""
    )
    op.execute(
        """create table place (
            key bytea not null, run_id uuid not null, at timestamp with time zone not null,
            expires_at timestamp with time zone not null, primary key (key, run_id))"""
    )
    op.execute("create index place_expiring on place (expires_at)")
    op.execute(
        """create table remembered (
            key bytea not null, workspace text default 'main' not null, attributes jsonb default '{}' not null,
            add_tags text[] default '{}' not null, remove_tags text[] default '{}' not null,
            updated_at timestamp with time zone default clock_timestamp() not null, primary key (key))"""
    )

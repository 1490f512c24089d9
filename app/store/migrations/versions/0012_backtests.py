"""Backtests as jobs."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """create table backtest (
            id uuid not null, workspace text default 'main' not null, recipe text not null, wanted jsonb not null,
            state text default 'queued' not null, events integer default 0 not null,
            share double precision default 0 not null, report jsonb, error text, actor text default '' not null,
            begun integer default 0 not null, owner text,
            created_at timestamp with time zone default clock_timestamp() not null,
            started_at timestamp with time zone, heard_at timestamp with time zone, ended_at timestamp with time zone,
            primary key (id))"""
    )
    op.execute("create index backtest_open on backtest (id) where state in ('queued', 'running')")
    op.execute("create index backtest_by_workspace on backtest (workspace, id)")

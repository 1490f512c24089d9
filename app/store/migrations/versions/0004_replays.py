"""Replays that pace themselves, troubles that are told once a window, keys that expire found by an index."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("alter table replay add column next_at timestamp with time zone")
    op.execute("drop index replay_open")
    op.execute("create index replay_open on replay (id) where state in ('running', 'previewing')")
    op.execute("create index replay_by_workspace on replay (workspace, id)")
    op.execute("create index run_by_replay on run (replay_id) where replay_id is not null")
    op.execute("create index once_expiring on once (expires_at) where expires_at is not null")
    op.execute("alter table run add column told_at timestamp with time zone")
    op.execute("alter table call add column told_at timestamp with time zone")
    op.execute(
        "create index run_untold on run (workspace, recipe) "
        "where state = 'failed' and (told_at is null or told_at < ended_at)"
    )
    op.execute("create index call_untold on call (connection_id) where state = 'uncertain' and told_at is null")
    op.execute(
        """create table trouble (
            kind text not null, object text not null, workspace text default 'main' not null, mark text,
            told_at timestamp with time zone, primary key (kind, object))"""
    )

"""What people and sweeps look for is found by an index: objects of events, held runs, effects in doubt."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("drop index event_by_subject")
    op.execute("create index event_by_subject on event (workspace, subject_id, subject_kind, id)")
    op.execute("create index event_by_object on event (workspace, object_id, id) where object_id <> subject_id")
    op.execute("create index run_held on run (workspace, recipe, event_id) where state = 'held'")
    op.execute("alter table effect add column uncertain boolean generated always as (state = 'uncertain') stored")
    op.execute("create index effect_uncertain on effect (workspace, call_id, key) where uncertain")

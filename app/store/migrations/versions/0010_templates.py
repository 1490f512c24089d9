"""A recipe version keeps the texts of the templates that it names."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("alter table recipe_version add column templates jsonb default '{}' not null")

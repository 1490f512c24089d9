"""What the last probe of a connection said, and how long its authorisation lasts."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("alter table connection add column probe_said text, add column probe_works boolean")
    op.execute("alter table connection add column authorised_until timestamp with time zone")

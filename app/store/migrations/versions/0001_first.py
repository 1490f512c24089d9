"""The first schema: everything that came in, was decided, was called, and the keys that are kept for ever."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    for statement in Path(__file__).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute("insert into workspace (name) values ('main')")

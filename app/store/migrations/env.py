"""Alembic's door: runs migrations on the connection that `app.store.database.migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from app.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])

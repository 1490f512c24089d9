"""Orders of customers, links between the ids of shops and processors, and whether a connection's past is known."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("alter table connection add column history text not null default 'unknown'")
    op.execute("alter table connection add constraint history_known check (history in ('unknown', 'complete'))")
    op.execute(
        """create table customer_order (
            key bytea not null, workspace text default 'main' not null, customer_id uuid,
            connection_id uuid not null, order_id text not null, number integer, currency text,
            paid numeric, refunded numeric default 0 not null, ordered_at timestamp with time zone not null,
            primary key (key))"""
    )
    op.execute("create index customer_order_by_customer on customer_order (customer_id, number)")
    op.execute(
        """create table order_link (
            key bytea not null, workspace text default 'main' not null, connection_id uuid not null,
            order_id text not null, primary key (key))"""
    )
    op.execute("create index timer_reads on timer (connection_id, due_at) where kind = 'read'")

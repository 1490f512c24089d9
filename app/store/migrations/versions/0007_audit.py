"""The audit log only grows: PostgreSQL itself refuses to change or to remove a row of it."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """create function audit_only_grows() returns trigger language plpgsql as $$
           begin raise exception 'the audit log only grows: % is refused', lower(tg_op)
                 using errcode = 'insufficient_privilege'; end $$"""
    )
    op.execute(
        "create trigger audit_only_grows before update or delete on audit "
        "for each row execute function audit_only_grows()"
    )
    op.execute(
        "create trigger audit_never_emptied before truncate on audit "
        "for each statement execute function audit_only_grows()"
    )
    op.execute("alter table audit enable always trigger audit_only_grows")
    op.execute("alter table audit enable always trigger audit_never_emptied")

"""What a job needs, who is next, and what a worker takes."""

from collections.abc import Sequence
from datetime import UTC

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

HELD = ("jobs", "evaluations", "validations")
NEED = sa.Enum("cpu", "gpu", name="need", native_enum=False, length=16)
#: What a level of priority was worth when this was written; it only orders what is queued at this moment.
LEVEL_SECONDS = 600.0


def upgrade() -> None:
    """Everything queued keeps its order by priority and age; jobs so far ran anywhere, and count as for a CPU."""
    for name in HELD:
        with op.batch_alter_table(name) as table:
            table.drop_index(f"ix_{name}_state_priority_id")
            table.add_column(sa.Column("due", sa.Double(), nullable=False, server_default="0"))
            if name == "jobs":
                table.add_column(sa.Column("need", NEED, nullable=False, server_default="cpu"))
                table.add_column(sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
                table.add_column(sa.Column("slices", sa.Integer(), nullable=False, server_default="1"))
                table.create_index("ix_jobs_state_need_due_id", ["state", "need", "due", "id"])
            else:
                table.create_index(f"ix_{name}_state_due_id", ["state", "due", "id"])
        _line_up(name)
    with op.batch_alter_table("workers") as table:
        table.add_column(sa.Column("queues", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))
        table.add_column(sa.Column("memory_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Priority and age apart again."""
    with op.batch_alter_table("workers") as table:
        table.drop_column("memory_bytes")
        table.drop_column("queues")
    for name in HELD:
        with op.batch_alter_table(name) as table:
            table.drop_index("ix_jobs_state_need_due_id" if name == "jobs" else f"ix_{name}_state_due_id")
            for column in ("slices", "memory_bytes", "need") if name == "jobs" else ():
                table.drop_column(column)
            table.drop_column("due")
            table.create_index(f"ix_{name}_state_priority_id", ["state", "priority", "id"])


def _line_up(name: str) -> None:
    """Give each row that waits its place."""
    columns = [sa.column(column) for column in ("id", "state", "priority", "due")]
    table = sa.table(name, *columns, sa.column("created_at", sa.DateTime(timezone=True)))
    connection = op.get_bind()
    waiting = sa.select(table.c.id, table.c.priority, table.c.created_at).where(table.c.state == "queued")
    for row in connection.execute(waiting).all():
        at = row.created_at if row.created_at.tzinfo else row.created_at.replace(tzinfo=UTC)
        due = at.timestamp() - LEVEL_SECONDS * row.priority
        connection.execute(sa.update(table).where(table.c.id == row.id).values(due=due))

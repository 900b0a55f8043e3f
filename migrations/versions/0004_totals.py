"""Sums that only grow; since when a row waits or is held, its trace; the code that a worker runs."""

import time
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

HELD = ("jobs", "evaluations", "validations")


def upgrade() -> None:
    """What waits or is held already counts from now on."""
    op.create_table(
        "totals",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name="pk_totals"),
    )
    for table in HELD:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("queued_at", sa.Double(), nullable=True))
            batch.add_column(sa.Column("held_since", sa.Double(), nullable=True))
            batch.add_column(sa.Column("traceparent", sa.String(length=55), nullable=True))
        rows = sa.table(table, sa.column("state", sa.String), sa.column("queued_at", sa.Double))
        op.execute(sa.update(rows).where(rows.c.state == "queued").values(queued_at=time.time()))
    with op.batch_alter_table("workers") as batch:
        batch.add_column(sa.Column("version", sa.String(length=64), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("workers") as batch:
        batch.drop_column("version")
    for table in HELD:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("traceparent")
            batch.drop_column("held_since")
            batch.drop_column("queued_at")
    op.drop_table("totals")

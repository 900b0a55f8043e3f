"""Portions of jobs and evaluations, which any worker may do."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

STATE = sa.Enum("queued", "running", "succeeded", "failed", "cancelled", name="state", native_enum=False, length=16)


def upgrade() -> None:
    """Nothing is shared out yet."""
    op.create_table(
        "portions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("what", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("device_kind", sa.String(length=16), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("state", STATE, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("heartbeat", sa.Double(), nullable=True),
        sa.Column("queued_at", sa.Double(), nullable=True),
        sa.Column("held_since", sa.Double(), nullable=True),
        sa.Column("woken_at", sa.Double(), nullable=True),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("worker_pid", sa.Integer(), nullable=True),
        sa.Column("device", sa.String(length=255), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("traceparent", sa.String(length=55), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_portions"),
        sa.UniqueConstraint("key", name="uq_portions_key"),
    )
    op.create_index("ix_portions_state_due_id", "portions", ["state", "due", "id"])
    op.create_index("ix_portions_state_lease_until", "portions", ["state", "lease_until"])
    op.create_table(
        "portion_owners",
        sa.Column("portion_id", sa.String(length=40), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["portion_id"], ["portions.id"], name="fk_portion_owners_portion_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("portion_id", "owner_id", name="pk_portion_owners"),
    )
    op.create_index("ix_portion_owners_owner_id", "portion_owners", ["owner_id"])


def downgrade() -> None:
    """What was shared out is done by its owners again."""
    op.drop_table("portion_owners")
    op.drop_table("portions")

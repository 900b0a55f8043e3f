"""Datasets that are validated by a worker, and uploads that arrive in pieces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

DATASET_STATE = sa.Enum("validating", "ready", "refused", name="datasetstate", native_enum=False, length=16)
STATE = sa.Enum("queued", "running", "succeeded", "failed", "cancelled", name="state", native_enum=False, length=16)


def upgrade() -> None:
    """Every dataset that is there was checked when it came, so it is ready."""
    with op.batch_alter_table("datasets") as table:
        table.add_column(sa.Column("state", DATASET_STATE, nullable=False, server_default="ready"))
        table.add_column(sa.Column("report", sa.JSON(none_as_null=True), nullable=True))
        table.alter_column("digest", existing_type=sa.String(length=64), nullable=True)
        table.alter_column("blob_digest", existing_type=sa.String(length=64), nullable=True)
    with op.batch_alter_table("datasets") as table:
        table.alter_column("state", existing_type=DATASET_STATE, existing_nullable=False, server_default=None)
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.String(length=4096), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires", "uploads", ["expires"])
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_upload_parts_upload_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("upload_id", "number", name="pk_upload_parts"),
    )
    op.create_table(
        "validations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("upload_id", sa.String(length=40), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("heartbeat", sa.Double(), nullable=True),
        sa.Column("woken_at", sa.Double(), nullable=True),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("worker_pid", sa.Integer(), nullable=True),
        sa.Column("device", sa.String(length=255), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_validations_dataset_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_validations_upload_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_validations"),
        sa.UniqueConstraint("dataset_id", name="uq_validations_dataset_id"),
    )
    op.create_index("ix_validations_state_lease_until", "validations", ["state", "lease_until"])
    op.create_index("ix_validations_state_priority_id", "validations", ["state", "priority", "id"])
    op.create_index("ix_validations_upload_id", "validations", ["upload_id"])


def downgrade() -> None:
    """Datasets that are not ready go: the tables before this knew ready ones only."""
    op.drop_table("validations")
    op.drop_table("upload_parts")
    op.drop_table("uploads")
    op.execute(sa.text("DELETE FROM datasets WHERE state <> 'ready'"))
    with op.batch_alter_table("datasets") as table:
        table.alter_column("blob_digest", existing_type=sa.String(length=64), nullable=False)
        table.alter_column("digest", existing_type=sa.String(length=64), nullable=False)
        table.drop_column("report")
        table.drop_column("state")

"""What a key may use, and what it has used of devices each day."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Keys that are there get the limits of the settings."""
    op.create_table(
        "key_usage",
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "day", name="pk_key_usage"),
    )
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("most_jobs", sa.Integer(), nullable=True))
        table.add_column(sa.Column("most_device_seconds", sa.Double(), nullable=True))
        table.add_column(sa.Column("most_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """No key has limits."""
    with op.batch_alter_table("api_keys") as table:
        for column in ("most_bytes", "most_device_seconds", "most_jobs"):
            table.drop_column(column)
    op.drop_table("key_usage")

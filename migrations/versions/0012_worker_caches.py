"""How many bytes each worker keeps of the store."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """A worker tells it with its next sign of life."""
    with op.batch_alter_table("workers") as batch:
        batch.add_column(sa.Column("cache_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Nobody is told any more."""
    with op.batch_alter_table("workers") as batch:
        batch.drop_column("cache_bytes")

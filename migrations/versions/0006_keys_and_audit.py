"""API keys, who asked for what, and the audit log."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

#: What someone asked for. Of what is there already nobody knows who that was.
ASKED_FOR = ("jobs", "evaluations", "datasets", "uploads")


def upgrade() -> None:
    """Make both tables, and a place for the key's id wherever it is counted by."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("secret_digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rotated_from", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_digest", name="uq_api_keys_secret_digest"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=True),
        sa.Column("key_name", sa.String(length=96), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("outcome", sa.Enum("done", "refused", name="outcome", native_enum=False, length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_created_at", "audit_events", ["created_at"])
    for column in ("key_id", "action", "target"):
        op.create_index(f"ix_audit_events_{column}_id", "audit_events", [column, "id"])
    for name in ASKED_FOR:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("key_id", sa.String(length=40), nullable=True))
            table.create_index(f"ix_{name}_key_id", ["key_id"])


def downgrade() -> None:
    """Forget the keys, and who asked."""
    for name in ASKED_FOR:
        with op.batch_alter_table(name) as table:
            table.drop_index(f"ix_{name}_key_id")
            table.drop_column("key_id")
    op.drop_table("audit_events")
    op.drop_table("api_keys")

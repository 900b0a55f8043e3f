"""How Alembic reaches the database: `registry.schema` hands the address over, or `-x url=` gives it by hand."""

from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import TypeDecorator, create_engine

from registry.models import Base


def address() -> str:
    """The database to migrate."""
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise CommandError("no database named; use `python -m registry.schema`, or give alembic `-x url=...`")
    return url


def render_item(kind: str, item: Any, autogen_context: Any) -> str | bool:
    """Write our column types as the plain ones beneath them: a migration must not change when models.py does."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


def run() -> None:
    """Migrate online, in one transaction."""
    engine = create_engine(address())
    try:
        with engine.connect() as connection:
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=connection.dialect.name == "sqlite",  # SQLite cannot alter a table in place
                render_item=render_item,
                compare_type=True,
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()

"""Bringing the tables to this version, and telling whether they are.

`python -m registry.schema` migrates the database that the settings name. Starting many processes at once is safe: they
look at the revision first, and only one of those that find it old migrates.
"""

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Connection, create_engine, func, make_url, select
from sqlalchemy.exc import OperationalError

from registry.settings import Settings

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK_NUMBER = 0x64697374  # "dist": any number will do that nobody else on the server locks
LOCK_SECONDS = 120


def head() -> str | None:
    """The newest revision among this checkout's migrations."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def revision_of(connection: Connection) -> str | None:
    """The revision that the database is at; None when it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def config(url: str) -> Config:
    """Alembic's configuration for this database, for anything that `alembic.command` can do."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["url"] = url  # not a main option: those take % in a password for an interpolation
    return made


def upgrade(url: str, *, revision: str = "head") -> None:
    """Migrate the database to a revision; makes the folder of a SQLite file. Does nothing when it is there already.

    Raises sqlalchemy.exc.OperationalError when it cannot be reached, filelock.Timeout when another migration hangs.
    """
    where = make_url(url)
    if where.get_backend_name() == "sqlite" and where.database:
        Path(where.database).parent.mkdir(parents=True, exist_ok=True)
    if revision == "head" and _is_current(url):
        return
    with _only_one(url):
        command.upgrade(config(url), revision)


def _is_current(url: str) -> bool:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return revision_of(connection) == head()
    finally:
        engine.dispose()


@contextmanager
def _only_one(url: str) -> Generator[None]:
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        # Beside the file, not in a temporary folder: two hosts or containers may share the one and not the other.
        with FileLock(f"{where.database}.migrating", timeout=LOCK_SECONDS):
            yield
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:  # the session-level lock goes with the connection, come what may
            connection.execute(select(func.pg_advisory_lock(LOCK_NUMBER)))
            yield
    finally:
        engine.dispose()


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate the configured database; the process's exit status says whether it worked."""
    parser = argparse.ArgumentParser(prog="python -m registry.schema", description="Migrate the registry's database.")
    parser.add_argument("--json", action="store_true", help="print the database and its revision as JSON")
    given = parser.parse_args(arguments)
    url = Settings().database_url
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        upgrade(url)
    except OperationalError as error:
        sys.stderr.write(f"The registry at {shown} cannot be migrated: {error.orig}\nCheck DISTILLED_DATABASE_URL.\n")
        return 1
    told = json.dumps({"database": shown, "revision": head()})
    sys.stdout.write(f"{told}\n" if given.json else f"The registry at {shown} is at revision {head()}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

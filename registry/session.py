"""Sessions on SQLite or PostgreSQL, one way to read and one way to write.

On SQLite every write transaction starts with BEGIN IMMEDIATE: one that first reads and then writes would otherwise fail
with "database is locked" whenever another writer came between, and no busy timeout helps against that.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, create_engine, event, func, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, DBAPIError, TimeoutError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from registry import errors, schema, totals

BUSY_MILLISECONDS = 5000


class Database:
    """A pool of connections to the registry. Connects on first use, so it can be made before the database is up."""

    def __init__(self, url: str, *, busy_milliseconds: int = BUSY_MILLISECONDS) -> None:
        self._engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"), pool_size=8, max_overflow=40)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", partial(_prepare_sqlite, busy_milliseconds))
            event.listen(self._engine, "begin", _begin_sqlite)
        self._reading = self._engine.execution_options(distilled_write=False, postgresql_readonly=True)
        self._writing = self._engine.execution_options(distilled_write=True)

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the registry and can change nothing.

        Rows that it gave out stay readable after its end. Raises RegistryUnavailable.
        """
        with translated(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """A session that commits at its end, or rolls back everything if an exception leaves the block.

        Keep the block short: on SQLite there is one writer at a time. Raises RegistryUnavailable.
        """
        with translated(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session
            totals.settle(session)

    def revision(self) -> str | None:
        """The revision that the tables are at; None for an empty database. Raises RegistryUnavailable."""
        with translated(), self._reading.connect() as connection:
            return schema.revision_of(connection)

    def is_at_head(self) -> bool:
        """Whether the tables are those of this version of the code. Raises RegistryUnavailable."""
        return self.revision() == schema.head()

    def close(self) -> None:
        """Close the pooled connections; the database may still be used and will connect again."""
        self._engine.dispose()


def lock_word(session: Session, word: str) -> None:
    """Hold a lock named by the word until the transaction ends, so that two cannot look it up and then both insert it.

    SQLite's write transactions exclude one another anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = int.from_bytes(sha256(word.encode()).digest()[:8], signed=True)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def _prepare_sqlite(busy_milliseconds: int, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own; _begin_sqlite does
    cursor = connection.cursor()
    # busy_timeout first: changing the journal mode needs a lock, and another process may be holding it.
    cursor.execute(f"PRAGMA busy_timeout = {busy_milliseconds}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("distilled_write", True)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN DEFERRED")


@contextmanager
def translated() -> Generator[None]:
    """Turn a driver's failure into one of `registry.errors`; leave what is our own mistake as it is."""
    try:
        yield
    except (DataError, OverflowError, UnicodeEncodeError) as error:
        raise errors.InvalidQuery(
            "A value does not fit its column: too large a number, or text that is not text."
        ) from error
    except TimeoutError as error:  # of the pool
        raise errors.RegistryBusy from error
    except DBAPIError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


# By SQLite's error names and PostgreSQL's SQLSTATEs, longest prefix first where one contains another.
MEANINGS: dict[str, type[errors.RegistryUnavailable]] = {
    "SQLITE_FULL": errors.RegistryFull,
    "SQLITE_BUSY": errors.RegistryBusy,
    "SQLITE_LOCKED": errors.RegistryBusy,
    "SQLITE_CANTOPEN": errors.RegistryDown,
    "SQLITE_IOERR": errors.RegistryDown,
    "SQLITE_NOTADB": errors.RegistryDown,
    "53100": errors.RegistryFull,
    "53": errors.RegistryBusy,  # out of memory or connections
    "40": errors.RegistryBusy,  # deadlock, serialisation
    "55P03": errors.RegistryBusy,
    "08": errors.RegistryDown,
    "57P": errors.RegistryDown,  # shutting down, starting up
    "28": errors.RegistryDown,  # wrong user or password
    "3D": errors.RegistryDown,  # no such database
    "42P01": errors.RegistryOutdated,
    "42703": errors.RegistryOutdated,
}


def _meaning(error: DBAPIError) -> errors.RegistryUnavailable | None:
    cause: Any = error.orig
    text = str(cause)
    if "no such table" in text or "no such column" in text:
        return errors.RegistryOutdated()
    code: str = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    for prefix, kind in MEANINGS.items():
        if code.startswith(prefix):
            return kind()
    return errors.RegistryDown() if error.connection_invalidated or "connection" in text else None

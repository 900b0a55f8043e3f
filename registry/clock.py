"""The database's own clock, in epoch seconds: it alone decides when a lease has run out.

Workers on many machines disagree about the time by more than a heartbeat; the database is the one clock they share.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class DatabaseNow(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, as a float with millisecond precision.

    A function, as other kinds of element have no key in the cache of compiled statements: each that asks for the time
    was compiled anew.
    """

    name = "database_now"
    type = Float()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"  # 2440587.5 is the Julian day of 1970-01-01


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(element: DatabaseNow, compiler: SQLCompiler, **kw: Any) -> str:
    # Not now(): that is the transaction's start, and a transaction may have waited for a lock since.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def database_now() -> DatabaseNow:
    """The expression to compare with, or assign to, a lease or heartbeat column."""
    return DatabaseNow()


def utc_now() -> datetime:
    """The time that is shown to people; decides nothing."""
    return datetime.now(UTC)

"""Writes that must not be lost because the database is away for a moment."""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from registry import logs
from registry.errors import RegistryUnavailable
from registry.session import Database

T = TypeVar("T")

#: Waits between tries, in seconds: a quarter of a minute in all, well within a lease.
TRIES_SECONDS = (0.2, 1.0, 3.0, 10.0)


def surely(database: Database, write: Callable[[Session], T]) -> T:
    """Run a write transaction; while the database is away, try again. Raises RegistryUnavailable in the end."""
    for seconds in TRIES_SECONDS:
        try:
            with database.write() as session:
                return write(session)
        except RegistryUnavailable as error:
            logs.get(__name__).warning("a write is tried again", error=str(error), seconds=seconds)
            time.sleep(seconds)
    with database.write() as session:
        return write(session)

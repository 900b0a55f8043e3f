"""`python -m registry.keys_here`: keys made and ended on the server's machine, by whoever may read its settings.

That is how the first key comes into a service that is reached from outside, and the next one where the last was lost.
It speaks to the database that the settings name, and to no service: a running one takes notice within seconds.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from registry import audit, errors, keys
from registry.audit import Who
from registry.models import ApiKey
from registry.scopes import Scope
from registry.session import Database
from registry.settings import Settings

#: What the audit log calls whoever did it.
NAME = "server"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked, and print it as JSON; the process's exit status says whether it worked."""
    given = _parse(arguments)
    database = Database(Settings().database_url)
    try:
        with database.write() as session:
            told = _create(session, given) if given.verb == "create" else _revoke(session, given.id)
    except errors.RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        database.close()
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def _create(session: Session, given: argparse.Namespace) -> dict[str, Any]:
    scopes = [Scope(scope) for scope in given.scope]
    cut = keys.make(session, name=given.name, scopes=scopes, seconds=given.expires_in_seconds)
    audit.note(session, Who(key_id=None, name=NAME, action="key.create"), cut.key.id)
    return {**_shown(cut.key), "secret": cut.secret}


def _revoke(session: Session, key_id: str) -> dict[str, Any]:
    key = keys.revoke(session, key_id)
    audit.note(session, Who(key_id=None, name=NAME, action="key.revoke"), key.id)
    return {**_shown(key), "revoked": True}


def _shown(key: ApiKey) -> dict[str, Any]:
    ends = None if key.expires is None else datetime.fromtimestamp(key.expires, UTC).isoformat()
    return {"id": key.id, "name": key.name, "prefix": key.prefix, "scopes": key.scopes, "expires_at": ends}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m registry.keys_here", description="Make and end keys.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="make a key and print its secret")
    create.add_argument("name")
    create.add_argument("--scope", action="append", choices=[str(scope) for scope in Scope], required=True)
    create.add_argument("--expires-in-seconds", type=float)
    revoke = verbs.add_parser("revoke", help="end a key")
    revoke.add_argument("id")
    given = parser.parse_args(arguments)
    if given.verb == "create" and given.expires_in_seconds is not None and not 0 < given.expires_in_seconds < math.inf:
        create.error("argument --expires-in-seconds: must be above 0")
    return given


if __name__ == "__main__":
    sys.exit(main())

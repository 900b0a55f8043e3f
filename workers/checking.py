"""What the doctor looks at beyond whether a part answers: settings, clocks and versions that let it fail later."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy import func, select, text

from distilled import __version__
from registry import tracing, workers
from registry.clock import database_now
from registry.models import State
from registry.session import Database
from registry.store import Store
from workers.settings import WorkerSettings

#: Clocks that differ by more than this make people misread logs, and sweeps misjudge ages.
SKEW_SECONDS = 5.0
PROBE = "doctor/probe"
LOOPBACK = ("localhost", "::1", "127.")
MIN_CONNECTIONS = 50
API_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: `ok`, `warning` (it works, but look at it) or `fault`; the mend says what to do."""

    name: str
    state: str
    detail: str
    mend: str = ""


def store(settings: WorkerSettings) -> Finding:
    """What is written can be read and deleted, and the store's clock agrees with ours."""
    place, content = Store.open(settings.store_url), os.urandom(32)
    place.put_named(PROBE, content)
    try:
        same = place.get_named(PROBE) == content
        written = next((one.modified.timestamp() for one in place.named("doctor")), time.time())
    finally:
        place.delete_named(PROBE)
    if not same:
        mend = "two services may write to this store, or it caches: give each service a folder or bucket of its own"
        return Finding(name="store", state="fault", detail="does not give back what was written", mend=mend)
    return _clock("store", written, "can be written, read and deleted")


def clock(settings: WorkerSettings) -> Finding:
    """The database's clock, which leases go by, agrees with ours."""
    with _reading(settings) as database, database.read() as session:
        now = session.scalar(select(database_now())) or 0.0
    return _clock("clock", now, "as the database's")


def database_settings(settings: WorkerSettings) -> Finding:
    """PostgreSQL keeps what it was told to keep, and takes as many connections as the processes open."""
    name = "database settings"
    if not settings.database_url.startswith("postgresql"):
        return Finding(name=name, state="ok", detail="a file of this machine")
    with _reading(settings) as database, database.read() as session:
        fsync, most, version = (
            str(session.scalar(text(f"SHOW {one}"))) for one in ("fsync", "max_connections", "server_version")
        )
    detail = f"PostgreSQL {version}, fsync {fsync}, {most} connections"
    if fsync != "on":
        mend = "set fsync = on in postgresql.conf: a power cut may lose accepted jobs"
        return Finding(name=name, state="fault", detail=detail, mend=mend)
    if int(most) < MIN_CONNECTIONS:
        mend = "raise max_connections: each API opens up to 48 and each worker up to 3"
        return Finding(name=name, state="warning", detail=detail, mend=mend)
    return Finding(name=name, state="ok", detail=detail)


def broker_settings(settings: WorkerSettings) -> Finding:
    """Redis does not throw wake-ups away when its memory is full."""
    name = "broker settings"
    if not settings.broker_url.startswith(("redis:", "rediss:")):
        return Finding(name=name, state="ok", detail="nothing to look at")
    with redis.Redis.from_url(settings.broker_url, socket_connect_timeout=2.0) as client:
        try:
            told: Any = client.config_get("maxmemory-policy")
        except redis.ResponseError:  # managed ones do not let it be asked
            return Finding(name=name, state="ok", detail="Redis does not tell its settings; it should not evict")
    policy = told.get("maxmemory-policy", "")
    if policy != "noeviction":
        mend = "set `maxmemory-policy noeviction` in redis.conf: an evicted wake-up or rate limit is gone silently"
        return Finding(name=name, state="fault", detail=f"Redis evicts ({policy})", mend=mend)
    return Finding(name=name, state="ok", detail="Redis does not evict")


def folders(settings: WorkerSettings) -> Finding:
    """The home is its owner's alone, and what is to be written can be."""
    home, data = settings.home.expanduser(), settings.data_dir.expanduser()
    for place in (home, data):
        nearest = next(one for one in (place, *place.parents) if one.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
            mend = f"make it writable for the user of this process (uid {os.getuid()})"
            return Finding(name="folders", state="fault", detail=f"{nearest} cannot be written", mend=mend)
    if home.exists() and home.stat().st_mode & 0o077:
        detail, mend = f"others of this machine can look into {home}", f"chmod 700 {home}"
        return Finding(name="folders", state="warning", detail=detail, mend=mend)
    return Finding(name="folders", state="ok", detail=f"{home} and {data}")


def keys(settings: WorkerSettings) -> Finding:
    """Who listens beyond this machine asks for a key."""
    host = os.environ.get("DISTILLED_HOST", "127.0.0.1")
    if host.startswith(LOOPBACK):
        return Finding(name="keys", state="ok", detail="the API listens on this machine only")
    if not os.environ.get("DISTILLED_API_KEY"):
        mend = "set DISTILLED_API_KEY to a secret of your own: `openssl rand -hex 32`"
        return Finding(name="keys", state="fault", detail=f"DISTILLED_HOST is {host}, and there is no key", mend=mend)
    return Finding(name="keys", state="ok", detail="the API asks for a key")


def leases(settings: WorkerSettings) -> Finding:
    """What silent workers held is given to others: if it is not, nobody sweeps."""
    late = database_now() - 3 * settings.sweep_seconds
    with _reading(settings) as database, database.read() as session:
        left = sum(
            session.scalar(
                select(func.count()).select_from(model).where(model.state == State.RUNNING, model.lease_until < late)
            )
            or 0
            for model in workers.HELD
        )
    if left:
        detail = f"{left} held by workers that have long been silent"
        mend = "start an API or a worker: each of them sweeps; its log says why a sweep fails"
        return Finding(name="leases", state="warning", detail=detail, mend=mend)
    return Finding(name="leases", state="ok", detail="none is left over")


def code(settings: WorkerSettings) -> Finding:
    """Workers and the API run this version."""
    with _reading(settings) as database, database.read() as session:
        found = {f"worker {one.id}": one.version for one in workers.list_workers(session)}
    api = _api_version()
    found |= {} if api is None else {"API": api}
    others = [f"{name}: {version or 'unknown'}" for name, version in found.items() if version != __version__]
    if others:
        mend = "install this version there and start it again: digests name the version that made them"
        return Finding(name="code", state="warning", detail=f"{__version__} here; {', '.join(others)}", mend=mend)
    asked = "" if api else "; no API was asked (DISTILLED_URL)"
    return Finding(name="code", state="ok", detail=f"{__version__} everywhere{asked}")


def traces(settings: WorkerSettings) -> Finding:
    """Where traces are asked for, they can be sent."""
    if not tracing.is_wanted(settings, os.environ):
        return Finding(name="traces", state="ok", detail="not asked for")
    if not tracing.is_installed():
        mend = "pip install '.[tracing]' in the checkout"
        return Finding(name="traces", state="warning", detail="asked for, but not sent", mend=mend)
    return Finding(name="traces", state="ok", detail="sent")


#: Needing the registry or the store to be there.
DEEP: dict[str, Callable[[WorkerSettings], Finding]] = {
    "store": store,
    "clock": clock,
    "database settings": database_settings,
    "broker settings": broker_settings,
    "leases": leases,
    "code": code,
}
SHALLOW: dict[str, Callable[[WorkerSettings], Finding]] = {"folders": folders, "keys": keys, "traces": traces}


def _clock(name: str, theirs: float, well: str) -> Finding:
    skew = theirs - time.time()
    if abs(skew) > SKEW_SECONDS:
        detail = f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
        mend = "set the clocks by NTP (`timedatectl set-ntp true`); leases go by the database's alone"
        return Finding(name=name, state="warning", detail=detail, mend=mend)
    return Finding(name=name, state="ok", detail=well)


def _api_version() -> str | None:
    """What the API that DISTILLED_URL names says it is; None where none answers."""
    url = os.environ.get("DISTILLED_URL", "http://127.0.0.1:8000").rstrip("/")
    if not url.startswith(("http://", "https://")):
        return None
    headers = {"Authorization": f"Bearer {os.environ.get('DISTILLED_API_KEY', '')}"}
    try:
        request = urllib.request.Request(f"{url}/openapi.json", headers=headers)  # noqa: S310 -- the scheme is checked
        with urllib.request.urlopen(request, timeout=API_SECONDS) as answer:  # noqa: S310
            return str(json.load(answer)["info"]["version"])
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _reading(settings: WorkerSettings) -> Generator[Database]:
    database = Database(settings.database_url)
    try:
        yield database
    finally:
        database.close()

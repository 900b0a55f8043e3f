"""Who holds which secret, as the registry said it a few seconds ago, so that a request costs no round trip."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from anyio.to_thread import run_sync

from app.keys.caller import Caller
from registry import keys
from registry.clock import utc_now
from registry.session import Database

#: Secrets that are remembered at a time, wrong ones too.
MOST = 4096
#: A longer one is none of ours, and is not looked up.
LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class _Known:
    caller: Caller | None
    until: float  # by the monotonic clock


class Ring:
    """Answers from memory for at most `seconds`: for so long a key that another replica has revoked still opens here.

    An expiry is kept to the second all the same. Safe in threads. clock: monotonic, in seconds.
    """

    def __init__(self, database: Database, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._seconds, self._clock = database, seconds, clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._any = False
        self._any_until = 0.0
        self._used: dict[str, datetime] = {}

    async def holder(self, secret: str) -> Caller | None:
        """Who holds this secret; None: nobody. Raises RegistryUnavailable."""
        if len(secret) > LONGEST:
            return None
        digest = keys.digest_of(secret)
        known = self._known.get(digest)
        if known is None or known.until <= self._clock():
            known = await run_sync(self._look_up, secret, digest)
        if known.caller is not None and known.caller.key_id is not None:
            with self._lock:
                self._used[known.caller.key_id] = utc_now()
        return known.caller

    async def are_there_keys(self) -> bool:
        """Whether the registry has any key that was not revoked. Raises RegistryUnavailable."""
        if self._any_until <= self._clock():
            await run_sync(self._look_for_any)
        return self._any

    def forget(self) -> None:
        """Ask anew from now on: this process has just changed which keys there are."""
        with self._lock:
            self._known.clear()
            self._any_until = 0.0

    def take_used(self) -> dict[str, datetime]:
        """When keys were used last, by their ids, of those used since this was asked for before."""
        with self._lock:
            taken, self._used = self._used, {}
        return taken

    def _look_up(self, secret: str, digest: str) -> _Known:
        asked = self._clock()  # before the answer: what changes while it is on its way is not remembered for longer
        with self._database.read() as session:
            held = keys.find(session, secret)
        if held is None:
            known = _Known(caller=None, until=asked + self._seconds)
        else:
            seconds = self._seconds if held.seconds is None else min(self._seconds, held.seconds)
            caller = Caller(key_id=held.key_id, name=held.name, scopes=held.scopes)
            known = _Known(caller=caller, until=asked + seconds)
        with self._lock:
            self._known[digest] = known
            self._known.move_to_end(digest)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return known

    def _look_for_any(self) -> None:
        asked = self._clock()
        with self._database.read() as session:
            found = keys.are_there(session)
        with self._lock:
            self._any, self._any_until = found, asked + self._seconds

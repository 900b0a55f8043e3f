"""Pictures of a job on its way: when to look, and a look as a contact sheet in the store."""

import time
from collections.abc import Callable

from distilled.formats.sets import UnsuitableSet
from distilled.formats.sheet import contact_sheet
from registry import jobs, logs
from registry.errors import RegistryError
from registry.jobs import Claim
from registry.session import Database
from registry.store import Store
from workers.distill.events import Look

#: Of a job's time, what its pictures may take: after one that took a second there is none for fifty.
SHARE = 0.02


class Pictures:
    """The pictures of one attempt at one job. every_seconds: the shortest time between two; 0: none are made."""

    def __init__(
        self,
        claim: Claim,
        *,
        database: Database,
        store: Store,
        every_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim, self._database, self._store = claim, database, store
        self._every_seconds, self._clock = every_seconds, clock
        self._next = self._next_last = 0.0
        self.seconds = 0.0  # that they have taken so far

    def take(self, look: Look) -> bool:
        """Make a picture if it is time for one. False: the job is no longer ours.

        The last step's is made earlier than others' would be: it is the one that stays in view. A picture that cannot
        be made or kept is missing, and nothing else.
        """
        began = self._clock()
        if not self._every_seconds or began < (self._next_last if look.step == look.steps else self._next):
            return True
        try:
            return self._make(look)
        except RegistryError as error:
            logs.get(__name__).warning("a picture was not kept", step=look.step, error=str(error))
            return True
        finally:
            ended = self._clock()
            self.seconds += ended - began
            self._next_last = ended + (ended - began) / SHARE
            self._next = max(self._next_last, ended + self._every_seconds)

    def _make(self, look: Look) -> bool:
        claim = self._claim
        content = _sheet(look)
        if content is None:
            self._every_seconds = 0
            return True
        key = f"pictures/{claim.job_id}/{claim.attempt}-{look.step}.png"
        self._store.put_named(key, content)
        with self._database.write() as session:
            gone = jobs.record_picture(
                session, claim.job_id, attempt=claim.attempt, step=look.step, key=key, num_bytes=len(content)
            )
        for old in [key] if gone is None else gone:
            self._store.delete_named(old)
        return gone is not None


def _sheet(look: Look) -> bytes | None:
    """A PNG, a class a row; None of images that are neither grey nor in colours."""
    bytes_KMHWC = look.draw().numpy()
    try:
        return contact_sheet(list(bytes_KMHWC), columns=bytes_KMHWC.shape[1], scale=1)
    except UnsuitableSet:
        return None

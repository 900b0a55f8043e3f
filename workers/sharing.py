"""Sharing out: the work on one job or evaluation in portions, which its owner does one by one and idle workers with it.

The owner never waits while there is something to do: it takes the next portion that nobody has. It waits only for
what others are at, by looking into the registry; what a lost helper had is queued again by the sweep, and is the
owner's next.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from registry import logs, portions
from registry.errors import QueueDown, RegistryError
from registry.models import Portion, State
from registry.portions import PortionClaim, Wanted
from workers.bench import Bench
from workers.writing import surely

#: Whether work is long is judged by the speed of its first so many seconds.
JUDGE_SECONDS = 1.0


class Sharing:
    """The owner's side of one job or evaluation."""

    def __init__(
        self,
        bench: Bench,
        *,
        owner_id: str,
        request_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bench, self._owner_id, self._request_id = bench, owner_id, request_id
        self._clock = clock
        self._began = clock()
        self._offered = False
        self.rows: Mapping[str, Portion] = {}  # by key, as they last were

    @property
    def device_kind(self) -> str:
        """The kind of device that may do the portions."""
        return self._bench.device.partition(":")[0]

    def ensure(self, session: Session, wanted: Sequence[Wanted]) -> None:
        """Write down what is wanted, in the caller's transaction."""
        portions.ensure(
            session,
            self._owner_id,
            wanted,
            device_kind=self.device_kind,
            request_id=self._request_id,
        )

    def turns(self, wanted: Sequence[Wanted]) -> Generator[PortionClaim | None]:
        """The portions that fall to this worker, until all are done by whomever; None while others are at the rest.

        Who takes one does it and calls `finish`; if this is closed before, it goes back. Close it.
        """
        claim: PortionClaim | None = None
        try:
            while True:
                claim = surely(self._bench.database, lambda session: self._claim(session, wanted))
                if claim is None and all(row.state is State.SUCCEEDED for row in self.rows.values()):
                    return
                yield claim
                if claim is None:
                    time.sleep(min(1.0, self._bench.settings.cancel_poll_seconds))
                claim = None
        finally:
            if claim is not None:
                self._release(claim)

    def finish(self, claim: PortionClaim, result: dict[str, Any] | None) -> None:
        """This portion is done. If someone else has it by now, so will they do it, to the same bytes."""
        surely(
            self._bench.database,
            lambda session: portions.finish(session, claim.portion_id, attempt=claim.attempt, result=result),
        )

    def judge(self, done: float) -> None:
        """Told how much of all is done, 0..1: call for help, once, if the rest will take long at this speed."""
        seconds, long = self._clock() - self._began, self._bench.settings.share_seconds
        soon = seconds < JUDGE_SECONDS or done <= 0 or seconds / done - seconds < long
        if self._offered or (soon and seconds < long):
            return
        self._offered = True
        try:
            with self._bench.database.write() as session:
                ids = portions.offer(session, self._owner_id)
            for portion_id in ids:
                self._bench.queue.wake_portion(portion_id)
        except (QueueDown, RegistryError) as error:
            logs.get(__name__).warning("nobody was asked to help; the sweep will", error=str(error))

    def _claim(self, session: Session, wanted: Sequence[Wanted]) -> PortionClaim | None:
        claim = portions.claim(session, self._owner_id, **self._bench.holder)
        if claim is None:
            rows = {row.key: row for row in portions.of(session, self._owner_id)}
            again = [one for one in wanted if one.key not in rows or rows[one.key].state is State.FAILED]
            if again:  # what helpers could not do is done here, so that the error is our own
                self.ensure(session, again)
                claim = portions.claim(session, self._owner_id, **self._bench.holder)
        keys = {one.key for one in wanted}
        self.rows = {row.key: row for row in portions.of(session, self._owner_id) if row.key in keys}
        return claim

    def _release(self, claim: PortionClaim) -> None:
        try:
            with self._bench.database.write() as session:
                portions.release(session, claim.portion_id, attempt=claim.attempt)
        except RegistryError as error:
            logs.get(__name__).warning("a portion was not given back; its lease will run out", error=str(error))

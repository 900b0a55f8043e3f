"""Children that do not let go: their step hangs in code that lets no other thread of theirs run, not even the pulse.

Such a child neither hears that its job is called off nor that it has lost it, and only its end frees the device. The
worker's main process sees both in the registry.
"""

import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress

from registry.workers import Holding

#: A child has a little longer than its own grace, so that as a rule it settles the matter itself.
MARGIN_SECONDS = 0.25
#: So long after it has lost what it held, a child that lives has noticed, or never will.
NOTICE_SECONDS = 10.0


class Hung:
    """Remembers since when each child should have let go."""

    def __init__(self, *, cancel_grace_seconds: float) -> None:
        self._grace_seconds = cancel_grace_seconds + MARGIN_SECONDS
        self._called_off: dict[Holding, float] = {}
        self._held: dict[int, float] = {}

    def look(self, now: float, *, busy: Collection[int], holdings: Sequence[Holding]) -> frozenset[int]:
        """The busy children whose time is up. now: monotonic seconds. holdings: what the registry says they hold."""
        holding = {held.pid for held in holdings}
        self._called_off = {held: self._called_off.get(held, now) for held in holdings if held.called_off}
        self._held = {pid: now if pid in holding else self._held[pid] for pid in busy if pid in holding | {*self._held}}
        late = {held.pid for held, since in self._called_off.items() if now - since >= self._grace_seconds}
        lost = {pid for pid, last in self._held.items() if now - last >= NOTICE_SECONDS}
        return frozenset((late | lost) & frozenset(busy))


def end(pid: int) -> None:
    """Kill a child of this process; one that has just gone by itself is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

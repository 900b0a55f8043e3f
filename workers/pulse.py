"""The thread beside a running task: signs of life, the cancel flag, the stop signal, and the end of a hung step.

The task's own thread looks at `verdict` between two steps and leaves by itself. If it has not left when its grace is
over, the thread settles the matter in the registry and ends the process: only that frees a device in a hung step.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from enum import StrEnum
from types import TracebackType

from registry import logs
from registry.leases import Beat
from workers.stop_signal import StopSignal


class Verdict(StrEnum):
    """Whether the task may go on, and if not, how it is to leave."""

    CONTINUE = "continue"  #: carry on
    CANCEL = "cancel"  #: leave at the next event and report `cancelled`
    STOP = "stop"  #: leave at the next snapshot and give the job back
    LOST = "lost"  #: it is someone else's now: leave at once, write nothing


class Leave(Exception):
    """The task has to be left: no fault of its own, and the verdict says how."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict)


FROM_BEAT = {Beat.CONTINUE: Verdict.CONTINUE, Beat.CANCEL: Verdict.CANCEL, Beat.LOST: Verdict.LOST}


class Pulse:
    """Beats while it is entered: `with Pulse(...) as pulse`.

    `beat` renews the lease; `peek` only looks whether it is held and wanted. Both are called in the pulse's thread.
    `give_up(verdict)` is called there when the grace of a verdict is over, and must end the process.
    """

    def __init__(
        self,
        *,
        beat: Callable[[], Beat],
        peek: Callable[[], Beat],
        give_up: Callable[[Verdict], None],
        stop_signal: StopSignal,
        heartbeat_seconds: float,
        poll_seconds: float,
        lease_seconds: float,
        grace_seconds: Mapping[Verdict, float],
    ) -> None:
        self._beat, self._peek, self._give_up = beat, peek, give_up
        self._stop_signal = stop_signal
        self._heartbeat_seconds = min(heartbeat_seconds, lease_seconds / 3)
        self._poll_seconds = min(poll_seconds, self._heartbeat_seconds)
        self._lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds
        self._ended = threading.Event()
        # In the task's own context: its lines in the log carry the task's ids.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="pulse", daemon=True)
        self._held_until = self._next_beat = self._leave_by = 0.0
        self.verdict = Verdict.CONTINUE

    def __enter__(self) -> "Pulse":
        now = time.monotonic()
        # The claim itself was the first beat.
        self._held_until, self._next_beat = now + self._lease_seconds, now + self._heartbeat_seconds
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._stop_signal.ring()
        self._thread.join()

    def check(self, *, at_snapshot: bool = False) -> None:
        """Raise Leave if this is a point at which the verdict asks the task to leave."""
        if self.verdict in (Verdict.CANCEL, Verdict.LOST) or (at_snapshot and self.verdict is Verdict.STOP):
            raise Leave(self.verdict)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._stop_signal.wait(self._poll_seconds)
            if self._ended.is_set():
                return
            self._turn(time.monotonic())

    def _turn(self, now: float) -> None:
        if self.verdict is not Verdict.LOST:
            self._judge(self._ask(now), now)
        if self.verdict is Verdict.CONTINUE and self._stop_signal.heard:
            self._set(Verdict.STOP, now)
        if self.verdict is not Verdict.CONTINUE and now >= self._leave_by and not self._ended.is_set():
            self._give_up(self.verdict)

    def _ask(self, now: float) -> Beat | None:
        """What the registry says; None while it cannot be asked."""
        try:
            if now < self._next_beat:
                return self._peek()
            answer = self._beat()
        except Exception:
            # Whatever it is, the lease decides: a pulse that dies of a surprise would lose a job that runs well.
            logs.get(__name__).warning("the registry did not take a sign of life", exc_info=True)
            return None
        self._held_until, self._next_beat = now + self._lease_seconds, now + self._heartbeat_seconds
        return answer

    def _judge(self, answer: Beat | None, now: float) -> None:
        if answer is None:
            # Nobody can tell whether the job is still ours, and the lease is over: it may run elsewhere by now.
            answer = Beat.LOST if now >= self._held_until else Beat.CONTINUE
        verdict = FROM_BEAT[answer]
        if verdict is Verdict.LOST or (verdict is Verdict.CANCEL and self.verdict is not Verdict.CANCEL):
            self._set(verdict, now)

    def _set(self, verdict: Verdict, now: float) -> None:
        logs.get(__name__).info("the task is to leave", verdict=str(verdict))
        self._leave_by = now + self._grace_seconds[verdict]
        self.verdict = verdict

"""A leased row as the one who holds it sees it: what evaluations and validations have in common."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sqlalchemy.orm import Session

from registry import portions
from registry.leases import Beat
from registry.models import Evaluation, Portion, State, Validation
from workers.bench import Bench
from workers.pulse import Verdict
from workers.writing import surely


class Life(Protocol):
    """The module of the registry that such a row lives by; each answers whether the row is still the holder's."""

    def beat(
        self, session: Session, row_id: str, /, *, attempt: int, lease_seconds: float, progress: float | None = None
    ) -> Beat:
        """Renew the lease."""
        ...

    def release(self, session: Session, row_id: str, /, *, attempt: int) -> bool:
        """Give it back unfinished."""
        ...

    def lose(self, session: Session, row_id: str, /, *, attempt: int, error: dict[str, Any]) -> bool:
        """Let go of it for a fault that is not its own."""
        ...


class Leaseholder:
    """Holds one row. It has no snapshots: what is given back starts again."""

    def __init__(
        self,
        life: Life,
        model: type[Evaluation] | type[Validation] | type[Portion],
        row_id: str,
        *,
        attempt: int,
        bench: Bench,
    ) -> None:
        self._life, self._model = life, model
        self._id, self._attempt = row_id, attempt
        self.bench = bench
        self.progress = 0.0

    def beat(self) -> Beat:
        """Renew the lease; called in the pulse's thread, as is `peek`."""
        with self.bench.database.write() as session:
            return self._life.beat(
                session,
                self._id,
                attempt=self._attempt,
                lease_seconds=self.bench.settings.lease_seconds,
                progress=self.progress,
            )

    def beat_with_portions(self) -> Beat:
        """The same, and the leases of the portions that this process does itself as their owner."""
        with self.bench.database.write() as session:
            lease_seconds = self.bench.settings.lease_seconds
            portions.renew(session, worker=self.bench.worker, worker_pid=self.bench.pid, lease_seconds=lease_seconds)
            return self._life.beat(
                session, self._id, attempt=self._attempt, lease_seconds=lease_seconds, progress=self.progress
            )

    def peek(self) -> Beat:
        """Look whether the row is still held; writes nothing."""
        with self.bench.database.read() as session:
            row = session.get(self._model, self._id)
            held = row is not None and row.state is State.RUNNING and row.attempt == self._attempt
            return Beat.CONTINUE if held else Beat.LOST

    def leave(self, verdict: Verdict) -> None:
        """Give the row back, if it is still ours to give."""
        if verdict is not Verdict.LOST:
            self.settle(self._life.release)

    def fail(self, failure: Mapping[str, Any]) -> None:
        """End it with a failure, unless it is no longer ours."""
        raise NotImplementedError

    def lose(self, failure: Mapping[str, Any]) -> None:
        """Let go of it for a fault that is not its own, so that it is tried again, unless it is no longer ours."""
        self.settle(self._life.lose, error=dict(failure))

    def settle(self, write: Callable[..., Any], **values: Any) -> Any:
        """Call one of the registry's endings, trying again while the database is away."""
        return surely(self.bench.database, lambda session: write(session, self._id, attempt=self._attempt, **values))

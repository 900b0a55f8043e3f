"""A helper's side of shared work: portions of a job or an evaluation that another worker owns."""

from collections.abc import Mapping
from typing import Any, Protocol

from registry import evaluations, ids, jobs, portions
from registry.models import Portion
from registry.portions import PortionClaim
from workers import sources
from workers.bench import Bench
from workers.distill import loop
from workers.distill.evaluate import Turn
from workers.evaluating import measurement_of
from workers.leaseholder import Leaseholder
from workers.pulse import Leave, Pulse, Verdict
from workers.shelving import shelf_of


class Work(Protocol):
    """What an owner's portions have in common, made ready once for all of them."""

    def do(self, claim: PortionClaim, reporter: "PortionReporter", pulse: Pulse) -> dict[str, Any] | None:
        """Do one; the answer is its result, None where it lies in the store. Raises Leave."""
        ...


class PortionReporter(Leaseholder):
    """A portion as the registry sees it."""

    def __init__(self, claim: PortionClaim, *, bench: Bench) -> None:
        super().__init__(portions, Portion, claim.portion_id, attempt=claim.attempt, bench=bench)
        self.claim = claim

    def fail(self, failure: Mapping[str, Any]) -> None:
        """Leave it to its owner, unless it is no longer ours."""
        self.settle(portions.fail, error=dict(failure))

    def done(self, result: dict[str, Any] | None) -> None:
        """It is done. Raises Leave where it is someone else's now, or nobody's."""
        if not self.settle(portions.finish, result=result):
            raise Leave(Verdict.LOST)


class Helper:
    """Does one owner's portions."""

    def __init__(self, bench: Bench, *, owner_id: str) -> None:
        self._bench, self._owner_id = bench, owner_id
        self._work: Work | None = None

    def do(self, reporter: PortionReporter, pulse: Pulse) -> None:
        """Do the portion that the reporter holds. Raises Leave where it is lost or to be given back."""
        if self._work is None:
            self._work = _work(self._bench, self._owner_id)
        reporter.done(self._work.do(reporter.claim, reporter, pulse))


class _Measuring:
    """Turns of an evaluation."""

    def __init__(self, bench: Bench, evaluation_id: str) -> None:
        with bench.database.read() as session:
            claim = evaluations.describe(session, evaluation_id)
        self._measurement = measurement_of(claim, bench=bench)

    def do(self, claim: PortionClaim, reporter: PortionReporter, pulse: Pulse) -> dict[str, Any] | None:
        turn = Turn(**claim.what)
        taken = 0.0

        def on_step() -> None:
            nonlocal taken
            taken += turn.share
            reporter.progress = min(1.0, taken / turn.steps)
            pulse.check(at_snapshot=True)

        return self._measurement.measure(turn, on_step=on_step)


class _Making:
    """Resources of a job, such as experts."""

    def __init__(self, bench: Bench, job_id: str) -> None:
        with bench.database.read() as session:
            self._recipe = jobs.get(session, job_id).recipe
        self._bench, self._shelf = bench, shelf_of(bench)
        self._real = sources.resolve(self._recipe["dataset"], bench=bench)
        self._base = sources.base(self._recipe.get("base_artifact"), bench=bench)

    def do(self, claim: PortionClaim, reporter: PortionReporter, pulse: Pulse) -> dict[str, Any] | None:
        making = loop.make(
            claim.key, self._recipe, self._real, device=self._bench.device, shelf=self._shelf, base=self._base
        )
        for _ in making:
            pulse.check(at_snapshot=True)
        return None


def _work(bench: Bench, owner_id: str) -> Work:
    return (_Making if ids.is_id(owner_id, kind="job") else _Measuring)(bench, owner_id)

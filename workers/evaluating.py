"""One attempt at one evaluation: an artifact is trained on, measured, and recorded beside its baselines."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from sqlalchemy.orm import Session

from distilled import continuing, knobs
from distilled.manifest import digest_json
from distilled.parametrizations.base import ImageSpace
from registry import evaluations, portions
from registry.evaluations import EvaluationClaim
from registry.leases import Beat
from registry.models import Evaluation, State
from registry.portions import PortionClaim, Wanted
from workers import sources
from workers.bench import Bench
from workers.distill import continual
from workers.distill.data import RealData
from workers.distill.errors import DatasetChanged, DatasetUnavailable
from workers.distill.evaluate import EvaluationConfig, Measurement, Turn
from workers.leaseholder import Leaseholder
from workers.pulse import Leave, Pulse, Verdict
from workers.sharing import Sharing
from workers.writing import surely


class EvaluationReporter(Leaseholder):
    """An evaluation as the registry sees it."""

    def __init__(self, claim: EvaluationClaim, *, bench: Bench) -> None:
        super().__init__(evaluations, Evaluation, claim.evaluation_id, attempt=claim.attempt, bench=bench)
        self.claim = claim

    def beat(self) -> Beat:
        """Renew the lease, and those of the portions that are done here."""
        return self.beat_with_portions()

    def fail(self, failure: Mapping[str, Any]) -> None:
        """End the evaluation as failed, unless it is no longer ours."""
        self.settle(evaluations.fail, error=dict(failure))

    def measure(self, pulse: Pulse) -> None:
        """Do the evaluation, turn by turn, with whoever is idle. Raises Leave where it is lost or to be given back."""
        measurement = measurement_of(self.claim, bench=self.bench)
        sharing = Sharing(
            self.bench,
            owner_id=self.claim.evaluation_id,
            request_id=self.claim.request_id,
        )

        def begin(session: Session) -> tuple[dict[str, Any], list[Turn], list[Wanted]]:
            # Under one lock: a baseline is in the table, or a portion that all share who need it, and never missing.
            portions.lock(session)
            known = evaluations.find_baselines(session, measurement.baseline_keys)
            turns = measurement.turns(known)
            wanted = [_wanted(turn, self.claim, measurement, device_kind=sharing.device_kind) for turn in turns]
            sharing.ensure(session, wanted)
            return known, turns, wanted

        known, turns, wanted = surely(self.bench.database, begin)
        steps = {one.key: turn.steps for one, turn in zip(wanted, turns, strict=True)}
        total = sum(steps.values()) or 1.0
        with closing(sharing.turns(wanted)) as mine:
            for claim in mine:
                done = sum(steps[key] for key, row in sharing.rows.items() if row.state is State.SUCCEEDED)
                self.progress = min(1.0, done / total)
                sharing.judge(self.progress)
                pulse.check(at_snapshot=True)
                if claim is not None:
                    result = self._measure(measurement, claim, pulse, sharing, done=done, total=total)
                    sharing.finish(claim, result)
        measured = [sharing.rows[one.key].result or {} for one in wanted]
        result = measurement.result(turns, measured, baselines=known)
        if self.settle(evaluations.finish, result=result) is None:
            raise Leave(Verdict.LOST)

    def _measure(
        self,
        measurement: Measurement,
        claim: PortionClaim,
        pulse: Pulse,
        sharing: Sharing,
        *,
        done: float,
        total: float,
    ) -> dict[str, Any]:
        turn = Turn(**claim.what)
        taken = 0.0

        def on_step() -> None:
            nonlocal taken
            taken += turn.share
            self.progress = min(1.0, (done + taken) / total)
            sharing.judge(self.progress)
            pulse.check(at_snapshot=True)

        return measurement.measure(turn, on_step=on_step)


def measurement_of(claim: EvaluationClaim, *, bench: Bench) -> Measurement:
    """What is to be measured. Raises DatasetChanged, DatasetUnavailable for what the artifact was made from last."""
    return Measurement(
        sources.content(claim.artifact_digest, bench=bench),
        _real(claim, bench),
        network=claim.network,
        config=knobs.build(EvaluationConfig, claim.config, pointer="/evaluation"),
        seed=claim.seed,
        device=bench.device,
    )


def _wanted(turn: Turn, claim: EvaluationClaim, measurement: Measurement, *, device_kind: str) -> Wanted:
    """A turn as a portion: that of a baseline is any evaluation's that has the same baseline."""
    of = measurement.baseline_keys.get(turn.name) or f"{claim.evaluation_id} {claim.artifact_digest}"
    origin = {"measured": of, "set": turn.name, "start": turn.start, "stop": turn.stop, "device_kind": device_kind}
    return Wanted(key=digest_json(origin), what=turn.to_json())


def _real(claim: EvaluationClaim, bench: Bench) -> RealData:
    """The data that the artifact was made from; of one that continues others, theirs too as far as they are here."""
    *earlier, _ = parts = continuing.parts(claim.header)
    real = sources.resolve(claim.dataset, bench=bench)
    _check_data(claim, real)
    if not earlier:
        return real
    space = ImageSpace.from_json(claim.header["space"], classes=claim.header["classes"])
    data = [*(_earlier(part, bench) for part in earlier), real]
    return continual.joined(space, [part["classes"] for part in parts], data)


def _earlier(part: Mapping[str, Any], bench: Bench) -> RealData | None:
    """A data set that a base was made from; None where it is gone, or is another under its name."""
    try:
        real = sources.resolve(part["name"], bench=bench)
    except DatasetUnavailable:
        return None
    return real if real.digest == part["digest"] else None


def _check_data(claim: EvaluationClaim, real: RealData) -> None:
    """Refuse data that bear the name of what the artifact was made from, and are not the same."""
    if real.digest != claim.dataset_digest:
        raise DatasetChanged(
            f"the artifact was made from {claim.dataset!r} with the digest {claim.dataset_digest}, but "
            f"the data set of this name now has {real.digest}: put the former data back under it, or distil again"
        )

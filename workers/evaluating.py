"""One attempt at one evaluation: an artifact is trained on, measured, and recorded beside its baselines."""

from collections.abc import Mapping
from typing import Any

from distilled import continuing, knobs
from distilled.parametrizations.base import ImageSpace
from registry import evaluations
from registry.evaluations import EvaluationClaim
from registry.models import Evaluation
from workers import sources
from workers.bench import Bench
from workers.distill import continual
from workers.distill import evaluate as measuring
from workers.distill.data import RealData
from workers.distill.errors import DatasetChanged, DatasetUnavailable
from workers.leaseholder import Leaseholder
from workers.pulse import Leave, Pulse, Verdict


class EvaluationReporter(Leaseholder):
    """An evaluation as the registry sees it."""

    def __init__(self, claim: EvaluationClaim, *, bench: Bench) -> None:
        super().__init__(evaluations, Evaluation, claim.evaluation_id, attempt=claim.attempt, bench=bench)
        self.claim = claim

    def fail(self, failure: Mapping[str, Any]) -> None:
        """End the evaluation as failed, unless it is no longer ours."""
        self.settle(evaluations.fail, error=dict(failure))

    def measure(self, pulse: Pulse) -> None:
        """Do the evaluation. Raises Leave where it is lost or to be given back."""
        real = self._real()
        content = sources.content(self.claim.artifact_digest, bench=self.bench)
        config = knobs.build(measuring.EvaluationConfig, self.claim.config, pointer="/evaluation")

        def on_progress(fraction: float) -> None:
            self.progress = fraction
            pulse.check(at_snapshot=True)

        keys = measuring.baseline_keys_of(
            content, real, network=self.claim.network, config=config, seed=self.claim.seed
        )
        with self.bench.database.read() as session:
            baselines = evaluations.find_baselines(session, keys)
        result = measuring.evaluate(
            content,
            real,
            network=self.claim.network,
            config=config,
            seed=self.claim.seed,
            device=self.bench.device,
            baselines=baselines,
            on_progress=on_progress,
        )
        if self.settle(evaluations.finish, result=result) is None:
            raise Leave(Verdict.LOST)

    def _real(self) -> RealData:
        """The data that the artifact was made from; of one that continues others, theirs too as far as they are here.

        Raises DatasetChanged, DatasetUnavailable for what it was made from last.
        """
        *earlier, _ = parts = continuing.parts(self.claim.header)
        real = self._resolved(self.claim.dataset)
        self._check_data(real)
        if not earlier:
            return real
        space = ImageSpace.from_json(self.claim.header["space"], classes=self.claim.header["classes"])
        data = [*(self._earlier(part) for part in earlier), real]
        return continual.joined(space, [part["classes"] for part in parts], data)

    def _earlier(self, part: Mapping[str, Any]) -> RealData | None:
        """A data set that a base was made from; None where it is gone, or is another under its name."""
        try:
            real = self._resolved(part["name"])
        except DatasetUnavailable:
            return None
        return real if real.digest == part["digest"] else None

    def _resolved(self, name: str) -> RealData:
        return sources.resolve(name, bench=self.bench)

    def _check_data(self, real: RealData) -> None:
        """Refuse data that bear the name of what the artifact was made from, and are not the same."""
        if real.digest != self.claim.dataset_digest:
            raise DatasetChanged(
                f"the artifact was made from {self.claim.dataset!r} with the digest {self.claim.dataset_digest}, but "
                f"the data set of this name now has {real.digest}: put the former data back under it, or distil again"
            )

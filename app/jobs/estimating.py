"""What a job will take: from jobs like it that have finished, else a first guess that says that it is one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from app.jobs.schemas import Basis, Estimate, Match
from distilled import device_memory
from distilled.manifest import digest_json
from registry import leases, workers
from registry.jobs import past
from registry.jobs.past import Past
from registry.models import Job, Need

Recipe = Mapping[str, Any]
Facts = Mapping[str, Any]

#: Seconds of a step on two CPU cores, for ten 28 x 28 images: measured for `distribution` and `unrolled` (README), of
#: the same order for the others. Nobody should rely on more than the order of magnitude.
STEP_SECONDS = {
    "distribution": 0.3,
    "gradient": 1.0,
    "trajectory": 1.0,
    "kernel": 0.5,
    "statistics": 0.5,
    "logits": 0.5,
    "unrolled": 0.7,
}
GUESSED_VALUES, GUESSED_IMAGES = 784, 100  # of an image; distilled images from which on a step takes longer
CUDA_SPEEDUP = 20
#: What torch calls the devices of a need.
KINDS = {Need.CPU: "cpu", Need.GPU: "cuda"}
#: The ninetieth percentile of a guess over its median.
GUESS_SPREAD = 10.0
#: So many waiting jobs are estimated one by one; the rest count as their mean.
MOST_AHEAD = 100


@dataclass(frozen=True, kw_only=True)
class Typical:
    """How long jobs like one take, in seconds: the median, the ninetieth percentile, and what they follow from."""

    p50: float
    p90: float
    basis: Basis
    like: Sequence[Past] = ()


@dataclass(kw_only=True)
class Estimator:
    """Estimates over one session; what it has read of the past it reads once."""

    session: Session
    facts_of: Callable[[str], Facts]
    level_seconds: float
    _finished: dict[str, list[Past]] = field(default_factory=dict[str, list[Past]])

    def __post_init__(self) -> None:
        self._live = workers.list_workers(self.session)

    def need(self, recipe: Recipe) -> Need:
        """The kind of device that a recipe runs on: what it asks for; with `auto` a GPU where one is alive, else a CPU.

        However long a CPU will take: who has only that would else wait for ever, and `dry_run` tells the time before.
        """
        if recipe["device"] != "auto":
            return Need(recipe["device"])
        return Need.GPU if self._takers(Need.GPU) else Need.CPU

    def estimate(
        self, recipe: Recipe, *, digest: str, ipc: int, stored_bytes: int, facts: Facts, need: Need
    ) -> Estimate:
        """What a planned recipe will take on a device of this kind, and how long it will wait for one."""
        typical = self.typical(recipe, digest=digest, ipc=ipc, facts=facts, need=need)
        due = leases.place(priority=recipe["priority"], level_seconds=self.level_seconds)
        running, queued, count = past.ahead(self.session, need=need, due=due, limit=MOST_AHEAD)
        measured = [past.device_memory(self.session, one.job_id) for one in typical.like[:5]]
        known = [value for value in measured if value is not None]
        free = self._takers(need)
        guess = device_memory.estimate(recipe, facts, ipc=ipc, stored_bytes=stored_bytes)
        return Estimate(
            need=need,
            bytes=stored_bytes,
            seconds=typical.p50,
            seconds_p90=typical.p90,
            memory_bytes=max(known, default=guess),
            memory_jobs=len(known),
            queue_position=count + 1,
            seconds_ahead=self._seconds_ahead(running, queued, count, free) if free else None,
            basis=typical.basis,
        )

    def typical(self, recipe: Recipe, *, digest: str, ipc: int | None, facts: Facts, need: Need) -> Typical:
        """How long jobs like this take on such a device, by the most alike of those that have finished."""
        kind = KINDS[need]
        found = [one for one in self._past(recipe["dataset"]) if _kind(one.device) == kind]
        alike: dict[Match, Callable[[Past], bool]] = {
            Match.RECIPE: lambda one: one.digest == digest,
            Match.OPTIONS: lambda one: one.ipc == ipc and _options(one.recipe) == _options(recipe),
            Match.IPC: lambda one: one.ipc == ipc and _kinds(one.recipe) == _kinds(recipe),
            Match.METHOD: lambda one: _kinds(one.recipe) == _kinds(recipe),
        }
        for match, is_like in alike.items():
            like = [one for one in found if is_like(one)]
            if like:
                seconds = sorted(one.seconds / one.steps * recipe["steps"] for one in like)
                basis = Basis(jobs=len(like), match=match, devices=[kind])
                return Typical(p50=median(seconds), p90=_percentile(seconds, 0.9), basis=basis, like=like)
        guess = guessed_seconds(recipe, facts, ipc=ipc or 1, kind=kind)
        return Typical(p50=guess, p90=guess * GUESS_SPREAD, basis=Basis(jobs=0, match=Match.GUESS, devices=[kind]))

    def _past(self, dataset: str) -> list[Past]:
        if dataset not in self._finished:
            self._finished[dataset] = past.finished(self.session, dataset=dataset)
        return self._finished[dataset]

    def _takers(self, need: Need) -> int:
        """Live workers that take jobs of this need."""
        return sum(need in worker.queues for worker in self._live)

    def _seconds_ahead(self, running: Sequence[Job], queued: Sequence[Job], count: int, takers: int) -> float:
        """Until one of the `takers` is free for a job behind these. All count alike, and share the work."""
        if not count and len(running) < takers:
            return 0.0
        left = [self._left(job) for job in running]
        waiting = [self._left(job) for job in queued]
        beyond = (count - len(waiting)) * (sum(waiting) / len(waiting)) if waiting else 0.0
        return (sum(left) + sum(waiting) + beyond) / takers

    def _left(self, job: Job) -> float:
        if job.eta_seconds is not None:
            return job.eta_seconds
        facts = self.facts_of(job.dataset)
        typical = self.typical(job.recipe, digest=job.digest, ipc=job.ipc, facts=facts, need=job.need)
        return typical.p50 * (1 - job.progress)


def guessed_seconds(recipe: Recipe, facts: Facts, *, ipc: int, kind: str) -> float:
    """Seconds where no job tells: right in its order of magnitude, if at all."""
    step = STEP_SECONDS.get(recipe["objective"]["kind"], 1.0)
    images = max(1.0, ipc * len(facts["classes"]) / GUESSED_IMAGES)
    values = max(0.1, prod(facts["shape"]) / GUESSED_VALUES)
    seconds = recipe["steps"] * step * images * values
    return seconds / CUDA_SPEEDUP if kind == "cuda" else seconds


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"


def _kinds(recipe: Recipe) -> tuple[Any, ...]:
    slots = [(recipe.get(slot) or {}).get("kind") for slot in ("objective", "parametrization")]
    return (recipe.get("method"), *slots)


def _options(recipe: Recipe) -> str:
    slots = ("method", "objective", "parametrization", "selection", "penalties", "base_artifact")
    return digest_json({slot: recipe.get(slot) for slot in slots})


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank: one of the values, so that a single one is its own percentile."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]

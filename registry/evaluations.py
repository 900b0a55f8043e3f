"""The life of an evaluation: that of a job (lease, heartbeat, fencing token, sweep), but nobody calls it off."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import errors, leases, portions
from registry.clock import database_now, utc_now
from registry.ids import new_id
from registry.leases import Beat, Swept
from registry.models import Artifact, Baseline, Evaluation, Json, State
from registry.session import lock_word


@dataclass(frozen=True, kw_only=True)
class EvaluationClaim:
    """What the holder of an evaluation needs.

    `artifact_digest` is the content's address in the store, `dataset_digest` that of the data it was made from.
    `header` is the manifest inside the file.
    """

    evaluation_id: str
    attempt: int
    artifact_id: str
    artifact_digest: str
    dataset: str
    dataset_digest: str
    header: Json
    network: str
    config: Json
    seed: int
    request_id: str
    traceparent: str | None


def queue(
    session: Session,
    artifact: Artifact,
    *,
    networks: Sequence[str],
    config: Json,
    seed: int,
    request_id: str,
    priority: int = 0,
    key_id: str | None = None,
    due: float | None = None,
) -> list[Evaluation]:
    """The artifact's evaluations on these networks under this config, one for each, in this order.

    What is missing is queued, what has failed is queued again, and all others are as they were. On an artifact that was
    never to be evaluated the first network becomes the one whose accuracy stands for it. `due` is their place in the
    line, by default behind all that is there; `key_id` is who asks. Wake those whose `woken_at` is None after the
    commit.
    """
    # Two that ask at the same time for the same take turns; `artifacts.publish` and `finish` take the same lock.
    session.get_one(Artifact, artifact.id, with_for_update=True, populate_existing=True)
    if artifact.primary_network is None and networks:
        artifact.primary_network = networks[0]
    digest = sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    same = select(Evaluation).where(
        Evaluation.artifact_id == artifact.id, Evaluation.config_digest == digest, Evaluation.network.in_(networks)
    )
    known = {evaluation.network: evaluation for evaluation in session.scalars(same)}
    for network in networks:
        if network in known:
            continue
        known[network] = Evaluation(
            id=new_id("evaluation"),
            artifact_id=artifact.id,
            network=network,
            config=config,
            config_digest=digest,
            seed=seed,
            priority=priority,
            due=database_now() if due is None else due,
            request_id=request_id,
            key_id=key_id,
        )
        session.add(known[network])
    session.flush()
    asked = [known[network] for network in dict.fromkeys(networks)]
    return [retry(session, one.id) if one.state is State.FAILED else one for one in asked]


def get(session: Session, evaluation_id: str) -> Evaluation:
    """The evaluation with this id; raises NotFound."""
    evaluation = session.get(Evaluation, evaluation_id, populate_existing=True)
    if evaluation is None:
        raise errors.NotFound(
            f"There is no evaluation {evaluation_id!r}; the artifact's manifest lists its evaluations."
        )
    return evaluation


def of_artifact(session: Session, artifact_id: str) -> Sequence[Evaluation]:
    """All of an artifact's evaluations, in the order they were asked for."""
    asked = select(Evaluation).where(Evaluation.artifact_id == artifact_id).order_by(Evaluation.id)
    return session.scalars(asked).all()


def standing(session: Session, artifact_ids: Sequence[str]) -> dict[str, Evaluation]:
    """The evaluation whose accuracy stands for each of these artifacts; those that were not measured are absent."""
    theirs = select(Evaluation).join(Artifact, Artifact.id == Evaluation.artifact_id)
    theirs = theirs.where(Artifact.id.in_(artifact_ids), Evaluation.network == Artifact.network)
    measured = session.scalars(theirs.where(Evaluation.state == State.SUCCEEDED).order_by(Evaluation.id.desc()))
    return {evaluation.artifact_id: evaluation for evaluation in measured}  # the first that was asked for comes last


def claim(
    session: Session,
    evaluation_id: str,
    *,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
) -> EvaluationClaim | None:
    """Take this evaluation if it is queued. None: someone else has it, or it has ended."""
    holder = {"worker": worker, "worker_pid": worker_pid, "device": device, "lease_seconds": lease_seconds}
    if not leases.take(session, Evaluation, evaluation_id, **holder):
        return None
    return describe(session, evaluation_id)


def describe(session: Session, evaluation_id: str) -> EvaluationClaim:
    """What its holder knows of it, for who helps. Raises NotFound."""
    evaluation = get(session, evaluation_id)
    artifact = session.get_one(Artifact, evaluation.artifact_id)
    return EvaluationClaim(
        evaluation_id=evaluation.id,
        attempt=evaluation.attempt,
        artifact_id=artifact.id,
        artifact_digest=artifact.digest,
        dataset=artifact.dataset,
        dataset_digest=artifact.header["dataset"]["digest"],
        header=artifact.header,
        network=evaluation.network,
        config=evaluation.config,
        seed=evaluation.seed,
        request_id=evaluation.request_id,
        traceparent=evaluation.traceparent,
    )


def claim_next(
    session: Session,
    *,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
) -> EvaluationClaim | None:
    """Take the next queued evaluation. None: there is none."""
    next_id = leases.next_queued(session, Evaluation)
    if next_id is None:
        return None
    return claim(session, next_id, worker=worker, device=device, lease_seconds=lease_seconds, worker_pid=worker_pid)


def beat(
    session: Session, evaluation_id: str, *, attempt: int, lease_seconds: float, progress: float | None = None
) -> Beat:
    """Renew the lease and report progress 0..1. The answer is CONTINUE, or LOST."""
    return leases.beat(
        session, Evaluation, evaluation_id, attempt=attempt, lease_seconds=lease_seconds, progress=progress
    )


def finish(session: Session, evaluation_id: str, *, attempt: int, result: Json) -> Evaluation | None:
    """Record a result as `workers.distill.evaluate` gives it, its baselines under their keys. None: no longer yours.

    The accuracy is that of the distilled set with hard labels, else with soft ones. That of the first evaluation that
    was asked for on the artifact's primary network becomes the artifact's own: later ones may train otherwise.
    """
    distilled: Json = result["distilled"]
    score: Json = distilled.get("hard") or distilled["soft"]
    values: Json = {
        "state": State.SUCCEEDED,
        "result": result,
        "accuracy": score["mean"],
        "accuracy_std": score["std"],
        "progress": 1.0,
        "ended_at": utc_now(),
    }
    if not leases.let_go(session, Evaluation, evaluation_id, attempt=attempt, values=values):
        return None
    evaluation = get(session, evaluation_id)
    for name, key in result.get("baseline_keys", {}).items():
        put_baseline(session, key, score=result[name])
    artifact = session.get_one(Artifact, evaluation.artifact_id, with_for_update=True, populate_existing=True)
    if evaluation.id == _first(session, artifact):
        artifact.network = evaluation.network
        artifact.accuracy = evaluation.accuracy
        artifact.accuracy_std = evaluation.accuracy_std
    session.flush()
    portions.forget(session, evaluation_id)
    return evaluation


def fail(session: Session, evaluation_id: str, *, attempt: int, error: Json) -> bool:
    """End the evaluation with an error {"code", "title", "detail"}. False: no longer yours."""
    values: Json = {"state": State.FAILED, "error": error, "ended_at": utc_now()}
    if not leases.let_go(session, Evaluation, evaluation_id, attempt=attempt, values=values):
        return False
    portions.forget(session, evaluation_id)
    return True


def release(session: Session, evaluation_id: str, *, attempt: int) -> bool:
    """Give the evaluation back unfinished, without counting a loss. False: no longer yours."""
    return leases.release(session, Evaluation, evaluation_id, attempt=attempt)


def lose(session: Session, evaluation_id: str, *, attempt: int, error: Json) -> bool:
    """End the hold for a fault that is not the evaluation's own: it is tried again. False: no longer yours."""
    return leases.lose(session, Evaluation, evaluation_id, attempt=attempt, error=error)


def retry(session: Session, evaluation_id: str) -> Evaluation:
    """Queue a failed evaluation again. Raises NotFound, or Conflict for one that has not failed."""
    again: Json = {"state": State.QUEUED, "lost": 0, "woken_at": None, "ended_at": None, "error": None, "progress": 0.0}
    again["queued_at"] = database_now()
    again["due"] = database_now()
    queued = leases.write(session, Evaluation, evaluation_id, where=Evaluation.state == State.FAILED, values=again)
    evaluation = get(session, evaluation_id)
    if not queued:
        raise errors.Conflict(f"Evaluation {evaluation_id} is {evaluation.state}; only a failed one can be retried.")
    return evaluation


def sweep(session: Session, *, max_attempts: int, rewake_seconds: float) -> Swept:
    """Queue again what a silent worker held, or fail it at the `max_attempts`-th loss; name what to wake."""
    return leases.sweep(
        session, Evaluation, max_attempts=max_attempts, rewake_seconds=rewake_seconds, error=leases.WORKER_LOST
    )


def woken(session: Session, evaluation_id: str) -> None:
    """Note that a wake-up for this evaluation was sent now."""
    leases.woken(session, Evaluation, [evaluation_id])


def find_baselines(session: Session, keys: Mapping[str, str]) -> dict[str, Json]:
    """name -> score of those baselines that were measured before, of {name: key}."""
    known = {name: session.get(Baseline, key) for name, key in keys.items()}
    return {name: baseline.score for name, baseline in known.items() if baseline is not None}


def put_baseline(session: Session, key: str, *, score: Json) -> None:
    """Keep a baseline for the next evaluation with this key; the first one stays."""
    lock_word(session, f"baseline {key}")
    if session.get(Baseline, key) is None:
        session.add(Baseline(key=key, score=score))
        session.flush()


def _first(session: Session, artifact: Artifact) -> str | None:
    """The id of the first evaluation that was asked for on the artifact's primary network."""
    asked = select(Evaluation.id).where(
        Evaluation.artifact_id == artifact.id, Evaluation.network == artifact.primary_network
    )
    return session.scalar(asked.order_by(Evaluation.id).limit(1))

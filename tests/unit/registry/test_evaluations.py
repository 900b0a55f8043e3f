"""An evaluation's life, which is a job's but for cancelling; baselines; idempotency keys."""

import pytest
from sqlalchemy import update

from registry import artifacts, errors, evaluations, idempotency
from registry.clock import database_now
from registry.jobs import Beat
from registry.models import Evaluation, IdempotencyKey, State
from registry.session import Database
from tests.unit.registry.making import HELD, digest_of, publish, result

SWEEP = {"max_attempts": 2, "rewake_seconds": 30.0}
ERROR = {"code": "diverged", "title": "Diverged", "detail": "The loss is not finite; lower the learning rate."}


@pytest.fixture
def waiting(database: Database) -> str:
    """The id of a queued evaluation, the only one."""
    artifact = publish(database, recipe={"evaluation": {"networks": ["convnet3"], "repeats": 3}, "seed": 7})
    with database.read() as session:
        return evaluations.of_artifact(session, artifact.id)[0].id


def take(database: Database, evaluation_id: str) -> evaluations.EvaluationClaim:
    with database.write() as session:
        held = evaluations.claim(session, evaluation_id, **HELD)
    assert held is not None
    return held


def read(database: Database, evaluation_id: str) -> Evaluation:
    with database.read() as session:
        return evaluations.get(session, evaluation_id)


def expire(database: Database, evaluation_id: str) -> None:
    with database.write() as session:
        session.execute(update(Evaluation).where(Evaluation.id == evaluation_id).values(lease_until=1.0))


def test_a_claim_says_what_to_evaluate_and_is_given_once(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    assert (held.artifact_digest, held.dataset, held.network) == (digest_of("tensors"), "digits", "convnet3")
    assert (held.config, held.seed, held.attempt, held.request_id) == ({"repeats": 3}, 7, 1, "req")
    with database.write() as session:
        assert evaluations.claim(session, waiting, **HELD) is None
        assert evaluations.claim_next(session, **HELD) is None


def test_finish_keeps_the_result_and_its_baselines(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    with database.write() as session:
        beat = evaluations.beat(session, waiting, attempt=held.attempt, lease_seconds=60.0, progress=0.5)
        assert beat is Beat.CONTINUE
        keys = {name: digest_of(f"k {name}") for name in ("random", "centroid", "full")}
        assert evaluations.find_baselines(session, keys) == {}
        done = evaluations.finish(session, waiting, attempt=held.attempt, result=result(None, soft=0.6))
        assert done is not None
        assert (done.state, done.accuracy, done.progress, done.lease_until) == (State.SUCCEEDED, 0.6, 1.0, None)
        kept = evaluations.find_baselines(session, keys)
        assert {name: score["mean"] for name, score in kept.items()} == dict.fromkeys(keys, 0.5)
        evaluations.put_baseline(session, keys["full"], score={})
        assert evaluations.find_baselines(session, keys) == kept
        assert list(evaluations.find_baselines(session, keys | {"random": digest_of("other")})) == ["centroid", "full"]


def test_hard_labels_count_before_soft_ones(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    with database.write() as session:
        done = evaluations.finish(session, waiting, attempt=held.attempt, result=result(0.4, soft=0.6))
    assert done is not None
    assert done.accuracy == 0.4


def add(database: Database, artifact_id: str, *networks: str, repeats: int = 5) -> list[Evaluation]:
    """Ask for networks later on, as the API does."""
    with database.write() as session:
        artifact = artifacts.get(session, artifact_id)
        config = {"repeats": repeats}
        return evaluations.queue(session, artifact, networks=networks, config=config, seed=0, request_id="later")


def test_networks_asked_for_later_are_queued_once(database: Database) -> None:
    artifact = publish(database)  # its recipe asks for convnet3 and mlp, with 5 repeats
    asked = add(database, artifact.id, "vgg11", "mlp")
    again = add(database, artifact.id, "mlp", "vgg11", "mlp")
    assert [one.network for one in asked] == ["vgg11", "mlp"]
    assert [one.id for one in again] == [asked[1].id, asked[0].id]
    assert (asked[0].request_id, asked[1].request_id) == ("later", "req")
    (other,) = add(database, artifact.id, "mlp", repeats=1)
    with database.read() as session:
        rows = evaluations.of_artifact(session, artifact.id)
    assert [one.network for one in rows] == ["convnet3", "mlp", "vgg11", "mlp"]
    assert (rows[-1].id, rows[-1].config) == (other.id, {"repeats": 1})


def test_asking_again_retries_what_failed_and_nothing_else(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    (running,) = add(database, held.artifact_id, "convnet3", repeats=3)
    assert (running.id, running.state) == (waiting, State.RUNNING)
    with database.write() as session:
        evaluations.fail(session, waiting, attempt=held.attempt, error=ERROR)
    (again,) = add(database, held.artifact_id, "convnet3", repeats=3)
    assert (again.id, again.state, again.error, again.woken_at) == (waiting, State.QUEUED, None, None)


def test_the_artifacts_accuracy_is_that_of_the_first_training_asked_for(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    (other,) = add(database, held.artifact_id, "convnet3", repeats=9)
    with database.write() as session:
        evaluations.finish(session, waiting, attempt=held.attempt, result=result(0.6))
    later = take(database, other.id)
    with database.write() as session:
        evaluations.finish(session, other.id, attempt=later.attempt, result=result(0.9))
        artifact = artifacts.get(session, held.artifact_id)
        assert (artifact.network, artifact.accuracy) == ("convnet3", 0.6)
        assert evaluations.standing(session, [artifact.id, "art_x"])[artifact.id].id == waiting
        # Nor is the better one of two trainings what it is found by: the test images would have chosen it.
        assert artifacts.find(session, network="convnet3", min_accuracy=0.7).items == []
        assert artifacts.find(session, network="convnet3", min_accuracy=0.6).items == [artifact]


def test_an_artifact_that_was_never_to_be_evaluated_gets_its_network_later(database: Database) -> None:
    artifact = publish(database, recipe={"evaluation": None})
    assert artifact.primary_network is None
    for evaluation, accuracy in zip(add(database, artifact.id, "mlp", "vgg11"), (0.3, 0.4), strict=True):
        held = take(database, evaluation.id)
        with database.write() as session:
            evaluations.finish(session, evaluation.id, attempt=held.attempt, result=result(accuracy))
    with database.read() as session:
        now = artifacts.get(session, artifact.id)
        (standing,) = evaluations.standing(session, [now.id]).values()
    assert (standing.network, standing.accuracy) == ("mlp", 0.3)
    assert (now.primary_network, now.network, now.accuracy) == ("mlp", "mlp", 0.3)


def test_a_zombie_changes_nothing(database: Database, waiting: str) -> None:
    zombie = take(database, waiting).attempt
    expire(database, waiting)
    with database.write() as session:
        swept = evaluations.sweep(session, **SWEEP)
    assert (swept.requeued, swept.wake) == ([waiting], [waiting])
    take(database, waiting)
    with database.write() as session:
        assert evaluations.beat(session, waiting, attempt=zombie, lease_seconds=60.0) is Beat.LOST
        assert evaluations.finish(session, waiting, attempt=zombie, result=result()) is None
        assert evaluations.fail(session, waiting, attempt=zombie, error=ERROR) is False
        assert evaluations.release(session, waiting, attempt=zombie) is False
    now = read(database, waiting)
    assert (now.state, now.attempt, now.accuracy, now.error) == (State.RUNNING, 2, None, None)


def test_attempts_are_exhausted_and_retry_starts_over(database: Database, waiting: str) -> None:
    for _ in range(2):
        take(database, waiting)
        expire(database, waiting)
        with database.write() as session:
            swept = evaluations.sweep(session, **SWEEP)
    assert swept.failed == [waiting]
    error = read(database, waiting).error
    assert error is not None
    assert error["code"] == "worker_lost"
    with database.write() as session:
        again = evaluations.retry(session, waiting)
        assert (again.state, again.lost, again.error) == (State.QUEUED, 0, None)
        with pytest.raises(errors.Conflict, match="queued"):
            evaluations.retry(session, waiting)
        with pytest.raises(errors.NotFound):
            evaluations.retry(session, "eval_nope")


def test_release_counts_no_loss(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    with database.write() as session:
        assert evaluations.release(session, waiting, attempt=held.attempt) is True
        assert evaluations.sweep(session, **SWEEP).wake == [waiting]
        evaluations.woken(session, waiting)
        assert evaluations.sweep(session, **SWEEP).wake == []
        again = evaluations.claim_next(session, **HELD)
    assert again is not None
    assert (again.attempt, read(database, waiting).lost) == (2, 0)


def test_an_error_is_kept(database: Database, waiting: str) -> None:
    held = take(database, waiting)
    with database.write() as session:
        assert evaluations.fail(session, waiting, attempt=held.attempt, error=ERROR) is True
    assert (read(database, waiting).state, read(database, waiting).error) == (State.FAILED, ERROR)


def test_a_repeated_request_gets_the_first_answer(database: Database) -> None:
    with database.write() as session:
        assert idempotency.begin(session, "k", digest_of("body"), scope="jobs") is None
        idempotency.complete(session, "k", scope="jobs", status=202, headers={"Location": "/x"}, body={"id": "job_1"})
    with database.write() as session:
        again = idempotency.begin(session, "k", digest_of("body"), scope="jobs")
        assert again == idempotency.StoredResponse(status=202, headers={"Location": "/x"}, body={"id": "job_1"})
        with pytest.raises(errors.IdempotencyMismatch):
            idempotency.begin(session, "k", digest_of("other body"), scope="jobs")
        assert idempotency.begin(session, "k", digest_of("body"), scope="elsewhere") is None


def test_an_unanswered_request_is_in_flight_until_it_is_given_up(database: Database) -> None:
    with database.write() as session:
        idempotency.begin(session, "k", digest_of("body"))
    with database.write() as session:
        with pytest.raises(errors.IdempotencyInFlight):
            idempotency.begin(session, "k", digest_of("body"))
        idempotency.abandon(session, "k")
        assert idempotency.begin(session, "k", digest_of("corrected body")) is None


@pytest.mark.parametrize(("age_hours", "answered"), [(0.02, False), (25.0, True)])
def test_keys_of_dead_processes_and_of_yesterday_are_free_again(
    database: Database, age_hours: float, answered: bool
) -> None:
    with database.write() as session:
        idempotency.begin(session, "k", digest_of("body"))
        if answered:
            idempotency.complete(session, "k", status=202, headers={}, body={})
        session.execute(update(IdempotencyKey).values(created=database_now() - age_hours * 3600))
    with database.write() as session:
        assert idempotency.begin(session, "k", digest_of("other")) is None


def test_a_request_that_dies_in_its_transaction_leaves_no_key(database: Database) -> None:
    def die() -> None:
        with database.write() as session:
            idempotency.begin(session, "k", digest_of("body"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    with database.write() as session:
        assert idempotency.begin(session, "k", digest_of("body")) is None

"""The outbox: written with a job's end, claimed by one sender at a time, settled under the claim."""

from typing import Any

from sqlalchemy import update

from registry import aliases, jobs, webhooks
from registry.models import Job, MessageState, WebhookMessage
from registry.session import Database
from tests.unit.registry.making import claim, publish, submit

URL = "https://example.org/hook"


def ended(database: Database, **recipe: Any) -> Job:
    """A job that was called off."""
    job = submit(database, recipe={"webhook": URL, **recipe})
    with database.write() as session:
        return jobs.cancel(session, job.id)


def due(database: Database) -> None:
    with database.write() as session:
        session.execute(update(WebhookMessage).where(WebhookMessage.next_at.is_not(None)).values(next_at=0.0))


def test_a_message_from_submission_to_delivery(database: Database) -> None:
    job = submit(database, recipe={"webhook": URL})
    held = claim(database, job.id)
    with database.write() as session:
        assert [message.state for message in webhooks.of_job(session, job.id)] == [MessageState.WAITING]
        assert not webhooks.is_due(session)
        jobs.fail(session, job.id, attempt=held.attempt, error={"code": "x", "title": "x", "detail": "x"})
    with database.write() as session:
        assert webhooks.is_due(session)
        taken = webhooks.claim_due(session, lease_seconds=60)
        assert taken is not None
        assert (taken.url, taken.attempt, taken.body["type"]) == (URL, 1, "job.failed")
        assert taken.body["data"]["job_id"] == job.id
        assert not webhooks.is_due(session)
        assert webhooks.claim_due(session, lease_seconds=60) is None
    with database.write() as session:
        assert webhooks.delivered(session, taken, status=204)
        assert not webhooks.failed(session, taken, error="too late")
        (message,) = webhooks.of_job(session, job.id)
    assert (message.state, message.status, message.next_at) == (MessageState.DELIVERED, 204, None)
    assert message.ended_at is not None


def test_an_attempt_that_fails_is_followed_by_others_until_the_last(database: Database) -> None:
    job = ended(database)
    for attempt in range(1, len(webhooks.DELAYS_SECONDS) + 2):
        with database.write() as session:
            taken = webhooks.claim_due(session, lease_seconds=60)
            assert taken is not None
            assert taken.attempt == attempt
            assert webhooks.failed(session, taken, error="e" * 1000, status=500)
        due(database)
    with database.read() as session:
        assert not webhooks.is_due(session)
        (message,) = webhooks.of_job(session, job.id)
    assert (message.state, len(message.error or "")) == (MessageState.GIVEN_UP, webhooks.MAX_ERROR)


def test_who_lost_its_claim_settles_nothing(database: Database) -> None:
    ended(database)
    with database.write() as session:
        late = webhooks.claim_due(session, lease_seconds=-1)
        taken = webhooks.claim_due(session, lease_seconds=60)
        assert late is not None
        assert taken is not None
        assert (late.id, late.attempt, taken.attempt) == (taken.id, 1, 2)
        assert not webhooks.delivered(session, late, status=200)
        assert webhooks.delivered(session, taken, status=200)


def test_a_failed_change_tells_nothing(database: Database) -> None:
    """A worker that lost its job cannot end it, and so nobody is told that it ended."""
    job = submit(database, recipe={"webhook": URL})
    held = claim(database, job.id)
    with database.write() as session:
        assert not jobs.fail(session, job.id, attempt=held.attempt + 1, error={})
        assert not webhooks.is_due(session)
        jobs.release(session, job.id, attempt=held.attempt)
        assert not webhooks.is_due(session)


def test_the_same_address_is_told_once_of_one_end(database: Database) -> None:
    job = ended(database)
    with database.write() as session:
        webhooks.subscribe(session, job, url=f"{URL}/other")
        again = jobs.retry(session, job.id, fresh=False)
        webhooks.subscribe(session, again, url=URL)
        jobs.cancel(session, job.id)
        told = sorted(message.url for message in webhooks.of_job(session, job.id))
    assert told == [URL, URL, f"{URL}/other", f"{URL}/other"]


def test_a_names_moves_are_kept(database: Database) -> None:
    first, second = publish(database, "a"), publish(database, "b")
    with database.write() as session:
        aliases.put(session, "best", artifact=first.id)
        aliases.put(session, "best", artifact=second.id)
        aliases.put(session, "best", artifact=second.id)
        aliases.delete(session, "best")
        aliases.put(session, "other", artifact=first.id)
    with database.read() as session:
        page = aliases.history(session, "best", limit=2)
        rest = aliases.history(session, "best", limit=2, cursor=page.next_cursor)
    moves = [(move.from_artifact_id, move.to_artifact_id) for move in [*page.items, *rest.items]]
    assert moves == [(second.id, None), (first.id, second.id), (None, first.id)]

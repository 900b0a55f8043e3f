"""Rows for tests, with everything that a test does not care about filled in."""

from hashlib import sha256
from typing import Any

from sqlalchemy import update

from registry import jobs
from registry.models import Artifact, EventKind, Job
from registry.session import Database

RECIPE: dict[str, Any] = {
    "dataset": "digits",
    "method": "frepo",
    "ipc": 1,
    "seed": 0,
    "evaluation": {"networks": ["convnet3", "mlp"], "repeats": 5},
}
HELD = {"worker": "host:cpu", "device": "cpu", "lease_seconds": 60.0}


def digest_of(text: str) -> str:
    """A digest that looks like a real one."""
    return sha256(text.encode()).hexdigest()


def submit(database: Database, *, recipe: dict[str, Any] | None = None, priority: int = 0, same: str = "a") -> Job:
    """A queued job; jobs with the same `same` have the same digest."""
    with database.write() as session:
        wanted = RECIPE | (recipe or {})
        return jobs.submit(session, recipe=wanted, digest=digest_of(same), request_id="req", priority=priority)


def claim(database: Database, job_id: str, **values: Any) -> jobs.Claim:
    """The claim on a queued job."""
    with database.write() as session:
        claimed = jobs.claim(session, job_id, **(HELD | values))
    assert claimed is not None
    return claimed


def read(database: Database, job_id: str) -> Job:
    """The job as it is now."""
    with database.read() as session:
        return jobs.get(session, job_id)


def set_job(database: Database, job_id: str, **values: object) -> None:
    """Write columns of a job behind the state machine's back."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def states_told(database: Database, job_id: str) -> list[str]:
    """The states that the job's events tell, in order."""
    with database.read() as session:
        return [event.data["state"] for event in jobs.events(session, job_id, kinds=[EventKind.STATE])]


def publication(
    content: str = "tensors",
    *,
    dataset: str = "digits",
    classes: tuple[str, ...] = ("zero", "one"),
    ipc: int | None = 1,
    num_bytes: int = 1000,
    kind: str = "images",
    train_images: int | None = 200,
) -> jobs.Publication:
    """A finished artifact; equal contents have equal digests."""
    header = {
        "format": 1,
        "kind": kind,
        "classes": list(classes),
        "dataset": {"name": dataset, "digest": digest_of(dataset), "licence": "BSD-3-Clause"},
        "ipc": ipc,
        "seed": 0,
        "code_version": "test",
    }
    return jobs.Publication(
        digest=digest_of(content),
        content_bytes=num_bytes,
        payload_bytes=num_bytes - 100,
        kind=kind,
        header=header,
        preview_digest=digest_of(content + "preview"),
        preview_bytes=10,
        train_images=train_images,
    )


def publish(
    database: Database, content: str = "tensors", *, recipe: dict[str, Any] | None = None, **facts: Any
) -> Artifact:
    """An artifact, made by a job of its own."""
    job = submit(database, recipe=recipe)
    claimed = claim(database, job.id)
    with database.write() as session:
        made = publication(content, **facts)
        artifact = jobs.finish(session, job.id, attempt=claimed.attempt, publication=made)
    assert artifact is not None
    return artifact


def result(hard: float | None = 0.8, *, soft: float | None = None, key: str = "k") -> dict[str, Any]:
    """What an evaluation reports."""
    distilled = {
        name: {"mean": mean, "std": 0.01} for name, mean in (("hard", hard), ("soft", soft)) if mean is not None
    }
    baselines = {name: {"mean": 0.5, "std": 0.1, "values": [0.5]} for name in ("random", "centroid", "full")}
    return {
        "network": "convnet3",
        "distilled": distilled,
        "baseline_keys": {name: digest_of(f"{key} {name}") for name in baselines},
        **baselines,
    }

"""Following a job on the screen: a bar with step, loss, speed and remaining time, then its evaluations."""

from typing import TYPE_CHECKING

from distilled.bars import JobBar
from distilled.cli.exits import Exit
from distilled.cli.results import quickstart_lines, show_evaluations
from distilled.cli.screen import Screen
from distilled.cli.session import Session

if TYPE_CHECKING:
    from distilled.client import Artifact, Event, Job

_LEAST_POLL_SECONDS = 0.5


def watch_job(session: Session, job_id: str, *, evaluations: bool) -> tuple["Job", "Artifact | None"]:
    """Follow a job, and then its artifact's evaluations. With JSON, each event is a line."""
    screen, client = session.screen, session.client
    bar = JobBar(screen.err, disable=screen.as_json)

    def on_event(event: "Event") -> None:
        screen.line({"id": event.id, "event": event.kind.value, "data": event.data})
        bar.on_event(event)

    artifact: Artifact | None = None
    with bar.progress:
        job = client.wait(job_id, on_event=on_event, progress=False)
        if job.artifact_id:
            if evaluations:
                artifact = client.wait_for_evaluations(
                    job.artifact_id, on_change=bar.on_artifact, poll_seconds=_LEAST_POLL_SECONDS
                )
            else:
                artifact = client.artifact(job.artifact_id)
    screen.line({"event": "job", "data": job.document})
    if artifact is not None:
        screen.line({"event": "artifact", "data": artifact.document})
    return job, artifact


def watch_evaluations(session: Session, artifact: str) -> "Artifact":
    """Follow all of an artifact's evaluations to their end, with a bar for each."""
    bar = JobBar(session.screen.err, disable=session.screen.as_json)
    with bar.progress:
        return session.client.wait_for_evaluations(
            artifact, on_change=bar.on_artifact, poll_seconds=_LEAST_POLL_SECONDS
        )


def conclude(session: Session, job: "Job", artifact: "Artifact | None", *, keyed: bool) -> Exit:
    """Say how it ended; for people, with the table of accuracies and what to paste next."""
    screen, url = session.screen, session.client.url
    if artifact is None:
        error = job.error or {}
        why = ": ".join(str(error[part]) for part in ("title", "detail") if error.get(part))
        screen.say(f"{job.id} {job.state}{': ' if why else ''}{why}")
        return Exit.FAILED
    show_evaluations(screen, artifact)
    say_where(screen, artifact, url=url, keyed=keyed)
    return Exit.OK


def say_where(screen: Screen, artifact: "Artifact", *, url: str, keyed: bool) -> None:
    """The artifact's addresses, and a line each of curl, Python and CLI."""
    screen.say("")
    screen.say(f"artifact  {artifact.id}  ({artifact.bytes:,} bytes, sha256 {artifact.digest})")
    screen.say(f"manifest  {url}/v1/artifacts/{artifact.id}")
    screen.say(f"pictures  {url}/v1/artifacts/{artifact.id}/preview.png")
    screen.say(f"gallery   {url}/")
    screen.say("")
    for name, line in quickstart_lines(artifact, url, keyed=keyed):
        screen.say(f"{name + ':':<8}{line}")

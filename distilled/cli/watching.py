"""Following a job on the screen: a bar with step, loss, speed and remaining time, then its evaluations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
from rich.text import Text

from distilled.cli.exits import Exit
from distilled.cli.results import quickstart_lines, show_evaluations
from distilled.cli.screen import Screen
from distilled.cli.session import Session

if TYPE_CHECKING:
    from distilled.client import Artifact, Event, Job

_LEAST_POLL_SECONDS = 0.5


class _Facts(TextColumn):
    """Step, loss, speed and ETA: those that are known."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("facts", "")), no_wrap=True)


class JobBar:
    """The bar of one job. It is told events, and draws on stderr."""

    def __init__(self, screen: Screen) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            _Facts(),
            console=screen.err,
            disable=screen.as_json,
        )
        self._tasks: dict[str, Any] = {}

    def show(self, name: str, *, description: str, done: float, facts: str | None = None) -> None:
        """Draw `done` (0..1) for what is called `name`, on a line of its own. Without new facts the old ones stay."""
        if name not in self._tasks:
            self._tasks[name] = self.progress.add_task(description, total=1.0)
        self.progress.update(self._tasks[name], description=description, completed=done)
        if facts is not None:
            self.progress.update(self._tasks[name], facts=facts)

    def on_event(self, event: "Event") -> None:
        data = event.data
        if event.kind == "log":
            self.progress.console.print(str(data.get("message", "")), markup=False, style="dim")
        elif event.kind == "preparing":
            done, total = data.get("done") or 0, data.get("total") or 1
            self.show("job", description=str(data.get("what", "preparing")), done=done / total, facts=f"{done}/{total}")
        elif event.kind == "progress":
            steps = data.get("steps") or 0
            done = (data.get("step") or 0) / steps if steps else float(data.get("progress") or 0.0)
            self.show("job", description="running", done=done, facts=facts_of(data))
        elif event.kind == "state":
            state = str(data.get("state", ""))
            if state != "running" or "job" not in self._tasks:
                self.show("job", description=state, done=1.0 if state == "succeeded" else 0.0)

    def on_artifact(self, artifact: "Artifact") -> None:
        for evaluation in artifact.evaluations:
            state = str(evaluation.get("state", ""))
            done = 1.0 if state == "succeeded" else float(evaluation.get("progress") or 0.0)
            network = str(evaluation.get("network", ""))
            description = "evaluated" if state == "succeeded" else "evaluating" if state == "running" else state
            self.show(f"network {network}", description=description, done=done, facts=network)


def facts_of(data: Mapping[str, Any]) -> str:
    """`step 120/500  loss 0.0312  850 images/s  ETA 0:12` of a progress event."""
    parts: list[str] = []
    if data.get("step") is not None:
        parts.append(f"step {data['step']}/{data.get('steps') or '?'}")
    if data.get("loss") is not None:
        parts.append(f"loss {float(data['loss']):.4g}")
    if data.get("images_per_second"):
        parts.append(f"{float(data['images_per_second']):,.0f} images/s")
    if data.get("eta_seconds") is not None:
        seconds = round(float(data["eta_seconds"]))
        clock = f"{seconds // 60 % 60:02}:{seconds % 60:02}"
        parts.append(f"ETA {seconds // 3600}:{clock}" if seconds >= 3600 else f"ETA {clock}")
    return "  ".join(parts)


def watch_job(session: Session, job_id: str, *, evaluations: bool) -> tuple["Job", "Artifact | None"]:
    """Follow a job, and then its artifact's evaluations. With JSON, each event is a line."""
    screen, client = session.screen, session.client
    bar = JobBar(screen)

    def on_event(event: "Event") -> None:
        screen.line({"id": event.id, "event": event.kind.value, "data": event.data})
        bar.on_event(event)

    artifact: Artifact | None = None
    with bar.progress:
        job = client.wait(job_id, on_event=on_event)
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
    bar = JobBar(session.screen)
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

"""Progress bars on stderr, for those who watch: nothing is drawn where nobody does, as in a file or a pipe."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from distilled.client import Artifact, Event

Told = Callable[[int, int | None], None]  # (bytes so far, bytes in all where known)

_WIDTH = 30


class JobBar:
    """The bar of one job, and of its evaluations. It is told events; `progress` is a context in which it is drawn."""

    def __init__(self, console: Console | None = None, *, disable: bool = False) -> None:
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_WIDTH),
            _Facts(),
            console=console or Console(stderr=True),
            disable=disable,
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


class _Facts(TextColumn):
    """Step, loss, speed and ETA: those that are known."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("facts", "")), no_wrap=True)


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


@contextmanager
def transfer_bar(what: str, *, console: Console | None = None, disable: bool = False) -> Generator[Told]:
    """A bar of bytes on their way. Yields what is to be told of them."""
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_WIDTH),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        disable=disable,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def transfer_told(progress: Told | bool | None, *, what: str) -> Generator[Told | None]:
    """Who is told of a transfer: the caller's function, a bar where there is to be one, or None."""
    if progress is None or isinstance(progress, bool):
        if watched(progress):
            with transfer_bar(what) as told:
                yield told
        else:
            yield None
    else:
        yield progress


def watched(asked: bool | None) -> bool:
    """Whether a bar is drawn: as asked for, and otherwise where stderr is a terminal."""
    return Console(stderr=True).is_terminal if asked is None else asked

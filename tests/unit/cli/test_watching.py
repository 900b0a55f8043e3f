"""What the bar of a job shows for each event."""

from io import StringIO

from rich.console import Console

from distilled.bars import JobBar
from distilled.client import Event, EventKind


def shown(*events: Event) -> tuple[str, float, str]:
    """Description, share done and facts after these events."""
    bar = JobBar(Console(file=StringIO()))
    for event in events:
        bar.on_event(event)
    (task,) = bar.progress.tasks
    return task.description, task.completed, str(task.fields.get("facts"))


def event(kind: EventKind, **data: object) -> Event:
    return Event(id="1", kind=kind, data=dict(data))


RUNNING = event(EventKind.STATE, state="running")
PREPARING = event(EventKind.PREPARING, what="training experts", done=3, total=10)
STEP = event(EventKind.PROGRESS, step=5, steps=10, loss=0.5)


def test_what_is_prepared_is_shown_until_the_first_step() -> None:
    assert shown(RUNNING, PREPARING) == ("training experts", 0.3, "3/10")
    assert shown(RUNNING, PREPARING, STEP) == ("running", 0.5, "step 5/10  loss 0.5")

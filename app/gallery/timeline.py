"""What became of a job so far, in sentences: its changes of state with who, when and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.models import JobEvent, State

#: Why a job was queued again.
REASONS = {
    "retried": "Queued again, by a person; it goes on from its last snapshot",
    "released": "Given back by a worker that was stopped; it goes on from its last snapshot",
    "out_of_memory": "Ran out of memory; it goes on in smaller parts, in a fresh process",
    "worker_lost": "The worker fell silent; queued again from the last snapshot",
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A change of a job's state. seconds: since the one before, None of the first."""

    number: int
    at: datetime
    state: str
    attempt: int
    said: str
    seconds: float | None


def moments(events: Sequence[JobEvent]) -> list[Moment]:
    """Each change of state, the first one first."""
    return list(_moments(events))


def _moments(events: Sequence[JobEvent]) -> Iterator[Moment]:
    before: datetime | None = None
    for event in events:
        seconds = None if before is None else (event.created_at - before).total_seconds()
        yield Moment(
            number=event.number,
            at=event.created_at,
            state=str(event.data.get("state", "")),
            attempt=int(event.data.get("attempt", 0)),
            said=_said(event.data),
            seconds=seconds,
        )
        before = event.created_at


def _said(data: dict[str, Any]) -> str:
    error, reason, attempt = data.get("error") or {}, data.get("reason"), data.get("attempt")
    why = str(reason or "unknown").replace("_", " ")
    match data.get("state"):
        case State.QUEUED if reason == "retried" and data.get("fresh"):
            said = "Queued again, by a person, to start anew"
        case State.QUEUED:
            said = (
                "Submitted, and waits for a worker" if reason is None else REASONS.get(reason, f"Queued again: {why}")
            )
        case State.RUNNING if data.get("cancel_requested"):
            said = "Called off; its worker stops at its next step"
        case State.RUNNING:
            said = f"Attempt {attempt} begins on {data.get('device')}, worker {data.get('worker')}"
        case State.SUCCEEDED:
            said = "The artifact is there"
        case State.FAILED:
            said = f"Failed: {error.get('title') or why}"
        case _:
            said = "Called off"
    return said

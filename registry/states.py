"""Where things are in their lives: the words that columns and answers hold."""

from enum import StrEnum


class State(StrEnum):
    """Where a job, an evaluation or a validation is in its life (only jobs are ever cancelled)."""

    QUEUED = "queued"  #: waits for a worker
    RUNNING = "running"  #: a worker holds its lease
    SUCCEEDED = "succeeded"  #: its result is recorded
    FAILED = "failed"  #: ended with an error
    CANCELLED = "cancelled"  #: called off


class Need(StrEnum):
    """The kind of device that a job runs on, and the queue that its wake-ups go to."""

    CPU = "cpu"  #: the processor of a worker's host
    GPU = "gpu"  #: a worker's accelerator


LIVING = (State.QUEUED, State.RUNNING)
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


class DatasetState(StrEnum):
    """Whether an uploaded dataset can be used."""

    VALIDATING = "validating"  #: a worker looks at what was sent, or is about to
    READY = "ready"  #: it can be distilled from
    REFUSED = "refused"  #: it cannot be used, and its report says why


class MessageState(StrEnum):
    """Where a webhook's message is in its life."""

    WAITING = "waiting"  #: its job has not ended
    PENDING = "pending"  #: it is to be sent, for the first time or again
    DELIVERED = "delivered"  #: its receiver has answered with 2xx
    GIVEN_UP = "given_up"  #: it was sent as often as it may be, or its receiver wants no more


class EventKind(StrEnum):
    """What a job's event tells."""

    STATE = "state"  #: the job's state has changed
    PREPARING = "preparing"  #: what is made before the first step, and how much of it is ready
    PROGRESS = "progress"  #: step, loss, speed, remaining time
    METRICS = "metrics"  #: measured values at a step
    LOG = "log"  #: a sentence for people
    PICTURE = "picture"  #: a contact sheet was made, and has this event's number


class Outcome(StrEnum):
    """What became of something that was asked for."""

    DONE = "done"  #: it is so now
    REFUSED = "refused"  #: nothing was changed

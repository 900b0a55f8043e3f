"""What a run tells whoever drives it. The loop yields these and knows nothing of who listens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run begins, or goes on at `step` of `steps`; None `images_per_class` where any number can be drawn."""

    step: int
    steps: int
    device: str
    images_per_class: int | None


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """Before the first step: `done` of `total` are ready of what is being made, such as "training experts".

    Yielded often, also where nothing has become ready since, so that whoever listens can end the run.
    """

    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """`step` of `steps` are done. `eta_seconds` is for the rest at the mean speed so far."""

    step: int
    steps: int
    loss: float
    images_per_second: float
    eta_seconds: float


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """A point of the recorded series: loss terms, accuracy in 0..1, images/s, memory in bytes."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Log:
    """A sentence for people."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """The images after `step` steps can be looked at: `draw` gives them as bytes_KMHWC, uint8 on the CPU, M images each
    of the first K classes. It costs nothing unless it is called, which is only possible before the run goes on.
    """

    step: int
    steps: int
    draw: Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All that a later attempt needs to go on after `step` steps: tensors by name, and JSON state."""

    step: int
    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The artifact: its file's bytes and its header."""

    content: bytes
    header: Mapping[str, Any]


Event = Started | Preparing | Progress | Metrics | Log | Look | Snapshot | Finished

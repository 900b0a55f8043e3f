"""The thread beside a task: what it hears, what it asks of the task, and when it ends a hung one."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry.errors import RegistryDown
from registry.leases import Beat
from workers.pulse import Leave, Pulse, Verdict
from workers.stop_signal import StopSignal


class Registry:
    """Answers beats and peeks as a test wants it."""

    def __init__(self) -> None:
        self.answer: Beat | Exception = Beat.CONTINUE
        self.beats = 0

    def beat(self) -> Beat:
        self.beats += 1
        return self.peek()

    def peek(self) -> Beat:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Hanged:
    """Remembers how a hung task was given up."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.done = threading.Event()

    def __call__(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.done.set()


@pytest.fixture
def bell() -> Iterator[StopSignal]:
    bell = StopSignal()
    yield bell
    bell.close()


@pytest.fixture
def make(bell: StopSignal) -> Callable[..., tuple[Pulse, Registry, Hanged]]:
    def make(*, grace: float = 60.0, **over: Any) -> tuple[Pulse, Registry, Hanged]:
        registry, hanged = Registry(), Hanged()
        options: dict[str, Any] = {"heartbeat_seconds": 0.05, "poll_seconds": 0.01, "lease_seconds": 60.0, **over}
        pulse = Pulse(
            beat=registry.beat,
            peek=registry.peek,
            give_up=hanged,
            stop_signal=bell,
            grace_seconds=dict.fromkeys(Verdict, grace),
            **options,
        )
        return pulse, registry, hanged

    return make


def until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_it_beats_and_leaves_the_task_alone(make: Callable[..., Any]) -> None:
    pulse, registry, hanged = make()
    with pulse:
        until(lambda: registry.beats >= 3)
        pulse.check(at_snapshot=True)
    assert hanged.verdicts == []


@pytest.mark.parametrize(("answer", "verdict"), [(Beat.CANCEL, Verdict.CANCEL), (Beat.LOST, Verdict.LOST)])
def test_the_answer_of_the_registry_makes_the_task_leave_at_once(
    make: Callable[..., Any], answer: Beat, verdict: Verdict
) -> None:
    pulse, registry, _ = make(heartbeat_seconds=50.0)  # heard by looking, not by the beat
    with pulse:
        registry.answer = answer
        until(lambda: pulse.verdict is verdict)
        with pytest.raises(Leave, match=verdict):
            pulse.check()


def test_a_stop_lets_the_task_go_on_to_its_next_snapshot(make: Callable[..., Any], bell: StopSignal) -> None:
    pulse, registry, _ = make(poll_seconds=50.0, heartbeat_seconds=50.0, lease_seconds=200.0)  # the bell alone wakes it
    with pulse:
        bell.ring(stop=True)
        until(lambda: pulse.verdict is Verdict.STOP)
        pulse.check()
        with pytest.raises(Leave, match="stop"):
            pulse.check(at_snapshot=True)
    assert registry.beats == 0


def test_a_cancel_outdoes_a_stop(make: Callable[..., Any], bell: StopSignal) -> None:
    pulse, registry, _ = make()
    with pulse:
        bell.ring(stop=True)
        until(lambda: pulse.verdict is Verdict.STOP)
        registry.answer = Beat.CANCEL
        until(lambda: pulse.verdict is Verdict.CANCEL)


def test_a_task_that_does_not_leave_is_given_up_after_its_grace(make: Callable[..., Any]) -> None:
    pulse, registry, hanged = make(grace=0.1)
    with pulse:
        registry.answer = Beat.CANCEL
        assert hanged.done.wait(10)
    assert hanged.verdicts[0] is Verdict.CANCEL


def test_a_task_that_leaves_in_time_is_not_given_up(make: Callable[..., Any]) -> None:
    pulse, registry, hanged = make(grace=0.3)
    with pulse:
        registry.answer = Beat.CANCEL
        until(lambda: pulse.verdict is Verdict.CANCEL)
    time.sleep(0.4)
    assert hanged.verdicts == []


def test_a_registry_that_is_away_for_a_moment_changes_nothing(make: Callable[..., Any]) -> None:
    pulse, registry, _ = make()
    with pulse:
        registry.answer = RegistryDown()
        until(lambda: registry.beats >= 3)
        assert pulse.verdict is Verdict.CONTINUE
        registry.answer = Beat.CONTINUE


def test_a_registry_that_is_away_for_longer_than_the_lease_means_that_the_job_is_lost(make: Callable[..., Any]) -> None:
    pulse, registry, _ = make(lease_seconds=0.2)
    registry.answer = RegistryDown()
    with pulse:
        until(lambda: pulse.verdict is Verdict.LOST)


def test_a_surprise_in_the_beat_does_not_end_the_pulse(make: Callable[..., Any]) -> None:
    pulse, registry, _ = make()
    with pulse:
        registry.answer = RuntimeError("never foreseen")
        until(lambda: registry.beats >= 2)
        registry.answer = Beat.CANCEL
        until(lambda: pulse.verdict is Verdict.CANCEL)

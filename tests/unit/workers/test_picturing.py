"""When a worker makes a picture, what becomes of it, and what it may cost."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from registry import jobs
from registry.jobs.picturing import MOST_PICTURES
from registry.testing import FullDiskStore
from tests.unit.workers.conftest import Workplace
from workers import child
from workers.distill.events import Look
from workers.picturing import SHARE, Pictures


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def look(step: int, *, clock: Clock, seconds: float = 0.0, channels: int = 1, steps: int = 100) -> Look:
    def draw() -> torch.Tensor:
        clock.now += seconds
        return torch.full((2, 3, 4, 4, channels), step % 256, dtype=torch.uint8)

    return Look(step=step, steps=steps, draw=draw)


def begin(workplace: Workplace, clock: Clock, *, every_seconds: float = 2.0) -> Pictures:
    claim = workplace.claim(workplace.submit())
    return Pictures(claim, database=workplace.database, store=workplace.store, every_seconds=every_seconds, clock=clock)


def steps(workplace: Workplace) -> list[int]:
    """Of the pictures that are kept of the one job."""
    with workplace.database.read() as session:
        (job,) = jobs.find(session).items
        return [picture.step for picture in jobs.pictures(session, job.id)]


def test_a_picture_is_told_kept_and_named_by_its_event(workplace: Workplace, clock: Clock) -> None:
    assert begin(workplace, clock).take(look(7, clock=clock))
    with workplace.database.read() as session:
        (job,) = jobs.find(session).items
        (kept,) = jobs.pictures(session, job.id)
        event = jobs.events(session, job.id)[-1]
    assert (event.kind, event.number, event.data) == ("picture", kept.number, {"step": 7, "bytes": kept.num_bytes})
    with Image.open(io.BytesIO(workplace.store.get_named(kept.key))) as sheet:
        assert sheet.size == (3 * 6 + 2, 2 * 6 + 2)


def test_pictures_keep_their_distance(workplace: Workplace, clock: Clock) -> None:
    made = begin(workplace, clock)
    for step in range(8):
        made.take(look(step, clock=clock))
        clock.now += 0.5
    assert steps(workplace) == [0, 4]


def test_pictures_that_take_long_come_seldom(workplace: Workplace, clock: Clock) -> None:
    made, began = begin(workplace, clock), clock.now
    for step in range(1, 900):
        made.take(look(step, clock=clock, seconds=1.0, steps=10_000))
        clock.now += 0.5
    spent = made.seconds / (clock.now - began)
    assert len(steps(workplace)) > 5
    assert spent <= SHARE * 1.2  # the last one's time is not over


def test_the_last_step_is_seen_where_the_share_allows_it(workplace: Workplace, clock: Clock) -> None:
    made = begin(workplace, clock)
    made.take(look(0, clock=clock))
    clock.now += 0.5
    made.take(look(99, clock=clock))
    made.take(look(100, clock=clock))
    assert steps(workplace) == [0, 100]


def test_none_are_made_of_what_is_no_picture_or_not_wanted(workplace: Workplace, clock: Clock) -> None:
    made = begin(workplace, clock)
    assert made.take(look(0, clock=clock, channels=2))
    clock.now += 100
    assert made.take(look(1, clock=clock))
    assert steps(workplace) == []
    assert workplace.store.list_named("pictures") == []


def test_a_full_store_costs_pictures_and_nothing_else(make_workplace: Callable[..., Workplace], clock: Clock) -> None:
    workplace = make_workplace(store=FullDiskStore())
    assert begin(workplace, clock).take(look(0, clock=clock))
    assert steps(workplace) == []


def test_an_attempt_that_has_lost_its_job_leaves_no_picture(workplace: Workplace, clock: Clock) -> None:
    made = begin(workplace, clock)
    with workplace.database.write() as session:
        (job,) = jobs.find(session).items
        jobs.release(session, job.id, attempt=job.attempt)
    assert not made.take(look(0, clock=clock))
    assert workplace.store.list_named("pictures") == []


def test_the_store_keeps_what_the_registry_keeps(workplace: Workplace, clock: Clock) -> None:
    made = begin(workplace, clock)
    for step in range(70):
        made.take(look(step, clock=clock))
        clock.now += 2
    assert len(steps(workplace)) == MOST_PICTURES
    assert len(workplace.store.list_named("pictures")) == len(steps(workplace))


def test_a_worker_without_pictures_asks_for_no_looks(
    make_workplace: Callable[..., Workplace], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def run(*_: Any, looks: bool, **__: Any) -> Iterator[Any]:
        asked.append(looks)
        return iter(())

    monkeypatch.setattr(child.loop, "run", run)
    monkeypatch.setattr(child.sources, "resolve", lambda *_, **__: type("Real", (), {"train_counts": (1,)}))
    for seconds in (0.0, 2.0):
        workplace = make_workplace(picture_seconds=seconds)
        workplace.submit()
        child.distil(workplace.bench, job_id="any")
    assert asked == [False, True]

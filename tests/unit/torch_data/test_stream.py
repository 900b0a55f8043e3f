"""Batches without end: their shape in a DataLoader, who takes which, how they are fetched and taken up again."""

import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from distilled.files import Artifact
from distilled.torch_data import Batch, DistilledDataset, DistilledStream, sharding
from distilled.torch_data.sharding import Ranks, shard_of

#: A DataLoader warns where it has more workers than there are cores.
FEW_CORES = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Counting:
    """A source whose batch i holds i and nothing else. It counts what it is asked for, and may fail."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.identity: Mapping[str, Any] = {"digest": "d"}
        self.asked: list[int] = []
        self.fails_at = fails_at

    def batch(self, index: int, *, size: int, seed: int) -> Batch:
        self.asked.append(index)
        if index == self.fails_at:
            raise ConnectionError("cut")
        return Batch(torch.full((size, 1, 1, 1), float(index)), torch.full((size,), seed))


def numbers(batches: Iterator[Batch] | DataLoader[Batch], *, count: int) -> list[int]:
    """Which batches came."""
    return [int(images[0, 0, 0, 0]) for images, _ in islice(batches, count)]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("distilled-prefetch")]


@FEW_CORES
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, None])
def test_a_plain_data_loader_gives_the_batches_as_they_are(
    hard: Artifact, batch_size: int | None, workers: int
) -> None:
    stream = DistilledStream(DistilledDataset(hard), batch_size=256, batches=3)
    for images, labels in DataLoader(stream, batch_size=batch_size, num_workers=workers):
        assert (images.shape, labels.shape) == ((256, 3, 4, 4), (256,))


def test_soft_labels_have_their_batch_too(soft: Artifact) -> None:
    stream = DistilledStream(DistilledDataset(soft), batch_size=10, batches=1)
    ((_, labels),) = DataLoader(stream)
    assert labels.shape == (10, 3)


def test_several_batches_at_a_time_are_one_longer_batch() -> None:
    stream = DistilledStream(Counting(), batch_size=5, batches=5)
    found = [images[:, 0, 0, 0].tolist() for images, _ in DataLoader(stream, batch_size=2)]
    assert found == [[0.0] * 5 + [1.0] * 5, [2.0] * 5 + [3.0] * 5, [4.0] * 5]


def test_a_loop_over_the_line_of_the_manual_trains_a_network(hard: Artifact) -> None:
    dataset = DistilledDataset(hard)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    for images, labels in DataLoader(DistilledStream(dataset, batch_size=32, batches=60)):
        net.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        with torch.no_grad():
            for weights in net.parameters():
                weights.sub_(weights.grad, alpha=0.1)
    with torch.no_grad():
        assert (net(dataset.images_NCHW).argmax(1) == dataset.targets).float().mean() == 1.0


@given(workers=st.integers(1, 6), world_size=st.integers(1, 6), batches=st.integers(0, 60), start=st.integers(0, 20))
def test_every_batch_is_taken_once_by_one_worker_of_one_rank(
    workers: int, world_size: int, batches: int, start: int
) -> None:
    taken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(world_size):
            for worker in range(workers):
                info = SimpleNamespace(id=worker, num_workers=workers)
                patch.setattr(sharding, "get_worker_info", lambda info=info: info)
                options: dict[str, Any] = {"batches": batches, "start": start, "prefetch": 0}
                source = Counting()
                stream = DistilledStream(source, batch_size=1, rank=rank, world_size=world_size, **options)
                assert sum(1 for _ in stream) == len(source.asked)
                place = rank * workers + worker
                assert all(index % (workers * world_size) == place for index in source.asked)
                taken += source.asked
    assert sorted(taken) == list(range(start, batches))


@FEW_CORES
def test_a_loader_with_workers_gives_the_batches_of_its_rank_in_their_order() -> None:
    assert numbers(DataLoader(DistilledStream(Counting(), batch_size=1), num_workers=3), count=7) == list(range(7))
    stream = DistilledStream(Counting(), batch_size=1, rank=1, world_size=2)
    assert numbers(DataLoader(stream, num_workers=2), count=6) == [2, 3, 6, 7, 10, 11]


def test_ranks_are_those_of_the_process_group_and_go_with_the_stream() -> None:
    from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: PLC0415 - heavy, and used here alone

    stream = DistilledStream(Counting(), batch_size=1)
    torch.distributed.init_process_group(backend="fake", rank=1, world_size=4, store=FakeStore())
    try:
        assert numbers(iter(stream), count=3) == [1, 5, 9]
        sent = pickle.dumps(stream)
    finally:
        torch.distributed.destroy_process_group()
    assert numbers(iter(pickle.loads(sent)), count=2) == [1, 5]  # noqa: S301 - a worker that was spawned
    assert shard_of(Ranks(rank=0, world_size=1)).stride == 1
    assert numbers(iter(stream), count=2) == [0, 1]


def test_a_stream_is_taken_up_where_another_stood() -> None:
    first = DistilledStream(Counting(), batch_size=1, seed=3)
    assert numbers(iter(first), count=4) == [0, 1, 2, 3]
    # Fetched ahead is not given out.
    state = first.state_dict()
    assert state == {"next": 4, "batch_size": 1, "seed": 3, "digest": "d"}
    second = DistilledStream(Counting(), batch_size=1, seed=3)
    second.load_state_dict(state)
    assert numbers(iter(second), count=2) == [4, 5]
    assert numbers(iter(DistilledStream(Counting(), batch_size=1, start=4)), count=2) == [4, 5]
    assert numbers(iter(first), count=2) == [0, 1]
    with pytest.raises(ValueError, match="another batch_size, seed"):
        DistilledStream(Counting(), batch_size=2).load_state_dict(state)


def test_no_more_is_fetched_than_was_said_and_a_loop_that_is_left_leaves_no_thread() -> None:
    source = Counting()
    batches = iter(DistilledStream(source, batch_size=1, prefetch=3))
    assert not source.asked
    assert numbers(batches, count=1) == [0]
    deadline = time.monotonic() + 5
    while len(source.asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert sorted(source.asked) == [0, 1, 2, 3]
    assert threads()
    batches.close()
    assert threads() == []
    for _ in DistilledStream(source, batch_size=1):
        break
    assert threads() == []


@pytest.mark.parametrize("prefetch", [0, 2])
def test_what_went_wrong_with_a_batch_comes_in_its_place(prefetch: int) -> None:
    got: list[int] = []
    with suppress(ConnectionError):
        for images, _ in DistilledStream(Counting(fails_at=3), batch_size=1, prefetch=prefetch):
            got.append(int(images[0, 0, 0, 0]))
        pytest.fail("it went on")
    assert got == [0, 1, 2]
    assert threads() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"start": -1}, "start"),
        ({"batches": -1}, "batches"),
        ({"prefetch": -1}, "prefetch"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"rank": 0}, "world_size"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        DistilledStream(Counting(), **options)

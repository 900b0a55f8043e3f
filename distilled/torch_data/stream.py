"""Batches without end for a training loop: shared out over workers and ranks, fetched ahead, taken up anywhere."""
# Shapes: B images of a batch, C channels, H height, W width, K classes.

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, Protocol

from torch.utils.data import IterableDataset

from distilled.torch_data.batch import Batch
from distilled.torch_data.prefetch import prefetched
from distilled.torch_data.sharding import Ranks, ranks_now, shard_of


class Source(Protocol):
    """Where batches come from: a `DistilledDataset` deals them, `client.open(…).stream()` asks a service for them."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its batches follow from, beside seed and size: plain data."""
        ...

    def batch(self, index: int, *, size: int, seed: int) -> Batch:
        """Batch `index`: the same whenever and wherever it is asked for."""
        ...


class DistilledStream(IterableDataset[Batch]):
    """Batches of `batch_size` images with their labels: endless, or the first `batches` of them.

    for images, labels in DataLoader(stream): ...        # images [batch_size, C, H, W]; also with num_workers

    The stream makes the batches, so the DataLoader's own `batch_size` is left as it is, or None. Batch i follows from
    source, seed, batch_size and i alone, and each is taken by one worker of one rank: w of n on rank r of m takes
    i ≡ r·n + w (mod n·m). Ranks are those of `torch.distributed` where it is initialised, or are given. For ranks to
    end together, `batches` is a multiple of n·m.

    start: the batch that every loop over the stream begins with. prefetch: how many are fetched ahead in each process.
    A loop that is left frees its threads. Raises ValueError for a number out of range.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int = 256,
        seed: int = 0,
        batches: int | None = None,
        start: int = 0,
        prefetch: int = 2,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if (rank is None) != (world_size is None):
            raise ValueError("give rank and world_size together, or neither: they are then those of torch.distributed")
        least = {"batch_size": (batch_size, 1), "seed": (seed, 0), "start": (start, 0), "prefetch": (prefetch, 0)}
        for name, (value, lowest) in (least | {"batches": (batches or 0, 0)}).items():
            if value < lowest:
                raise ValueError(f"{name} is {value}; it must be at least {lowest}")
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.batches = batches
        self.prefetch = prefetch
        self.ranks = None if rank is None or world_size is None else Ranks(rank=rank, world_size=world_size)
        self.start = start
        self._next = start

    def __iter__(self) -> Iterator[Batch]:
        shard = shard_of(self.ranks or ranks_now())
        first = shard.at_or_after(self.start)
        indices = count(first, shard.stride) if self.batches is None else range(first, self.batches, shard.stride)
        fetch = partial(self.source.batch, size=self.batch_size, seed=self.seed)
        for index, batch in prefetched(fetch, iter(indices), ahead=self.prefetch):
            self._next = index + 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: the first batch that was not given out, and what the batches follow from.

        It is of the process that iterates. With DataLoader's workers that is another one: count the batches instead and
        go on with `start`, or let torchdata's StatefulDataLoader keep the state of each worker.
        """
        return {"next": self._next, "batch_size": self.batch_size, "seed": self.seed, **self.source.identity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin where another stream stood. Raises ValueError if that one's batches were not the same."""
        ours = self.state_dict()
        other = sorted(name for name in {*ours, *state} - {"next"} if ours.get(name) != state.get(name))
        if other:
            raise ValueError(
                f"the state is of a stream with another {', '.join(other)}; make the stream as that one was"
            )
        self.start = self._next = int(state["next"])

    def __getstate__(self) -> dict[str, Any]:
        # A worker that was spawned knows nothing of the process group that its parent is in.
        return {**self.__dict__, "ranks": self.ranks or ranks_now()}

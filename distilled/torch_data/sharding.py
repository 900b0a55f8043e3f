"""Who takes which batch: every one is taken once, by one worker of one rank."""

from dataclasses import dataclass

import torch.distributed
from torch.utils.data import get_worker_info


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together: `rank` lies in 0..world_size-1."""

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} does not lie in 0..world_size-1, with world_size {self.world_size}")


def ranks_now() -> Ranks:
    """As `torch.distributed` has it where it is initialised, else one process alone."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(rank=distributed.get_rank(), world_size=distributed.get_world_size())
    return Ranks(rank=0, world_size=1)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The batches i ≡ place (mod stride)."""

    place: int
    stride: int

    def at_or_after(self, index: int) -> int:
        """The first batch of the shard that is not before `index`."""
        return index + (self.place - index) % self.stride


def shard_of(ranks: Ranks) -> Shard:
    """That of this process: DataLoader's worker w of n on rank r of m takes i ≡ r·n + w (mod n·m).

    A DataLoader asks its workers in turn, so a rank sees its batches in their order; a rank alone sees 0, 1, 2, …
    """
    info = get_worker_info()
    worker, workers = (info.id, info.num_workers) if info else (0, 1)
    return Shard(place=ranks.rank * workers + worker, stride=workers * ranks.world_size)

"""A pool of networks in different states of training (FRePo, section 3.2; DiM): each step uses one of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distilled.parametrizations.base import ImageSpace
from workers.distill import networks
from workers.distill import optimiser as optimisers
from workers.distill.networks.base import Network
from workers.distill.rng import Rng
from workers.distill.snapshots import below

#: A network's weights -> what trains them
MakeOptimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class NetworkPool:
    """`size` networks, named `names` in turn. Whoever uses one trains it, and an old one makes room for a fresh one.

    An age is a number of uses. Ages start spread evenly over 0..max_age, so that the pool does not renew itself all at
    once.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        size: int,
        max_age: int,
        optimiser: MakeOptimiser,
        space: ImageSpace,
        device: str,
        rng: Rng,
    ) -> None:
        self.names = [names[i % len(names)] for i in range(size)]
        self.max_age = max_age
        self.optimiser = optimiser
        self.space = space
        self.device = device
        self.rng = rng
        self.chosen = 0
        self.births = 0
        self.ages = [i * max_age // size for i in range(size)]
        made = [self._fresh(name) for name in self.names]
        self.nets = [net for net, _ in made]
        self.optimisers = [optimiser for _, optimiser in made]

    def choose(self, *, rng: Rng) -> Network:
        """A random member, without gradients in its weights; what else is asked of the pool is about this one."""
        self.chosen = int(torch.randint(len(self.nets), (), generator=rng.generator()))
        return self.nets[self.chosen].requires_grad_(False)

    def renew_old(self) -> bool:
        """Put a fresh network in the chosen one's place if that is old; whether it was."""
        old = self.ages[self.chosen] >= self.max_age
        if old:
            self.nets[self.chosen], self.optimisers[self.chosen] = self._fresh(self.names[self.chosen])
            self.ages[self.chosen] = 0
        return old

    def train_chosen(self, losses: Iterable[Callable[[Network], Tensor]]) -> Network:
        """A step on each of the losses, and it is a use older; without gradients in its weights again."""
        net, optimiser = self.nets[self.chosen].requires_grad_(True), self.optimisers[self.chosen]
        for loss in losses:
            optimiser.zero_grad()
            loss(net).backward()
            optimiser.step()
        self.ages[self.chosen] += 1
        return net.requires_grad_(False)

    def _fresh(self, name: str) -> tuple[Network, torch.optim.Optimizer]:
        net = networks.make(
            name,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=self.rng.child("birth", self.births).generator(),
        ).to(self.device)
        self.births += 1
        return net, self.optimiser(net.parameters())

    def tensors(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for i, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            out |= {f"pool/{i}/net/{name}": value for name, value in net.state_dict().items()}
            out |= {f"pool/{i}/optimiser/{name}": value for name, value in optimisers.tensors(optimiser).items()}
        return out

    def state(self) -> dict[str, Any]:
        return {"ages": list(self.ages), "births": self.births}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.ages, self.births = list(state["ages"]), int(state["births"])
        for i, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            net.load_state_dict(below(f"pool/{i}/net/", tensors))
            optimisers.restore(optimiser, below(f"pool/{i}/optimiser/", tensors))

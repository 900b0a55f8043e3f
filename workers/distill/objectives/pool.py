"""A pool of networks in different states of training on the synthetic set (FRePo, section 3.2)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from distilled.parametrizations.base import ImageSpace
from workers.distill import networks
from workers.distill import optimiser as optimisers
from workers.distill.networks.base import Network
from workers.distill.rng import Rng
from workers.distill.snapshots import below


class NetworkPool:
    """`size` networks; each use trains the used one by a step, and an old one makes room for a fresh one.

    Ages start spread evenly over 0..max_steps, so that the pool does not renew itself all at once.
    """

    def __init__(
        self,
        network: str,
        *,
        size: int,
        max_steps: int,
        learning_rate: float,
        space: ImageSpace,
        device: str,
        rng: Rng,
    ) -> None:
        self.network = network
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.space = space
        self.device = device
        self.rng = rng
        self.chosen = 0
        self.births = 0
        self.ages = [i * max_steps // size for i in range(size)]
        made = [self._fresh() for _ in range(size)]
        self.nets = [net for net, _ in made]
        self.optimisers = [optimiser for _, optimiser in made]

    def choose(self, *, rng: Rng) -> Network:
        """A random member, without gradients in its weights; `train_chosen` trains the same one."""
        self.chosen = int(torch.randint(len(self.nets), (), generator=rng.generator()))
        return self.nets[self.chosen].requires_grad_(False)

    def train_chosen(self, images_NCHW: Tensor, targets_NK: Tensor) -> None:
        """One step of squared error on the synthetic set, or a fresh network where this one is old."""
        if self.ages[self.chosen] >= self.max_steps:
            self.nets[self.chosen], self.optimisers[self.chosen] = self._fresh()
            self.ages[self.chosen] = 0
            return
        net, optimiser = self.nets[self.chosen].requires_grad_(True), self.optimisers[self.chosen]
        optimiser.zero_grad()
        nn.functional.mse_loss(net(images_NCHW), targets_NK).backward()
        optimiser.step()
        self.ages[self.chosen] += 1

    def _fresh(self) -> tuple[Network, torch.optim.Adam]:
        net = networks.make(
            self.network,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=self.rng.child("birth", self.births).generator(),
        ).to(self.device)
        self.births += 1
        return net, torch.optim.Adam(net.parameters(), lr=self.learning_rate)

    def tensors(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for i, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            out |= {f"pool/{i}/net/{name}": value for name, value in net.state_dict().items()}
            out |= {f"pool/{i}/adam/{name}": value for name, value in optimisers.tensors(optimiser).items()}
        return out

    def state(self) -> dict[str, Any]:
        return {"ages": list(self.ages), "births": self.births}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.ages, self.births = list(state["ages"]), int(state["births"])
        for i, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            net.load_state_dict(below(f"pool/{i}/net/", tensors))
            optimisers.restore(optimiser, below(f"pool/{i}/adam/", tensors))

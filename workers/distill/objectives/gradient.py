"""Gradient matching (DC, DSA): real and synthetic images of a class ask a network for the same change of its weights.

Zhao, Mopuri & Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021, section 2 (DC):
L = sum_k D(grad_w CE(real_k; w), grad_w CE(syn_k; w)), where D sums 1 - cosine over layers and rows of their weights.
Zhao & Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021, section 3 (DSA): both sides of
a class see the same augmentation.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled.knobs import knob
from distilled.parametrizations.base import Batch
from workers.distill import networks
from workers.distill import optimiser as optimisers
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatch, RealBatches, each_class
from workers.distill.networks.base import Network
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.objectives.distances import distance
from workers.distill.objectives.unrolling import in_sum, with_gradients
from workers.distill.rng import Rng
from workers.distill.snapshots import below

#: Real images of each class that batch normalisations take their statistics from.
STATISTICS_BATCH = 16
#: Most steps that the published schedule matches a network.
MOST_MATCHINGS = 50


class GradientMatching(Objective):
    kind = "gradient"
    summary = "real and synthetic images of a class give the same gradients in a network's weights"
    source = "Zhao et al., Dataset Condensation with Gradient Matching, ICLR 2021; Zhao & Bilen, DSA, ICML 2021"
    sliceable = True
    real_losses = "probe"  # its own are those of networks that have learnt nothing or little

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        optimiser: str = knob("sgd", "optimiser of the synthetic parameters", choices=("adam", "sgd"))
        learning_rate: float = knob(0.1, "learning rate of the synthetic parameters", gt=0, le=1000)
        network: str = knob("convnet3", "network whose gradients are matched")
        distance: str = knob(
            "rows",
            "1 - cosine summed over the rows of each layer, 1 - cosine of all weights at once, or squared error",
            choices=("rows", "cosine", "mse"),
        )
        real_batch: int = knob(256, "real images of each class and step", unit="images", ge=1, le=65536)
        drawn_batch: int = knob(64, "synthetic images of each class and step, at most", unit="images", ge=1, le=65536)
        augment: str = knob("dsa", "augmentation shared by real and synthetic images", choices=CHOICES)
        matchings: int = knob(
            1,
            "steps after which a fresh network takes the place of the last; 0: images of a class, as published",
            unit="steps",
            ge=0,
            le=10000,
        )
        network_steps: int = knob(
            50, "training steps of a network on the synthetic images before it is matched again", ge=0, le=10000
        )
        network_learning_rate: float = knob(0.01, "learning rate of that training", gt=0, le=10)
        network_momentum: float = knob(0.5, "momentum of that training", ge=0, lt=1)

    age = 0  # matchings that the network at hand has behind it; at 0 there is none
    _held: tuple[Network, torch.optim.SGD] | None = None

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: GradientMatching.Config = self.config
        net, _ = self._network(rng=rng)
        weights = list(net.parameters())
        _settle_statistics(net, real, classes=self.space.num_classes, rng=rng)
        batch = draw(self._labels_N(draw), rng=rng.child("draw"))
        # Each class goes back as far as the drawn images at once, so that one class's graph is held at a time.
        held = len(batch.images_NCHW) // self.space.num_classes
        total, gradients = torch.zeros((), device=self.device), list[list[Tensor]]()
        for k in range(self.space.num_classes):
            part = slice(k * held, (k + 1) * held)
            drawn = _leaf(Batch(images_NCHW=batch.images_NCHW[part], targets=batch.targets[part]))
            seen = real.of_class(k, config.real_batch, rng=rng.child("real"))
            wanted = self._slopes(net, seen, k, rng=rng)
            drawn_loss = functional.cross_entropy(net(self._siamese(drawn.images_NCHW, k, rng=rng)), drawn.targets)
            found = torch.autograd.grad(drawn_loss, weights, create_graph=True)
            gap = distance(found, wanted, kind=config.distance)
            gradients.append(list(torch.autograd.grad(gap, _learnt(drawn))))
            total = total + gap.detach()
        joined = [torch.cat(parts) for parts in zip(*gradients, strict=True)]
        return with_gradients(total, _learnt(batch), joined)

    def _slopes(self, net: Network, seen: RealBatch, k: int, *, rng: Rng) -> list[Tensor]:
        """The gradients of the mean loss of class k's real images in the network's weights."""
        weights, found = list(net.parameters()), list[tuple[Tensor, ...]]()
        for part in seen.parts(self.slices):
            logits_NK = net(self._siamese(part.images_NCHW, k, rng=rng))
            losses_N = functional.cross_entropy(logits_NK, part.targets, reduction="none")
            share = len(part.index_N) / len(seen.index_N)
            found.append(torch.autograd.grad(part.mean(losses_N) * share, weights))
        return in_sum(found)

    def after_step(self, draw: Draw, real: RealBatches, *, rng: Rng) -> None:
        """Train the network on the new synthetic set, or let it go where it is old."""
        self.age = (self.age + 1) % self._matchings(draw)
        if self.age == 0:
            self._held = None
            return
        net, optimiser = self._network(rng=rng)
        net.train()
        for step in range(self.config.network_steps):
            with torch.no_grad():
                batch = draw(self._labels_N(draw), rng=rng.child("draw", step))
            images_NCHW = augment(
                batch.images_NCHW,
                how=self.config.augment,
                rng=rng.child("augment", step).generator(),
                operations=operations_for(self.space),
            )
            optimiser.zero_grad()
            functional.cross_entropy(net(images_NCHW), batch.targets).backward()
            optimiser.step()

    def _network(self, *, rng: Rng) -> tuple[Network, torch.optim.SGD]:
        """The network at hand, or a fresh one where there is none, and the optimiser that trains it."""
        if self._held is not None:
            return self._held
        net = networks.make(
            self.config.network,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=rng.child("network").generator(),
        ).to(self.device)
        rate, momentum = self.config.network_learning_rate, self.config.network_momentum
        self._held = net, torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
        return self._held

    def _matchings(self, draw: Draw) -> int:
        """Where 0 asks for it, the published schedule: 1 for one image of a class, 10 for ten, 50 for fifty or more."""
        return self.config.matchings or min(draw.parametrization.per_class or MOST_MATCHINGS, MOST_MATCHINGS)

    def _labels_N(self, draw: Draw) -> Tensor:
        held, classes = draw.parametrization.per_class, self.space.num_classes
        count = self.config.drawn_batch if held is None else min(held, self.config.drawn_batch)
        return each_class(classes, [count] * classes)

    def _siamese(self, images_NCHW: Tensor, k: int, *, rng: Rng) -> Tensor:
        """One draw of operation and parameters for all images of a class, real and synthetic."""
        drawn = rng.child("augment", k).generator()
        return augment(
            images_NCHW, how=self.config.augment, rng=drawn, same=True, operations=operations_for(self.space)
        )

    def tensors(self) -> dict[str, Tensor]:
        if self._held is None:
            return {}
        net, optimiser = self._held
        held = {f"net/{name}": value for name, value in net.state_dict().items()}
        return held | {f"sgd/{name}": value for name, value in optimisers.tensors(optimiser).items()}

    def state(self) -> dict[str, Any]:
        return {"age": self.age}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.age = int(state["age"])
        if self.age:
            net, optimiser = self._network(rng=self.rng)
            net.load_state_dict(below("net/", tensors))
            optimisers.restore(optimiser, below("sgd/", tensors))


def _leaf(batch: Batch) -> Batch:
    """The batch cut off from what it was drawn from, with gradients of its own."""
    images_NCHW, targets = batch.images_NCHW.detach().requires_grad_(True), batch.targets.detach()
    return Batch(images_NCHW=images_NCHW, targets=targets.requires_grad_(True) if batch.soft else targets)


def _learnt(batch: Batch) -> list[Tensor]:
    """The parts of a batch that take gradients: images, and soft targets."""
    return [batch.images_NCHW, batch.targets] if batch.soft else [batch.images_NCHW]


def _settle_statistics(net: Network, real: RealBatches, *, classes: int, rng: Rng) -> None:
    """Batch normalisations take the statistics of a mixed real batch and keep them: a class alone has others."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        # As all images are likely, whatever the sampler prefers: these are no terms of a weighted mean.
        net(next(real.epoch(STATISTICS_BATCH * classes, rng=rng.child("statistics"))).images_NCHW)
    for norm in norms:
        norm.eval()

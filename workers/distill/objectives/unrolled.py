"""Unrolled training (BPTT): a network trained on the synthetic set from scratch has a low loss on real images.

Deng & Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories for Neural Networks", NeurIPS
2022, section 3.3 (momentum in the inner loop, exact reverse pass); Feng, Vedantam & Kempe, "Embarrassingly Simple
Dataset Distillation", ICLR 2024 (random truncation: `window`).
"""
# Shapes: N images, C channels, H height, W width, K classes, R networks side by side.

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from distilled.knobs import knob
from workers.distill import networks
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatch, RealBatches
from workers.distill.networks.base import SideBySide
from workers.distill.objectives import unrolling
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.objectives.inner import InnerLoss
from workers.distill.rng import Rng


class Unrolled(Objective):
    kind = "unrolled"
    summary = "a network trained from scratch on the synthetic images classifies real ones"
    source = "Deng & Russakovsky, Remember the Past, NeurIPS 2022, section 3.3; Feng et al., RaT-BPTT, ICLR 2024"
    real_losses = "own"
    sliceable = True

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        schedule: str = knob(
            "cosine",
            "learning rate over the run: as it is, or falling to 0 on a cosine",
            choices=("constant", "cosine"),
        )
        clip: float = knob(2.0, "largest norm of a step's whole gradient; 0 does not clip", ge=0, le=1e6)
        network: str = knob("convnet3", "network that is trained from scratch at every step")
        networks: int = knob(1, "networks of a step, trained side by side", unit="networks", ge=1, le=64)
        inner_steps: int = knob(30, "training steps of each network", unit="steps", ge=1, le=10000)
        window: int = knob(
            0, "inner steps that gradients go through, randomly placed; 0 for all", unit="steps", ge=0, le=10000
        )
        inner_batch: int = knob(
            32, "synthetic images of each class and inner step, at most", unit="images", ge=1, le=4096
        )
        inner_learning_rate: float = knob(0.01, "learning rate of the networks", gt=0, le=10)
        inner_momentum: float = knob(0.9, "momentum of the networks' training", ge=0, lt=1)
        real_batch: int = knob(640, "real images that judge the trained networks", unit="images", ge=1, le=65536)
        augment: str = knob("none", "augmentation shared by all inner steps and the real images", choices=CHOICES)
        reverse: str = knob(
            "recompute",
            "compute each inner step anew on the way back (memory of one step), or keep all their graphs",
            choices=("recompute", "graph"),
        )

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: Unrolled.Config = self.config
        sgd = unrolling.InnerSGD(learning_rate=config.inner_learning_rate, momentum=config.inner_momentum)
        nets = self._networks(rng=rng)
        inner = InnerLoss(
            nets,
            copies=config.networks,
            draw=draw,
            batch=config.inner_batch,
            vary=lambda images_NCHW, step: self.varied(images_NCHW, rng=rng),
            rng=rng,
        )
        first, end = self._window(rng=rng)
        weights = {name: value.detach() for name, value in nets.named_parameters()}
        path, buffers = unrolling.train(weights, unrolling.still(weights), inner, steps=range(first), sgd=sgd)
        steps, graph = range(first, end), config.reverse == "graph"
        path, _ = unrolling.train(path[-1], buffers, inner, steps=steps, sgd=sgd, graph=graph)
        draw.images_seen += end * inner.images
        last = path[-1] if graph else {name: value.requires_grad_(True) for name, value in path[-1].items()}
        batch = real.mixed(config.real_batch, rng=rng.child("real"))
        if graph:
            outer, losses_N = self._outer(nets, last, batch, rng=rng)
            real.observe(batch, losses_N)
            return outer
        outer, losses_N, adjoint = self._adjoint(nets, last, batch, rng=rng)
        real.observe(batch, losses_N)
        parameters = [value for value in draw.parametrization.parameters() if value.requires_grad]
        gradients, _ = unrolling.hypergradient(
            path, inner, adjoint=adjoint, parameters=parameters, steps=steps, sgd=sgd
        )
        return unrolling.with_gradients(outer, parameters, gradients)

    def _networks(self, *, rng: Rng) -> SideBySide:
        made = [
            networks.make(
                self.config.network,
                space_shape=self.space.shape,
                num_classes=self.space.num_classes,
                rng=rng.child("network", r).generator(),
            )
            for r in range(self.config.networks)
        ]
        return type(made[0]).side_by_side(made).to(self.device)

    def _window(self, *, rng: Rng) -> tuple[int, int]:
        """The first inner step that gradients go through, and the end of training."""
        config: Unrolled.Config = self.config
        if not 0 < config.window < config.inner_steps:
            return 0, config.inner_steps
        drawn = torch.randint(config.window, config.inner_steps + 1, (), generator=rng.child("window").generator())
        return int(drawn) - config.window, int(drawn)

    def _adjoint(
        self, nets: SideBySide, weights: dict[str, Tensor], batch: RealBatch, *, rng: Rng
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """What `_outer` says, and the gradients of its mean in the weights; the batch is taken in `slices` parts."""
        total, losses, gradients = torch.zeros((), device=self.device), list[Tensor](), list[tuple[Tensor, ...]]()
        right = 0.0
        for part in batch.parts(self.slices):
            share = len(part.index_N) / len(batch.index_N)
            outer, losses_N = self._outer(nets, weights, part, rng=rng)
            gradients.append(torch.autograd.grad(outer * share, list(weights.values())))
            total, right = total + outer.detach() * share, right + self.metrics["real_accuracy"] * share
            losses.append(losses_N)
        self.metrics = {"real_accuracy": right}
        return total, torch.cat(losses), dict(zip(weights, unrolling.in_sum(gradients), strict=True))

    def _outer(
        self, nets: SideBySide, weights: Mapping[str, Tensor], batch: RealBatch, *, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the trained networks on real images, in mean over the networks: its mean, and losses_N."""
        images_NCHW = self.varied(batch.images_NCHW, rng=rng)
        copies = self.config.networks
        logits_RNK = functional_call(nets, dict(weights), (images_NCHW.expand(copies, *images_NCHW.shape),))
        targets = batch.targets.repeat(copies)
        with torch.no_grad():
            right = logits_RNK.argmax(2).flatten() == targets
            self.metrics = {"real_accuracy": float(right.float().mean())}
        losses_RN = functional.cross_entropy(logits_RNK.flatten(0, 1), targets, reduction="none").view(copies, -1)
        losses_N = losses_RN.mean(0)
        return batch.mean(losses_N), losses_N.detach()

    def varied(self, images_NCHW: Tensor, *, rng: Rng) -> Tensor:
        """This step's augmentation: one draw of operation and parameters for every image that it shows."""
        drawn = rng.child("augment").generator()
        return augment(
            images_NCHW, how=self.config.augment, rng=drawn, same=True, operations=operations_for(self.space)
        )

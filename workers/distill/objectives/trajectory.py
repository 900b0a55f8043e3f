"""Trajectory matching (MTT, TESLA): training on the synthetic set leads where an expert's training on real images led.

Cazenavette et al., "Dataset Distillation by Matching Training Trajectories", CVPR 2022, eq. 2 and algorithm 1: from an
expert's weights w_t after t epochs, N steps of SGD on the synthetic set, with a learnt step size, lead to w^; then
L = || w^ - w_{t+M} ||^2 / || w_t - w_{t+M} ||^2.
Cui et al., "Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory", ICML 2023 (TESLA): the gradient of L
in memory that does not grow with N.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

import torch
from torch import Tensor

from distilled.knobs import knob
from distilled.parametrizations.base import Parametrization
from workers.distill import optimiser as optimisers
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Preparing
from workers.distill.objectives import unrolling
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.objectives.experts import Experts, Training
from workers.distill.objectives.inner import InnerLoss
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.snapshots import below


class TrajectoryMatching(Objective):
    kind = "trajectory"
    summary = "a few steps on the synthetic images lead where epochs of training on real ones led"
    source = "Cazenavette et al., MTT, CVPR 2022, eq. 2; Cui et al., TESLA, ICML 2023"

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        network: str = knob("convnet3", "network of the experts and of the training that is matched to them")
        synthetic_steps: int = knob(
            20, "training steps on the synthetic images that are matched", unit="steps", ge=1, le=10000
        )
        inner_batch: int = knob(
            32, "synthetic images of each class and of each such step, at most", unit="images", ge=1, le=4096
        )
        inner_learning_rate: float = knob(0.01, "step size of such a step at the start; it is learnt", gt=0, le=10)
        step_size_rate: float = knob(
            0.01, "Adam learning rate of the step size's logarithm; 0 keeps the step size", ge=0, le=1
        )
        match_epochs: int = knob(2, "epochs of an expert that are matched", unit="epochs", ge=1, le=1000)
        max_start_epoch: int = knob(
            10, "an expert's latest epoch from which it is matched", unit="epochs", ge=0, le=1000
        )
        augment: str = knob("dsa", "augmentation of the synthetic images", choices=CHOICES)
        reverse: str = knob(
            "exact",
            "gradient through the whole inner training, or as if its steps did not depend on one another (`tesla`)",
            choices=("exact", "tesla"),
        )
        experts: int = knob(10, "networks trained on the real images", unit="networks", ge=1, le=1000)
        expert_epochs: int = knob(
            12, "training of each expert; beyond what this job matches it serves others", unit="epochs", ge=1, le=2000
        )
        expert_batch: int = knob(256, "real images of a step of an expert", unit="images", ge=1, le=65536)
        expert_learning_rate: float = knob(0.01, "learning rate of the experts", gt=0, le=10)
        expert_momentum: float = knob(0.0, "momentum of the experts' training", ge=0, lt=1)
        expert_augment: str = knob("dsa", "augmentation of the experts' images", choices=CHOICES)
        expert_seed: int = knob(
            0, "seed of the experts; jobs that agree on all of `expert_*` share them", ge=0, le=2**53 - 1
        )

    def prepare(self, real: RealBatches, *, parametrization: Parametrization, shelf: Shelf) -> Iterator[Preparing]:
        config: TrajectoryMatching.Config = self.config
        self.experts = self._experts()
        yield from self.experts.prepare(real, shelf=shelf)
        # The logarithm, so that no step of its optimiser can make the step size negative. In double precision on the
        # CPU: it is one number, and the steps of its training are read from it.
        self.log_step_size = torch.tensor(log(config.inner_learning_rate), dtype=torch.float64)
        self.step_size_optimiser = torch.optim.Adam([self.log_step_size], lr=config.step_size_rate)

    def make(self, key: str, real: RealBatches, *, shelf: Shelf) -> Iterator[Preparing]:
        yield from self._experts().make(key, real, shelf=shelf)

    def _experts(self) -> Experts:
        config: TrajectoryMatching.Config = self.config
        training = Training(
            network=config.network,
            epochs=config.expert_epochs,
            batch=config.expert_batch,
            learning_rate=config.expert_learning_rate,
            momentum=config.expert_momentum,
            augment=config.expert_augment,
            seed=config.expert_seed,
        )
        last_epoch = config.max_start_epoch + config.match_epochs
        return Experts(training, count=config.experts, last_epoch=last_epoch, space=self.space, device=self.device)

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: TrajectoryMatching.Config = self.config
        expert, epoch = self._choose(rng=rng.child("expert"))
        began = self.experts.weights(expert, epoch)
        goal = self.experts.weights(expert, epoch + config.match_epochs)
        net = self.experts.network(rng=rng.child("network"))  # its own weights are never used
        inner = InnerLoss(
            net,
            copies=1,
            draw=draw,
            batch=config.inner_batch,
            vary=lambda images_NCHW, step: self._varied(images_NCHW, rng=rng.child("augment", step)),
            rng=rng,
        )
        steps, step_size = range(config.synthetic_steps), self.log_step_size.exp().item()
        sgd = unrolling.InnerSGD(learning_rate=step_size, momentum=0.0)
        path, _ = unrolling.train(began, unrolling.still(began), inner, steps=steps, sgd=sgd)
        draw.images_seen += len(steps) * inner.images
        last = {name: value.requires_grad_(True) for name, value in path[-1].items()}
        value = _squared_distance(last, goal) / _squared_distance(began, goal)
        adjoint = dict(zip(last, torch.autograd.grad(value, list(last.values())), strict=True))
        parameters = [one for one in draw.parametrization.parameters() if one.requires_grad]
        gradients, rate = unrolling.hypergradient(
            path,
            inner,
            adjoint=adjoint,
            parameters=parameters,
            steps=steps,
            sgd=sgd,
            through_weights=config.reverse == "exact",
        )
        if not (isfinite(value.item()) and isfinite(rate.item())):
            raise NotFinite(
                f"training on the synthetic images left the finite numbers at a step size of {step_size:.3g}; lower "
                "`objective.inner_learning_rate`, `objective.step_size_rate` or `objective.synthetic_steps`"
            )
        self.log_step_size.grad = rate.to(self.log_step_size)
        self.metrics = {"step_size": step_size}
        return unrolling.with_gradients(value, parameters, gradients)

    def after_step(self, draw: Draw, real: RealBatches, *, rng: Rng) -> None:
        """A step of the step size, on the gradient that came with the loss."""
        self.step_size_optimiser.step()

    def _choose(self, *, rng: Rng) -> tuple[int, int]:
        """An expert, and the epoch from which it is matched."""
        drawn = rng.generator()
        expert = torch.randint(self.config.experts, (), generator=drawn)
        return int(expert), int(torch.randint(self.config.max_start_epoch + 1, (), generator=drawn))

    def _varied(self, images_NCHW: Tensor, *, rng: Rng) -> Tensor:
        operations = operations_for(self.space)
        return augment(images_NCHW, how=self.config.augment, rng=rng.generator(), operations=operations)

    def tensors(self) -> dict[str, Tensor]:
        adam = {f"adam/{name}": value for name, value in optimisers.tensors(self.step_size_optimiser).items()}
        return {"log_step_size": self.log_step_size, **adam}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.log_step_size.copy_(tensors["log_step_size"])
        optimisers.restore(self.step_size_optimiser, below("adam/", tensors))


def _squared_distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    """|| one - other ||^2 over all weights."""
    return torch.stack([(value - other[name]).square().sum() for name, value in one.items()]).sum()

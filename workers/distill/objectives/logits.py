"""Matching of logits (DiM): networks in different states of training say the same of a real and of a generated image.

Wang et al., "DiM: Distilling Dataset into Generative Model", 2023 (arXiv 2303.04707). A generator is warmed up in an
adversarial game; then each step adds to its adversarial loss how far paired images are apart for one of a pool of
networks f, which learns from real images as it goes:
L = L_G + weight * mean (log softmax f(A(r)) - log softmax f(A(s)))^2, r and s paired one by one, of the same class.
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from distilled.errors import Problem, RecipeError
from distilled.knobs import knob
from distilled.parametrizations.base import Batch, Parametrization
from distilled.parametrizations.generator import Generator
from distilled.recipe import network_names
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatches
from workers.distill.events import Preparing
from workers.distill.networks.base import Network
from workers.distill.objectives.adversarial import Adversary, Rules
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.objectives.matches import MATCHES
from workers.distill.objectives.pool import NetworkPool
from workers.distill.objectives.warmup import Training, WarmUp
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.snapshots import below


class LogitMatching(Objective):
    kind = "logits"
    summary = "networks that learn from real images say the same of a real and of a generated image of its class"
    source = "Wang et al., DiM: Distilling Dataset into Generative Model, arXiv 2303.04707, 2023"
    several_networks = True

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        learning_rate: float = knob(1e-4, "learning rate of the synthetic parameters", gt=0, le=1000)
        network: str = knob("convnet3", "networks that look at the images; several are separated by commas")
        match: str = knob(
            "logits",
            "what is matched: log-probabilities of each pair, mean features of a class, or gradients in the weights",
            choices=tuple(MATCHES),
        )
        match_weight: float = knob(0.01, "weight of the matching; 0 leaves it out", ge=0, le=1e6)
        adversarial_weight: float = knob(
            1.0, "weight of the adversarial loss; 0 leaves it out, and the discriminator with it", ge=0, le=1e6
        )
        batch: int = knob(64, "pairs of a real and a synthetic image in a step", unit="images", ge=2, le=65536)
        augment: str = knob(
            "dsa",
            "augmentation shared by both sides, and of the images that networks are trained on",
            choices=CHOICES,
        )
        pool_size: int = knob(4, "networks of each name in the pool", unit="networks", ge=1, le=1000)
        network_life: int = knob(
            200, "steps in which a network is used before a fresh one replaces it", unit="steps", ge=1, le=10**6
        )
        network_steps: int = knob(
            16, "training steps on real images of a network, each time before it is used", unit="steps", ge=0, le=10000
        )
        network_batch: int = knob(64, "real images of such a training step", unit="images", ge=2, le=65536)
        network_learning_rate: float = knob(0.01, "learning rate of that training", gt=0, le=10)
        network_momentum: float = knob(0.9, "momentum of that training", ge=0, lt=1)
        network_weight_decay: float = knob(5e-4, "weight decay of that training", ge=0, le=1)
        discriminator_width: int = knob(
            196, "channels of the discriminator's convolutions", unit="channels", ge=1, le=4096
        )
        discriminator_steps: int = knob(1, "steps of the discriminator at each step", unit="steps", ge=1, le=1000)
        discriminator_learning_rate: float = knob(
            1e-4, "Adam learning rate of the discriminator behind the warm-up", gt=0, le=1
        )
        gradient_penalty: float = knob(10.0, "weight of the discriminator's gradient penalty", ge=0, le=1e6)
        warmup_steps: int = knob(
            3000, "steps of the adversarial warm-up before the first; 0 goes without", unit="steps", ge=0, le=10**7
        )
        warmup_batch: int = knob(
            128, "real and generated images of a step of the warm-up", unit="images", ge=2, le=65536
        )
        warmup_learning_rate: float = knob(
            1e-4, "Adam learning rate of generator and discriminator in the warm-up", gt=0, le=1
        )
        warmup_seed: int = knob(
            0, "seed of the warm-up; jobs that agree on all that it depends on share it", ge=0, le=2**53 - 1
        )

    adversary: Adversary | None = None

    def prepare(self, real: RealBatches, *, parametrization: Parametrization, shelf: Shelf) -> Iterator[Preparing]:
        config: LogitMatching.Config = self.config
        rules = Rules(width=config.discriminator_width, gradient_penalty=config.gradient_penalty)
        if config.adversarial_weight:
            self.adversary = Adversary(
                rules,
                learning_rate=config.discriminator_learning_rate,
                space=self.space,
                device=self.device,
                rng=self.rng.child("discriminator"),
            )
        if config.warmup_steps:
            if not isinstance(parametrization, Generator):
                detail = "a warm-up is that of a generator, and there is none: set it to 0"
                raise RecipeError([Problem(pointer="/objective/warmup_steps", detail=detail)])
            training = Training(
                steps=config.warmup_steps,
                batch=config.warmup_batch,
                learning_rate=config.warmup_learning_rate,
                rules=rules,
                seed=config.warmup_seed,
            )
            learnt = yield from WarmUp(training, parametrization, device=self.device).prepare(real, shelf=shelf)
            if self.adversary:
                self.adversary.restore(learnt)
        names = network_names(config.network)
        self.pool = NetworkPool(
            names,
            size=config.pool_size * len(names) if config.match_weight else 0,
            max_age=config.network_life,
            optimiser=lambda weights: torch.optim.SGD(
                weights,
                lr=config.network_learning_rate,
                momentum=config.network_momentum,
                weight_decay=config.network_weight_decay,
            ),
            space=self.space,
            device=self.device,
            rng=self.rng.child("pool"),
        )

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: LogitMatching.Config = self.config
        seen = real.mixed(config.batch, rng=rng.child("real"))
        drawn = draw(seen.labels_N, rng=rng.child("draw"))
        terms: dict[str, Tensor] = {}
        if config.match_weight:
            net = self._network(real, rng=rng.child("network"))
            sides = [self._siamese(side, rng=rng.child("augment")) for side in (seen, drawn)]
            terms["match"] = config.match_weight * MATCHES[config.match](net, *sides)
        if self.adversary:
            fooled = self.adversary.generator_loss(drawn.images_NCHW, seen.labels_N)
            terms["adversarial"] = config.adversarial_weight * fooled
        self.metrics = {name: term.item() for name, term in terms.items()}
        return torch.stack(list(terms.values())).sum()

    def after_step(self, draw: Draw, real: RealBatches, *, rng: Rng) -> None:
        """The discriminator's turn."""
        if self.adversary is None:
            return
        for step in range(self.config.discriminator_steps):
            step_rng = rng.child("discriminator", step)
            seen = real.mixed(self.config.batch, rng=step_rng.child("real"))
            asked = step_rng.child("labels").generator()
            labels_N = torch.randint(self.space.num_classes, seen.targets.shape, generator=asked)
            with torch.no_grad():
                images_NCHW = draw(labels_N, rng=step_rng.child("draw")).images_NCHW
            judged = Batch(images_NCHW=images_NCHW, targets=labels_N)
            self.metrics["discriminator"] = self.adversary.learn(seen, judged, rng=step_rng.child("between"))

    def _network(self, real: RealBatches, *, rng: Rng) -> Network:
        """A network of the pool, after its next training steps on real images."""
        self.pool.choose(rng=rng.child("choose"))
        self.pool.renew_old()
        steps = range(self.config.network_steps)
        return self.pool.train_chosen(self._lesson(real, rng=rng.child("lesson", step)) for step in steps)

    def _lesson(self, real: RealBatches, *, rng: Rng) -> Callable[[Network], Tensor]:
        """Cross-entropy on a real batch, each image augmented on its own."""
        batch = real.mixed(self.config.network_batch, rng=rng.child("real"))
        images_NCHW = augment(
            batch.images_NCHW,
            how=self.config.augment,
            rng=rng.child("augment").generator(),
            operations=operations_for(self.space),
        )
        return lambda net: functional.cross_entropy(net(images_NCHW), batch.targets)

    def _siamese(self, batch: Batch, *, rng: Rng) -> Batch:
        """The batch under one draw of operation and parameters, which are the same for the same `rng`."""
        operations = operations_for(self.space)
        images_NCHW = augment(
            batch.images_NCHW, how=self.config.augment, rng=rng.generator(), same=True, operations=operations
        )
        return Batch(images_NCHW=images_NCHW, targets=batch.targets)

    def tensors(self) -> dict[str, Tensor]:
        held = self.adversary.tensors() if self.adversary else {}
        return self.pool.tensors() | {f"adversary/{name}": value for name, value in held.items()}

    def state(self) -> dict[str, Any]:
        return self.pool.state()

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.pool.restore(tensors, state)
        if self.adversary:
            self.adversary.restore(below("adversary/", tensors))

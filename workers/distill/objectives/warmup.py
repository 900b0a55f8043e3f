"""A generator's start: it learns to make images of the data set's classes in an adversarial game, before any matching.

A warm-up follows from the data, the generator's shape and how it was trained, and from nothing of the job that first
needed it: jobs of any seed share the same one.
"""
# Shapes: N images.

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distilled.manifest import digest_json
from distilled.parametrizations.base import Batch
from distilled.parametrizations.generator import Generator as ImageGenerator
from distilled.parametrizations.generator import blank
from workers.distill import optimiser as optimisers
from workers.distill.batches import RealBatches
from workers.distill.errors import NotFinite
from workers.distill.events import Preparing
from workers.distill.networks import base as networks
from workers.distill.objectives.adversarial import Adversary, Rules, adam
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf
from workers.distill.snapshots import below

#: Counts up when a warm-up comes out otherwise than before, so that none made under other rules is taken for ours.
RULES = 1
#: A warm-up on its way is kept so many times, and more often where that would be further apart than so many steps.
STOPS, FURTHEST = 10, 500
WARMING, LOADING = "warming up the generator (steps)", "loading the warmed-up generator"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a generator is warmed up: a step of the discriminator and one of the generator in turn, by Adam."""

    steps: int
    batch: int
    learning_rate: float
    rules: Rules
    seed: int


class WarmUp:
    """The warm-up of a generator, whose random weights it replaces by its own."""

    def __init__(self, training: Training, generator: ImageGenerator, *, device: str) -> None:
        self.training, self.generator, self.device = training, generator, device

    def prepare(self, real: RealBatches, *, shelf: Shelf) -> Generator[Preparing, None, dict[str, Tensor]]:
        """Bring the generator's network to where the warm-up ends; returns the state of the adversary it had.

        Taken from the shelf if it lies there, and put there if not. Raises NotFinite where it leaves the finite
        numbers.
        """
        steps, key = self.training.steps, self.key(real)
        held = shelf.load(key)
        if held is None:
            held = yield from self._trained(real, shelf=shelf)
            shelf.save(key, held)
            shelf.save(self.key(real, unfinished=True), {})  # what lay there is of no use any more
        else:
            yield Preparing(what=LOADING, done=steps, total=steps)
        self.generator.net.load_state_dict(below("generator/", held))
        return below("adversary/", held)

    def key(self, real: RealBatches, *, unfinished: bool = False) -> str:
        """What it lies under, or lies under while `unfinished`: sha256 (hex) of all that it follows from.

        Precision and labels of the generator take no part: it is learnt as floats, and labels come later.
        """
        space, config = self.generator.space, self.generator.config
        origin = {
            "rules": RULES,
            "resource": "warm-up",
            "unfinished": unfinished,
            "training": asdict(self.training),
            "generator": {"width": config.width, "latent": config.latent},
            "dataset": real.digest,
            "space": space.to_json(),
            "classes": list(space.classes),
            "device_kind": torch.device(self.device).type,
        }
        return digest_json(origin)

    def _trained(self, real: RealBatches, *, shelf: Shelf) -> Generator[Preparing, None, dict[str, Tensor]]:
        """Warm up, from where an earlier attempt left it; returns the states of generator and adversary."""
        training, rng = self.training, Rng(self.training.seed).child("warm-up")
        made = blank(self.generator.config, space=self.generator.space)
        networks.begin(made, rng=rng.child("generator").generator())
        net = self.generator.net
        net.load_state_dict(made.state_dict())
        optimiser = adam(net.parameters(), learning_rate=training.learning_rate)
        adversary = Adversary(
            training.rules,
            learning_rate=training.learning_rate,
            space=self.generator.space,
            device=self.device,
            rng=rng.child("discriminator"),
        )
        stop = self.key(real, unfinished=True)
        between = max(1, min(FURTHEST, training.steps // STOPS))
        first = self._resume(shelf.load(stop), optimiser, adversary)
        for step in range(first, training.steps):
            self._step(real, optimiser, adversary, rng=rng.child("step", step))
            done = step + 1
            if done % between == 0 or done == training.steps:
                self._check(done)
            if done % between == 0 and done < training.steps:
                shelf.save(stop, self._kept(optimiser, adversary, done=done))
            yield Preparing(what=WARMING, done=done, total=training.steps)
        return self._state(adversary)

    def _step(self, real: RealBatches, optimiser: torch.optim.Adam, adversary: Adversary, *, rng: Rng) -> None:
        # As all images are likely: a warm-up that jobs share must not depend on what one of them prefers.
        seen = next(real.epoch(self.training.batch, rng=rng.child("real")))
        count = len(seen.targets)
        with torch.no_grad():
            drawn = self._draw(count, rng=rng.child("judged"))
        adversary.learn(seen, drawn, rng=rng.child("between"))
        drawn = self._draw(count, rng=rng.child("drawn"))
        optimiser.zero_grad()
        adversary.generator_loss(drawn.images_NCHW, drawn.targets).backward()
        optimiser.step()

    def _draw(self, count: int, *, rng: Rng) -> Batch:
        """Generated images of random classes, with these as their targets."""
        generator = rng.generator()
        labels_N = torch.randint(self.generator.space.num_classes, (count,), generator=generator)
        images_NCHW = self.generator.draw(labels_N, rng=generator).images_NCHW
        return Batch(images_NCHW=images_NCHW, targets=labels_N.to(images_NCHW.device))

    def _state(self, adversary: Adversary) -> dict[str, Tensor]:
        state = {f"generator/{name}": value for name, value in self.generator.net.state_dict().items()}
        return state | {f"adversary/{name}": value for name, value in adversary.tensors().items()}

    def _kept(self, optimiser: torch.optim.Adam, adversary: Adversary, *, done: int) -> dict[str, Tensor]:
        """A warm-up on its way, after so many steps."""
        state = {f"adam/{name}": value for name, value in optimisers.tensors(optimiser).items()}
        return {"done": torch.tensor(done), **state, **self._state(adversary)}

    def _resume(self, kept: Mapping[str, Tensor] | None, optimiser: torch.optim.Adam, adversary: Adversary) -> int:
        """Go on from what an earlier attempt left, if it did: the steps that are done."""
        if not kept:
            return 0
        self.generator.net.load_state_dict(below("generator/", kept))
        optimisers.restore(optimiser, below("adam/", kept))
        adversary.restore(below("adversary/", kept))
        return int(kept["done"])

    def _check(self, done: int) -> None:
        if not all(value.isfinite().all() for value in self.generator.net.state_dict().values()):
            raise NotFinite(
                f"the generator left the finite numbers by step {done} of {self.training.steps} of its warm-up; lower "
                "`objective.warmup_learning_rate`"
            )

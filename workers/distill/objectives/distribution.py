"""Distribution matching (DM): real and synthetic images of a class agree in the mean of a random embedding.

Zhao & Bilen, "Dataset Condensation with Distribution Matching", WACV 2023, eq. 4:
L = sum_k || mean f(A(real_k)) - mean f(A(syn_k)) ||^2, with a fresh untrained network f and one augmentation A a step.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from dataclasses import dataclass

import torch
from torch import Tensor

from distilled.knobs import knob
from workers.distill import networks
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatches, each_class
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.rng import Rng


class DistributionMatching(Objective):
    kind = "distribution"
    summary = "real and synthetic images of a class agree in the mean of a random network's features"
    source = "Zhao & Bilen, Dataset Condensation with Distribution Matching, WACV 2023, eq. 4"
    real_losses = "probe"
    sliceable = True

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        optimiser: str = knob("sgd", "optimiser of the synthetic parameters", choices=("adam", "sgd"))
        learning_rate: float = knob(1.0, "learning rate of the synthetic parameters", gt=0, le=1000)
        network: str = knob("convnet3", "network whose random features are matched")
        real_batch: int = knob(256, "real images of each class and step", unit="images", ge=1, le=65536)
        drawn_batch: int = knob(64, "synthetic images of each class and step, at most", unit="images", ge=1, le=65536)
        augment: str = knob("dsa", "augmentation shared by real and synthetic images", choices=CHOICES)

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: DistributionMatching.Config = self.config
        classes = range(self.space.num_classes)
        embed = networks.make(
            config.network,
            space_shape=self.space.shape,
            num_classes=self.space.num_classes,
            rng=rng.child("network").generator(),
        )
        embed.to(self.device).requires_grad_(False)
        reals = [real.of_class(k, config.real_batch, rng=rng.child("real")) for k in classes]
        held = draw.parametrization.per_class
        drawn = config.drawn_batch if held is None else min(held, config.drawn_batch)
        labels_N = each_class(len(classes), [drawn] * len(classes))
        synthetic = draw(labels_N, rng=rng.child("draw"))
        synthetic_NCHW = self._siamese(synthetic.images_NCHW, rng=rng)
        with torch.no_grad():
            seen_NCHW = torch.cat([batch.images_NCHW for batch in reals]).tensor_split(self.slices)
            seen_ND = torch.cat([embed.features(self._siamese(part_NCHW, rng=rng)) for part_NCHW in seen_NCHW])
            parts = seen_ND.split([len(batch.index_N) for batch in reals])
            real_KD = torch.stack([batch.mean(part_ND) for batch, part_ND in zip(reals, parts, strict=True)])
        drawn_KD = embed.features(synthetic_NCHW).unflatten(0, (len(classes), drawn)).mean(1)
        return (real_KD - drawn_KD).square().sum()

    def _siamese(self, images_NCHW: Tensor, *, rng: Rng) -> Tensor:
        """This step's augmentation, the same parameters for whatever is shown to it."""
        drawn = rng.child("augment").generator()
        return augment(
            images_NCHW, how=self.config.augment, rng=drawn, same=True, operations=operations_for(self.space)
        )

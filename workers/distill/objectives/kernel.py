"""Kernel ridge regression (KIP, FRePo): a regression fitted on the synthetic set predicts real images.

Nguyen et al., "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021, eq. 7 (KIP), and Zhou et al., "Dataset
Distillation using Neural Feature Regression", NeurIPS 2022, eq. 4-5 (FRePo):
L = 1/2N || Y_t - K_ts (K_ss + lambda tr(K_ss)/M I)^-1 Y_s ||^2.
The kernel is that of a network's features, taken at each step from a pool of networks in different states of training
on the synthetic set (FRePo), or a Gaussian on pixels (KIP).
"""
# Shapes: M synthetic images, N real images, K classes, D features.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from distilled.knobs import knob
from distilled.parametrizations.base import Batch, Parametrization
from workers.distill.augment import CHOICES, augment, operations_for
from workers.distill.batches import Draw, RealBatch, RealBatches
from workers.distill.events import Preparing
from workers.distill.networks.base import Network
from workers.distill.objectives.base import Objective, OptimiserConfig
from workers.distill.objectives.pool import NetworkPool
from workers.distill.rng import Rng
from workers.distill.shelf import Shelf

#: (target_NCHW, support_NCHW) -> K_ts [N, M] and K_ss [M, M]
Kernels = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class KernelRegression(Objective):
    kind = "kernel"
    summary = "a kernel ridge regression fitted on the synthetic images predicts the labels of real ones"
    source = "Nguyen et al., KIP, ICLR 2021, eq. 7; Zhou et al., FRePo, NeurIPS 2022, eq. 4-5"
    real_losses = "own"
    sliceable = True

    @dataclass(frozen=True, kw_only=True)
    class Config(OptimiserConfig):
        learning_rate: float = knob(0.003, "learning rate of the synthetic parameters", gt=0, le=1000)
        schedule: str = knob(
            "cosine",
            "learning rate over the run: as it is, or falling to 0 on a cosine",
            choices=("constant", "cosine"),
        )
        kernel: str = knob(
            "features", "features of a pool of networks, or a Gaussian", choices=("features", "gaussian")
        )
        network: str = knob("convnet3", "network whose features make the kernel (`features`)")
        ridge: float = knob(1e-6, "ridge, as a share of the kernel's mean diagonal", gt=0, le=1)
        bandwidth: float = knob(1.0, "width of the Gaussian, in mean squared norms of the images", gt=0, le=1000)
        real_batch: int = knob(1024, "real images of a step", unit="images", ge=1, le=65536)
        drawn_batch: int = knob(
            10, "synthetic images of each class and step, where no fixed set is held", unit="images", ge=1, le=4096
        )
        augment: str = knob("none", "augmentation of the real images", choices=CHOICES)
        pool_size: int = knob(10, "networks in the pool (`features`)", unit="networks", ge=1, le=1000)
        pool_steps: int = knob(100, "training steps after which a network is replaced", unit="steps", ge=1, le=100000)
        pool_learning_rate: float = knob(3e-4, "Adam learning rate of the pool's networks", gt=0, le=1)

    @property
    def network(self) -> str | None:
        """A Gaussian looks at pixels."""
        return self.config.network if self.config.kernel == "features" else None

    def prepare(self, real: RealBatches, *, parametrization: Parametrization, shelf: Shelf) -> Iterator[Preparing]:
        config: KernelRegression.Config = self.config
        self.pool = NetworkPool(
            [config.network],
            size=config.pool_size if config.kernel == "features" else 0,
            max_age=config.pool_steps,
            optimiser=lambda weights: torch.optim.Adam(weights, lr=config.pool_learning_rate),
            space=self.space,
            device=self.device,
            rng=self.rng.child("pool"),
        )
        yield from ()

    def loss(self, draw: Draw, real: RealBatches, *, rng: Rng) -> Tensor:
        config: KernelRegression.Config = self.config
        target = real.mixed(config.real_batch, rng=rng.child("real"))
        support = draw.support(config.drawn_batch, rng=rng.child("draw"))
        target_NCHW = augment(
            target.images_NCHW,
            how=config.augment,
            rng=rng.child("augment").generator(),
            operations=operations_for(self.space),
        )
        if config.kernel == "features":
            net = self.pool.choose(rng=rng.child("choose"))
            kernel_of = _feature_kernel(net, slices=self.slices)
        else:
            kernel_of = _gaussian_kernel(config.bandwidth, target)
        k_ts, k_ss = kernel_of(target_NCHW, support.images_NCHW)
        target_NK = _regression_targets(target, self.space.num_classes)
        predicted_NK = regress(k_ts, k_ss, _regression_targets(support, self.space.num_classes), ridge=config.ridge)
        with torch.no_grad():
            right = predicted_NK.argmax(1) == target.targets
            self.metrics = {"regression_accuracy": float(right.float().mean())}
        residuals_N = (target_NK - predicted_NK).square().sum(1)
        real.observe(target, residuals_N)
        return 0.5 * target.mean(residuals_N)

    def after_step(self, draw: Draw, real: RealBatches, *, rng: Rng) -> None:
        """Train the network that was used one step on the new synthetic set; replace it when it is old."""
        if self.config.kernel == "features":
            with torch.no_grad():
                batch = draw.support(self.config.drawn_batch, rng=rng.child("pool-draw"))
            if not self.pool.renew_old():
                images_MCHW = batch.images_NCHW.detach()
                targets_MK = _regression_targets(batch, self.space.num_classes).detach()
                self.pool.train_chosen([lambda net: nn.functional.mse_loss(net(images_MCHW), targets_MK)])

    def tensors(self) -> dict[str, Tensor]:
        return self.pool.tensors()

    def state(self) -> dict[str, Any]:
        return self.pool.state()

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self.pool.restore(tensors, state)


def regress(k_ts: Tensor, k_ss: Tensor, targets_MK: Tensor, *, ridge: float) -> Tensor:
    """Predictions [N, K] of the ridge regression: K_ts (K_ss + ridge tr(K_ss)/M I)^-1 Y_s, solved in float64."""
    k_ss, targets = k_ss.double(), targets_MK.double()
    lifted = k_ss + ridge * k_ss.diagonal().mean() * torch.eye(len(k_ss), dtype=k_ss.dtype, device=k_ss.device)
    return (k_ts.double() @ torch.linalg.solve(lifted, targets)).to(targets_MK.dtype)


def _regression_targets(batch: Batch, num_classes: int) -> Tensor:
    """Class probabilities, centred: y - 1/K."""
    labels_NK = batch.targets if batch.soft else nn.functional.one_hot(batch.targets, num_classes).float()
    return labels_NK - 1 / num_classes


def _feature_kernel(net: Network, *, slices: int) -> Kernels:
    def kernels(target_NCHW: Tensor, support_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            target_ND = torch.cat([net.features(part_NCHW) for part_NCHW in target_NCHW.tensor_split(slices)])
        support_MD = net.features(support_NCHW)
        return target_ND @ support_MD.T, support_MD @ support_MD.T

    return kernels


def _gaussian_kernel(bandwidth: float, batch: RealBatch) -> Kernels:
    """Its width follows the real images: mean and variance are estimated with the batch's weights."""

    def kernels(target_NCHW: Tensor, support_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        target_ND, support_MD = target_NCHW.flatten(1), support_NCHW.flatten(1)
        centre_D = batch.mean(target_ND)
        scale = bandwidth * batch.mean((target_ND - centre_D).square().sum(1))

        def gaussian(a: Tensor, b: Tensor) -> Tensor:
            squared = a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2 * a @ b.T
            return torch.exp(-squared.clamp_min(0) / scale)

        return gaussian(target_ND, support_MD), gaussian(support_MD, support_MD)

    return kernels

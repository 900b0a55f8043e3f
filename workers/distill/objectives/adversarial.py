"""The game that a generator learns from: a Wasserstein critic with an auxiliary classifier and a gradient penalty.

With D_s the critic's score and D_c its logits of the class, for real images r of classes y and generated ones s of y':
L_D = mean D_s(s) - mean D_s(r) + CE(D_c(s), y') + CE(D_c(r), y) + lambda mean (|| grad D_s(x) ||_2 - 1)^2,
L_G = -mean D_s(s) + CE(D_c(s), y'), x between r and s at random.
Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, eq. 3; Odena, Olah & Shlens, ICML 2017; in this
form Wang et al., "DiM", 2023 (arXiv 2303.04707).
"""
# Shapes: N images, C channels, H height, W width, K classes.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled.images import to_pixels
from distilled.parametrizations.base import Batch, ImageSpace
from workers.distill import discriminator
from workers.distill import optimiser as optimisers
from workers.distill.rng import Rng
from workers.distill.snapshots import below

#: Of both players' Adam, as published: without momentum, which a game makes go round in circles.
BETAS = (0.0, 0.9)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the discriminator is, and how much its gradient penalty weighs."""

    width: int
    gradient_penalty: float


class Adversary:
    """A discriminator, and the Adam that trains it. It takes standardised images, and shows them to it in [-1, 1]."""

    def __init__(self, rules: Rules, *, learning_rate: float, space: ImageSpace, device: str, rng: Rng) -> None:
        self.rules, self.space = rules, space
        self.net = discriminator.make(space, width=rules.width, rng=rng).to(device)
        self.adam = adam(self.net.parameters(), learning_rate=learning_rate)

    def generator_loss(self, images_NCHW: Tensor, labels_N: Tensor) -> Tensor:
        """L_G of generated images, differentiable in them; labels_N: the classes they were asked for."""
        self.net.requires_grad_(False)
        scores_N, logits_NK = self.net(self._signs(images_NCHW))
        return functional.cross_entropy(logits_NK, labels_N) - scores_N.mean()

    def learn(self, real: Batch, drawn: Batch, *, rng: Rng) -> float:
        """A step of the discriminator on as many real as generated images, with their classes; answers with L_D."""
        self.net.requires_grad_(True)
        real_NCHW, drawn_NCHW = self._signs(real.images_NCHW), self._signs(drawn.images_NCHW.detach())
        shares_N = torch.rand(len(real_NCHW), generator=rng.generator()).to(real_NCHW)
        value = discriminator_loss(
            self.net, (real_NCHW, real.labels_N), (drawn_NCHW, drawn.labels_N.to(real.labels_N.device))
        ) + self.rules.gradient_penalty * gradient_penalty(
            lambda signs_NCHW: self.net(signs_NCHW)[0], real_NCHW, drawn_NCHW, shares_N=shares_N
        )
        self.adam.zero_grad()
        value.backward()
        self.adam.step()
        return value.item()

    def tensors(self) -> dict[str, Tensor]:
        """What must be kept to go on, by name."""
        state = {f"net/{name}": value for name, value in self.net.state_dict().items()}
        return state | {f"adam/{name}": value for name, value in optimisers.tensors(self.adam).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`; the learning rate stays its own."""
        self.net.load_state_dict(below("net/", tensors))
        optimisers.restore(self.adam, below("adam/", tensors))

    def _signs(self, images_NCHW: Tensor) -> Tensor:
        return 2 * to_pixels(images_NCHW, mean=self.space.mean, std=self.space.std) - 1


def adam(parameters: Iterable[nn.Parameter], *, learning_rate: float) -> torch.optim.Adam:
    """The optimiser of a player."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=BETAS)


def discriminator_loss(
    judge: Callable[[Tensor], tuple[Tensor, Tensor]], real: tuple[Tensor, Tensor], drawn: tuple[Tensor, Tensor]
) -> Tensor:
    """L_D without the gradient penalty. judge: images to scores_N and logits_NK; real, drawn: images and labels_N."""
    scores_2N, logits_2NK = judge(torch.cat([real[0], drawn[0]]))
    real_scores_N, drawn_scores_N = scores_2N.split([len(real[0]), len(drawn[0])])
    real_logits_NK, drawn_logits_NK = logits_2NK.split([len(real[0]), len(drawn[0])])
    entropy = functional.cross_entropy(real_logits_NK, real[1]) + functional.cross_entropy(drawn_logits_NK, drawn[1])
    return drawn_scores_N.mean() - real_scores_N.mean() + entropy


def gradient_penalty(
    score: Callable[[Tensor], Tensor], real_NCHW: Tensor, drawn_NCHW: Tensor, *, shares_N: Tensor
) -> Tensor:
    """mean (|| grad score(x) ||_2 - 1)^2 at x = real + share (drawn - real), a share for each pair, in 0..1."""
    between_NCHW = real_NCHW.lerp(drawn_NCHW, shares_N[:, None, None, None]).detach().requires_grad_(True)
    (slopes_NCHW,) = torch.autograd.grad(score(between_NCHW).sum(), between_NCHW, create_graph=True)
    return (torch.linalg.vector_norm(slopes_NCHW.flatten(1), dim=1) - 1).square().mean()

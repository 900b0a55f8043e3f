"""What a network sees of real and synthetic images that are paired one by one, and how far the two are apart.

Wang et al., "DiM: Distilling Dataset into Generative Model", 2023 (arXiv 2303.04707), for the matching of logits; their
public code has the other two as well. Every network is in training mode here, so that batch normalisations look at the
batch at hand.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features, M classes that are in the batch.

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from distilled.parametrizations.base import Batch
from workers.distill.networks.base import Network

#: (network, real, drawn) -> distance. The i-th image of `real` and of `drawn` have the same class.
Match = Callable[[Network, Batch, Batch], Tensor]


def logits(net: Network, real: Batch, drawn: Batch) -> Tensor:
    """The mean over pairs and classes of (log softmax f(r) - log softmax f(s))^2."""
    with torch.no_grad():
        wanted_NK = net(real.images_NCHW).log_softmax(1)
    return (net(drawn.images_NCHW).log_softmax(1) - wanted_NK).square().mean()


def features(net: Network, real: Batch, drawn: Batch) -> Tensor:
    """The mean over the classes in the batch of || mean f(r) - mean f(s) ||_1, f the features."""
    with torch.no_grad():
        wanted_ND = net.features(real.images_NCHW)
    gaps_ND = net.features(drawn.images_NCHW) - wanted_ND
    own_MN = (real.labels_N == real.labels_N.unique()[:, None]).to(gaps_ND)
    return (own_MN @ gaps_ND / own_MN.sum(1, keepdim=True)).abs().sum(1).mean()


def gradients(net: Network, real: Batch, drawn: Batch) -> Tensor:
    """The sum of | grad CE(r) - grad CE(s) | over the weights of all layers but the last, biases and scales left out.

    Of a ConvNet these are its convolutions. Soft targets of the drawn images have a gradient as well.
    """
    held = [name for name, value in net.named_parameters() if value.ndim > 1 and not name.startswith("head.")]
    weights = {name: net.get_parameter(name).detach().requires_grad_(True) for name in held}

    def slopes(batch: Batch, *, create_graph: bool) -> tuple[Tensor, ...]:
        logits_NK: Tensor = functional_call(net, weights, (batch.images_NCHW,))
        loss = functional.cross_entropy(logits_NK, batch.targets)
        return torch.autograd.grad(loss, list(weights.values()), create_graph=create_graph)

    pairs = zip(slopes(drawn, create_graph=True), slopes(real, create_graph=False), strict=True)
    return torch.stack([(found - wanted).abs().sum() for found, wanted in pairs]).sum()


MATCHES: dict[str, Match] = {"logits": logits, "features": features, "gradients": gradients}

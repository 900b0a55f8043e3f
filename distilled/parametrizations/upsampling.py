"""The generator's layers as a network: latent coordinates in, images out."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from distilled.parametrizations.layers import Layer


class FirstNorm(nn.BatchNorm1d):
    """Batch normalisation of the linear layer's outputs; one image alone, without a spread, takes the running one."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) == 1:
            mean, variance = self.running_mean, self.running_var
            return functional.batch_norm(input, mean, variance, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def network(layers: Sequence[Layer]) -> nn.Sequential:
    """latent_NL to signs_NCHW in [-1, 1], without weights (on the meta device)."""
    out: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.device("meta"):
        for layer in layers:
            out[layer.name] = _made(layer)
            if layer.normalised:
                norm = FirstNorm if layer.kind == "linear" else nn.BatchNorm2d
                out[f"{layer.name}_norm"] = norm(layer.outputs)
                out[f"{layer.name}_relu"] = nn.ReLU()
            if layer.kind == "linear":
                out[f"{layer.name}_square"] = nn.Unflatten(1, (layer.channels, layer.side, layer.side))
        out["tanh"] = nn.Tanh()
    return nn.Sequential(out)


def _made(layer: Layer) -> nn.Module:
    if layer.kind == "linear":
        return nn.Linear(layer.inputs, layer.outputs)
    if layer.kind == "up":
        return nn.ConvTranspose2d(layer.inputs, layer.channels, layer.kernel, stride=2, padding=1)
    return nn.Conv2d(layer.inputs, layer.channels, layer.kernel, padding=layer.kernel // 2)

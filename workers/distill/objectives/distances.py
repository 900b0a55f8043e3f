"""How far two gradients in a network's weights are from each other."""
# Shapes: R rows of a layer, D weights of a row.

from collections.abc import Sequence

import torch
from torch import Tensor

#: Keeps a cosine finite where a gradient vanishes. Two rows with norms far below its root count less.
EPSILON = 1e-6


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor], *, kind: str = "rows") -> Tensor:
    """How far two gradients, given layer by layer, are from each other; 0 where they are equal.

    `rows`: the sum over the rows of all layers, a row holding the weights that lead to one output. A bias is one number
    to an output, whose cosine is a sign without a gradient: layers of one dimension take no part. `cosine` and `mse`
    (a sum, not a mean) look at all weights, biases among them.
    """
    if kind == "mse":
        return sum(((f - w).square().sum() for f, w in zip(found, wanted, strict=True)), start=found[0].new_zeros(()))
    if kind == "cosine":
        pairs = [(_joined(found)[None], _joined(wanted)[None])]
    else:
        pairs = [(f.flatten(1), w.flatten(1)) for f, w in zip(found, wanted, strict=True) if f.ndim > 1]
    return sum((_cosine_gaps_R(f_RD, w_RD).sum() for f_RD, w_RD in pairs), start=found[0].new_zeros(()))


def _cosine_gaps_R(found_RD: Tensor, wanted_RD: Tensor) -> Tensor:
    """1 - cosine of each row; 0 where a row vanishes on either side, since it has no direction then."""
    norms_R = found_RD.norm(dim=1) * wanted_RD.norm(dim=1)
    return (norms_R - (found_RD * wanted_RD).sum(1)) / (norms_R + EPSILON)


def _joined(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])

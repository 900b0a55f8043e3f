"""Back-propagation through inner training: the exact gradient of a trained network in what it was trained on.

Inner training is SGD with momentum as PyTorch has it, b_{t+1} = m b_t + g_t and w_{t+1} = w_t - a b_{t+1}, where g_t is
the gradient of the inner loss at w_t. Deng & Russakovsky, "Remember the Past", NeurIPS 2022, section 3.3.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = dict[str, Tensor]
#: (weights, step) -> the scalar inner loss, differentiable in the weights and in the outer parameters. Asked twice for
#: the same step it must answer with the same function.
InnerLoss = Callable[[Mapping[str, Tensor], int], Tensor]


@dataclass(frozen=True, kw_only=True)
class InnerSGD:
    """The inner optimiser."""

    learning_rate: float
    momentum: float

    def step(self, weights: Weights, buffers: Weights, gradients: Sequence[Tensor]) -> tuple[Weights, Weights]:
        """New weights and momentum buffers; differentiable in all three arguments."""
        buffers = {
            name: self.momentum * buffers[name] + gradient for name, gradient in zip(weights, gradients, strict=True)
        }
        return {name: value - self.learning_rate * buffers[name] for name, value in weights.items()}, buffers


def still(weights: Mapping[str, Tensor]) -> Weights:
    """Momentum buffers of a training that has not begun."""
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def train(
    weights: Weights, buffers: Weights, inner_loss: InnerLoss, *, steps: range, sgd: InnerSGD, graph: bool = False
) -> tuple[list[Weights], Weights]:
    """Weights before each of the steps and after the last, and the momentum at the end.

    With `graph` everything stays differentiable in the outer parameters (memory grows with the steps); without it
    nothing is kept but the weights.
    """
    path = [weights]
    for step in steps:
        with torch.enable_grad():
            leaves = weights if graph and weights is not path[0] else _leaves(weights)
            gradients = torch.autograd.grad(inner_loss(leaves, step), list(leaves.values()), create_graph=graph)
        weights, buffers = sgd.step(leaves if graph else weights, buffers, gradients)
        path.append(weights)
    return path, buffers


def hypergradient(
    path: Sequence[Weights],
    inner_loss: InnerLoss,
    *,
    adjoint: Weights,
    parameters: Sequence[Tensor],
    steps: range,
    sgd: InnerSGD,
    through_weights: bool = True,
) -> tuple[list[Tensor], Tensor]:
    """The gradient of an outer loss at the end of a training, by the exact reverse pass: in each of the `parameters`,
    and in the logarithm of the learning rate.

    `path` is what `train` answered for `steps`; `adjoint` is the outer loss's gradient in its last weights. Memory is
    one step's graph whatever the number of steps: each step is computed anew from its weights. Per step, with u and v
    the adjoints of weights and momentum: v <- v - a u, (h_w, h_p) = grad_{w, p} <g_t, v>, u <- u + h_w, v <- m v; and
    since w_{t+1} = w_t - a b_{t+1}, the part of log a is <u, w_{t+1} - w_t>.

    Without `through_weights` the step h_w is left out: each gradient counts as if the weights that it was taken at did
    not depend on the steps before it. That is exact for a single step, and biased from the second on.
    """
    total = [torch.zeros_like(parameter) for parameter in parameters]
    rate = next(iter(adjoint.values())).new_zeros(())
    after_weights, after_buffers = dict(adjoint), still(adjoint)
    for place in reversed(range(len(steps))):
        leaves = _leaves(path[place])
        names = list(leaves)
        for name in names:
            rate = rate + (after_weights[name] * (path[place + 1][name] - path[place][name]).detach()).sum()
            after_buffers[name] = after_buffers[name] - sgd.learning_rate * after_weights[name]
        with torch.enable_grad():
            loss = inner_loss(leaves, steps[place])
            gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        pulled = torch.autograd.grad(
            gradients,
            [*parameters, *(leaves.values() if through_weights else ())],
            grad_outputs=[after_buffers[name] for name in names],
            materialize_grads=True,
        )
        total = [so_far + part for so_far, part in zip(total, pulled, strict=False)]
        for name, part in zip(names, pulled[len(parameters) :], strict=False):
            after_weights[name] = after_weights[name] + part
        after_buffers = {name: sgd.momentum * buffer for name, buffer in after_buffers.items()}
    return total, rate


def with_gradients(value: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """`value`, whose backward pass adds these gradients to the parameters: for gradients that are known already."""
    out = value.detach()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        out = out + ((parameter - parameter.detach()) * gradient).sum()
    return out


def in_sum(parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """The gradients of a loss from those of its parts."""
    first, *rest = parts
    total = list(first)
    for part in rest:
        total = [so_far + more for so_far, more in zip(total, part, strict=True)]
    return total


def _leaves(weights: Mapping[str, Tensor]) -> Weights:
    return {name: value.detach().requires_grad_(True) for name, value in weights.items()}

"""The outer optimiser: built from an objective's knobs, kept in snapshots by name."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from workers.distill.objectives.base import OptimiserConfig


def make(parameters: Iterable[nn.Parameter], config: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser of the synthetic parameters."""
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.Adam(parameters, lr=config.learning_rate)


def set_rate(optimiser: torch.optim.Optimizer, config: OptimiserConfig, *, step: int, steps: int) -> None:
    """The learning rate of step 0..steps-1: constant, or from the full rate to 0 on half a cosine."""
    share = 0.5 * (1 + math.cos(math.pi * step / steps)) if config.schedule == "cosine" else 1.0
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * share


def tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state, by name."""
    out: dict[str, Tensor] = {}
    for i, slots in optimiser.state_dict()["state"].items():
        out |= {f"{i}/{name}": value for name, value in slots.items() if isinstance(value, Tensor)}
    return out


def restore(optimiser: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """The inverse of `tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in saved.items():
        i, slot = name.split("/")
        state.setdefault(int(i), {})[slot] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})

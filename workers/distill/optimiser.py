"""The outer optimiser: built from an objective's knobs, kept in snapshots by name."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distilled.parametrizations.base import Parametrization
from workers.distill.objectives.base import OptimiserConfig


class Outer:
    """The optimiser of a parametrization: its rate over the run, clipping, and the running average that is stored."""

    def __init__(self, parametrization: Parametrization, config: OptimiserConfig, *, steps: int) -> None:
        self.parametrization, self.config, self.steps = parametrization, config, steps
        self.inner = _make(parametrization, config)
        self.average = {name: value.detach().clone() for name, value in self._named()} if config.ema else {}

    def begin(self, step: int) -> None:
        """Forget the last gradients; the learning rate of step 0..steps-1: constant, or on half a cosine to 0."""
        share = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.config.schedule == "cosine" else 1.0
        for group in self.inner.param_groups:
            group["lr"] = self.config.learning_rate * share
        self.inner.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self, step: int) -> None:
        """One step on the gradients at hand, back into the allowed set."""
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.parametrization.parameters(), self.config.clip)
        self.inner.step()
        self.parametrization.project()
        # Short memory at first, so that where the run began does not linger.
        decay = min(self.config.ema, (1 + step) / (10 + step))
        for name, value in self._named():
            if name in self.average:
                self.average[name].lerp_(value, 1 - decay)

    @torch.no_grad()
    def finish(self) -> None:
        """Put the running average, where one is kept, in the parameters' place."""
        for name, value in self._named():
            if name in self.average:
                value.copy_(self.average[name])

    def tensors(self) -> dict[str, Tensor]:
        """The state, by name."""
        return tensors(self.inner) | {f"average/{name}": value for name, value in self.average.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        restore(self.inner, {name: value for name, value in saved.items() if not name.startswith("average/")})
        for name, average in self.average.items():
            average.copy_(saved[f"average/{name}"])

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.parametrization.named_parameters())


def _make(parametrization: Parametrization, config: OptimiserConfig) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(parametrization.parameters(), lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.Adam(parametrization.parameters(), lr=config.learning_rate)


def tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A torch optimiser's state, by name."""
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

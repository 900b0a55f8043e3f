"""Batches by importance: real images with a high present loss are drawn more often, and count for less.

"Dataset Distillation Meets Provable Subset Selection", arXiv 2307.08086: image i of n is drawn with the chance
q_i = mix/n + (1 - mix) s_i / sum s, where s_i is its present loss, and counts 1/(n q_i), so that the weighted mean of a
batch is without bias whatever the s_i are, stale ones too. A weight is at most 1/mix.

Draws are stratified: the j-th of m is taken where the cumulated chances pass (j + u_j)/m, u_j uniform in [0, 1). The
expected number of draws of image i is m q_i, as with independent draws, and the variance is never more than theirs.
"""
# Shapes: N images of the training set, M images of a draw.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distilled.knobs import knob
from workers.distill.batches import Draw, RealBatches, Uniform
from workers.distill.data import RealData
from workers.distill.probe import LOOKS_OF_TRAINING, Probe
from workers.distill.rng import Rng

#: This share of what the steps cost goes into finding out what images cost: below 5 % with what is not counted, draws
#: above all.
SHARE = 0.03
#: Losses that a step tells for nothing change the chances so often; cumulating them is not quite for nothing.
SETTLE_STEPS = 10
#: Name of the table of chances over all classes; the others go by their class.
ALL = -1


class Importance(Uniform):
    """Draws in proportion to present losses: those that the objective tells, or those that a probe finds."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        mix: float = knob(
            0.5, "share of uniform chances in those of `importance`; an image counts at most 1/mix", gt=0, le=1
        )
        pool: int = knob(
            1024,
            "real images whose losses are found anew at a time, where the objective does not tell them",
            unit="images",
            ge=1,
            le=10**6,
        )

    def __init__(self, real: RealData, config: Config, *, device: str = "cpu", probe: Probe | None = None) -> None:
        super().__init__(real)
        self.config, self.probe = config, probe
        self._losses_N = torch.full((len(self.labels_N),), torch.nan, device=device)  # NaN: not known yet
        self._scores_N = torch.ones(len(self.labels_N), dtype=torch.float64)
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}
        self._looks = 0  # at real images, by the steps
        self._paid = 0  # cost of all steps up to the last refresh, in looks

    def mixed(self, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """index_M (int64) and weights_M (float64) of `count` draws; all images once where there are no more."""
        self._looks += min(count, len(self.labels_N))
        if count >= len(self.labels_N):
            return super().mixed(count, rng=rng)
        return self._drawn(ALL, count, rng=rng)

    def of_class(self, k: int, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
        """The same within class k."""
        members_N = self.of_classes[k]
        self._looks += min(count, len(members_N))
        if count >= len(members_N):
            return super().of_class(k, count, rng=rng)
        place_M, weights_M = self._drawn(k, count, rng=rng.child("class", k))
        return members_N[place_M], weights_M

    def observe(self, index_N: Tensor, losses_N: Tensor) -> None:
        """Remember present losses (of an image told twice the larger); the chances follow at the next settling."""
        index_N = index_N.to(self._losses_N.device)
        self._losses_N.scatter_reduce_(0, index_N, losses_N.to(self._losses_N), "amax", include_self=False)

    def refresh(self, step: int, real: RealBatches, draw: Draw, *, rng: Rng) -> None:
        """Settle the losses told; or, with a probe, look at a pool of images once the steps since the last time paid
        for it. What a step costs is counted in looks at an image, so that no clock decides what is made.
        """
        if self.probe is None:
            if step % SETTLE_STEPS == 0:
                self._settle()
            return
        cost = self.probe.cost(draw.parametrization) + min(self.config.pool, len(self.labels_N))
        if SHARE * (self._cost_so_far(draw) - self._paid) < cost:
            return
        index_N, _ = super().mixed(self.config.pool, rng=rng.child("pool"))
        self.observe(index_N, self.probe.losses(index_N, real, draw, rng=rng.child("probe")))
        self._settle()
        self._paid = self._cost_so_far(draw)

    def chances(self, k: int = ALL) -> Tensor:
        """q_N (float64, sums to 1): the chance of each image, or of each image of class k, in one draw."""
        scores_N = self._scores_N if k == ALL else self._scores_N[self.of_classes[k]]
        flat_N = torch.full_like(scores_N, 1 / len(scores_N))
        total = scores_N.sum()
        return flat_N if total <= 0 else self.config.mix * flat_N + (1 - self.config.mix) * scores_N / total

    def tensors(self) -> dict[str, Tensor]:
        return {"losses": self._losses_N, "scores": self._scores_N}

    def state(self) -> dict[str, Any]:
        return {"looks": self._looks, "paid": self._paid}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self._losses_N.copy_(tensors["losses"])
        self._scores_N.copy_(tensors["scores"])
        self._tables.clear()
        self._looks, self._paid = state["looks"], state["paid"]

    def _cost_so_far(self, draw: Draw) -> int:
        """What the steps cost at least, in looks: one at each real image, a training on each synthetic one."""
        return self._looks + LOOKS_OF_TRAINING * draw.images_seen

    def _settle(self) -> None:
        """The losses known become the scores; an image of unknown loss counts as a mean one."""
        losses_N = self._losses_N.to("cpu", torch.float64)
        known_N = losses_N.isfinite()
        if known_N.any():
            self._scores_N = torch.where(known_N, losses_N, losses_N[known_N].mean()).clamp_min(0)
            self._tables.clear()

    def _drawn(self, k: int, count: int, *, rng: Rng) -> tuple[Tensor, Tensor]:
        if k not in self._tables:
            chances_N = self.chances(k)
            self._tables[k] = chances_N.cumsum(0), 1 / (len(chances_N) * chances_N)
        cumulated_N, weights_N = self._tables[k]
        uniform_M = torch.rand(count, dtype=torch.float64, generator=rng.generator())
        place_M = stratified(cumulated_N, uniform_M)
        return place_M, weights_N[place_M]


def stratified(cumulated_N: Tensor, uniform_M: Tensor) -> Tensor:
    """place_M (int64 in 0..N-1): where the cumulated chances first exceed (j + u_j)/M, for u_j in [0, 1)."""
    heights_M = torch.arange(len(uniform_M), dtype=torch.float64).add_(uniform_M).div_(len(uniform_M))
    return torch.searchsorted(cumulated_N[:-1], heights_M, right=True)  # the last is where no other is
